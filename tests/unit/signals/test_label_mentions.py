from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from truing.contracts.task import Label, Task
from truing.core.errors import TruingError
from truing.signals import SignalContext
from truing.signals.compute import compute

TASK = Task(
    name="news",
    template="Text: {text}\nAnswer:",
    labels=(
        Label(name="world", answer="A", aliases=("global",)),
        Label(name="sports", answer="B", aliases=("game",)),
        Label(name="sci/tech", answer="C", aliases=("science",)),
    ),
    context_patterns=("{label} desk", "topic: {label}"),
)


def row(doc: int, label: str | None = "world", **text: Any) -> dict[str, Any]:
    return {"doc_id": f"d{doc}", "source": "s", "label": label, "metadata": {}, **text}


def run(rows: Sequence[dict[str, Any]], task: Task | None = TASK, **values: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    context = SignalContext(key="m", root_seed=0, card={}, task=task, rows=lambda: rows)
    frames, facts = compute("label_mentions", values, context)
    return pd.concat(list(frames), ignore_index=True), facts()


def counts(table: pd.DataFrame, kind: str) -> list[list[int]]:
    columns = [f"{kind}.{label}" for label in TASK.names]
    return [[int(value) for value in line] for line in table[columns].to_numpy()]


def test_every_label_is_counted_by_name_and_alias() -> None:
    table, facts = run([row(0, text="World desk: a global game, worldly games"), row(1, text="Sci/Tech. science's GAME"), row(2, text="")])
    assert counts(table, "mentions") == [[2, 1, 0], [0, 1, 2], [0, 0, 0]]
    assert counts(table, "contexts") == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert table["words"].tolist() == [7, 3, 0]
    assert facts["totals"]["mentions"] == {"world": 2, "sports": 2, "sci/tech": 2}
    assert facts["rates"] == {"world": 1 / 3, "sports": 1 / 3, "sci/tech": 1 / 3}
    assert (facts["documents"], facts["documents_with_mentions"]) == (3, 2)


def test_letters_count_in_explicit_contexts_and_in_their_own_case() -> None:
    texts = ["A plain A and B", "Answer: A", "option a company has, OPTION A", "(B) or (b)", "answer: Ab"]
    table, _ = run([row(index, text=text) for index, text in enumerate(texts)])
    assert counts(table, "letters") == [[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]
    none, _ = run([row(0, text="Answer: A")], letter_patterns=[])
    assert counts(none, "letters") == [[0, 0, 0]]


def test_gold_labels_and_answers_are_never_read() -> None:
    chat = [{"role": "user", "content": "a game"}, {"role": "assistant", "content": "answer: A world"}]
    table, _ = run([row(0, "world", text="nothing"), row(1, "world", messages=chat), row(2, None, messages=chat)])
    assert counts(table, "mentions") == [[0, 0, 0], [0, 1, 0], [1, 1, 0]]
    assert counts(table, "letters") == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_preference_pairs_are_read_as_a_whole_but_not_across_their_parts() -> None:
    table, _ = run([row(0, None, prompt="the world", chosen="desk game", rejected="science")])
    assert counts(table, "mentions") == [[1, 1, 1]]
    assert counts(table, "contexts") == [[0, 0, 0]]


def test_rates_are_missing_without_any_mention() -> None:
    _, facts = run([row(0, text="nothing")])
    assert facts["rates"] == {"world": None, "sports": None, "sci/tech": None}


def test_a_corpus_without_labels_and_a_pattern_without_its_field_are_refused() -> None:
    with pytest.raises(TruingError, match="label set"):
        run([row(0, text="x")], task=None)
    with pytest.raises(TruingError, match="exactly once"):
        run([row(0, text="x")], letter_patterns=["answer"])
    with pytest.raises(TruingError, match="letters_patterns"):
        run([row(0, text="x")], letters_patterns=["{answer}"])
