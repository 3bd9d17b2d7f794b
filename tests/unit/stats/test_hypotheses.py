"""Tests agree with scipy, statsmodels and closed forms, have two sides, and are absent where the data cannot carry them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from statsmodels.stats.contingency_tables import mcnemar as sm_mcnemar

from truing.core.errors import TruingError
from truing.stats.hypotheses import (
    TestResult,
    combined_5x2cv_f,
    corrected_resampled_t,
    mcnemar,
    mcnemar_items,
    paired_t,
    permutation,
    prediction_t,
    t_p_value,
    t_quantile,
    welch,
)

A4, B4 = [0.61, 0.55, 0.72, 0.58], [0.41, 0.47, 0.44, 0.52]
numbers = st.lists(st.integers(-1000, 1000).map(lambda i: i / 8), min_size=2, max_size=9)
properties = settings(derandomize=True, max_examples=60, deadline=None)


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def assert_absent(result: TestResult) -> None:
    assert (result.statistic, result.p_value, result.lo, result.hi) == (None, None, None, None)
    assert result.reason


@pytest.mark.parametrize("df", range(1, 101))
def test_t_tail_and_quantile_at_every_df(df: int) -> None:
    for t in (0.3, 2.0, 12.0, 300.0):
        assert t_p_value(t, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-12)
        # The regularised incomplete beta function is another road to the same tail.
        assert t_p_value(t, df) == pytest.approx(special.betainc(df / 2, 0.5, df / (df + t * t)), rel=1e-9)
    for level in (0.5, 0.9, 0.95, 0.999):
        assert t_p_value(t_quantile(df, level), df) == pytest.approx(1 - level, rel=1e-9)


def test_few_degrees_of_freedom_have_closed_forms_far_from_a_normal_tail() -> None:
    t = 8.0
    closed = {
        1: 1 - 2 / math.pi * math.atan(t),
        2: 1 - t / math.sqrt(2 + t * t),
        3: 1 - 2 / math.pi * (math.atan(t / math.sqrt(3)) + math.sqrt(3) * t / (3 + t * t)),
    }
    for df, p in closed.items():
        assert t_p_value(t, df) == pytest.approx(p, rel=1e-9)
        assert t_p_value(t, df) > 1e11 * 2 * stats.norm.sf(t), "a normal tail is wrong by orders of magnitude"


def test_p_is_never_zero() -> None:
    assert 0 < t_p_value(1e300, 100) < 1e-300
    assert mcnemar(100_000, 0).p_value is not None
    assert (mcnemar(100_000, 0).p_value or 0.0) > 0


@properties
@given(numbers, numbers, st.sampled_from([0.8, 0.95, 0.99]))
def test_welch_is_that_of_scipy(a: list[float], b: list[float], level: float) -> None:
    ours = welch(a, b, level)
    if ours.p_value is None:
        assert np.ptp(a) == np.ptp(b) == 0
        return
    theirs = stats.ttest_ind(a, b, equal_var=False)
    interval = theirs.confidence_interval(level)
    assert (ours.statistic, ours.df) == pytest.approx((theirs.statistic, theirs.df), rel=1e-9)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.lo, ours.hi) == pytest.approx((interval.low, interval.high), rel=1e-8, abs=1e-8)


def test_welch_of_four_runs_each_by_hand() -> None:
    ours = welch(A4, B4)
    va, vb = np.var(A4, ddof=1) / 4, np.var(B4, ddof=1) / 4
    df = (va + vb) ** 2 / (va**2 / 3 + vb**2 / 3)
    density = stats.t(df).pdf
    tail = integrate.quad(density, ours.statistic, np.inf)[0]
    assert ours.df == pytest.approx(df, rel=1e-12)
    assert ours.diff == pytest.approx(0.155)
    assert ours.p_value == pytest.approx(2 * tail, rel=1e-6)


@properties
@given(numbers, numbers)
def test_swapping_the_conditions_flips_the_sign_and_keeps_p(a: list[float], b: list[float]) -> None:
    n = min(len(a), len(b))
    keyed_a, keyed_b = dict(enumerate(a[:n])), dict(enumerate(b[:n]))
    both = [
        (welch(a, b), welch(b, a)),
        (paired_t(keyed_a, keyed_b), paired_t(keyed_b, keyed_a)),
        (permutation(a[:4], b[:3], rng=generator()), permutation(b[:3], a[:4], rng=generator())),
        (permutation(keyed_a, keyed_b, rng=generator(), paired=True), permutation(keyed_b, keyed_a, rng=generator(), paired=True)),
    ]
    for one, other in both:
        if one.p_value is None:
            assert other.p_value is None
            continue
        assert one.p_value == pytest.approx(other.p_value, rel=1e-9)
        assert one.statistic == pytest.approx(-(other.statistic or 0.0), rel=1e-9, abs=1e-12)
        assert one.diff == pytest.approx(-(other.diff or 0.0), rel=1e-9, abs=1e-12)


def test_paired_t_goes_by_key_and_is_that_of_scipy() -> None:
    a: dict[int, float | None] = {1: 1.0, 2: 2.5, 3: 4.0, 9: None}
    b: dict[int, float | None] = {3: 3.5, 1: 0.0, 2: 1.8, 5: 1.0}
    ours, theirs = paired_t(a, b), stats.ttest_rel([1.0, 2.5, 4.0], [0.0, 1.8, 3.5])
    assert (ours.statistic, ours.p_value, ours.df) == pytest.approx((theirs.statistic, theirs.pvalue, 2))
    assert (ours.lo, ours.hi) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert (ours.n_a, ours.n_missing) == (3, 2)


def test_too_few_values_and_no_spread_give_no_p() -> None:
    results = [
        welch([1.0], [2.0, 3.0]),
        welch([1.0, 1.0], [2.0, 2.0]),
        welch([], [1.0, 2.0]),
        paired_t({1: 1.0}, {1: 2.0}),
        paired_t({1: 1.0, 2: 2.0}, {1: 0.0, 2: 1.0}),
        permutation([1.0], [2.0], rng=generator()),
        permutation([2.0, 2.0], [2.0, 2.0], rng=generator()),
        permutation([1.0, 2.0], [1.0, 2.0], rng=generator(), paired=True),
        permutation([1.0], [2.0], rng=generator(), paired=True),
        mcnemar(0, 0),
        combined_5x2cv_f([[0.1, 0.1]] * 5),
        combined_5x2cv_f([[0.1, None]] + [[0.1, 0.2]] * 4),
        corrected_resampled_t([0.1, 0.1, 0.1], 0.1),
        corrected_resampled_t([0.1], 0.1),
        prediction_t(1.0, [0.5]),
        prediction_t(1.0, [0.5, 0.5]),
        prediction_t(None, [0.5, 0.7]),
    ]
    for result in results:
        assert_absent(result)
    assert welch([1.0], [2.0, 3.0]).diff == -1.5, "the difference is known with one value"


def test_a_constant_condition_against_a_varying_one_is_testable() -> None:
    ours, theirs = welch([1.0, 1.0, 1.0], A4), stats.ttest_ind([1.0, 1.0, 1.0], A4, equal_var=False)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.df == pytest.approx(3.0)


def test_three_against_three_runs_give_at_least_one_tenth() -> None:
    result = permutation([10.0, 11.0, 12.0], [1.0, 2.0, 3.0], rng=generator())
    assert result.p_value == pytest.approx(0.1)
    assert result.p_floor == pytest.approx(0.1)
    assert "exact, 20 relabellings" in result.method
    assert permutation(A4, B4, rng=generator(), paired=True).p_value == pytest.approx(2 / 16)


@properties
@given(numbers, numbers)
def test_exact_permutation_is_that_of_scipy(a: list[float], b: list[float]) -> None:
    a, b = a[:5], b[:4]
    ours = permutation(a, b, rng=generator())
    if ours.p_value is None:
        return

    def size(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        # Rounded, so that ties that differ by the order of a sum stay ties.
        return np.round(np.abs(x.mean(axis=axis) - y.mean(axis=axis)), 9)

    theirs = stats.permutation_test((a, b), size, alternative="greater", n_resamples=np.inf, vectorized=True)
    assert ours.p_value == pytest.approx(theirs.pvalue)


def test_exact_paired_permutation_is_that_of_scipy() -> None:
    x, y = [0.3, 0.9, 0.4, 0.8, 0.5], [0.1, 0.5, 0.45, 0.2, 0.1]

    def mean(d: np.ndarray, axis: int) -> np.ndarray:
        return d.mean(axis=axis)

    differences = np.subtract(x, y)
    theirs = stats.permutation_test((differences,), mean, permutation_type="samples", n_resamples=np.inf, vectorized=True)
    assert permutation(x, y, rng=generator(), paired=True).p_value == pytest.approx(theirs.pvalue)


def test_random_relabellings_are_corrected_reproducible_and_near_the_exact_p() -> None:
    draw = np.random.default_rng(3)
    a, b = (draw.normal(0.9, 1, 7)).tolist(), draw.normal(0, 1, 7).tolist()
    exact = permutation(a, b, rng=generator(), draws=3432)
    assert "exact, 3432" in exact.method
    random = permutation(a, b, rng=generator(), draws=3000)
    assert random.p_value == permutation(a, b, rng=generator(), draws=3000).p_value
    assert random.p_value == pytest.approx(exact.p_value, abs=0.03)
    assert "Monte Carlo, 3000 draws, +1" in random.method
    far = permutation(np.arange(20.0) + 100, np.arange(20.0), rng=generator(), draws=99)
    assert far.p_value == pytest.approx(1 / 100), "no draw is as extreme, and p is not zero"


@properties
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_that_of_statsmodels(b: int, c: int) -> None:
    ours = mcnemar(b, c)
    if b + c == 0:
        assert_absent(ours)
        return
    theirs = sm_mcnemar([[5, b], [c, 5]], exact=b + c < 25, correction=True)
    if b == c and b + c >= 25:
        assert (ours.statistic, ours.p_value) == (0.0, 1.0), "the correction does not overshoot zero"
        return
    assert (ours.statistic, ours.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)


def test_mcnemar_items_counts_pairs_and_missing_marks() -> None:
    a = [True, True, True, False, None, True]
    b = [False, True, False, True, True, None]
    ours = mcnemar_items(a, b)
    assert ours.p_value == mcnemar(2, 1).p_value
    assert (ours.n_a, ours.n_missing, ours.diff) == (4, 2, 0.25)
    assert mcnemar_items(b, a).diff == -0.25
    with pytest.raises(TruingError, match="marks"):
        mcnemar_items([0.5], [1.0])


def test_combined_f_by_hand_and_by_simulation_of_its_null() -> None:
    table = [[0.02, 0.05], [0.01, 0.04], [0.03, 0.02], [0.05, 0.01], [0.00, 0.03]]
    squares = sum(x * x for row in table for x in row)
    variances = sum((x - y) ** 2 / 2 for x, y in table)
    ours = combined_5x2cv_f(table)
    assert ours.statistic == pytest.approx(squares / (2 * variances))
    assert ours.p_value == pytest.approx(stats.f.sf(squares / (2 * variances), 10, 5))
    assert (ours.df, ours.df_denominator) == (10, 5)
    with pytest.raises(TruingError, match="5 replications"):
        combined_5x2cv_f(table[:4])


def test_corrected_resampled_t_widens_the_plain_one() -> None:
    splits = [0.02, 0.05, 0.01, 0.04, 0.03]
    ours, plain = corrected_resampled_t(splits, 1 / 9), stats.ttest_1samp(splits, 0)
    assert ours.statistic == pytest.approx(plain.statistic * math.sqrt((1 / 5) / (1 / 5 + 1 / 9)))
    assert ours.p_value == pytest.approx(2 * stats.t.sf(ours.statistic, 4))
    assert (ours.p_value or 0) > plain.pvalue
    with pytest.raises(TruingError, match="ratio"):
        corrected_resampled_t(splits, 0)


def test_prediction_t_is_the_pooled_test_of_one_value_against_many() -> None:
    ours, theirs = prediction_t(0.9, B4), stats.ttest_ind([0.9], B4, equal_var=True)
    assert (ours.statistic, ours.p_value, ours.df) == pytest.approx((theirs.statistic, theirs.pvalue, 3))


def test_bad_input_is_refused() -> None:
    with pytest.raises(TruingError, match="infinity"):
        welch([1.0, math.inf], [1.0, 2.0])
    with pytest.raises(TruingError, match="level"):
        welch(A4, B4, level=95)
    with pytest.raises(TruingError, match="draws"):
        permutation(A4, B4, rng=generator(), draws=0)
    with pytest.raises(TruingError, match="pairs by position"):
        permutation(A4, B4[:3], rng=generator(), paired=True)
    with pytest.raises(TruingError, match="mapping"):
        permutation({1: 1.0}, [1.0], rng=generator(), paired=True)
    with pytest.raises(TruingError, match="disagreeing"):
        mcnemar(-1, 2)
