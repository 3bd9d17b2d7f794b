"""Gradients of pair losses over an adapter's parameters, and two slow ways to their products with an answer's gradient.

The loop and the forward-mode product do what `gates` does, one by the definition and one by another mathematics; tests and benchmarks
hold the gates against them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from truing.models.gates import Floats, Stack, lora_parameters
from truing.models.impact_answers import Answer, by_length, log_likelihoods
from truing.models.loading import evaluating

if TYPE_CHECKING:
    import torch

Gradient = dict[str, "torch.Tensor"]


def likelihood_gradient(model: Any, answers: Sequence[Answer], coefficients: Sequence[float], *, batch_size: int = 16) -> Gradient:
    """Gradient of sum_i c_i log pi(y_i|x_i) over the adapter's parameters, by name; dropout off.

    Every loss here is a function of log-likelihoods, so its gradient is such a sum.
    """
    import torch

    total: Gradient = {}
    with evaluating(model), trainable(model) as parameters, torch.enable_grad():
        for batch in by_length(answers, batch_size):
            weights = torch.tensor([coefficients[index] for index in batch], device=model.device)
            likelihoods = log_likelihoods(model, [answers[index] for index in batch])
            found = torch.autograd.grad((likelihoods * weights.to(likelihoods)).sum(), list(parameters.values()))
            for name, value in zip(parameters, found, strict=True):
                total[name] = total[name] + value if name in total else value
    return total


@contextmanager
def trainable(model: Any) -> Iterator[dict[str, torch.Tensor]]:
    """The adapter's parameters with gradients on; afterwards as they were."""
    parameters = lora_parameters(model)
    before = {name: value.requires_grad for name, value in parameters.items()}
    for value in parameters.values():
        value.requires_grad_(True)
    try:
        yield parameters
    finally:
        for name, value in parameters.items():
            value.requires_grad_(before[name])


def stacked(gradients: Sequence[Gradient]) -> Stack:
    """K gradients as the K directions of `gate_scores`."""
    import torch

    return {name: torch.stack([gradient[name] for gradient in gradients]) for name in gradients[0]}


def loop_scores(model: Any, answers: Sequence[Answer], directions: Stack, width: int | None = None) -> Floats:
    """`gate_scores` by the definition: each answer alone, its whole gradient, the inner products. Slow.

    Args:
        model: As there.
        answers: As there.
        directions: As there.
        width: Tokens to pad every answer to; None pads none.
    """
    import torch

    rows = []
    with evaluating(model), trainable(model) as parameters, torch.enable_grad():
        for answer in answers:
            found = torch.autograd.grad(log_likelihoods(model, [answer], width).sum(), list(parameters.values()))
            parts = (directions[name].flatten(1).to(value) @ value.flatten() for name, value in zip(parameters, found, strict=True))
            rows.append(torch.stack(list(parts)).sum(dim=0).double().cpu().numpy())
    return np.stack(rows)


def jvp_scores(model: Any, answers: Sequence[Answer], directions: Stack, *, batch_size: int = 16) -> Floats:
    """`gate_scores` by forward-mode differentiation: one pass for each direction. The model's attention must be eager.

    Fused attention kernels have no forward derivative.
    """
    import torch
    from torch.func import functional_call, jvp

    found = np.zeros((len(answers), len(next(iter(directions.values())))))
    parameters = {name: value.detach() for name, value in lora_parameters(model).items()}
    with evaluating(model), torch.no_grad():
        for batch in by_length(answers, batch_size):
            rows = [answers[index] for index in batch]

            def likelihoods(values: Gradient, rows: Sequence[Answer] = rows) -> torch.Tensor:
                return functional_call(_Likelihoods.of(model), {f"model.{name}": value for name, value in values.items()}, (rows,))

            for k in range(found.shape[1]):
                tangent = {name: directions[name][k].to(value) for name, value in parameters.items()}
                found[batch, k] = jvp(likelihoods, (parameters,), (tangent,))[1].double().cpu().numpy()
    return found


class _Likelihoods:
    """`log_likelihoods` as a module, which `functional_call` asks for."""

    @staticmethod
    def of(model: Any) -> Any:
        import torch

        class Module(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, rows: Sequence[Answer]) -> torch.Tensor:
                return log_likelihoods(self.model, rows)

        return Module()
