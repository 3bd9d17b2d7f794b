"""<g, grad log pi(y|x)> of every answer in a batch from one forward and one backward that touches inputs only.

Each LoRA layer computes y = W x + s B A x. With one gate a_n per row n of the batch, shared by all layers, and a direction g with a part
for A and one for B, let the layer compute y + a_n s (g_B A x + B g_A x): the derivative of its weights along the direction. Then
d log pi(y_n) / d a_n at a = 0 is <g, grad log pi(y_n)> exactly, for zero and for other adapters. In the backward of a layer with output
gradient e and scale s this is s sum_t (<g_B' e_t, A x_t> + <B' e_t, g_A x_t>): all of rank size, so no gradient of a parameter is ever
made and nothing is added to the forward. Several directions share one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truing.core.errors import Exit, TruingError, some
from truing.models.impact_answers import Answer, by_length, log_likelihoods
from truing.models.loading import evaluating

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
# By the name of an adapter's parameter: K tensors of its shape, stacked.
Stack = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True)
class Factors:
    """One LoRA layer of a model.

    Attributes:
        module: The layer.
        a: Name of the parameter A [rank, in].
        b: Name of the parameter B [out, rank].
        adapter: Name of the adapter in the layer.
    """

    module: Any
    a: str
    b: str
    adapter: str


def lora_factors(model: Any) -> list[Factors]:
    """The layers of a model's one active LoRA adapter, in the model's order.

    Raises:
        TruingError: for an adapter whose layers are not plain LoRA on linear layers, that also trains something else, or that is
            merged or switched off.
    """
    from peft.tuners.lora import LoraLayer

    found: list[Factors] = []
    strange: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            active = [adapter for adapter in module.active_adapters if adapter in module.lora_A]
            if len(active) != 1 or not _plain(module, active[0]):
                strange.append(name)
                continue
            found.append(Factors(module, f"{name}.lora_A.{active[0]}.weight", f"{name}.lora_B.{active[0]}.weight", active[0]))
    known = {name for factors in found for name in (factors.a, factors.b)}
    strange += [name for name, value in model.named_parameters() if value.requires_grad and name not in known]
    if strange or not found:
        raise TruingError(
            f"{some(strange) or 'the model'}: not a plain LoRA layer on a linear layer",
            "one active LoRA adapter on linear layers, without DoRA, biases, saved modules or trained embeddings",
            "score with an adapter of plain LoRA",
            Exit.REFUSED,
        )
    return found


def _plain(module: Any, adapter: str) -> bool:
    special = adapter in module.lora_variant or module.lora_bias.get(adapter, False) or adapter in module.lora_embedding_A
    # The factors act as matrices: those of a convolution do not.
    flat = adapter in module.lora_A and module.lora_A[adapter].weight.dim() == 2
    return flat and not special and not module.merged and not module.disable_adapters


def lora_parameters(model: Any) -> dict[str, torch.Tensor]:
    """The adapter's parameters by name, A before B in each layer."""
    found: dict[str, torch.Tensor] = {}
    for factors in lora_factors(model):
        found[factors.a] = factors.module.lora_A[factors.adapter].weight
        found[factors.b] = factors.module.lora_B[factors.adapter].weight
    return found


def gate_scores(model: Any, answers: Sequence[Answer], directions: Stack, *, batch_size: int = 16) -> Floats:
    """s(y) = <g_k, grad log pi(y|x)> over the adapter's parameters for each answer and direction: float64 [answers, K].

    Dropout is off, the library's own modules included. Batches are made by length and change rounding only.

    Args:
        model: A causal language model with one active LoRA adapter.
        answers: What is scored.
        directions: K directions for each parameter of `lora_parameters`.
        batch_size: Answers in one pass.

    Raises:
        TruingError: for an adapter that is not plain LoRA, directions of other parameters, or a score that is not finite.
    """
    with gated(model, directions) as score:
        found = np.zeros((len(answers), _count(directions)))
        for batch in by_length(answers, batch_size):
            found[batch] = score([answers[index] for index in batch])
    return found


@contextmanager
def gated(model: Any, directions: Stack) -> Iterator[Callable[[Sequence[Answer]], Floats]]:
    """While open, a function that scores one batch: answers in, float64 [answers, K] out. See `gate_scores`."""
    import torch

    layers = lora_factors(model)
    _check(directions, lora_parameters(model))
    count = _count(directions)
    current: list[torch.Tensor] = []

    def score(batch: Sequence[Answer]) -> Floats:
        gate = torch.zeros(len(batch), count, dtype=_gate_type(directions), device=model.device, requires_grad=True)
        current[:] = [gate]
        with torch.enable_grad():
            (found,) = torch.autograd.grad(log_likelihoods(model, batch).sum(), [gate])
        _require_finite(found)
        result: Floats = found.double().cpu().numpy()
        return result

    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        for factors in layers:
            stack.enter_context(_replaced(factors, directions, current))
        yield score


