"""Slices, seeded cuts by text and stratified samples."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.core.errors import TruingError
from truing.corpora import CommonParams, CorpusContext, SplitParams
from truing.corpora.select import allocate, part_of, select_rows

CONTEXT = CorpusContext("news", 7, Path())
HALVES = {"train": 0.7, "eval": 0.3}


def rows(count: int) -> list[dict[str, Any]]:
    labels = ["a" if index % 4 else "b" for index in range(count)]
    return [{"doc_id": str(i), "source": "s", "text": f"text number {i}", "label": label, "metadata": {}} for i, label in enumerate(labels)]


def ids(found: list[dict[str, Any]]) -> list[int]:
    return [int(row["doc_id"]) for row in found]


def test_a_slice_counts_from_zero_and_excludes_its_stop() -> None:
    assert ids(select_rows(rows(10), CommonParams(rows=(2, 5)), CONTEXT)) == [2, 3, 4]
    with pytest.raises(TruingError, match="no row is left of the source's 10"):
        select_rows(rows(10), CommonParams(rows=(10, 12)), CONTEXT)


def test_parts_are_disjoint_cover_all_and_have_their_shares() -> None:
    parts = {name: ids(select_rows(rows(2000), CommonParams(split=SplitParams(name=name, of=HALVES)), CONTEXT)) for name in HALVES}
    assert sorted(parts["train"] + parts["eval"]) == list(range(2000))
    assert len(parts["train"]) / 2000 == pytest.approx(0.7, abs=0.04)
    assert parts["train"] == sorted(parts["train"])


@settings(derandomize=True, max_examples=30)
@given(st.text(min_size=1))
def test_a_text_falls_in_one_part_however_it_is_written(text: str) -> None:
    train, turned = SplitParams(name="train", of=HALVES), SplitParams(name="eval", of={"eval": 0.3, "train": 0.7})
    assert part_of(f"  {text}\n", train, 7) == part_of(text, turned, 7)


def test_the_cut_depends_on_the_root_seed() -> None:
    split = SplitParams(name="train", of=HALVES)
    assert [part_of(f"text {i}", split, 7) for i in range(50)] != [part_of(f"text {i}", split, 8) for i in range(50)]


def test_a_sample_keeps_class_shares_order_and_is_seeded() -> None:
    cfg = CommonParams(max_rows=100)
    found = select_rows(rows(400), cfg, CONTEXT)
    assert Counter(row["label"] for row in found) == {"a": 75, "b": 25}
    assert ids(found) == sorted(ids(found))
    assert found == select_rows(rows(400), cfg, CONTEXT)
    assert found != select_rows(rows(400), cfg, CorpusContext("news", 8, Path()))
    assert select_rows(rows(400), CommonParams(max_rows=400), CONTEXT) == rows(400)


def test_a_sample_of_rows_without_labels_keeps_the_shares_of_their_categories() -> None:
    pairs = [{**row, "label": None, "metadata": {"category": row["label"]}} for row in rows(400)]
    found = select_rows(pairs, CommonParams(max_rows=100), CONTEXT)
    assert Counter(row["metadata"]["category"] for row in found) == {"a": 75, "b": 25}


@settings(derandomize=True, max_examples=50)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.data())
def test_allocation_is_within_one_of_proportional(counts: list[int], data: st.DataObject) -> None:
    size = data.draw(st.integers(1, sum(counts)))
    given_ = allocate(counts, size)
    assert sum(given_) == size
    assert all(abs(got - count * size / sum(counts)) < 1 and got <= count for got, count in zip(given_, counts, strict=True))


@pytest.mark.parametrize(
    "values",
    [
        {"rows": [5, 5]},
        {"split": {"name": "dev", "of": HALVES}},
        {"split": {"name": "train", "of": {"train": 0.7}}},
        {"class_share": [0.9, 0.1]},
        {"odd": 1},
    ],
)
def test_impossible_parameters_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"start must|not one of|add up|must not exceed|Extra"):
        CommonParams.model_validate(values)
