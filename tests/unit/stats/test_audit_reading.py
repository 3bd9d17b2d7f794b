"""Printed numbers, the table and the claims file: what they stand for, and what is refused."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.errors import TruingError
from truing.stats.audit import Verdict, answers_json, audit
from truing.stats.audit.boxes import Span, compare_level, compare_value, printed
from truing.stats.audit.claims import read_claims
from truing.stats.audit.kinds import kind
from truing.stats.audit.table import read_table

HEADER = "condition,metric,n,mean,sd\n"
TABLE = HEADER + "one,acc,10,0.840,0.012\ntwo,acc,10,0.815,0.011\n"
CLAIM = "claims:\n- {id: c, kind: difference, metric: acc, a: one, b: two, value: 0.0}\n"


def problem(table: str = TABLE, claims: str = CLAIM) -> str:
    with pytest.raises(TruingError) as caught:
        audit(table, claims, "t.csv", "c.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("0.840", 0.8395, 0.8405),
        ("0.84", 0.835, 0.845),
        ("12", 11.5, 12.5),
        ("-1.90", -1.905, -1.895),
        ("−1.90", -1.905, -1.895),
        ("1.2e-5", 1.15e-5, 1.25e-5),
        ("1e2", 50.0, 150.0),
        ("0.0", -0.05, 0.05),
    ],
)
def test_a_printed_number_stands_for_half_a_unit_of_its_last_digit(text: str, low: float, high: float) -> None:
    span = printed(text).span
    assert (span.at, span.lo, span.hi) == (float(text.replace("−", "-")), low, high)


@given(st.floats(-1e3, 1e3), st.integers(0, 6))
def test_what_rounds_to_a_printed_number_is_in_its_interval(value: float, digits: int) -> None:
    span = printed(f"{value:.{digits}f}").span
    assert span.lo <= value <= span.hi
    assert span.hi - span.lo == pytest.approx(10.0**-digits)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1,5", "1_000", "0x1", "abc", "5%", "1 2", "1e9999", "1e999"])
def test_what_is_no_decimal_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a decimal number"):
        printed(text)


def test_a_value_is_compared_with_what_rounds_to_the_claim() -> None:
    claimed = printed("1.90")
    assert compare_value(Span(1.9, 1.896, 1.904), claimed) is Verdict.REPRODUCED
    assert compare_value(Span(1.9, 1.85, 1.95), claimed) is Verdict.REPRODUCED
    assert compare_value(Span(1.89, 1.88, 1.896), claimed) is Verdict.UNDECIDABLE
    assert compare_value(Span(math.nan, 1.896, 1.904), claimed) is Verdict.REPRODUCED
    assert compare_value(Span(math.nan, 1.894, 1.904), claimed) is Verdict.UNDECIDABLE
    assert compare_value(Span(1.92, 1.906, 1.93), claimed) is Verdict.NOT_REPRODUCED
    assert compare_value(Span(1.85, 1.84, 1.894), claimed) is Verdict.NOT_REPRODUCED
    assert compare_value(Span(1.92, 1.906, 1.93), claimed, Decimal("0.05")) is Verdict.REPRODUCED
    assert compare_value(Span(1.92, 1.906, 1.93), printed("1.9")) is Verdict.REPRODUCED


def test_a_level_is_compared_over_the_whole_range() -> None:
    assert compare_level(Span(0.01, 0.001, 0.05), 0.05) is Verdict.REPRODUCED
    assert compare_level(Span(0.01, 0.001, 0.051), 0.05) is Verdict.UNDECIDABLE
    assert compare_level(Span(0.2, 0.051, 0.3), 0.05) is Verdict.NOT_REPRODUCED
    assert compare_level(Span(0.2, 0.051, 0.3), 0.05, expected=False) is Verdict.REPRODUCED
    assert compare_level(Span(0.01, 0.001, 0.051), 0.05, expected=False) is Verdict.UNDECIDABLE


def test_the_table_keeps_the_decimals_of_its_text() -> None:
    table = read_table("\ufeffmean,n,condition,metric,half_width\r\n0.840,10, one ,acc,0.01\r\n\r\n,,two,acc,\r\n", "t.csv")
    cell = table.cells["one", "acc"]
    assert (cell.n, cell.mean, cell.spread) == (10, printed("0.840"), printed("0.01"))
    empty = table.cells["two", "acc"]
    assert (empty.n, empty.mean, empty.spread) == (None, None, None)
    assert (table.spread, table.conditions("acc"), table.metrics()) == ("half_width", ["one", "two"], ["acc"])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", ["t.csv", "empty table"]),
        (HEADER, ["t.csv", "no rows"]),
        (TABLE.replace("sd", "sd,note", 1), ["t.csv, row 1", "'note'"]),
        (TABLE.replace("sd", "std", 1), ["t.csv, row 1", "'std'"]),
        (TABLE.replace("sd", "sd,half_width", 1), ["t.csv, row 1", "2 columns of spread"]),
        (TABLE.replace(",sd", "", 1), ["t.csv, row 1", "0 columns of spread"]),
        (TABLE.replace("mean", "n", 1), ["t.csv, row 1", "mean"]),
        (TABLE + "one,acc,10,0.840,0.012\n", ["t.csv, row 4", "'one' / 'acc'", "row 2"]),
        (TABLE + "three,acc,10,0.840\n", ["t.csv, row 4", "4 cells"]),
        (TABLE + "three,acc,10,0.840,0.012,\n", ["t.csv, row 4", "6 cells"]),
        (TABLE + ",acc,10,0.840,0.012\n", ["t.csv, row 4", "no condition"]),
        (TABLE + "three,acc,10,high,0.012\n", ["t.csv, row 4", "mean", "'high'"]),
        (TABLE + "three,acc,10.0,0.840,0.012\n", ["t.csv, row 4", "n: '10.0'"]),
        (TABLE + "three,acc,10,0.840,-0.012\n", ["t.csv, row 4", "sd -0.012"]),
        (TABLE + 'three,"acc,10,0.840,0.012\n', ["t.csv, row 4", "not CSV"]),
    ],
)
def test_a_table_is_refused_by_file_and_row(table: str, said: list[str]) -> None:
    message = problem(table=table)
    assert all(word in message for word in said), message


def claim(text: str) -> str:
    return f"claims:\n- {{id: c7, {text}}}\n"


PAIR = "metric: acc, a: one, b: two"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ("claims: [", ["c.yaml", "not valid YAML"]),
        ("", ["c.yaml", "claims, interval"]),
        ("- 1", ["c.yaml", "claims, interval"]),
        ("claims: []", ["c.yaml", "claims"]),
        ("claims: &a [*a]", ["c.yaml", "not valid YAML"]),
        ("claims: [{id: [c], kind: power}]", ["c.yaml", "id"]),
        (claim("kind: boxes, " + PAIR), ["c.yaml, claim 'c7'", "'boxes'"]),
        (claim("kind: only_significant, metric: acc, alpha: 0.1, correction: holm, pairs: [], among: []"), ["c.yaml, claim 'c7'", "among"]),
        ("claims: {}", ["c.yaml", "claims"]),
        (CLAIM + "extra: 1\n", ["c.yaml", "extra", "claims, interval"]),
        (CLAIM + "interval: {level: 0.95, distribution: normal}\n", ["c.yaml", "distribution"]),
        (CLAIM + "interval: {level: 95, distribution: t}\n", ["c.yaml", "level"]),
        ("claims: [{kind: difference}]", ["c.yaml, claim number 1", "id"]),
        (claim("metric: acc"), ["c.yaml, claim 'c7'", "kind"]),
        (claim("kind: cohens_d, " + PAIR), ["c.yaml, claim 'c7'", "'cohens_d'", "cohen_d, detectable_effect"]),
        (claim("kind: cohen_d, " + PAIR), ["c.yaml, claim 'c7'", "value: Field required", "a, b, metric, tolerance, value"]),
        (claim("kind: cohen_d, value: null, " + PAIR), ["c.yaml, claim 'c7'", "value: Field required"]),
        (claim("kind: cohen_d, value: 1.0, side: two, " + PAIR), ["c.yaml, claim 'c7'", "side"]),
        (claim("kind: cohen_d, value: about 1, " + PAIR), ["c.yaml, claim 'c7'", "'about 1'"]),
        (claim("kind: cohen_d, value: 1.0, tolerance: 0, " + PAIR), ["c.yaml, claim 'c7'", "tolerance"]),
        (claim("kind: cohen_d, value: 1.0, metric: f1, a: one, b: two"), ["c.yaml, claim 'c7'", "metric 'f1'", "t.csv: acc"]),
        (claim("kind: cohen_d, value: 1.0, metric: acc, a: one, b: too"), ["c.yaml, claim 'c7'", "'too'", "t.csv: one, two"]),
        (claim("kind: cohen_d, value: 1.0, metric: acc, a: one, b: one"), ["c.yaml, claim 'c7'", "a and b are both 'one'"]),
        (claim("kind: significant, alpha: 1.5, " + PAIR), ["c.yaml, claim 'c7'", "alpha"]),
        (claim("kind: significant, alpha: nan, " + PAIR), ["c.yaml, claim 'c7'", "alpha"]),
        (claim("kind: significant, alpha: 0.05, m: 0, " + PAIR), ["c.yaml, claim 'c7'", "m"]),
        (claim("kind: significant, alpha: 0.05, m: 2, correction: none, " + PAIR), ["c.yaml, claim 'c7'", "m is 2"]),
        (claim("kind: significant, alpha: 0.05, alpha: 0.01, " + PAIR), ["c.yaml", "'alpha' is there twice"]),
        (claim("kind: prediction, metric: acc, condition: one, observed: 1, value: 2, alpha: 0.1"), ["c.yaml, claim 'c7'", "two claims"]),
        (claim("kind: interaction, metric: acc, alpha: 0.1, cells: [[one, two], [one, two]]"), ["c.yaml, claim 'c7'", "four different"]),
        (claim("kind: only_significant, metric: acc, alpha: 0.1, correction: sidak, pairs: []"), ["c.yaml, claim 'c7'", "correction"]),
        (
            claim("kind: only_significant, metric: acc, alpha: 0.1, correction: holm, pairs: [[one, one]]"),
            ["c.yaml, claim 'c7'", "[one, one]"],
        ),
        (
            claim("kind: only_significant, metric: acc, alpha: 0.1, correction: holm, pairs: [[one, two], [two, one]]"),
            ["c.yaml, claim 'c7'", "listed twice"],
        ),
        (
            claim("kind: only_significant, metric: acc, alpha: 0.1, correction: holm, pairs: [[one, two]], among: [[one, three]]"),
            ["c.yaml, claim 'c7'", "not among the family"],
        ),
        (claim("kind: each_greater, metric: acc, conditions: [one], than: one"), ["c.yaml, claim 'c7'", "'one' itself"]),
        (claim("kind: each_greater, metric: acc, conditions: [one], than: two, m: 3"), ["c.yaml, claim 'c7'", "without alpha"]),
        (claim("kind: detectable_effect, n: 10, alpha: 0.05, power: 0.01, value: 1"), ["c.yaml, claim 'c7'", "power 0.01"]),
        (CLAIM + "- {id: c, kind: difference, metric: acc, a: one, b: two, value: 0.0}\n", ["c.yaml", "two claims with the id 'c'"]),
    ],
)
def test_claims_are_refused_by_file_and_claim(claims: str, said: list[str]) -> None:
    message = problem(claims=claims)
    assert all(word in message for word in said), message


@pytest.mark.parametrize(
    "text", ["kind: range_over_sd, sd: mean, value: 1", "kind: only_significant, alpha: 0.1, correction: holm, pairs: []"]
)
def test_one_condition_has_no_pair_and_no_range(text: str) -> None:
    message = problem(table=HEADER + "one,acc,10,0.840,0.012\n", claims=claim("metric: acc, " + text))
    assert "c.yaml, claim 'c7'" in message
    assert "two conditions or more" in message


def test_half_widths_need_to_be_explained() -> None:
    assert "c.yaml: no interval" in problem(table=TABLE.replace("sd", "half_width", 1))


def test_yaml_reads_no_number_by_itself() -> None:
    params = read_claims(claim("kind: cohen_d, value: 1.90, " + PAIR), "c.yaml").claims[0].params
    assert params.value == printed("1.90")  # type: ignore[attr-defined]
    # What YAML would take for a truth value or a number can be the name of a condition.
    odd = TABLE.replace("one", "no").replace("two", "1.0")
    answers = audit(odd, CLAIM.replace("one", "no").replace("two", "1.0"), "t.csv", "c.yaml")
    assert answers[0].verdict is Verdict.REPRODUCED


def test_every_kind_has_strict_and_frozen_parameters() -> None:
    for name in kind.names():
        config = kind.get(name).params.model_config
        assert (config.get("extra"), config.get("frozen")) == ("forbid", True), name


def test_rows_are_json() -> None:
    rows = answers_json(audit(TABLE, CLAIM, "t.csv", "c.yaml"))
    assert [list(row) for row in rows] == [["id", "verdict", "computed", "low", "high", "note"]]
    assert (rows[0]["id"], rows[0]["verdict"]) == ("c", "reproduced")
    assert all(isinstance(rows[0][name], float) and math.isfinite(float(str(rows[0][name]))) for name in ("computed", "low", "high"))
