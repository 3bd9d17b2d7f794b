"""Ranges over the box are sound and tight: random tables in it stay inside and come close to the ends."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestIndPower
from support.multiplicity import Method, adjusted_by_statsmodels

from truing.core.seeds import stream
from truing.stats.audit.boxes import Span, UndefinedNumberError
from truing.stats.audit.contrasts import two_sided_p, upper_tail
from truing.stats.audit.designs import detectable_effect, two_sample_power
from truing.stats.audit.evidence import Moments
from truing.stats.audit.families import UNKNOWN_P, Correction, adjusted

# A table of the box: means and standard deviations of the groups.
Point = Callable[[np.ndarray, np.ndarray], float]


def around(value: float, unit: float) -> Span:
    return Span(value, value - unit / 2, value + unit / 2)


@st.composite
def groups(draw: st.DrawFn, k: int = 2) -> list[Moments]:
    def moments() -> Moments:
        digits = draw(st.integers(1, 3))
        unit = 10.0**-digits
        mean = round(draw(st.floats(-1, 1)), digits)
        sd = draw(st.integers(1, 12)) * unit
        return Moments(around(mean, unit), around(sd, unit), draw(st.integers(2, 30)))

    return [moments() for _ in range(k)]


def tables_in(box: list[Moments], rng: np.random.Generator, count: int = 400) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random tables of the box; half of the coordinates are at an end, as the extremes mostly are."""
    spans = [group.mean for group in box] + [group.sd for group in box]
    lo, hi = np.array([[span.lo, span.hi] for span in spans]).T
    share = rng.random((count, len(spans)))
    share = np.where(rng.random(share.shape) < 0.5, np.round(share), share)
    values = lo + share * (hi - lo)
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=len(spans))))
    values = np.vstack([values, lo + corners * (hi - lo)])
    return [(row[: len(box)], row[len(box) :]) for row in values]


def check_range(span: Span, point: Point, box: list[Moments], rng: np.random.Generator, close: float) -> None:
    seen = [point(means, sds) for means, sds in tables_in(box, rng)]
    slack = 1e-9 * max(abs(span.lo), abs(span.hi))
    assert span.lo - slack <= min(seen), (span, min(seen))
    assert span.hi + slack >= max(seen), (span, max(seen))
    at = point(np.array([group.mean.at for group in box]), np.array([group.sd.at for group in box]))
    assert span.at == pytest.approx(at, rel=1e-9, abs=1e-300)
    assert max(seen) - min(seen) >= close * (span.hi - span.lo) - slack


def welch(box: list[Moments]) -> Point:
    sizes = [group.n for group in box]

    def p(means: np.ndarray, sds: np.ndarray) -> float:
        return float(stats.ttest_ind_from_stats(means[0], sds[0], sizes[0], means[1], sds[1], sizes[1], equal_var=False).pvalue)

    return p


@settings(max_examples=30, deadline=None)
@given(groups(), st.integers(0, 2**31))
def test_p_of_welch_over_the_box(box: list[Moments], seed: int) -> None:
    span = two_sided_p(box[0].mean - box[1].mean, box)
    check_range(span, welch(box), box, stream(seed, "welch"), 0.9)


def contrast_p(box: list[Moments]) -> Point:
    sizes = np.array([group.n for group in box])

    def p(means: np.ndarray, sds: np.ndarray) -> float:
        variances = sds**2 / sizes
        df = variances.sum() ** 2 / (variances**2 / (sizes - 1)).sum()
        contrast = (means[0] - means[1]) - (means[2] - means[3])
        return float(2 * stats.t.sf(abs(contrast) / math.sqrt(variances.sum()), df))

    return p


@settings(max_examples=10, deadline=None)
@given(groups(4), st.integers(0, 2**31))
def test_p_of_an_interaction_over_the_box(box: list[Moments], seed: int) -> None:
    a, b, c, d = (group.mean for group in box)
    check_range(two_sided_p((a - b) - (c - d), box), contrast_p(box), box, stream(seed, "interaction"), 0.9)


def tost(box: list[Moments], margin: float) -> Point:
    def p(means: np.ndarray, sds: np.ndarray) -> float:
        sides = [
            stats.ttest_ind_from_stats(means[0] + shift, sds[0], box[0].n, means[1], sds[1], box[1].n, equal_var=False, alternative=side)
            for shift, side in ((margin, "greater"), (-margin, "less"))
        ]
        return float(max(side.pvalue for side in sides))

    return p


@settings(max_examples=30, deadline=None)
@given(groups(), st.floats(0.01, 1.5), st.integers(0, 2**31))
def test_p_of_equivalence_over_the_box(box: list[Moments], margin: float, seed: int) -> None:
    room = Span(margin, margin, margin) - abs(box[0].mean - box[1].mean)
    check_range(upper_tail(room, box), tost(box, margin), box, stream(seed, "tost"), 0.85)


