"""Log-probability of each label after each prompt, independent of batch size, order and the tokenizer's padding side.

Padding is on the left and explicit: positions are counted from the mask, so that a padded row computes what it would compute
alone. (Reading the last unpadded index of a left-padded batch scores a position inside the text instead.) The head runs at the
positions that are read only, and the log-softmax is over the full vocabulary in float32 (float64 for a float64 model).

What batching leaves is the rounding of the model's own float32 arithmetic: in float64 batches agree to 1e-9. In float32 it stays below
1e-5 nats on small and on random models, and grows with the size of a log-probability: on a real model, up to 2.2e-5 nats was seen for
labels between -20 and -40 nats, while the shares of the labels agreed to 4e-8.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truing.core.errors import Exit, TruingError, some
from truing.models.encoding import Encoder
from truing.models.labels import Sequences, label_sequences
from truing.models.loading import evaluating

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
Prompt = tuple[int, ...]
Step = tuple[tuple[int, ...], int]


@dataclass(frozen=True)
class LabelScores:
    """Scores of n prompts against K labels.

    Attributes:
        logprobs: float64 [n, K], natural log of the probability that the model goes on with a form of the label, over the full
            vocabulary; columns in the order of the labels.
        mass: float64 [n], the probability that it goes on with any label.
    """

    logprobs: Floats
    mass: Floats


def score_labels(model: Any, encoder: Encoder, texts: Sequence[str], *, batch_size: int = 64) -> LabelScores:
    """Score every label of the encoder's task after the prompt of each text.

    Args:
        model: A transformers causal language model, with or without PEFT adapters.
        encoder: Renders and tokenises the prompts.
        texts: Fillings of the task's text field.
        batch_size: Most prompts in one forward; changes speed only.

    Raises:
        TruingError: for labels that cannot be told apart, prompts beyond the model's positions, or scores that are not finite.
    """
    return score_prompts(model, [encoder.prompt_ids(text) for text in texts], label_sequences(encoder), batch_size=batch_size)


def score_prompts(model: Any, prompts: Sequence[Sequence[int]], sequences: Sequences, *, batch_size: int = 64) -> LabelScores:
    """Score labels, given as token sequences, after prompts, given as token ids; see `score_labels`.

    A label's probability is the sum over its sequences of the product of conditional token probabilities (chain rule). One
    forward over a prompt and a run of label tokens gives every step on the way, so labels of one token cost one forward a prompt,
    and longer ones one for each longest distinct run of tokens before a last token.
    """
    distinct = sorted(dict.fromkeys(tuple(prompt) for prompt in prompts), key=len)
    where = {prompt: index for index, prompt in enumerate(distinct)}
    steps = _steps(model, distinct, sequences, batch_size)
    columns = [_label_logprob(steps, variants) for variants in sequences.values()]
    rows = [where[tuple(prompt)] for prompt in prompts]
    logprobs: Floats = np.minimum(np.stack(columns, axis=1)[rows], 0.0)
    _require_finite(logprobs)
    return LabelScores(logprobs, np.exp(logprobs).sum(axis=1))


def _label_logprob(steps: Mapping[Step, Floats], variants: Sequence[tuple[int, ...]]) -> Floats:
    each = [sum((steps[variant[:place], token] for place, token in enumerate(variant)), start=np.zeros(1)) for variant in variants]
    # A score that is not a number is refused by name later; numpy need not warn of it as well.
    with np.errstate(invalid="ignore"):
        result: Floats = np.logaddexp.reduce(np.stack(each), axis=0)
    return result


def _chains(sequences: Sequences) -> list[tuple[int, ...]]:
    """The runs of label tokens to feed after a prompt: prefixes of sequences that open no other prefix."""
    prefixes = {variant[:-1] for variants in sequences.values() for variant in variants}
    return sorted(p for p in prefixes if not any(p != other and other[: len(p)] == p for other in prefixes))


def _steps(model: Any, prompts: list[Prompt], sequences: Sequences, batch_size: int) -> dict[Step, Floats]:
    """Log-probability [prompts] of each (run of label tokens, next token) that some label needs."""
    wanted: dict[tuple[int, ...], list[int]] = {}
    for variant in (variant for variants in sequences.values() for variant in variants):
        for place, token in enumerate(variant):
            tokens = wanted.setdefault(variant[:place], [])
            if token not in tokens:
                tokens.append(token)
    found: dict[Step, Floats] = {}
    for chain in _chains(sequences):
        places = [place for place in range(len(chain) + 1) if chain[:place] in wanted]
        table = _forward(model, prompts, chain, [wanted.pop(chain[:place]) for place in places], places, batch_size)
        found.update({(chain[:place], token): values for place, part in zip(places, table, strict=True) for token, values in part.items()})
    return found


def _forward(
    model: Any, prompts: list[Prompt], chain: tuple[int, ...], tokens: list[list[int]], places: list[int], batch_size: int
) -> list[dict[int, Floats]]:
    """At each place of the chain, log-probability [prompts] of the tokens that may come next."""
    import torch

    rows = [(*prompt, *chain) for prompt in prompts]
    _require_room(model, rows)
    # A place that an earlier chain has read already needs no head here.
    keep = len(chain) + 1 - min(places)
    parts: list[list[NDArray[np.float64]]] = [[] for _ in places]
    with torch.inference_mode(), evaluating(model):
        for start in range(0, len(rows), batch_size):
            logits = last_logits(model, rows[start : start + batch_size], keep)
            for part, place, wanted in zip(parts, places, tokens, strict=True):
                row = _at_least_float32(logits[:, place - min(places)])
                chosen = row[:, wanted] - row.logsumexp(dim=-1, keepdim=True)
                part.append(chosen.double().cpu().numpy())
    tables = [np.concatenate(part) if part else np.zeros((0, len(wanted))) for part, wanted in zip(parts, tokens, strict=True)]
    return [{token: table[:, column] for column, token in enumerate(wanted)} for table, wanted in zip(tables, tokens, strict=True)]


def _at_least_float32(logits: torch.Tensor) -> torch.Tensor:
    import torch

    return logits if logits.dtype == torch.float64 else logits.float()


def left_padded(rows: Sequence[Sequence[int]], device: Any = None) -> dict[str, torch.Tensor]:
    """Token rows of any length as `input_ids`, `attention_mask` and `position_ids`, int64 [rows, longest], padded on the left.

    Any token can stand in a padded place: it is masked, and positions are counted from the first real token.
    """
    import torch

    width = max(len(row) for row in rows)
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(dim=-1) - 1).clamp(min=0)}


def last_logits(model: Any, rows: Sequence[Sequence[int]], keep: int) -> torch.Tensor:
    """Logits [rows, keep, vocabulary] at the last positions."""
    known = accepted(model)
    inputs = left_padded(rows, model.device)
    if "position_ids" not in known:
        inputs.pop("position_ids")
    extra = {"logits_to_keep": keep} if "logits_to_keep" in known else {}
    logits: torch.Tensor = model(**inputs, **extra, use_cache=False).logits
    return logits[:, -keep:]


def accepted(model: Any) -> set[str]:
    """Names of the arguments of a model's forward, looking through a PEFT wrapper."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return set(inspect.signature(type(inner).forward).parameters)


def _require_room(model: Any, rows: list[Prompt]) -> None:
    limit = getattr(model.config, "max_position_embeddings", None)
    longest = max((len(row) for row in rows), default=0)
    if limit is not None and longest > limit:
        raise TruingError(f"a prompt of {longest} tokens", f"at most {limit}, the positions that the model has", "lower max_length")


def _require_finite(logprobs: Floats) -> None:
    broken = np.flatnonzero(~np.isfinite(logprobs).all(axis=1))
    if broken.size:
        raise TruingError(
            f"label log-probabilities of prompts {some(broken.tolist())} are not finite",
            "finite scores from the model",
            "check the training that made this model: its weights may have diverged",
            Exit.FAILED,
        )
