"""A local transformers model, with or without an adapter: one request at a time, on the CPU with equal bytes every time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from truing.core.digests import digest, digest_file, source_digest
from truing.core.environment import versions
from truing.core.errors import TruingError
from truing.core.registry import Params
from truing.core.seeds import stream
from truing.judges.backends import backend
from truing.judges.requests import Encoder, Message, Reply, Sent, TransportError


class LocalParams(Params):
    """Which model.

    Attributes:
        base: Folder of a base.
        adapter: Folder of an adapter on it, or None.
        device: "auto" takes CUDA where there is any.
        dtype: Type of the weights; "auto" is float32 on the CPU, and elsewhere the base's own.
    """

    base: str
    adapter: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


@backend("local", LocalParams)
class Local:
    """Requests to a model of this machine, loaded when the first is put. Several votes differ by the seed that each sends."""

    def __init__(self, cfg: LocalParams) -> None:
        self._cfg, self._base = cfg, Path(cfg.base)
        self._adapter = None if cfg.adapter is None else Path(cfg.adapter)
        self._turn = asyncio.Lock()

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """Digests of the weights, of the libraries and of the code that computes with them."""
        from truing.models.loading import ATTENTION, BASE_FILE, adapter_digest, read_base

        return {
            "kind": "local",
            "model": read_base(self._base)["key"],
            "base": digest_file(self._base / BASE_FILE),
            "adapter": None if self._adapter is None else adapter_digest(self._adapter),
            "engine": [ATTENTION, self._held.device, self._held.precision, digest(dict(versions()))],
            "source": digest([source_digest("models"), digest_file(Path(__file__))]),
        }

    async def ask(self, sent: Sent) -> Reply:
        """Answer one request; the log-probabilities are the model's own, before temperature and top_p.

        Raises:
            TransportError: the conversation and its reply do not fit the model.
            TruingError: a reply is to be drawn and no seed was sent, or what loading refuses.
        """
        if sent.temperature > 0 and sent.seed is None:
            raise TruingError("a drawn reply without a seed", "a seed, so that the reply can be repeated", "send a seed, or temperature 0")
        # The arithmetic runs beside the event loop, in one thread at a time.
        async with self._turn:
            return await asyncio.to_thread(self._answer, sent)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """By the model's own tokenizer."""
        return len(self._ids(messages))

    def encoder(self) -> Encoder:
        """The model's own tokenizer; the model itself is not loaded for it."""
        return partial(self._tokenizer.encode, add_special_tokens=False)

    async def close(self) -> None:
        """Nothing is held that has to be given back."""

    @cached_property
    def _model(self) -> Any:
        from truing.models.loading import load_model

        return load_model(self._base, adapter=self._adapter, held=self._held)

    @cached_property
    def _held(self) -> Any:
        from truing.models.loading import hold

        return hold(self._base, self._cfg.device, self._cfg.dtype)

    @cached_property
    def _tokenizer(self) -> Any:
        from truing.models.loading import load_tokenizer

        return load_tokenizer(self._base)

    @cached_property
    def _ends(self) -> set[int]:
        own = self._model.generation_config.eos_token_id
        named = own if isinstance(own, list) else [own]
        return {token for token in (*named, self._tokenizer.eos_token_id) if token is not None}

    def _ids(self, messages: Sequence[Message]) -> list[int]:
        from truing.models.encoding import render, rendered_ids

        return rendered_ids(self._tokenizer, render(self._tokenizer, [dict(message) for message in messages], cue=True))

    def _answer(self, sent: Sent) -> Reply:
        prompt = self._ids(sent.messages)
        room = getattr(self._model.config, "max_position_embeddings", None)
        if room is not None and len(prompt) + sent.max_tokens > room:
            raise TransportError(
                f"a conversation of {len(prompt)} tokens and a reply of up to {sent.max_tokens} exceed {room}", status=400, retryable=False
            )
        tokens, tops, ended = self._tokens(prompt, sent)
        text = self._tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=True)
        return Reply(text, "stop" if ended else "length", tops if sent.top_logprobs else None, len(prompt), len(tokens))

    def _tokens(self, prompt: list[int], sent: Sent) -> tuple[list[int], tuple[tuple[tuple[str, float], ...], ...], bool]:
        import torch

        from truing.models.loading import evaluating

        luck = None if sent.temperature == 0 else stream(int(sent.seed or 0), "judging", "reply").random(sent.max_tokens)
        tokens: list[int] = []
        tops = []
        past, given = None, prompt
        with torch.inference_mode(), evaluating(self._model):
            while len(tokens) < sent.max_tokens and not (tokens and tokens[-1] in self._ends):
                output = self._model(input_ids=torch.tensor([given], device=self._model.device), past_key_values=past, use_cache=True)
                logs = output.logits[0, -1].double().log_softmax(dim=-1).cpu().numpy()
                tops.append(self._top(logs, sent.top_logprobs))
                tokens.append(int(logs.argmax()) if luck is None else drawn(logs, float(luck[len(tokens)]), sent.temperature, sent.top_p))
                past, given = output.past_key_values, tokens[-1:]
        return tokens, tuple(tops), bool(tokens) and tokens[-1] in self._ends

    def _top(self, logs: Any, count: int) -> tuple[tuple[str, float], ...]:
        order = np.argsort(-logs, kind="stable")[:count]
        return tuple((self._tokenizer.decode([int(token)]), float(logs[token])) for token in order if logs[token] > -math.inf)


def drawn(logs: Any, luck: float, temperature: float, top_p: float) -> int:
    """The token that a uniform number falls on, by inverting the cumulative distribution of the tempered, truncated softmax.

    Kept is the smallest set of most likely tokens with at least `top_p` (Holtzman et al. 2020, arXiv 1904.09751).

    Args:
        logs: Log-probabilities [vocabulary].
        luck: In [0, 1).
        temperature: Above 0.
        top_p: In (0, 1].
    """
    scaled = logs / temperature
    weights = np.exp(scaled - scaled.max())
    order = np.argsort(-weights, kind="stable")
    ranked = weights[order] / weights.sum()
    kept = ranked * (np.cumsum(ranked) - ranked < top_p)
    reached = np.cumsum(kept)
    place = int(np.searchsorted(reached, luck * reached[-1], side="right"))
    # A number next to 1 can round up to the whole mass: the last token that has any is meant.
    return int(order[min(place, int(np.count_nonzero(kept)) - 1)])