def test_the_extreme_can_lie_inside_an_edge() -> None:
    # A larger spread of the large group lends its degrees of freedom to the test, and the p-value first falls.
    box = [Moments(Span(1.0, 1.0, 1.0), Span(1.0, 0.05, 2.0), 200), Moments(Span(0.0, 0.0, 0.0), Span(0.05, 0.05, 0.05), 2)]
    span = two_sided_p(box[0].mean - box[1].mean, box)
    p = welch(box)
    line = [p(np.array([1.0, 0.0]), np.array([sd, 0.05])) for sd in np.linspace(0.05, 2.0, 20001)]
    assert min(line) < 0.999 * min(line[0], line[-1])
    assert span.lo == pytest.approx(min(line), rel=1e-6)
    assert span.lo <= min(line) * (1 + 1e-9)
    assert span.hi == pytest.approx(max(line), rel=1e-9)


def test_a_difference_that_may_be_zero_has_p_up_to_one() -> None:
    box = [Moments(around(0.5, 0.1), around(0.2, 0.1), 5), Moments(around(0.5, 0.1), around(0.3, 0.1), 6)]
    assert two_sided_p(box[0].mean - box[1].mean, box).hi == 1.0


def test_exact_numbers_have_no_range() -> None:
    box = [Moments(Span(0.5, 0.5, 0.5), Span(0.1, 0.1, 0.1), 5), Moments(Span(0.3, 0.3, 0.3), Span(0.2, 0.2, 0.2), 5)]
    span = two_sided_p(box[0].mean - box[1].mean, box)
    assert (span.lo, span.hi) == pytest.approx((span.at, span.at), rel=1e-12)


@given(st.lists(st.tuples(st.floats(1e-6, 1), st.floats(0, 1)), min_size=2, max_size=3), st.sampled_from(["holm", "bh", "bonferroni"]))
@settings(max_examples=8, deadline=None)
def test_adjusted_ranges_hold_every_adjusted_family(ends: list[tuple[float, float]], correction: Correction) -> None:
    methods: dict[Correction, Method] = {"holm": "holm", "bh": "fdr_bh", "bonferroni": "bonferroni"}
    method = methods[correction]
    spans = [Span(hi * (0.5 + share / 2), hi * share, hi) for hi, share in ends]
    found = adjusted(spans, correction)
    assert [span.at for span in found] == pytest.approx(adjusted_by_statsmodels([span.at for span in spans], method))
    for corner in itertools.product((0, 1), repeat=len(spans)):
        values = [(span.lo, span.hi)[end] for span, end in zip(spans, corner, strict=True)]
        for span, value in zip(found, adjusted_by_statsmodels(values, method), strict=True):
            assert span.lo - 1e-12 <= value <= span.hi + 1e-12


def test_an_unknown_test_leaves_the_others_their_bounds() -> None:
    known = Span(0.001, 0.0005, 0.002)
    holm = adjusted([known, UNKNOWN_P], "holm")
    assert math.isnan(holm[0].at)
    assert (holm[0].lo, holm[0].hi) == pytest.approx((0.0005, 0.004))
    assert adjusted([known, UNKNOWN_P], "bonferroni", 5)[0] == Span(0.005, 0.0025, 0.01)


@pytest.mark.parametrize(
    ("d", "n", "alpha"), [(0.5, 64, 0.05), (1.9, 10, 0.005), (0.0, 8, 0.05), (3.0, 2, 0.05), (0.2, 400, 0.01), (-0.5, 64, 0.05)]
)
def test_power_is_that_of_statsmodels(d: float, n: int, alpha: float) -> None:
    assert two_sample_power(d, n, alpha) == pytest.approx(TTestIndPower().power(abs(d), n, alpha), rel=1e-6)


@pytest.mark.parametrize(("n", "alpha", "power"), [(10, 0.05, 0.8), (10, 0.005, 0.8), (64, 0.05, 0.9), (3, 0.01, 0.8)])
def test_the_detectable_effect_has_the_power(n: int, alpha: float, power: float) -> None:
    effect = detectable_effect(n, alpha, power)
    assert two_sample_power(effect, n, alpha) == pytest.approx(power, abs=1e-9)
    assert effect == pytest.approx(TTestIndPower().solve_power(nobs1=n, alpha=alpha, power=power), rel=1e-5)


def test_one_per_group_has_no_power() -> None:
    with pytest.raises(UndefinedNumberError, match="n is 1 per group"):
        two_sample_power(1.0, 1, 0.05)
