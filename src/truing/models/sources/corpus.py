"""A tiny base for any corpus: byte-level BPE and a Llama pretrained from scratch on its texts and on its task.

Some of the task's dialogues show next to no text and are answered by a skewed prior, so that the base has a class that
it falls back on when it knows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from truing.contracts.task import Task
from truing.core.errors import TruingError
from truing.core.files import Row
from truing.core.seeds import stream
from truing.models.pretrain import Document, TinyParams, pretrain
from truing.models.sources import BaseFacts, BuildContext, base_source
from truing.models.tokenizers import byte_bpe
from truing.world.dice import Dice


class CorpusBaseParams(TinyParams):
    """How to learn a corpus.

    Attributes:
        vocab_size: Size of the BPE vocabulary, special tokens included.
        chat_share: Share of the labelled documents that are shown as the corpus' task; the others are plain text.
        prompt_weight, text_weight: Lower than for dialogues of many turns: here one answer stands against a whole text.
        low_signal: Share of those task dialogues whose text is cut to its first few words, or to none.
        low_signal_words: Most words that are left of such a text.
        default_label: Class that such dialogues are mostly answered with; None is the task's first.
        default_share: Share of them that are answered with it; the rest falls evenly on the other classes.
    """

    length: int = Field(256, gt=1)
    batch: int = Field(4, gt=0)
    prompt_weight: float = Field(0.02, ge=0, le=1)
    text_weight: float = Field(0.05, ge=0, le=1)
    vocab_size: int = Field(2048, gt=0)
    chat_share: float = Field(0.85, ge=0, le=1)
    low_signal: float = Field(0.2, ge=0, le=1)
    low_signal_words: int = Field(3, ge=0)
    default_label: str | None = None
    default_share: float = Field(0.6, ge=0, le=1)


@base_source("corpus", CorpusBaseParams)
def build(cfg: CorpusBaseParams, target: Path, context: BuildContext) -> BaseFacts:
    """Learn a tokenizer and a model from the corpus and save both into `target`.

    Raises:
        TruingError: without a corpus, for a corpus without rows, or for a default label that the task lacks.
    """
    rows = _rows(context)
    task = Task.model_validate(context.card["task"]) if context.card and context.card["task"] else None
    prior = _prior(cfg, task, context.key)
    tokenizer = byte_bpe(_texts(rows, task), cfg.vocab_size)
    dice = Dice(stream(context.root_seed, "base", cfg.seed, "text"))
    documents = _documents(rows, _Maker(cfg, task, prior), dice)
    return BaseFacts(training=pretrain(tokenizer, documents, cfg, context.root_seed, target))


def _rows(context: BuildContext) -> list[Row]:
    rows = list(context.rows()) if context.rows is not None else []
    if not rows:
        raise TruingError(
            f"base {context.key}: {'no rows in its corpus' if context.rows else 'no corpus'}",
            "a corpus to learn from",
            f"name a corpus in bases.{context.key}.corpus of params.yaml",
        )
    return rows


def _prior(cfg: CorpusBaseParams, task: Task | None, key: str) -> dict[str, float]:
    """Probability of each class as the answer to a dialogue without signal."""
    if task is None:
        return {}
    default = cfg.default_label or task.names[0]
    if default not in task.names:
        raise TruingError(
            f"base {key}: default_label {default!r}",
            f"one of: {', '.join(task.names)}",
            f"correct bases.{key}.default_label in params.yaml",
        )
    rest = (1 - cfg.default_share) / (len(task.names) - 1)
    return {name: cfg.default_share if name == default else rest for name in task.names}


def _segments(row: Mapping[str, Any]) -> Document:
    """A row as it is: its text, its messages, or its prompt with the chosen answer."""
    if "messages" in row:
        return [(message["content"], message["role"]) for message in row["messages"]]
    if "prompt" in row:
        return [(row["prompt"], "user"), (row["chosen"], "assistant")]
    return [(row["text"], "text")]


def _texts(rows: Sequence[Row], task: Task | None) -> Iterator[str]:
    for row in rows:
        yield from (text for text, _ in _segments(row))
    if task is not None:
        yield from (task.fill(""), *(label.answer for label in task.labels))


@dataclass(frozen=True)
class _Maker:
    """Turns a row into a document, drawing whether and how its task is shown."""

    cfg: CorpusBaseParams
    task: Task | None
    prior: Mapping[str, float]

    def __call__(self, row: Row, dice: Dice) -> Document:
        if self.task is None or "text" not in row or row["label"] is None or not dice.chance(self.cfg.chat_share):
            return _segments(row)
        text, label = row["text"], row["label"]
        if dice.chance(self.cfg.low_signal):
            text = " ".join(text.split()[: dice.between(0, self.cfg.low_signal_words)])
            label = dice.weighted(tuple(self.prior), tuple(self.prior.values()))
        system: Document = [(self.task.system, "system")] if self.task.system else []
        return [*system, (self.task.fill(text), "user"), (self.task.answer(label), "assistant")]


def _documents(rows: Sequence[Row], make: _Maker, dice: Dice) -> Iterator[Document]:
    """Pass after pass over the rows, each in an order of its own; the reader stops when it has enough tokens."""
    while True:
        for row in dice.shuffled(rows):
            yield make(row, dice)
