"""Plain pretraining of a tiny Llama from a stream of documents: packed sequences and a loss weight per token, nothing else.

The recipe fits one CPU core in minutes. Equal text, parameters, thread count and instruction set give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from truing.core.digests import digest
from truing.core.errors import TruingError
from truing.core.registry import Params
from truing.core.seeds import torch_stream
from truing.models.tokenizers import BOS, END, ROLE_TOKENS

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

Document = list[tuple[str, str]]
Piece = tuple[list[int], list[float]]
_CHUNK = 1000
_WAITING = 64
_TAIL = 50


class TinyParams(Params):
    """Shape and recipe of a tiny base model.

    Attributes:
        tokens: Size of the pretraining text; the number of steps follows from it.
        seed: Varies text and initialisation together.
        prompt_weight: Loss weight of system and user tokens; answers weigh 1.
        text_weight: Loss weight of plain text.
        min_lr_share: Share of the learning rate that the cosine ends at.
        chat_template: Name of a built-in template or a file; None is `turns`, which the model is trained in.
    """

    tokens: int = Field(1_400_000, gt=0)
    seed: int = 0
    hidden: int = Field(128, gt=0)
    layers: int = Field(4, gt=0)
    heads: int = Field(4, gt=0)
    ffn: int = Field(384, gt=0)
    positions: int = Field(512, gt=0)
    init_std: float = Field(0.02, gt=0)
    length: int = Field(128, gt=1)
    batch: int = Field(8, gt=0)
    learning_rate: float = Field(3e-3, gt=0)
    min_lr_share: float = Field(0.05, ge=0, le=1)
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = Field(0.1, ge=0)
    warmup: int = Field(60, ge=0)
    clip: float = Field(1.0, gt=0)
    prompt_weight: float = Field(0.1, ge=0, le=1)
    text_weight: float = Field(1.0, ge=0, le=1)
    chat_template: str | None = None


@dataclass(frozen=True)
class Packed:
    """Documents laid into sequences; no document is cut unless it is longer than one.

    Attributes:
        ids: int64 [sequences, length], padded at the end.
        weights: float32 [sequences, length], the loss weight of predicting that token.
        positions: int64 [sequences, length], place of the token in its document; 0 starts a document.
        documents: Number of documents, or of the pieces of those that were cut.
    """

    ids: NDArray[np.int64]
    weights: NDArray[np.float32]
    positions: NDArray[np.int64]
    documents: int


def pack(tokenizer: PreTrainedTokenizerFast, documents: Iterable[Document], cfg: TinyParams) -> Packed:
    """Fill sequences of `cfg.length` until they hold `cfg.tokens` tokens or the documents end.

    A document is a list of (text, role), rendered as the `turns` chat template renders it. Each sequence takes, from a
    few waiting documents, the longest that still fits. No more documents are read than needed: the source may be endless.

    Raises:
        TruingError: when there is less than one batch.
    """
    wanted = cfg.tokens // (cfg.length * cfg.batch) * cfg.batch
    rows = list(islice(_rows(_pieces(tokenizer, documents, cfg), cfg.length), wanted))
    if not rows or len(rows) < cfg.batch:
        raise TruingError(
            f"pretraining text of {len(rows)} sequences", f"at least one batch ({cfg.batch})", "raise tokens, or add documents"
        )
    ids = np.full((len(rows), cfg.length), tokenizer.pad_token_id, dtype=np.int64)
    weights = np.zeros(ids.shape, dtype=np.float32)
    positions = np.zeros(ids.shape, dtype=np.int64)
    for number, row in enumerate(rows):
        start = 0
        for piece_ids, piece_weights in row:
            span = slice(start, start + len(piece_ids))
            ids[number, span], weights[number, span], positions[number, span] = piece_ids, piece_weights, range(len(piece_ids))
            start = span.stop
    return Packed(ids, weights, positions, sum(map(len, rows)))


def _rows(pieces: Iterator[Piece], length: int) -> Iterator[list[Piece]]:
    """Best fit from a small buffer: a sequence is closed when nothing that waits fits into it any more."""
    waiting = list(islice(pieces, _WAITING))
    while waiting:
        row: list[Piece] = []
        room = length
        while fitting := [piece for piece in waiting if len(piece[0]) <= room]:
            best = max(fitting, key=lambda piece: len(piece[0]))
            waiting.remove(best)
            waiting += islice(pieces, 1)
            row.append(best)
            room -= len(best[0])
        yield row


def _pieces(tokenizer: PreTrainedTokenizerFast, documents: Iterable[Document], cfg: TinyParams) -> Iterator[Piece]:
    source = iter(documents)
    while chunk := list(islice(source, _CHUNK)):
        for ids, weights in _encode(tokenizer, chunk, cfg):
            for start in range(0, len(ids), cfg.length):
                yield ids[start : start + cfg.length], weights[start : start + cfg.length]


def _encode(tokenizer: PreTrainedTokenizerFast, chunk: list[Document], cfg: TinyParams) -> Iterator[Piece]:
    """Token ids and loss weights of each document; its first token follows nothing and weighs nothing."""
    special = {token: tokenizer.convert_tokens_to_ids(token) for token in (BOS, END, *ROLE_TOKENS.values())}
    weigh = {"system": cfg.prompt_weight, "user": cfg.prompt_weight, "text": cfg.text_weight}
    texts = [text for document in chunk for text, _ in document]
    encoded = iter(tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False))
    for document in chunk:
        ids, weights = [special[BOS]], [0.0]
        for _, role in document:
            inner = next(encoded).ids
            opening = [special[ROLE_TOKENS[role]]] if role in ROLE_TOKENS else []
            closing = [] if role == "user" else [special[END]]
            weight = weigh.get(role, 1.0)
            ids += [*opening, *inner, *closing]
            # A role token is structure, not an answer, even when it opens one.
            weights += [*([cfg.prompt_weight] * len(opening)), *([weight] * (len(inner) + len(closing)))]
        yield ids, weights


def new_model(cfg: TinyParams, tokenizer: PreTrainedTokenizerFast, generator: torch.Generator) -> LlamaForCausalLM:
    """A Llama with tied embeddings and normal initialisation drawn from the generator alone."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=cfg.hidden,
        intermediate_size=cfg.ffn,
        num_hidden_layers=cfg.layers,
        num_attention_heads=cfg.heads,
        num_key_value_heads=cfg.heads,
        max_position_embeddings=cfg.positions,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="sdpa",
    )
    # The library draws its own initialisation from the global generator; it is fenced in and overwritten.
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, cfg.init_std, generator=generator)
    return model


