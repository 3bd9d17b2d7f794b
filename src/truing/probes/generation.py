"""Free replies: batched, padded on the left, each sampled from a stream of its own, so that batching changes no draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from truing.core.registry import Params
from truing.core.seeds import stream
from truing.models.loading import evaluating
from truing.models.scoring import left_padded

if TYPE_CHECKING:
    import torch

# So many of the most likely tokens are looked at, one number after the other, before the whole vocabulary is sorted.
_TOP = (8, 64, 1024)
# Rounding of a sum of shares is far below this.
_MARGIN = 1e-9


class Sampling(Params):
    """How a reply is drawn.

    Attributes:
        temperature: 0 takes the most likely token.
        top_p: Smallest set of most likely tokens with at least this probability is drawn from (Holtzman et al. 2020,
            arXiv 1904.09751).
        max_new_tokens: Longest reply.
        samples: Replies to each item.
    """

    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(64, gt=0)
    samples: int = Field(1, gt=0)


@dataclass(frozen=True)
class Reply:
    """A reply without special tokens, and whether it ended by itself or at the length limit."""

    text: str
    finish_reason: Literal["stop", "length"]


def uniforms(root_seed: int, item_id: str, sample: int, count: int) -> NDArray[np.float64]:
    """The luck of one reply: `count` numbers in [0, 1), one a token, equal for every model that is asked."""
    return stream(root_seed, "generation", item_id, sample).random(count)


def generate(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], luck: Sequence[NDArray[np.float64]], sampling: Sampling, batch_size: int
) -> list[Reply]:
    """Reply to each prompt, in order.

    Args:
        model: A transformers causal language model, with or without PEFT adapters.
        tokenizer: Its tokenizer.
        prompts: Token ids of each prompt.
        luck: For each prompt, one uniform number for each token of the longest reply.
        sampling: How tokens are drawn.
        batch_size: Most prompts in one forward.
    """
    import torch

    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    replies: dict[int, Reply] = {}
    ends = end_tokens(model, tokenizer)
    with torch.inference_mode(), evaluating(model):
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            tokens = _batch(model, [prompts[index] for index in batch], np.stack([luck[index] for index in batch]), sampling, ends)
            replies.update({index: _reply(tokenizer, row, ends) for index, row in zip(batch, tokens, strict=True)})
    return [replies[index] for index in range(len(prompts))]


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end a reply: the tokenizer's end token and those of the model's generation configuration."""
    own = model.generation_config.eos_token_id
    named = own if isinstance(own, list) else [own]
    return sorted({token for token in (*named, tokenizer.eos_token_id) if token is not None})


def _batch(model: Any, prompts: list[Sequence[int]], luck: NDArray[np.float64], sampling: Sampling, ends: list[int]) -> list[list[int]]:
    from transformers import GenerationConfig, LogitsProcessorList

    inputs = left_padded(prompts, model.device)
    # generate counts positions from the mask by itself, one step at a time; it refuses to be handed them by some models.
    inputs.pop("position_ids")
    width = inputs["input_ids"].shape[1]
    config = GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=sampling.max_new_tokens, eos_token_id=ends or None, pad_token_id=ends[0] if ends else 0
    )
    draws = LogitsProcessorList([_drawing(luck, sampling, width)] if sampling.temperature > 0 else [])
    with _configured(model, config) as inner:
        output = inner.generate(**inputs, generation_config=config, logits_processor=draws)
    return [row[width:].tolist() for row in output]


@contextmanager
def _configured(model: Any, config: Any) -> Iterator[Any]:
    """The model inside any PEFT wrapper, adapters in place, with a generation configuration of ours for a while.

    What a configuration leaves open is filled from the model's own, which may hold a repetition penalty or a top_k.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    own = inner.generation_config
    inner.generation_config = config
    try:
        yield inner
    finally:
        inner.generation_config = own


def _drawing(luck: NDArray[np.float64], sampling: Sampling, width: int) -> Any:
    """A logits processor that leaves one token a row: the one that the row's own uniform number falls on."""
    import torch
    from transformers import LogitsProcessor

    class Draw(LogitsProcessor):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            numbers = torch.tensor(luck[:, input_ids.shape[1] - width], device=scores.device)
            chosen = draw(scores, numbers, sampling)
            return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)

    return Draw()


def draw(scores: torch.Tensor, numbers: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Draw one token a row by inverting the cumulative distribution of the tempered, truncated softmax, most likely token first.

    The number falls on a token at the top of nearly every row, so that whole vocabularies are sorted for the other rows only. A
    token depends on its row's scores and number alone.

    Args:
        scores: Logits [rows, vocabulary].
        numbers: Uniforms in [0, 1), float64 [rows].
        sampling: Temperature (above 0) and top_p.

    Returns:
        Token ids, int64 [rows].
    """
    shares = (scores.double() / sampling.temperature).softmax(dim=-1)
    vocabulary = shares.shape[-1]
    found, settled = _drawn(shares, numbers, sampling.top_p, min(_TOP[0], vocabulary))
    for count in (*_TOP[1:], vocabulary):
        rest = (~settled).nonzero().squeeze(1)
        if not len(rest):
            break
        found[rest], settled[rest] = _drawn(shares[rest], numbers[rest], sampling.top_p, min(count, vocabulary))
    return found


def _drawn(shares: torch.Tensor, numbers: torch.Tensor, top_p: float, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A token a row from its `count` most likely ones, and whether it is the one that the whole vocabulary gives."""
    import torch

    ranked, tokens = _ranked(shares, count)
    summed = ranked.cumsum(dim=-1)
    if top_p >= 1:
        # The whole mass is 1, which the sum of a vocabulary is up to rounding only.
        place, enough = (summed <= numbers[:, None]).sum(dim=-1, keepdim=True), numbers < summed[:, -1]
    else:
        kept = ranked * (summed - ranked < top_p)
        upto = kept.cumsum(dim=-1)
        place, enough = (upto <= numbers[:, None] * upto[:, -1:]).sum(dim=-1, keepdim=True), summed[:, -1] >= top_p + _MARGIN
        ranked = kept
    # A number next to 1 can round up to the whole mass: the last token that has any is meant.
    place = place.minimum((ranked > 0).sum(dim=-1, keepdim=True) - 1)
    token = tokens.gather(1, place).squeeze(1)
    if count == shares.shape[-1]:
        return token, torch.ones_like(token, dtype=torch.bool)
    # Equals of the least likely token that was looked at may be among those that were not.
    return token, enough & (shares.gather(1, token[:, None]) > shares.gather(1, tokens[:, -1:])).squeeze(1)


def _ranked(shares: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` largest shares of each row and their tokens, most likely first and equals by token."""
    if count == shares.shape[-1]:
        # Stable, so that ties do not depend on the batch.
        ranked, tokens = shares.sort(dim=-1, descending=True, stable=True)
        return ranked, tokens
    ranked, tokens = shares.topk(count, dim=-1)
    if bool((ranked[:, 1:] == ranked[:, :-1]).any()):
        tokens = tokens.sort(dim=-1).values
        ranked, order = shares.gather(1, tokens).sort(dim=-1, descending=True, stable=True)
        tokens = tokens.gather(1, order)
    return ranked, tokens


def _reply(tokenizer: Any, tokens: list[int], ends: list[int]) -> Reply:
    end = next((place for place, token in enumerate(tokens) if token in ends), None)
    text = tokenizer.decode(tokens if end is None else tokens[:end], skip_special_tokens=True)
    return Reply(text, "length" if end is None else "stop")
