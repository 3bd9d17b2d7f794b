"""Answers as rows of tokens, batched by length, and how likely a model holds them: what every gradient of an answer starts from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from truing.core.digests import digest_bytes
from truing.models.chat import encode_pair

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Answer:
    """A question with one reply to it.

    Attributes:
        ids: Token ids of the conversation.
        mask: 1 for each token of the reply, its end mark included.
        cut: Whether the reply lost its end.
    """

    ids: tuple[int, ...]
    mask: tuple[int, ...]
    cut: bool = False

    @cached_property
    def digest(self) -> str:
        """Digest of the tokens and the mask."""
        return digest_bytes(np.array([self.ids, self.mask], dtype=np.int64).tobytes())


def encode_answers(tokenizer: Any, prompt: str, replies: tuple[str, str], doc_id: str, max_length: int) -> tuple[Answer, Answer]:
    """Both replies of a pair as training takes them, within `max_length` tokens.

    Raises:
        TruingError: as `encode_pair`.
    """
    pair = encode_pair(tokenizer, prompt, replies, doc_id, max_length)
    first, second = (Answer(tuple(one.ids), tuple(one.mask), cut) for one, cut in zip(pair.answers, pair.cut_answers, strict=True))
    return first, second


def by_length(answers: Sequence[Answer], size: int) -> list[list[int]]:
    """Positions of the answers in batches of at most `size`, longest first; equal lengths keep their order.

    The longest come first, so that a batch that does not fit into memory fails at once.
    """
    order = sorted(range(len(answers)), key=lambda index: -len(answers[index].ids))
    return [order[start : start + size] for start in range(0, len(order), size)]


def log_likelihoods(model: Any, answers: Sequence[Answer], width: int | None = None) -> torch.Tensor:
    """Log-likelihood log pi(y|x), nats, summed over the tokens of each reply: float [answers], with a graph where gradients are on.

    Rows are padded on the right and no attention mask is given: under causal attention nothing real sees what follows it, and
    attention takes its fast path. The head runs at positions that predict a token of a reply only.

    Args:
        model: A causal language model with an adapter.
        answers: One batch.
        width: Tokens to pad to; the longest of the batch when None.
    """
    import torch

    width = width or max(len(answer.ids) for answer in answers)
    device = model.device
    ids = torch.tensor([[*answer.ids, *[0] * (width - len(answer.ids))] for answer in answers], device=device)
    mask = torch.tensor([[*answer.mask, *[0] * (width - len(answer.mask))] for answer in answers], device=device)
    # Position t predicts token t + 1.
    read = torch.nn.functional.pad(mask[:, 1:], (0, 1)).bool()
    targets = ids.roll(-1, dims=1)[read]
    with _only_positions(model, read):
        logits = model(input_ids=ids, use_cache=False).logits.squeeze(0)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    each = logits.gather(1, targets[:, None]).squeeze(1) - logits.logsumexp(dim=1)
    rows = read.nonzero()[:, 0]
    return torch.zeros(len(answers), dtype=each.dtype, device=device).index_add(0, rows, each)


@contextmanager
def _only_positions(model: Any, read: torch.Tensor) -> Iterator[None]:
    """While open, the body hands its head the last hidden states [1, n, width] of the positions that are read."""

    def select(module: Any, args: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[read].unsqueeze(0)
        return output

    handle = model.get_base_model().base_model.register_forward_hook(select)
    try:
        yield
    finally:
        handle.remove()
