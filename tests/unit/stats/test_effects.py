"""Effects have the direction a - b, the unit that they say, and intervals that cover."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from truing.core.errors import TruingError
from truing.stats.effects import (
    Effect,
    cliffs_delta,
    cohen_d,
    cohen_d_from_summary,
    hedges_factor,
    hedges_g,
    noncentral_t_interval,
    unbiased,
)

A, B = [5.1, 4.9, 6.2, 5.7, 6.0], [4.1, 4.4, 5.0, 3.9]
numbers = st.lists(st.integers(-200, 200).map(lambda i: i / 8), min_size=2, max_size=9)
properties = settings(derandomize=True, max_examples=60, deadline=None)


def test_each_standard_deviation_is_the_one_that_it_says() -> None:
    va, vb, diff = np.var(A, ddof=1), np.var(B, ddof=1), np.mean(A) - np.mean(B)
    for kind, variance in (("pooled", (4 * va + 3 * vb) / 7), ("a", va), ("b", vb), ("average", (va + vb) / 2)):
        effect = cohen_d(A, B, sd=kind, names=("treated", "control"))
        assert effect.value == pytest.approx(diff / math.sqrt(variance))
        assert (effect.a, effect.b, effect.sd_kind) == ("treated", "control", kind)
        assert effect.sd == pytest.approx(math.sqrt(variance))
    paired = cohen_d(A[:4], B, sd="paired")
    assert paired.value == pytest.approx(stats.ttest_rel(A[:4], B).statistic / 2)
    with pytest.raises(TruingError, match="average, b, paired, pooled"):
        cohen_d(A, B, sd="control")


def test_pairs_go_by_key() -> None:
    keyed = cohen_d({1: 3.0, 2: 5.0, 4: 9.0}, {2: 4.0, 1: 1.0, 3: 0.0}, sd="paired")
    assert keyed.value == pytest.approx(1.5 / math.sqrt(0.5))
    assert (keyed.n_a, keyed.n_missing) == (2, 2)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.floats(-40, 40), st.integers(1, 100), st.sampled_from([0.8, 0.95, 0.99]))
def test_interval_inverts_the_noncentral_t(t: float, df: int, level: float) -> None:
    limits = noncentral_t_interval(t, df, level)
    assert limits is not None
    near, far = limits
    assert near < far
    mirrored = noncentral_t_interval(-t, df, level)
    assert mirrored is not None
    assert mirrored == pytest.approx((-far, -near), rel=1e-9, abs=1e-9)
    if t >= 0:
        assert stats.nct.sf(t, df, far) == pytest.approx((1 + level) / 2, abs=1e-6)
        if near > 0:
            assert stats.nct.sf(t, df, near) == pytest.approx((1 - level) / 2, abs=1e-6)


def test_zero_effect_has_a_symmetric_interval_of_the_normal_width() -> None:
    # At t = 0 the event is Z + nc > 0, whatever the degrees of freedom.
    assert noncentral_t_interval(0.0, 3) == pytest.approx((-1.959964, 1.959964), abs=1e-6)
    assert noncentral_t_interval(1e6, 3) is None


def test_summary_and_samples_agree() -> None:
    summary = cohen_d_from_summary(float(np.mean(A)), float(np.std(A, ddof=1)), 5, float(np.mean(B)), float(np.std(B, ddof=1)), 4)
    samples = cohen_d(A, B)
    assert (summary.value, summary.lo, summary.hi) == pytest.approx((samples.value, samples.lo, samples.hi), rel=1e-9)
    with pytest.raises(TruingError, match="paired"):
        cohen_d_from_summary(1, 1, 4, 0, 1, 4, sd="paired")
    with pytest.raises(TruingError, match="summaries"):
        cohen_d_from_summary(1, -1, 4, 0, 1, 4)


def test_hedges_factor_is_exact_and_near_its_approximation() -> None:
    assert hedges_factor(18) == pytest.approx(0.958, abs=5e-4), "ten per group"
    for df in (2, 3, 10, 18, 1000):
        exact = math.gamma(df / 2) / (math.sqrt(df / 2) * math.gamma((df - 1) / 2)) if df < 300 else 1 - 3 / (4 * df - 1)
        assert hedges_factor(df) == pytest.approx(exact, rel=1e-6 if df >= 300 else 1e-12)
    assert hedges_factor(18) == pytest.approx(1 - 3 / (4 * 18 - 1), abs=2e-4)
    with pytest.raises(TruingError, match="degrees of freedom"):
        hedges_factor(1)


def test_hedges_g_takes_the_bias_out() -> None:
    draw, d, g = np.random.default_rng(0), [], []
    for _ in range(2000):
        effect = cohen_d_from_summary(0, 1, 4, 0, 1, 4)
        a, b = draw.normal(1, 1, 4), draw.normal(0, 1, 4)
        sd = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
        d.append((a.mean() - b.mean()) / sd)
        g.append(hedges_factor(effect.df or 6) * d[-1])
    assert np.mean(d) > 1.08
    assert np.mean(g) == pytest.approx(1.0, abs=0.07)
    ours = hedges_g(A, B)
    assert ours.value == pytest.approx(hedges_factor(7) * (cohen_d(A, B).value or 0))
    assert ours.lo == pytest.approx(hedges_factor(7) * (cohen_d(A, B).lo or 0))
    assert hedges_g([1.0, 2.0], [0.0, 1.0], sd="a").value is None, "one degree of freedom"
    with pytest.raises(TruingError, match="cliff"):
        unbiased(cliffs_delta(A, B))


@properties
@given(numbers, numbers)
def test_cliff_is_the_rescaled_mann_whitney_count(a: list[float], b: list[float]) -> None:
    ours = cliffs_delta(a, b)
    u = stats.mannwhitneyu(a, b).statistic
    assert ours.value == pytest.approx(2 * u / (len(a) * len(b)) - 1, abs=1e-12)
    table = np.sign(np.subtract.outer(a, b))
    assert ours.value == pytest.approx(table.mean(), abs=1e-12)
    if ours.lo is not None and ours.hi is not None and ours.value is not None:
        assert -1 <= ours.lo <= ours.value <= ours.hi <= 1


@properties
@given(numbers, numbers)
def test_swapping_the_conditions_flips_every_effect(a: list[float], b: list[float]) -> None:
    measures: list[Callable[[list[float], list[float]], Effect]] = [cohen_d, hedges_g, cliffs_delta]
    for measure in measures:
        one, other = measure(a, b), measure(b, a)
        if one.value is None or other.value is None:
            assert one.value is other.value
            assert one.reason
            continue
        assert one.value == pytest.approx(-other.value, rel=1e-9, abs=1e-12)
        if one.lo is not None and other.hi is not None:
            assert one.lo == pytest.approx(-other.hi, rel=1e-7, abs=1e-9)


@properties
@given(numbers, st.floats(0.1, 50))
def test_cliff_has_the_sign_of_a_shift_as_the_mean_difference_has(values: list[float], shift: float) -> None:
    up = [value + shift for value in values]
    assert (cliffs_delta(up, values).value or 0) > 0
    assert (cliffs_delta(values, up).value or 0) < 0
    d = cohen_d(up, values).value
    assert d is None or d > 0


def test_what_cannot_be_estimated_has_a_reason() -> None:
    for effect in (
        cohen_d([1.0], [2.0]),
        cohen_d([1.0, 1.0], [2.0, 2.0]),
        cohen_d([], [1.0]),
        cohen_d([1.0, 2.0], [0.0, 1.0], sd="paired"),
    ):
        assert (effect.value, effect.lo, effect.hi) == (None, None, None)
        assert effect.reason
    apart = cliffs_delta([5.0, 6.0], [1.0, 2.0])
    assert (apart.value, apart.lo) == (1.0, None)
    assert apart.reason
    assert cliffs_delta([1.0], [2.0, 3.0]).value == -1.0
    assert cliffs_delta([], [2.0]).value is None
    assert cohen_d([1.0, 2.0, None], [0.0, 1.0]).n_missing == 1
    assert cohen_d([1.0, 1.0], [2.0, 3.0], sd="b").value == pytest.approx(-1.5 / math.sqrt(0.5))


@pytest.mark.slow
def test_intervals_cover() -> None:
    draw, n = np.random.default_rng(1), 1500
    truth = 2 * stats.norm.cdf(0.8 / math.sqrt(5)) - 1
    in_d = in_cliff = 0
    for _ in range(n):
        d = cohen_d(draw.normal(1, 1, 5), draw.normal(0, 1, 6))
        delta = cliffs_delta(draw.normal(0.8, 1, 12), draw.normal(0, 2, 12))
        in_d += d.lo is not None and d.hi is not None and d.lo <= 1 <= d.hi
        in_cliff += delta.lo is not None and delta.hi is not None and delta.lo <= truth <= delta.hi
    assert in_d / n == pytest.approx(0.95, abs=0.02)
    assert in_cliff / n == pytest.approx(0.95, abs=0.03)