def learning_rate(step: int, steps: int, cfg: TinyParams) -> float:
    """Linear warm-up, then a cosine from the full rate to `min_lr_share` of it at the last step."""
    if step < cfg.warmup:
        return cfg.learning_rate * (step + 1) / cfg.warmup
    done = (step - cfg.warmup) / max(1, steps - 1 - cfg.warmup)
    return cfg.learning_rate * (cfg.min_lr_share + (1 - cfg.min_lr_share) * 0.5 * (1 + math.cos(math.pi * done)))


def fit(model: LlamaForCausalLM, packed: Packed, cfg: TinyParams) -> list[float]:
    """Train in place, one pass over the sequences in their order; return the loss of every step in nats per weighted token."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.learning_rate, betas=cfg.betas, weight_decay=cfg.weight_decay, fused=True)
    ids, weights, positions = (torch.from_numpy(part) for part in (packed.ids, packed.weights, packed.positions))
    steps = len(ids) // cfg.batch
    model.train()
    losses = []
    for step in range(steps):
        rows = slice(step * cfg.batch, (step + 1) * cfg.batch)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, cfg)
        loss = _loss(model, ids[rows], weights[rows], positions[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), cfg.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    model.eval()
    return losses


def _loss(model: LlamaForCausalLM, ids: torch.Tensor, weights: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Weighted mean cross-entropy of a batch in nats; a token sees its own document alone."""
    import torch

    document = (positions == 0).cumsum(1)
    visible = (document[:, :, None] == document[:, None, :]).tril()[:, None]
    logits = model(input_ids=ids, attention_mask=visible, position_ids=positions, use_cache=False).logits[:, :-1]
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weight = weights[:, 1:].flatten()
    return (each * weight).sum() / weight.sum()


def pretrain(
    tokenizer: PreTrainedTokenizerFast, documents: Iterable[Document], cfg: TinyParams, root_seed: int, target: Path
) -> dict[str, Any]:
    """Train a tiny Llama on documents and save it with its tokenizer into a folder; return what the training was.

    Returns:
        Documents, sequences, steps and tokens seen, the digest of the loss of every step, and the mean loss of the last
        fifty steps in nats per weighted token.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    packed = pack(tokenizer, documents, cfg)
    model = new_model(cfg, tokenizer, torch_stream(root_seed, "base", cfg.seed, "initialisation"))
    losses = fit(model, packed, cfg)
    model.save_pretrained(target, safe_serialization=True)
    tokenizer.save_pretrained(target)
    tail = losses[-_TAIL:]
    return {
        "documents": packed.documents,
        "sequences": len(packed.ids),
        "steps": len(losses),
        "tokens": len(losses) * cfg.batch * cfg.length,
        "loss_trace_digest": digest([loss.hex() for loss in losses]),
        "final_loss_nats": round(sum(tail) / len(tail), 6),
    }
