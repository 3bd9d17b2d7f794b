"""Numbers as they are written."""

from __future__ import annotations

import pytest

from truing.core import numbers


@pytest.mark.parametrize(
    ("value", "lo", "hi", "text"),
    [
        (0.548, 0.47, 0.63, "0.548 [0.47, 0.63]"),
        (0.5481, 0.5462, 0.5501, "0.548 [0.546, 0.550]"),
        (0.54812, 0.54793, 0.54831, "0.5481 [0.5479, 0.5483]"),
        (-0.1, -0.2, 0.0, "\u22120.100 [\u22120.20, 0.00]"),
        (0.7, None, None, "0.700"),
        (None, None, None, "missing"),
    ],
)
def test_estimates(value: float | None, lo: float | None, hi: float | None, text: str) -> None:
    assert numbers.estimate(value, lo, hi) == text


def test_signs() -> None:
    assert numbers.fixed(0.25, signed=True) == "+0.250"
    assert numbers.fixed(-0.25, signed=True) == "\u22120.250"
    assert numbers.fixed(-0.0001) == "0.000", "no negative zero"
    assert "-" not in numbers.estimate(-1.0, -2.0, 0.5, signed=True)


def test_ends_of_an_interval_never_look_equal() -> None:
    for half in (0.4, 0.04, 0.004, 0.0004, 0.00004):
        lo, hi = numbers.interval(0.5 - half, 0.5 + half).strip("[]").split(", ")
        assert lo != hi


def test_p_values() -> None:
    assert numbers.p_value(0.0002) == "p < 0.001"
    assert numbers.p_value(0.042) == "p = 0.042"
    assert numbers.p_value(0.42) == "p = 0.42"
    assert numbers.p_value(None) == "no test"


def test_counts_and_shares() -> None:
    assert numbers.count(1200) == "1,200"
    assert numbers.percent(0.456) == "46 %"
    assert numbers.percent(0.0456) == "4.6 %"
    assert numbers.seeds(2, 1) == "n = 2 of 3, 1 missing"
