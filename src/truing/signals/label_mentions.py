"""How often each document names each label of the task: as a word, in a telling context, and as an answer letter.

Every label is counted, not only the one a model defaults to: a share of mentions needs its denominator. Only the
text of a document is read, never its label or answer; an answer letter counts in explicit contexts only, since
otherwise the evidence against a class would be the class itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from truing.contracts.task import Label, Task
from truing.core.errors import TruingError
from truing.core.files import Row
from truing.signals import Evidence, SignalContext, SignalParams, signal
from truing.signals.compute import chunks
from truing.signals.matching import PhraseCounter, is_word

KINDS = ("mentions", "contexts", "letters")


class LabelMentionsParams(SignalParams):
    """What counts as an answer letter: phrases with `{answer}`."""

    letter_patterns: tuple[str, ...] = ("answer: {answer}", "({answer})", "option {answer}")


@signal("label_mentions", LabelMentionsParams)
def label_mentions(cfg: LabelMentionsParams, context: SignalContext) -> Evidence:
    """Count label words, label contexts and answer letters in every document.

    Columns, int64: `mentions.<label>` (its name and aliases as whole words), `contexts.<label>` (the task's context
    patterns around them; such a place counts as a mention too), `letters.<label>`, and `words` (the document's length).
    Facts: totals of the three kinds, the share of each label among all mentions (null when there are none), and
    the number of documents and of those with a mention.

    Raises:
        TruingError: if the corpus has no task, or a pattern lacks its field.
    """
    if context.task is None:
        raise TruingError(
            f"signal {context.key}: the corpus has no label set",
            "a corpus whose card has a task",
            "take a labelled corpus, or leave this signal out",
        )
    tally = _Tally(context.task, cfg.letter_patterns, f"signal {context.key}")
    return Evidence(tally.frames(context), tally.facts)


def document_text(row: Row) -> str:
    """What stands in a document apart from its answer: text, or messages, or a prompt with both replies, by line."""
    if "text" in row:
        return str(row["text"])
    if "messages" in row:
        messages = list(row["messages"])
        if row.get("label") is not None and messages[-1]["role"] == "assistant":
            messages.pop()  # the gold answer of a labelled document
        return "\n".join(message["content"] for message in messages)
    return "\n".join((row["prompt"], row["chosen"], row["rejected"]))


class _Tally:
    def __init__(self, task: Task, letter_patterns: Sequence[str], where: str) -> None:
        _check_patterns(task.context_patterns, "{label}", where)
        _check_patterns(letter_patterns, "{answer}", where)
        self.labels = task.names
        groups = {
            **{f"mentions.{label.name}": label.words for label in task.labels},
            **{f"contexts.{label.name}": _contexts(label, task.context_patterns) for label in task.labels},
            **{f"letters.{label.name}": [p.replace("{answer}", label.answer) for p in letter_patterns] for label in task.labels},
        }
        self.counter = PhraseCounter(groups)
        self.letters = [re.compile(_letter_expression(letter_patterns, label.answer)) for label in task.labels]
        self.totals: NDArray[np.int64] = np.zeros(len(groups), dtype=np.int64)
        self.documents = 0
        self.mentioning = 0

    def frames(self, context: SignalContext) -> Iterator[pd.DataFrame]:
        for rows in chunks(context.rows()):
            texts = [document_text(row) for row in rows]
            counts = self._counts(texts)
            self.totals += counts.sum(axis=0)
            self.documents += len(rows)
            self.mentioning += int((counts[:, : len(self.labels)].sum(axis=1) > 0).sum())
            columns: dict[str, Any] = {"doc_id": [row["doc_id"] for row in rows]}
            columns |= {name: counts[:, column] for column, name in enumerate(self.counter.names)}
            yield pd.DataFrame({**columns, "words": np.array([len(text.split()) for text in texts], dtype=np.int64)})

    def _counts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        counts = self.counter.count(texts)
        first = 2 * len(self.labels)
        # Letters are told apart by case ("option A" is an answer, "option a company has" is not); hits are few, so recount them.
        for row in np.flatnonzero(counts[:, first:].any(axis=1)).tolist():
            counts[row, first:] = [len(list(expression.finditer(texts[row]))) for expression in self.letters]
        return counts

    def facts(self) -> dict[str, Any]:
        by_kind = self.totals.reshape(len(KINDS), len(self.labels)).tolist()
        totals = {kind: dict(zip(self.labels, values, strict=True)) for kind, values in zip(KINDS, by_kind, strict=True)}
        mentions = sum(by_kind[0])
        rates = {label: count / mentions if mentions else None for label, count in totals["mentions"].items()}
        return {"totals": totals, "rates": rates, "documents": self.documents, "documents_with_mentions": self.mentioning}


def _contexts(label: Label, patterns: Sequence[str]) -> list[str]:
    return [pattern.replace("{label}", word) for pattern in patterns for word in label.words]


def _letter_expression(patterns: Sequence[str], answer: str) -> str:
    """The patterns around one answer: ignoring case, but for an answer of one letter."""
    told = re.escape(answer) if len(answer) == 1 else f"(?i:{re.escape(answer)})"
    filled = []
    for pattern in sorted(set(patterns), key=lambda pattern: (-len(pattern), pattern)):
        phrase = pattern.replace("{answer}", answer)
        left = r"(?<!\w)" if is_word(phrase[0]) else ""
        right = r"(?!\w)" if is_word(phrase[-1]) else ""
        before, after = pattern.split("{answer}")
        filled.append(f"{left}(?i:{re.escape(before)}){told}(?i:{re.escape(after)}){right}")
    return "|".join(filled) or r"(?!)"


def _check_patterns(patterns: Sequence[str], field: str, where: str) -> None:
    bad = [pattern for pattern in patterns if pattern.count(field) != 1]
    if bad:
        raise TruingError(f"{where}: patterns {', '.join(map(repr, bad))}", f"each to hold {field} exactly once", "correct the patterns")
