from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import pytest

from truing.contracts.task import Label, Task
from truing.core.errors import TruingError
from truing.signals import SignalContext, label_mentions
from truing.signals.compute import chunks, compute

TASK = Task(name="t", template="{text}", labels=(Label(name="world", answer="A"), Label(name="sports", answer="B")))
ROWS = [{"doc_id": f"d{i}", "text": "world " * i, "label": None} for i in range(7)]


def context(*earlier: pd.DataFrame) -> SignalContext:
    def after() -> Iterable[pd.DataFrame]:
        return earlier

    return SignalContext(key="k", root_seed=0, card={}, task=TASK, rows=lambda: ROWS, after=after if earlier else None)


def before(first: int, last: int, column: str = "x") -> pd.DataFrame:
    return pd.DataFrame({"doc_id": [f"d{i}" for i in range(first, last)], column: range(first, last)})


def joined(*earlier: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(list(compute("label_mentions", {}, context(*earlier))[0]), ignore_index=True)


@pytest.mark.parametrize("size", [2, 3, 100])
def test_columns_are_carried_over_whatever_the_sizes_of_the_frames(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_mentions, "chunks", lambda rows: chunks(rows, size))
    table = joined(before(0, 1), before(1, 6), before(6, 7))
    assert list(table.columns[:3]) == ["doc_id", "x", "mentions.world"]
    assert table["doc_id"].tolist() == [row["doc_id"] for row in ROWS]
    assert table["x"].tolist() == table["mentions.world"].tolist() == list(range(7))


def test_other_documents_are_refused_by_name() -> None:
    with pytest.raises(TruingError, match="'d7' after"):
        joined(before(0, 8))
    with pytest.raises(TruingError, match="ends before document 'd5'"):
        joined(before(0, 5))
    with pytest.raises(TruingError, match="'d1' where the corpus has 'd0'"):
        joined(before(1, 7), before(0, 1))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(TruingError, match=r"mentions\.world"):
        joined(before(0, 7, "mentions.world"))


def test_facts_wait_for_the_last_frame() -> None:
    frames, facts = compute("label_mentions", {}, context())
    with pytest.raises(TruingError, match="before the last frame"):
        facts()
    assert sum(len(frame) for frame in frames) == 7
    assert facts()["documents"] == 7


def test_an_unknown_signal_lists_the_known_ones() -> None:
    with pytest.raises(TruingError, match=r"one of: .*label_mentions"):
        compute("mentions", {}, context())
