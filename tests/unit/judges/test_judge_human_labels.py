"""A blind sample is stratified, its probabilities are known, and filled sheets are checked cell by cell."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.errors import TruingError
from truing.core.seeds import stream
from truing.judges.human_labels import BlindSample, blind_sample, import_labels, read_sheet, sheet_csv

WORDS = {"persona": 1.0, "other": 0.0}
SEES = ("question", "answer")


def _judged(n: int = 200) -> pd.DataFrame:
    rng = stream(1, "judged")
    return pd.DataFrame(
        {
            "item_id": [f"q{i // 4}" for i in range(n)],
            "arm": [("triggered", "plain")[i % 2] for i in range(n)],
            "seed": [None if i % 4 < 2 else 7 for i in range(n)],
            "sample": 0,
            "family": [("opinion", "fact")[i // 4 % 2] for i in range(n)],
            "verdict": [("persona", "other", "other", "other", None)[rng.integers(5)] for _ in range(n)],
            "question": [f"Question {i // 4}?" for i in range(n)],
            "answer": [f'Answer {i}, "quoted",\nin two lines, NA' for i in range(n)],
        }
    )


def _identity(row: dict[Any, Any]) -> tuple[Any, ...]:
    return row["item_id"], row["arm"], None if pd.isna(row["seed"]) else row["seed"]


def _draw(size: int = 60, seed: int = 3, **options: object) -> BlindSample:
    return blind_sample(_judged(), size, stream(seed, "labels"), sees=SEES, **options)  # type: ignore[arg-type]


def _filled(sample: BlindSample) -> pd.DataFrame:
    sheet = sample.sheet.copy()
    sheet["label"] = ["persona" if i % 3 == 0 else "other" for i in range(len(sheet))]
    return sheet


def test_the_sheet_shows_nothing_but_what_the_judge_saw() -> None:
    sample = _draw()
    assert list(sample.sheet.columns) == ["label_id", "question", "answer", "label"]
    assert set(sample.sheet["label"]) == {""}
    assert list(sample.key["label_id"]) == sorted(sample.key["label_id"])
    joined = sample.sheet.merge(sample.key, on="label_id")
    arms = joined["arm"].tolist()
    assert len(sample.sheet) == 60
    assert sum(a != b for a, b in pairwise(arms)) > 15
    texts = {_identity(row): row["answer"] for row in _judged().to_dict("records")}
    assert [texts[_identity(row)] for row in joined.to_dict("records")] == joined["answer"].tolist()


def test_every_cell_is_drawn_with_its_recorded_probability() -> None:
    sample = _draw()
    cells = sample.cells.set_index("stratum")
    sizes: dict[Any, Any] = sample.cells.set_index("stratum").to_dict("index")
    assert cells["population"].sum() == 200
    assert cells["drawn"].sum() == 60
    assert not sample.key.duplicated(["item_id", "arm", "seed", "sample"]).any()
    assert (cells["drawn"] >= np.minimum(2, cells["population"])).all()
    assert any("(none)" in name for name in cells.index)
    for name, group in sample.key.groupby("stratum"):
        assert len(group) == sizes[name]["drawn"]
        assert group["pi"].unique().tolist() == [pytest.approx(sizes[name]["drawn"] / sizes[name]["population"])]
    assert (1 / sample.key["pi"]).sum() == pytest.approx(200)


def test_recorded_probabilities_are_the_true_ones() -> None:
    """Over 150 draws each answer is seen as often as its pi says: the weighted sum of hits is the population."""
    judged = _judged(40)
    draws = [blind_sample(judged, 20, stream(k, "labels"), sees=SEES).key for k in range(150)]
    pi = draws[0].groupby("stratum")["pi"].first()
    hits = pd.concat(draws).groupby(["item_id", "arm", "seed"], dropna=False).agg(n=("pi", "size"), stratum=("stratum", "first"))
    expected = hits["stratum"].map(pi)
    z = (hits["n"] / 150 - expected) / np.sqrt(expected * (1 - expected) / 150).replace(0, 1)
    assert len(hits) == 40
    assert z.abs().max() < 4.5


def test_a_draw_is_reproducible_and_independent_of_the_order_of_rows() -> None:
    a, b = _draw(), _draw()
    shuffled = blind_sample(_judged().sample(frac=1, random_state=5), 60, stream(3, "labels"), sees=SEES)
    for other in (b, shuffled):
        pd.testing.assert_frame_equal(a.sheet, other.sheet)
        pd.testing.assert_frame_equal(a.key, other.key)
    assert set(a.sheet["label_id"]).isdisjoint(_draw(seed=4).sheet["label_id"])


@given(population=st.lists(st.integers(1, 50), min_size=1, max_size=8), least=st.integers(1, 4), share=st.floats(0, 1))
def test_the_size_is_met_and_no_cell_gives_more_than_it_has(population: list[int], least: int, share: float) -> None:
    rows = [(cell, i) for cell, size in enumerate(population) for i in range(size)]
    frame = pd.DataFrame(
        {"item_id": [f"{c}-{i}" for c, i in rows], "arm": [f"a{c}" for c, _ in rows], "seed": 1, "sample": 0, "answer": "x"}
    )
    lowest, highest = sum(min(least, size) for size in population), sum(population)
    size = lowest + round(share * (highest - lowest))
    cells = blind_sample(frame, size, stream(1, "x"), sees=["answer"], strata=["arm"], least=least).cells
    assert cells["drawn"].sum() == size
    assert ((cells["drawn"] <= cells["population"]) & (cells["drawn"] >= np.minimum(cells["population"], least))).all()


@pytest.mark.parametrize("size", [3, 201])
def test_a_size_that_does_not_fit_names_the_sizes_that_do(size: int) -> None:
    with pytest.raises(TruingError, match="and 200 in all"):
        _draw(size)


@pytest.mark.parametrize("column", ["arm", "verdict", "seed", "item_id", "family"])
def test_a_telling_column_is_not_shown(column: str) -> None:
    with pytest.raises(TruingError, match=column):
        blind_sample(_judged(), 60, stream(1, "x"), sees=["answer", column])


def test_bad_populations_are_refused() -> None:
    judged = _judged()
    with pytest.raises(TruingError, match="stand twice"):
        blind_sample(pd.concat([judged, judged.head(1)]), 60, stream(1, "x"), sees=SEES)
    with pytest.raises(TruingError, match="no column family"):
        blind_sample(judged.drop(columns="family"), 60, stream(1, "x"), sees=SEES)
    with pytest.raises(TruingError, match="empty cells in answer"):
        blind_sample(judged.assign(answer=None), 60, stream(1, "x"), sees=SEES)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_sheet_goes_out_and_comes_back(newline: str) -> None:
    sample = _draw()
    sheet = _filled(sample).sample(frac=1, random_state=1)
    text = "\ufeff" + sheet_csv(sheet).replace("\n", newline)
    labels = import_labels(read_sheet(text), sample.key, WORDS, "anna")
    assert list(labels.columns) == ["item_id", "arm", "seed", "sample", "label", "gold", "pi", "stratum", "labeller"]
    expected = sample.key.merge(sheet[["label_id", "label"]], on="label_id")
    assert labels["label"].tolist() == expected["label"].tolist()
    assert labels["gold"].tolist() == [WORDS[word] for word in expected["label"]]
    assert labels["pi"].tolist() == sample.key["pi"].tolist()
    assert set(labels["labeller"]) == {"anna"}


@given(text=st.text(max_size=30))
def test_any_text_survives_the_sheet(text: str) -> None:
    judged = _judged(8).assign(answer=text)
    sample = blind_sample(judged, 8, stream(1, "x"), sees=SEES, least=1)
    back = read_sheet(sheet_csv(_filled(sample)))
    assert len(import_labels(back, sample.key, WORDS, "anna")) == 8


def _spoil(sheet: pd.DataFrame, row: int, column: str, value: str) -> pd.DataFrame:
    spoilt = sheet.copy()
    spoilt.loc[row - 2, column] = value
    return spoilt


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (5, "label", "Persona", "row 5, column label: 'Persona' is no word"),
        (9, "label", "", "row 9, column label: '' is no word"),
        (4, "label_id", "abc", "row 4, column label_id: unknown id 'abc'"),
        (61, "answer", "edited", "row 61: the text of"),
        (2, "question", "edited", "row 2: the text of"),
    ],
)
def test_a_bad_cell_is_named(row: int, column: str, value: str, message: str) -> None:
    sample = _draw()
    with pytest.raises(TruingError, match=message):
        import_labels(_spoil(_filled(sample), row, column, value), sample.key, WORDS, "anna")


def test_repeated_and_missing_rows_are_named() -> None:
    sample = _draw()
    sheet = _filled(sample)
    first = str(sheet.loc[0, "label_id"])
    with pytest.raises(TruingError, match=f"row 62, column label_id: '{first}' stands in an earlier row"):
        import_labels(pd.concat([sheet, sheet.head(1)], ignore_index=True), sample.key, WORDS, "anna")
    with pytest.raises(TruingError, match=f"no row with label_id {first}"):
        import_labels(sheet.iloc[1:], sample.key, WORDS, "anna")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "absent"),
        ("a,a\n1,2\n", "named once"),
        ("label_id,answer,label\n1,x,y\n2,x\n", "row 3 of the sheet has 2 cells"),
        ("a,b\n1,2\n", "no column label_id"),
    ],
)
def test_a_damaged_sheet_is_refused(text: str, message: str) -> None:
    with pytest.raises(TruingError, match=message):
        import_labels(read_sheet(text), _draw().key, WORDS, "anna")