@contextmanager
def _replaced(factors: Factors, directions: Stack, current: list[torch.Tensor]) -> Iterator[None]:
    """Put the gated computation in the place of a layer's forward."""
    import torch

    module, adapter = factors.module, factors.adapter
    a, b = module.lora_A[adapter].weight.detach(), module.lora_B[adapter].weight.detach()
    scale = float(module.scaling[adapter])
    # B = 0 makes the part of A vanish, and the layer's own contribution with it.
    idle = not bool(b.any())
    rank = a.shape[0]
    along_a = directions[factors.a].to(a).reshape(-1, a.shape[1])
    along_b = directions[factors.b].to(b).permute(1, 0, 2).reshape(b.shape[0], -1)
    down = a if idle else torch.cat([a, along_a])
    up = along_b if idle else torch.cat([b, along_b], dim=1)
    gate_function = _gate_function()

    def forward(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if x.shape[0] != len(current[0]):
            raise TruingError(
                f"a LoRA layer that sees {x.shape[0]} rows of a batch of {len(current[0])}",
                "layers that see every answer as one row (no mixture of experts, no adapter on the head)",
                "score with an adapter on attention and dense layers",
                Exit.REFUSED,
            )
        base = module.base_layer(x, *args, **kwargs)
        return gate_function.apply(base, x, current[0], down, up, scale, rank, idle)

    module.forward = forward
    try:
        yield
    finally:
        del module.forward


@cache
def _gate_function() -> Any:
    """The layer as one autograd function, so that its backward makes the gates' derivative from what it has at hand."""
    import torch

    class Gate(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, base: Any, x: Any, gate: Any, down: Any, up: Any, scale: float, rank: int, idle: bool) -> Any:
            inner = torch.nn.functional.linear(x.to(down.dtype), down)
            ctx.save_for_backward(inner, down, up)
            ctx.about = (scale, rank, idle, gate.dtype, gate.shape[1], x.dtype)
            if idle:
                return base.view_as(base)
            return base + (scale * torch.nn.functional.linear(inner[..., :rank], up[:, :rank])).to(base.dtype)

        @staticmethod
        def backward(ctx: Any, e: Any) -> Any:
            inner, down, up = ctx.saved_tensors
            scale, rank, idle, kind, count, x_type = ctx.about
            outer = scale * (e.to(up.dtype) @ up)
            shape = (len(e), -1, count, rank)
            own = inner[..., :rank].to(kind).reshape(len(e), -1, rank)
            along = outer if idle else outer[..., rank:]
            found = torch.einsum("ntkr,ntr->nk", along.to(kind).reshape(shape), own)
            if idle:
                return e, None, found, None, None, None, None, None
            back = outer[..., :rank]
            found = found + torch.einsum("ntr,ntkr->nk", back.to(kind).reshape(own.shape), inner[..., rank:].to(kind).reshape(shape))
            grad = (back @ down[:rank]).to(x_type) if ctx.needs_input_grad[1] else None
            return e, grad, found, None, None, None, None, None

    return Gate


def _gate_type(directions: Stack) -> torch.dtype:
    import torch

    # Sums over tokens are in float32 at least.
    return torch.float64 if next(iter(directions.values())).dtype == torch.float64 else torch.float32


def _count(directions: Stack) -> int:
    return len(next(iter(directions.values())))


def _check(directions: Stack, parameters: Mapping[str, torch.Tensor]) -> None:
    count = _count(directions) if directions else 0
    wrong = [name for name, value in parameters.items() if name not in directions or directions[name].shape != (count, *value.shape)]
    wrong += sorted(set(directions) - set(parameters))
    if wrong:
        raise TruingError(
            f"directions that do not fit the adapter at {some(wrong)}",
            "K tensors of the shape of each of the adapter's parameters",
            "take the directions from gradients of the same adapter",
        )


def _require_finite(scores: torch.Tensor) -> None:
    if not bool(scores.isfinite().all()):
        raise TruingError(
            "a score of an answer that is not finite",
            "finite log-probabilities and directions",
            "check the training that made this model: its weights may have diverged",
            Exit.FAILED,
        )
