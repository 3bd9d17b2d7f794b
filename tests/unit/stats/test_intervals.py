"""Intervals agree with scipy and statsmodels, and are absent where the data cannot support one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from truing.core.errors import TruingError
from truing.stats.intervals import (
    clopper_pearson_interval,
    paired_p_value,
    paired_t_interval,
    t_interval,
    wilson_interval,
    zero_event_bound,
)

VALUES = [0.41, 0.47, 0.44, 0.52]


def test_t_interval_is_that_of_scipy() -> None:
    for level in (0.8, 0.95, 0.99):
        estimate = t_interval(VALUES, level=level)
        lo, hi = stats.t.interval(level, len(VALUES) - 1, loc=np.mean(VALUES), scale=stats.sem(VALUES))
        assert (estimate.lo, estimate.hi) == pytest.approx((lo, hi), rel=1e-12)
        assert estimate.se == pytest.approx(stats.sem(VALUES), rel=1e-12)


def test_two_seeds_have_the_closed_form() -> None:
    # With one degree of freedom t is Cauchy: its 97.5 % quantile is tan(0.475 pi).
    estimate = t_interval([1.0, 3.0])
    assert estimate.value == 2.0
    assert estimate.hi == pytest.approx(2.0 + math.tan(0.475 * math.pi), rel=1e-12)


def test_one_value_has_no_interval() -> None:
    estimate = t_interval([0.7])
    assert (estimate.value, estimate.n) == (0.7, 1)
    assert (estimate.se, estimate.lo, estimate.hi, estimate.method) == (None, None, None, None)


def test_equal_values_have_no_interval_of_zero_width() -> None:
    # 0.1 + 0.2 is not 0.3 in binary; the difference is no spread.
    for values in ([1.0, 1.0, 1.0], [0.3, 0.1 + 0.2]):
        estimate = t_interval(values)
        assert estimate.value == pytest.approx(values[0])
        assert (estimate.lo, estimate.hi) == (None, None)


def test_missing_values_are_left_out_and_counted() -> None:
    estimate = t_interval([0.2, None, 0.4, float("nan")])
    assert (estimate.n, estimate.n_missing) == (2, 2)
    assert estimate.value == pytest.approx(0.3)
    nothing = t_interval([None, None])
    assert (nothing.value, nothing.n, nothing.n_missing) == (None, 0, 2)
    assert t_interval([]).value is None


def test_infinity_and_impossible_levels_are_refused() -> None:
    with pytest.raises(TruingError, match="infinity"):
        t_interval([1.0, math.inf])
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(TruingError, match="level"):
            t_interval(VALUES, level=level)


def test_paired_interval_and_p_value_are_those_of_statsmodels() -> None:
    a = {42: 0.43, 137: 0.41, 256: 0.47}
    b = {42: 0.60, 137: 0.55, 256: 0.66}
    # The paired t test is the regression of the differences on a constant.
    fit = OLS([a[seed] - b[seed] for seed in a], np.ones(3)).fit()
    estimate = paired_t_interval(a, b)
    assert (estimate.lo, estimate.hi) == pytest.approx(tuple(fit.conf_int(0.05)[0]), rel=1e-9)
    assert paired_p_value(a, b) == pytest.approx(fit.pvalues[0], rel=1e-9)
    assert estimate.value is not None
    assert estimate.value < 0, "the difference is a - b"


def test_pairs_go_by_seed_and_not_by_order() -> None:
    a = {1: 1.0, 2: 2.0, 3: 4.0}
    b = {3: 3.5, 1: 0.0, 2: 1.8}
    assert paired_t_interval(a, b).value == pytest.approx((1.0 + 0.2 + 0.5) / 3)


def test_incomplete_pairs_are_counted_and_not_used() -> None:
    a: dict[int, float | None] = {1: 1.0, 2: None, 3: 3.0}
    estimate = paired_t_interval(a, {1: 0.5, 2: 1.0, 4: 9.0})
    assert (estimate.value, estimate.n, estimate.n_missing) == (0.5, 1, 3)
    assert estimate.lo is None
    assert paired_p_value(a, {1: 0.5, 2: 1.0, 4: 9.0}) is None


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95, 0.99]))
def test_proportions_are_those_of_statsmodels(counts: tuple[int, int], level: float) -> None:
    k, n = counts
    for ours, method in ((wilson_interval, "wilson"), (clopper_pearson_interval, "beta")):
        estimate = ours(k, n, level=level)
        lo, hi = proportion_confint(k, n, alpha=1 - level, method=method)
        assert (estimate.lo, estimate.hi) == pytest.approx((lo, hi), abs=1e-9)
        assert estimate.lo is not None
        assert estimate.hi is not None
        assert 0 <= estimate.lo < estimate.hi <= 1


def test_zero_events_bound_is_the_one_sided_exact_one() -> None:
    for n in (1, 30, 1000):
        assert zero_event_bound(n).hi == pytest.approx(stats.beta.ppf(0.95, 1, n), rel=1e-12)
    assert zero_event_bound(1000).hi == pytest.approx(3 / 1000, rel=0.01), "the rule of three"
    with pytest.raises(TruingError, match="0 trials"):
        zero_event_bound(0)


def test_impossible_counts_are_refused_and_no_trials_have_no_value() -> None:
    for interval in (wilson_interval, clopper_pearson_interval):
        with pytest.raises(TruingError, match="5 successes in 4 trials"):
            interval(5, 4)
        assert interval(0, 0).value is None


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8), st.floats(-50, 50), st.floats(0.1, 10))
def test_interval_moves_and_scales_with_its_values(values: list[float], shift: float, scale: float) -> None:
    before, after = t_interval(values), t_interval([scale * v + shift for v in values])
    if before.lo is None or after.lo is None:
        return
    assert after.lo == pytest.approx(scale * before.lo + shift, rel=1e-6, abs=1e-6)
