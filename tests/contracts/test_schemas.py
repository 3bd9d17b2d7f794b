"""The pandera models and the JSON Schemas they are built from give one verdict on every table, good or bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from truing.contracts.frames import check_frame
from truing.contracts.schemas import check_rows, schema
from truing.core.errors import Exit, TruingError
from truing.core.files import Row

TABLES = ("manifest_row", "item", "answer", "judgement", "result")
FEW = settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

Rule = Mapping[str, Any]


def types(rule: Rule) -> set[str]:
    declared = rule.get("type", "string")
    return set(declared) if isinstance(declared, list) else {declared}


def nullable(rule: Rule) -> bool:
    return "null" in types(rule)


def bounds(rule: Rule) -> tuple[float, float]:
    """A closed interval inside the declared bounds, of moderate size."""
    low = rule.get("minimum", rule.get("exclusiveMinimum", -1e6 - 1))
    high = rule.get("maximum", rule.get("exclusiveMaximum", 1e6 + 1))
    inset = 1e-6
    return low + inset * ("exclusiveMinimum" in rule), high - inset * ("exclusiveMaximum" in rule)


def values(rule: Rule) -> st.SearchStrategy[Any]:
    """Values that a rule allows."""
    low, high = bounds(rule)
    kinds = {
        "string": st.text("0123456789abcdef", min_size=64, max_size=64)
        if "pattern" in rule
        else st.text(st.characters(codec="utf-8"), min_size=rule.get("minLength", 0), max_size=6),
        "integer": st.integers(int(low), int(high)),
        "number": st.floats(low, high, allow_nan=False) | st.integers(int(low) + 1, int(high)) if high - low > 2 else st.floats(low, high),
        "boolean": st.booleans(),
        "array": st.lists(values(rule["items"]) if "items" in rule else st.integers(), max_size=3),
        "object": st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        "null": st.none(),
    }
    if "enum" in rule:
        return st.sampled_from(rule["enum"])
    return st.one_of([kinds[kind] for kind in sorted(types(rule))])


@st.composite
def tables(draw: st.DrawFn, name: str, least: int = 1) -> list[Row]:
    """Valid rows of a table: each fits, and no two share a unique key."""
    document = schema(name)
    keys = document["x-unique"]
    row = st.fixed_dictionaries({key: values(rule) for key, rule in document["properties"].items()})
    return draw(st.lists(row, min_size=least, max_size=4, unique_by=lambda one: tuple(one[key] for key in keys)))


def refused(check: Callable[[], object]) -> bool:
    try:
        check()
    except TruingError as error:
        return error.code == Exit.REFUSED
    return False


def verdicts(name: str, rows: list[Row]) -> tuple[bool, bool]:
    """Whether the schema and the frame model refuse the rows."""
    return refused(lambda: list(check_rows(name, rows, "rows"))), refused(lambda: check_frame(name, pd.DataFrame(rows), "frame"))


def fitting(name: str, kind: Callable[[Rule], bool]) -> list[str]:
    return [key for key, rule in schema(name)["properties"].items() if kind(rule)]


def outside(rule: Rule) -> list[Any]:
    """Values just beyond each bound of a rule."""
    step = {"minimum": -1, "maximum": 1, "exclusiveMinimum": 0, "exclusiveMaximum": 0}
    return [rule[bound] + move for bound, move in step.items() if bound in rule]


def foreign(rule: Rule) -> list[Any]:
    """Values of every type that a rule does not allow, those that look like an allowed one included."""
    allowed = types(rule)
    candidates: dict[str, list[Any]] = {
        "string": ["x", "1", "0.5", ""],
        "integer": [1],
        "number": [0.5],
        "boolean": [True, False],
        "array": [[], [0.5]],
        "object": [{}, {"a": 1}],
    }
    known = allowed | ({"integer"} if "number" in allowed else set())
    return [value for kind, some in candidates.items() if kind not in known for value in some]


# Each makes one thing wrong with valid rows, or returns None where the table has no such thing.
def with_value(draw: st.DrawFn, name: str, rows: list[Row], choices: Callable[[Rule], list[Any]]) -> list[Row] | None:
    places = fitting(name, lambda rule: bool(choices(rule)))
    if not places:
        return None
    key = draw(st.sampled_from(places))
    value = draw(st.sampled_from(choices(schema(name)["properties"][key])))
    hit = draw(st.integers(0, len(rows) - 1))
    return [row | {key: value} if number == hit else row for number, row in enumerate(rows)]


def dropped(draw: st.DrawFn, name: str, rows: list[Row]) -> list[Row] | None:
    key = draw(st.sampled_from(schema(name)["required"]))
    return [{k: v for k, v in row.items() if k != key} for row in rows]


def extra(draw: st.DrawFn, name: str, rows: list[Row]) -> list[Row] | None:
    return [row | {"surplus": draw(st.integers(0, 3))} for row in rows]


def null(draw: st.DrawFn, name: str, rows: list[Row]) -> list[Row] | None:
    return with_value(draw, name, rows, lambda rule: [] if nullable(rule) else [None])


def beyond(draw: st.DrawFn, name: str, rows: list[Row]) -> list[Row] | None:
    return with_value(draw, name, rows, outside)


def retyped(draw: st.DrawFn, name: str, rows: list[Row]) -> list[Row] | None:
    return with_value(draw, name, rows, foreign)


def retyped_column(draw: st.DrawFn, name: str, rows: list[Row]) -> list[Row] | None:
    """A whole column of one wrong type, which a frame stores in that type."""
    # One row only: more of them would also repeat a unique key.
    return with_value(draw, name, rows[:1], foreign)


def stranger(draw: st.DrawFn, name: str, rows: list[Row]) -> list[Row] | None:
    return with_value(draw, name, rows, lambda rule: ["a word of no vocabulary", "0" * 63] if {"enum", "pattern"} & set(rule) else [])


def empty(draw: st.DrawFn, name: str, rows: list[Row]) -> list[Row] | None:
    return with_value(draw, name, rows, lambda rule: [""] if rule.get("minLength") else [])


def repeated(draw: st.DrawFn, name: str, rows: list[Row]) -> list[Row] | None:
    other = draw(tables(name))[0]
    return [*rows, other | {key: rows[0][key] for key in schema(name)["x-unique"]}]


FAULTS = (dropped, extra, null, beyond, retyped, retyped_column, stranger, empty, repeated)


@pytest.mark.parametrize("name", TABLES)
@FEW
@given(data=st.data())
def test_a_valid_table_passes_both(name: str, data: st.DataObject) -> None:
    rows = data.draw(tables(name))
    assert verdicts(name, rows) == (False, False)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_whose_nullable_columns_hold_only_nulls_passes_both(name: str) -> None:
    @FEW
    @given(rows=tables(name))
    def check(rows: list[Row]) -> None:
        bare = {key: None for key in fitting(name, nullable) if key not in schema(name)["x-unique"]}
        assert verdicts(name, [row | bare for row in rows]) == (False, False)

    check()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_with_one_fault_is_refused_by_both(name: str, fault: Callable[..., list[Row] | None]) -> None:
    @FEW
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        rows = data.draw(tables(name))
        bad = data.draw(st.composite(lambda draw: fault(draw, name, rows))())
        if bad is not None:
            assert verdicts(name, bad) == (True, True), bad

    check()


@pytest.mark.parametrize("name", TABLES)
def test_a_checked_frame_holds_the_values_it_was_given(name: str) -> None:
    @FEW
    @given(rows=tables(name))
    def check(rows: list[Row]) -> None:
        frame = check_frame(name, pd.DataFrame(rows), "frame")
        for key, rule in schema(name)["properties"].items():
            got = [None if not isinstance(cell, list | dict) and pd.isna(cell) else cell for cell in frame[key]]
            assert got == [row[key] for row in rows], (key, rule)

    check()
