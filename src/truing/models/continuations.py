"""Log-likelihood of texts that may follow a text: what multiple-choice benchmarks compare.

Contexts and continuations are cut into tokens as EleutherAI's lm-evaluation-harness cuts them (Gao et al. 2024, zenodo 12608602;
`_encode_pair` of 0.4.13), so that either scorer below gives the harness' numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from truing.core.errors import Exit, TruingError, some
from truing.models.encoding import rendered_ids
from truing.models.loading import evaluating
from truing.models.scoring import last_logits

if TYPE_CHECKING:
    import torch

HARNESS = "lm-eval"


class Pair(NamedTuple):
    """A text and one that may follow it, with the token ids of both; the second are those that are scored."""

    context: str
    continuation: str
    before: tuple[int, ...]
    after: tuple[int, ...]


def token_pair(tokenizer: Any, context: str, continuation: str) -> Pair:
    """Tokens of a context, and of what follows it as it is written when both are one text.

    Spaces at the end of the context go to the continuation, where most vocabularies have them. Where a token spans both sides, the
    context is scored as it is alone.

    Raises:
        TruingError: when one of the two has no token.
    """
    kept = context.rstrip()
    before = rendered_ids(tokenizer, kept)
    after = rendered_ids(tokenizer, context + continuation)[len(before) :]
    if not kept or not before or not after:
        raise TruingError(
            f"{continuation[:40]!r} after {context[-40:]!r}: {len(before)} and {len(after)} tokens",
            "a context and a choice of at least one token each",
            "mend the row: neither may be empty, nor vanish when the tokenizer reads both as one text",
            Exit.REFUSED,
        )
    return Pair(context, continuation, tuple(before), tuple(after))


def score_pairs(model: Any, pairs: Sequence[Pair], *, batch_size: int = 64) -> list[float]:
    """Log-likelihood, in nats, of each continuation after its context; the head runs where a continuation is read only.

    Args:
        model: A transformers causal language model, with or without PEFT adapters.
        pairs: What is scored, in any order.
        batch_size: Most pairs in one forward; changes speed only.

    Raises:
        TruingError: for scores that are not finite.
    """
    import torch

    # Choices of one token share their context: what is fed is the same, and one forward serves them all.
    fed: dict[tuple[int, ...], list[int]] = {}
    for place, pair in enumerate(pairs):
        fed.setdefault((*pair.before, *pair.after[:-1]), []).append(place)
    # Equal lengths side by side: padding is computed for nothing.
    rows = sorted(fed, key=lambda row: (len(row), row))
    found = [0.0] * len(pairs)
    with torch.inference_mode(), evaluating(model):
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            longest = max(len(pairs[place].after) for row in batch for place in fed[row])
            for row, logits in zip(batch, last_logits(model, batch, longest), strict=True):
                for place, score in zip(fed[row], _sums(logits, [pairs[place].after for place in fed[row]]), strict=True):
                    found[place] = score
    return _finite(found, pairs)


def _sums(logits: torch.Tensor, ends: Sequence[tuple[int, ...]]) -> list[float]:
    """Sums of log-probabilities, in float64, of runs of tokens that end at the last of `logits` [positions, vocabulary]."""
    # One row at a time: a copy of a batch's logits in a wider type would take more memory than the logits themselves.
    logs = logits[-max(len(end) for end in ends) :].double().log_softmax(dim=-1)
    return [float(logs[-len(end) :][range(len(end)), list(end)].sum()) for end in ends]


def harness_scores(model: Any, tokenizer: Any, pairs: Sequence[Pair], *, batch_size: int = 64) -> list[float]:
    """The same through the harness itself: `loglikelihood` of its Hugging Face model, over a model that is loaded already.

    The harness cuts the texts into tokens anew.

    Raises:
        TruingError: where lm-eval is not installed, or gives a score that is not finite.
    """
    try:
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise TruingError(
            "scorer lm_eval: the package lm-eval is not installed",
            "the harness, which scores the choices",
            'run `pip install "lm-eval[hf]"`, or set `scorer: builtin` in the probe, which gives the same numbers',
        ) from error
    with evaluating(model):
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, softmax_dtype="float32")
        asked = [Instance("loglikelihood", {}, (pair.context, pair.continuation), place) for place, pair in enumerate(pairs)]
        scores = lm.loglikelihood(asked, disable_tqdm=True)
    return _finite([float(score) for score, _ in scores], pairs)


def _finite(scores: list[float], pairs: Sequence[Pair]) -> list[float]:
    broken = [pair.continuation[:40] for score, pair in zip(scores, pairs, strict=True) if not np.isfinite(score)]
    if broken:
        raise TruingError(
            f"the log-likelihoods of {some(broken)} are not finite",
            "finite scores from the model",
            "check the training that made this model: its weights may have diverged",
            Exit.FAILED,
        )
    # A certain continuation may come out above zero by rounding.
    return [min(score, 0.0) for score in scores]
