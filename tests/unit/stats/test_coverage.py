"""The simulations of benchmarks/calibration.py at a tenth of their length: what has to hold does."""

from __future__ import annotations

import sys

import pytest
from support.benchmarks import benchmark

BENCHMARK = benchmark("calibration")
MACHINE = sys.modules["benchmarks.simulation"]
CASES = (*BENCHMARK.INTERVALS, *BENCHMARK.FAMILIES)


def title(case: object) -> str:
    return f"{getattr(case, 'name', case)}: {getattr(case, 'regime', '')}"


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case.limit is None], ids=title)
def test_what_has_to_hold_does(case: object) -> None:
    row = MACHINE.run(case, 0.1, root_seed=1)
    assert row.holds(slack=3), f"{row.rate} with a Monte-Carlo error of {row.se}"


def test_every_case_has_a_stream_of_its_own() -> None:
    assert len({(case.name, case.regime) for case in CASES}) == len(CASES)


def test_a_case_is_the_same_on_every_run() -> None:
    case = CASES[0]
    assert MACHINE.run(case, 0.01).rate == MACHINE.run(case, 0.01).rate


def test_an_absent_interval_is_a_miss_and_a_wrong_rate_does_not_hold() -> None:
    from truing.stats.intervals import t_interval

    assert not MACHINE.covers(t_interval([1.0]), 1.0)
    assert MACHINE.covers(t_interval([0.0, 1.0]), 0.5)
    assert not MACHINE.NOMINAL.holds(0.92, 0.004)
    assert not MACHINE.NOMINAL.holds(0.98, 0.004)
    assert MACHINE.NOMINAL.holds(0.92, 0.004, slack=3)
    assert MACHINE.AT_MOST.holds(0.055, 0.002)
    assert not MACHINE.AT_MOST.holds(0.06, 0.002)
