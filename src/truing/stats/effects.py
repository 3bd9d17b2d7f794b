"""Sizes of effects, always `a - b`, with the standard deviation that they are in units of.

An effect that has no such unit, or whose interval the data cannot support, says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from truing.core.errors import TruingError, unknown
from truing.stats.hypotheses import t_quantile
from truing.stats.samples import Floats, Keyed, Values, check_fraction, pairs, sample

SD_KINDS = ("pooled", "a", "b", "average", "paired")
D_METHOD = "noncentral t"
CLIFF_METHOD = "Feng-Cliff asymmetric t"
NAMES = ("a", "b")
# Beyond it the noncentral t of the library is not dependable, and the effect needs no interval to be seen.
LARGEST_STATISTIC = 1e4


@dataclass(frozen=True)
class Effect:
    """How far a lies above b.

    Attributes:
        value: The effect, positive where a is larger; None when it has no unit to be in.
        a: Name of the condition that is first in the difference.
        b: Name of the condition that is subtracted.
        sd_kind: Whose standard deviation: "pooled", "a", "b", "average", "paired", or "none" for ranks.
        sd: That standard deviation, in the unit of the values.
        lo: Lower end of the interval; None exactly when `hi` is.
        hi: Upper end.
        n_a: Observations of a.
        n_b: Observations of b.
        measure: "cohen d", "hedges g" or "cliff delta".
        level: Coverage of the interval.
        method: How the interval was made.
        df: Degrees of freedom of `sd`.
        reason: What is absent, and why.
        n_missing: Observations, or pairs, left out because they have no value.
    """

    value: float | None
    a: str
    b: str
    sd_kind: str
    sd: float | None
    lo: float | None
    hi: float | None
    n_a: int
    n_b: int
    measure: str = "cohen d"
    level: float = 0.95
    method: str | None = None
    df: float | None = None
    reason: str | None = None
    n_missing: int = 0


@dataclass(frozen=True)
class _Scale:
    """A standard deviation, its degrees of freedom, and the factor from d to its t."""

    sd: float
    df: float
    t_per_d: float


def cohen_d(a: Values | Keyed, b: Values | Keyed, *, sd: str = "pooled", names: tuple[str, str] = NAMES, level: float = 0.95) -> Effect:
    """Standardised difference of means, `(mean a - mean b) / sd`.

    Args:
        a: Values of the condition that is first in the difference.
        b: Values of the condition that is subtracted.
        sd: The unit: "pooled" (weighted by n - 1), "a" or "b" (that condition alone; Glass's delta),
            "average" (root of the mean of the two variances), or "paired" (of the differences of pairs,
            by key for mappings and by position otherwise).
        names: Names of a and b.
        level: Coverage of the interval.

    The interval inverts the noncentral t distribution: exact for normal values of equal variance (for
    "paired", normal differences), approximate for "average". Sources: Cohen (1988), Statistical Power
    Analysis, section 2.2; Steiger and Fouladi (1997), in What If There Were No Significance Tests?,
    for the interval; Delacre et al. (2021), doi 10.31234/osf.io/tu6mp, for "average".

    Raises:
        TruingError: an unknown kind of standard deviation, an infinity, or pairs that do not match.
    """
    _check(sd, level)
    if sd == "paired":
        return _paired_d(a, b, names, level)
    first, second = sample(a), sample(b)
    effect = _independent_d(_moments(first.values), first.n, _moments(second.values), second.n, sd, names, level)
    return replace(effect, n_missing=first.n_missing + second.n_missing)


def cohen_d_from_summary(
    mean_a: float,
    sd_a: float | None,
    n_a: int,
    mean_b: float,
    sd_b: float | None,
    n_b: int,
    *,
    sd: str = "pooled",
    names: tuple[str, str] = NAMES,
    level: float = 0.95,
) -> Effect:
    """`cohen_d` of independent samples from their means, standard deviations (n - 1) and counts.

    Source: Cohen (1988), Statistical Power Analysis, section 2.2.

    Raises:
        TruingError: the standard deviation of pairs is asked for, which a summary does not hold.
    """
    _check(sd, level)
    if sd == "paired":
        raise TruingError("a paired effect from two summaries", "the values of both conditions", "use cohen_d with the values")
    if min(n_a, n_b) < 1 or min(sd_a or 0.0, sd_b or 0.0) < 0:
        raise TruingError(f"summaries of {n_a} and {n_b} values with sd {sd_a} and {sd_b}", "n >= 1 and sd >= 0", "correct the summary")
    return _independent_d((mean_a, sd_a if n_a > 1 else None), n_a, (mean_b, sd_b if n_b > 1 else None), n_b, sd, names, level)


def hedges_g(a: Values | Keyed, b: Values | Keyed, *, sd: str = "pooled", names: tuple[str, str] = NAMES, level: float = 0.95) -> Effect:
    """Cohen's d times the factor that takes out its bias in small samples; value and interval both.

    With one degree of freedom the factor is zero and there is no g. Source: Hedges (1981), J. Educ.
    Stat. 6(2), eq. 6e for the exact factor.
    """
    return unbiased(cohen_d(a, b, sd=sd, names=names, level=level))


def unbiased(d: Effect) -> Effect:
    """Hedges' g from a Cohen's d, also one made from summaries. Source: Hedges (1981), J. Educ. Stat. 6(2)."""
    if d.measure != "cohen d":
        raise TruingError(f"a {d.measure} to be made unbiased", "a cohen d", "correct only standardised differences")
    if d.value is None or d.df is None:
        return replace(d, measure="hedges g")
    if d.df <= 1:
        reason = "one degree of freedom: d has no mean to be corrected to"
        return replace(d, value=None, lo=None, hi=None, method=None, measure="hedges g", reason=reason)
    factor = hedges_factor(d.df)
    lo, hi = (None if end is None else factor * end for end in (d.lo, d.hi))
    return replace(d, value=factor * d.value, lo=lo, hi=hi, measure="hedges g")


def hedges_factor(df: float) -> float:
    """J(df) = Gamma(df/2) / (sqrt(df/2) Gamma((df-1)/2)), for more than one degree of freedom.

    It is close to 1 - 3/(4 df - 1): 0.958 for ten per group. Source: Hedges (1981), J. Educ. Stat.
    6(2), eq. 6e and the approximation below it.
    """
    from scipy.special import gammaln

    if df <= 1:
        raise TruingError(f"a bias factor for {df} degrees of freedom", "more than one", "report no g for so few values")
    return math.exp(float(gammaln(df / 2) - gammaln((df - 1) / 2)) - 0.5 * math.log(df / 2))


def cliffs_delta(a: Values | Keyed, b: Values | Keyed, *, names: tuple[str, str] = NAMES, level: float = 0.95) -> Effect:
    """Share of pairs in which a is above b, less the share in which it is below; in [-1, 1].

    It has the direction of `a - b`, as all effects here. The interval is the asymmetric one with the
    unbiased variance and n_a + n_b - 2 degrees of freedom; it is absent when every value of one
    condition lies above every value of the other, where the variance is zero. Sources: Cliff (1993),
    Psychological Bulletin 114(3); Feng and Cliff (2004), J. Mod. Appl. Stat. Methods 3(2), for the interval.
    """
    check_fraction(level, "a level")
    first, second = sample(a), sample(b)
    effect = Effect(None, *names, "none", None, None, None, first.n, second.n, "cliff delta", level)
    effect = replace(effect, n_missing=first.n_missing + second.n_missing)
    if not first.n or not second.n:
        return replace(effect, reason=f"{first.n} values of a and {second.n} of b")
    row, column, squares = _dominance(first.values, second.values)
    delta = float(row.mean())
    effect = replace(effect, value=delta)
    if min(first.n, second.n) < 2:
        return replace(effect, reason="one value of a condition: its spread is unknown")
    variance = _cliff_variance(row, column, squares, delta)
    if variance <= 0:
        return replace(effect, reason="the conditions do not overlap, or no pair differs: the variance is estimated as zero")
    lo, hi = _cliff_interval(delta, variance, t_quantile(first.n + second.n - 2, level))
    return replace(effect, lo=lo, hi=hi, method=CLIFF_METHOD, df=float(first.n + second.n - 2))


def noncentral_t_interval(statistic: float, df: float, level: float = 0.95) -> tuple[float, float] | None:
    """The noncentralities of which `statistic` is just not too large, and just not too small.

    None for statistics above 10,000, which the library cannot invert. Source: Steiger and Fouladi
    (1997), in What If There Were No Significance Tests?, on noncentrality interval estimation.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    if abs(statistic) > LARGEST_STATISTIC:
        return None
    tail = (1 - level) / 2
    # The distribution of -t has the noncentrality -nc: the positive side is the accurate one.
    size, low = abs(statistic), float(ndtri(tail)) - 1.0
    high = 2 * size - 2 * low
    while _upper_tail(size, df, high) < 1 - tail:
        high *= 2
    near, far = (float(brentq(lambda nc, share=share: _upper_tail(size, df, nc) - share, low, high)) for share in (tail, 1 - tail))
    return (near, far) if statistic >= 0 else (-far, -near)


def _upper_tail(size: float, df: float, noncentrality: float) -> float:
    from scipy.special import nctdtr

    # The library gives NaN where a tail is too small to see, which only happens left of zero.
    return float(np.nan_to_num(nctdtr(df, -noncentrality, -size)))


def _check(sd: str, level: float) -> None:
    check_fraction(level, "a level")
    if sd not in SD_KINDS:
        raise unknown("standard deviation", sd, SD_KINDS, "effect size")


def _moments(values: Floats) -> tuple[float | None, float | None]:
    known = sample(values.tolist())
    return known.mean, known.sd


def _paired_d(a: Values | Keyed, b: Values | Keyed, names: tuple[str, str], level: float) -> Effect:
    differences = pairs(a, b).differences
    n = differences.n
    effect = Effect(None, *names, "paired", differences.sd, None, None, n, n, level=level, n_missing=differences.n_missing)
    if differences.mean is None or not differences.sd:
        return replace(effect, reason="the differences do not vary" if n >= 2 else f"{n} complete pairs")
    return _with_interval(effect, differences.mean, _Scale(differences.sd, n - 1, math.sqrt(n)))


def _independent_d(
    a: tuple[float | None, float | None],
    n_a: int,
    b: tuple[float | None, float | None],
    n_b: int,
    sd: str,
    names: tuple[str, str],
    level: float,
) -> Effect:
    effect = Effect(None, *names, sd, None, None, None, n_a, n_b, level=level)
    if a[0] is None or b[0] is None:
        return replace(effect, reason=f"{n_a} values of a and {n_b} of b")
    scale = _scale(sd, a[1], n_a, b[1], n_b)
    if isinstance(scale, str):
        return replace(effect, reason=scale)
    return _with_interval(effect, a[0] - b[0], scale)


def _scale(kind: str, sd_a: float | None, n_a: int, sd_b: float | None, n_b: int) -> _Scale | str:
    """The unit of the effect, or why there is none."""
    per_d = math.sqrt(n_a * n_b / (n_a + n_b))
    if kind in NAMES:
        sd, n = (sd_a, n_a) if kind == "a" else (sd_b, n_b)
        if sd is None:
            return f"one value of {kind}: its spread is unknown"
        return _Scale(sd, n - 1, per_d) if sd else f"the values of {kind} do not vary"
    if sd_a is None or sd_b is None:
        return "one value of a condition: its spread is unknown"
    if not sd_a and not sd_b:
        return "the values do not vary"
    if kind == "pooled":
        df = n_a + n_b - 2
        return _Scale(math.sqrt(((n_a - 1) * sd_a**2 + (n_b - 1) * sd_b**2) / df), df, per_d)
    mean_variance = (sd_a**2 + sd_b**2) / 2
    share_a, share_b = sd_a**2 / (2 * mean_variance), sd_b**2 / (2 * mean_variance)
    df_average = 1 / (share_a**2 / (n_a - 1) + share_b**2 / (n_b - 1))
    return _Scale(math.sqrt(mean_variance), df_average, math.sqrt(mean_variance / (sd_a**2 / n_a + sd_b**2 / n_b)))


def _with_interval(effect: Effect, diff: float, scale: _Scale) -> Effect:
    d = diff / scale.sd
    effect = replace(effect, value=d, sd=scale.sd, df=float(scale.df))
    limits = noncentral_t_interval(d * scale.t_per_d, scale.df, effect.level)
    if limits is None:
        return replace(effect, reason="the noncentral t distribution cannot be inverted for so large an effect")
    return replace(effect, lo=limits[0] / scale.t_per_d, hi=limits[1] / scale.t_per_d, method=D_METHOD)


def _dominance(a: Floats, b: Floats) -> tuple[Floats, Floats, float]:
    """Mean dominance of each a over b, mean by which each b is dominated, and the sum of squares.

    Counted by sorting, so that no [n_a, n_b] table is held.
    """
    above, reach = np.searchsorted(np.sort(b), a, "left"), np.searchsorted(np.sort(b), a, "right")
    below, limit = np.searchsorted(np.sort(a), b, "left"), np.searchsorted(np.sort(a), b, "right")
    row = (above - (len(b) - reach)) / len(b)
    column = ((len(a) - limit) - below) / len(a)
    return row, column, float((above + len(b) - reach).sum())


def _cliff_variance(row: Floats, column: Floats, squares: float, delta: float) -> float:
    n_a, n_b = len(row), len(column)
    if not squares:
        return 0.0
    within = squares - n_a * n_b * delta**2
    spread = n_b**2 * float(((row - delta) ** 2).sum()) + n_a**2 * float(((column - delta) ** 2).sum()) - within
    lowest = (1 - delta**2) / (n_a * n_b - 1)
    return max(spread / (n_a * n_b * (n_a - 1) * (n_b - 1)), lowest)


def _cliff_interval(delta: float, variance: float, quantile: float) -> tuple[float, float]:
    width = quantile**2 * variance
    half = math.sqrt(width) * math.sqrt((1 - delta**2) ** 2 + width)
    below, above = ((delta - delta**3 + sign * half) / (1 - delta**2 + width) for sign in (-1, 1))
    return max(below, -1.0), min(above, 1.0)
