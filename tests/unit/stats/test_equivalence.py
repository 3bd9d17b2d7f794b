"""Equivalence, power and detectable effects agree with statsmodels, at the alpha that is used."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from truing.core.errors import TruingError
from truing.stats.equivalence import (
    detectable_effect,
    detectable_paired,
    noninferiority,
    planned_n,
    power_paired,
    power_t,
    tost,
    tost_from_summary,
)

A, B = [0.50, 0.54, 0.47, 0.52, 0.49], [0.51, 0.48, 0.53, 0.50]
numbers = st.lists(st.integers(-200, 200).map(lambda i: i / 8), min_size=2, max_size=9)
properties = settings(derandomize=True, max_examples=60, deadline=None)


@properties
@given(numbers, numbers, st.floats(0.5, 30), st.sampled_from([0.01, 0.05, 0.1]))
def test_tost_is_that_of_statsmodels(a: list[float], b: list[float], margin: float, alpha: float) -> None:
    ours = tost(a, b, margin, alpha)
    if ours.p is None:
        assert np.ptp(a) == np.ptp(b) == 0
        return
    p, lower, upper = ttost_ind(a, b, -margin, margin, usevar="unequal")
    assert (ours.p, ours.p_lower, ours.p_upper) == pytest.approx((p, lower[1], upper[1]), rel=1e-7, abs=1e-300)
    assert ours.lo is not None
    assert ours.hi is not None
    assert ours.equivalent == (-margin < ours.lo and ours.hi < margin), "the interval of 1 - 2 alpha lies inside the margin"
    swapped = tost(b, a, margin, alpha)
    assert swapped.p == pytest.approx(ours.p, rel=1e-9)
    assert swapped.diff == pytest.approx(-(ours.diff or 0), abs=1e-12)


def test_paired_tost_is_that_of_statsmodels_and_goes_by_key() -> None:
    a, b = dict(enumerate(A[:4])), dict(enumerate(B))
    p, lower, upper = ttost_paired(np.array(A[:4]), np.array(B), -0.06, 0.06)
    ours = tost(a, b, 0.06, paired=True)
    assert (ours.p, ours.p_lower, ours.p_upper) == pytest.approx((p, lower[1], upper[1]), rel=1e-9)
    assert tost(A[:4], B, 0.06, paired=True).p == ours.p


def test_summary_bounds_and_level() -> None:
    summary = tost_from_summary(
        float(np.mean(A)), float(np.std(A, ddof=1)), 5, float(np.mean(B)), float(np.std(B, ddof=1)), 4, (-0.05, 0.08)
    )
    samples = tost(A, B, (-0.05, 0.08))
    assert (summary.p, summary.lo, summary.hi) == pytest.approx((samples.p, samples.lo, samples.hi))
    assert (samples.level, samples.margin_lo, samples.margin_hi) == pytest.approx((0.9, -0.05, 0.08))
    interval = stats.ttest_ind(A, B, equal_var=False).confidence_interval(0.9)
    assert (samples.lo, samples.hi) == pytest.approx((interval.low, interval.high))


def test_no_verdict_where_there_is_no_test() -> None:
    for result in (tost([1.0], [1.0, 2.0], 1), tost([1.0, 1.0], [1.0, 1.0], 1), tost([1.0, 2.0], [1.0, 2.0], 1, paired=True)):
        assert (result.p, result.equivalent, result.lo) == (None, None, None)
        assert result.reason
    none = noninferiority([1.0], [1.0], 0.5)
    assert (none.p, none.noninferior) == (None, None)
    assert none.reason


def test_bad_margins_and_levels_are_refused() -> None:
    for margin in (0.0, -1.0, math.inf, (0.1, -0.1)):
        with pytest.raises(TruingError, match="margin"):
            tost(A, B, margin)
    with pytest.raises(TruingError, match="alpha"):
        tost(A, B, 1.0, 0.5)
    with pytest.raises(TruingError, match="margin"):
        noninferiority(A, B, -0.1)
    with pytest.raises(TruingError, match="summaries"):
        tost_from_summary(1, 1, 0, 1, 1, 3, 1)


def test_noninferiority_is_one_of_the_two_tests() -> None:
    both = tost(A, B, 0.05)
    higher, lower = noninferiority(A, B, 0.05), noninferiority(A, B, 0.05, higher_is_better=False)
    assert (higher.p, lower.p) == pytest.approx((both.p_lower, both.p_upper))
    assert (higher.bound, lower.bound) == pytest.approx((both.lo, both.hi))
    assert higher.noninferior == ((higher.bound or 0) > -0.05)
    assert lower.noninferior == ((lower.bound or 0) < 0.05)


@pytest.mark.parametrize("n", [2, 3, 4, 10, 51])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_power_is_that_of_statsmodels(n: int, alpha: float) -> None:
    for d in (0.0, 0.3, 1.0, 3.0, -1.0):
        # Theirs is NaN where a far tail is too small to see.
        both = [(power_t(n, 2 * n, d, alpha), TTestIndPower().power(abs(d), n, alpha, ratio=2.0))]
        both.append((power_paired(n, d, alpha), TTestPower().power(abs(d), n, alpha)))
        for ours, theirs in both:
            assert 0 < ours <= 1
            assert math.isnan(theirs) or ours == pytest.approx(theirs, rel=1e-7)
    assert not math.isnan(TTestIndPower().power(0.3, n, alpha, ratio=2.0))
    assert power_t(n, n, 0.0, alpha) == pytest.approx(alpha)
    assert power_t(n, n, 1e4, alpha) == pytest.approx(1.0)


@pytest.mark.parametrize(("n_a", "n_b"), [(2, 2), (3, 3), (4, 8), (10, 10), (200, 200)])
def test_detectable_effect_has_the_power_at_its_own_alpha(n_a: int, n_b: int) -> None:
    plain, corrected = detectable_effect(n_a, n_b, 0.05), detectable_effect(n_a, n_b, 0.05 / 10)
    for found in (plain, corrected):
        assert found.d is not None
        assert power_t(n_a, n_b, found.d, found.alpha) == pytest.approx(0.8, abs=1e-9)
    assert (corrected.d or 0) > (plain.d or 0)
    assert power_t(n_a, n_b, plain.d or 0, 0.005) < 0.7, "an effect detectable at one alpha is not at another"
    normal = math.sqrt(1 / n_a + 1 / n_b) * (stats.norm.isf(0.025) + stats.norm.ppf(0.8))
    assert (plain.d or 0) > normal
    if n_a == 200:
        assert plain.d == pytest.approx(normal, rel=0.01)


def test_detectable_pairs_and_designs_without_a_test() -> None:
    found = detectable_paired(6, 0.01, 0.9)
    assert power_paired(6, found.d or 0, 0.01) == pytest.approx(0.9)
    assert found.paired
    one = detectable_effect(1, 2, 0.005)
    assert (one.df, one.reason) == (1, None)
    assert (one.d or 0) > 100
    for none in (detectable_effect(1, 1, 0.05), detectable_paired(1, 0.05)):
        assert none.d is None
        assert none.reason
    with pytest.raises(TruingError, match="power"):
        detectable_effect(5, 5, 0.05, 0.04)
    with pytest.raises(TruingError, match="alpha"):
        detectable_effect(5, 5, 5.0)
    with pytest.raises(TruingError, match="test of 1 against 1"):
        power_t(1, 1, 1.0)
    with pytest.raises(TruingError, match="test of 1 pairs"):
        power_paired(1, 1.0)


def test_planned_n_is_the_smallest_that_suffices() -> None:
    assert planned_n(0.5) == math.ceil(TTestIndPower().solve_power(0.5, alpha=0.05, power=0.8)) == 64
    for d, alpha in ((0.2, 0.05), (1.0, 0.005), (-0.8, 0.05), (5.0, 0.05), (0.01, 0.05)):
        n = planned_n(d, alpha)
        assert power_t(n, n, d, alpha) >= 0.8
        assert n == 2 or power_t(n - 1, n - 1, d, alpha) < 0.8
    for d in (0.0, math.nan, 1e-6):
        with pytest.raises(TruingError, match="plan"):
            planned_n(d)


def test_power_is_the_integral_over_the_spread_and_rises_without_a_jump() -> None:
    for df_n, alpha in ((3, 0.005), (2, 0.0005), (6, 0.05)):
        critical, df = stats.t.isf(alpha / 2, 2 * df_n - 2), 2 * df_n - 2
        effects = np.linspace(0, 9, 400)
        found = np.array([power_t(df_n, df_n, float(d), alpha) for d in effects])
        # Power falls by no more than rounding from one effect to the next.
        assert np.diff(found).min() > -1e-9
        for i in (40, 150, 280):
            nc, spread = effects[i] * math.sqrt(df_n / 2), np.linspace(1e-6, 8, 40_001)
            density = stats.chi.pdf(spread * math.sqrt(df), df) * math.sqrt(df)
            tails = stats.norm.cdf(nc - critical * spread) + stats.norm.cdf(-nc - critical * spread)
            assert found[i] == pytest.approx(np.trapezoid(tails * density, spread), abs=1e-6)
