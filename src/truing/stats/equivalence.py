"""Claims of no difference: equivalence within a margin, and the effect that a design could have seen.

"No effect" needs both. The detectable effect carries the alpha that it holds at, so that one computed
at .05 cannot stand for a test made at .05/10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from truing.core.errors import TruingError
from truing.stats.hypotheses import NO_SPREAD, t_lower_tail, t_quantile, welch_se
from truing.stats.samples import Keyed, Values, check_fraction, pairs, sample

WELCH_TOST = "tost, welch t"
PAIRED_TOST = "tost, paired t"
WELCH_NONINFERIORITY = "noninferiority, welch t"
PAIRED_NONINFERIORITY = "noninferiority, paired t"
# Beyond this many values per group the answer is not a plan.
MOST_PLANNED = 10**9
LARGEST_EFFECT = 1e6
# Phi(-8) is below 1e-15.
NEGLIGIBLE_TAIL = 8.0

Margin = float | tuple[float, float]


@dataclass(frozen=True)
class Equivalence:
    """Whether `a - b` lies within a margin.

    Attributes:
        diff: `a - b` in the unit of the values.
        se: Its standard error.
        df: Degrees of freedom.
        margin_lo: Lower bound of what counts as equivalent.
        margin_hi: Upper bound.
        alpha: Level of each of the two one-sided tests.
        p_lower: p of "the difference is at or below the lower bound".
        p_upper: p of "the difference is at or above the upper bound".
        p: The larger of the two; None exactly when `reason` says why.
        equivalent: Whether p < alpha: the interval lies inside the margin.
        lo: Lower end of the interval of level 1 - 2 alpha.
        hi: Upper end.
        level: 1 - 2 alpha.
        method: Welch's or the paired test.
        n_a: Observations of a.
        n_b: Observations of b.
        reason: Why there is no verdict.
        n_missing: Observations, or pairs, left out because they have no value.
    """

    diff: float | None
    se: float | None
    df: float | None
    margin_lo: float
    margin_hi: float
    alpha: float
    p_lower: float | None
    p_upper: float | None
    p: float | None
    equivalent: bool | None
    lo: float | None
    hi: float | None
    level: float
    method: str
    n_a: int
    n_b: int
    reason: str | None = None
    n_missing: int = 0


@dataclass(frozen=True)
class NonInferiority:
    """Whether a is at most `margin` worse than b; one-sided by its question.

    Attributes:
        diff: `a - b` in the unit of the values.
        se: Its standard error.
        df: Degrees of freedom.
        margin: How much worse is tolerated, above zero.
        higher_is_better: Direction of the values.
        alpha: Level of the one-sided test.
        p: p of "a is worse by the margin or more"; None exactly when `reason` says why.
        noninferior: Whether p < alpha.
        bound: One-sided 1 - alpha bound of `diff` on the side of the harm.
        method: Welch's or the paired test.
        n_a: Observations of a.
        n_b: Observations of b.
        reason: Why there is no verdict.
        n_missing: Observations, or pairs, left out because they have no value.
    """

    diff: float | None
    se: float | None
    df: float | None
    margin: float
    higher_is_better: bool
    alpha: float
    p: float | None
    noninferior: bool | None
    bound: float | None
    method: str
    n_a: int
    n_b: int
    reason: str | None = None
    n_missing: int = 0


@dataclass(frozen=True)
class DetectableEffect:
    """The smallest standardised effect that a two-sided t test sees with the given power.

    Attributes:
        d: The effect, in standard deviations (of differences when paired); None when no test is possible.
        n_a: Values of a.
        n_b: Values of b; of pairs, the same.
        df: Degrees of freedom of the test.
        alpha: The two-sided level that this effect is detectable at, and no other.
        power: The power it is seen with.
        paired: Whether the test is of pairs.
        reason: Why there is none.
    """

    d: float | None
    n_a: int
    n_b: int
    df: int
    alpha: float
    power: float
    paired: bool
    reason: str | None = None


@dataclass(frozen=True)
class _Contrast:
    """What a t test needs of a difference; `se` is None where there is no test."""

    diff: float | None
    se: float | None
    df: float | None
    n_a: int
    n_b: int
    n_missing: int
    reason: str | None


def tost(a: Values | Keyed, b: Values | Keyed, margin: Margin, alpha: float = 0.05, *, paired: bool = False) -> Equivalence:
    """Two one-sided tests that `a - b` lies inside the margin.

    Args:
        a: Values of the condition named first.
        b: Values of the condition that is subtracted.
        margin: M for (-M, M), or both bounds; in the unit of the values.
        alpha: Level of each one-sided test; the interval has level 1 - 2 alpha.
        paired: Pair by key for mappings, by position otherwise; unpaired is Welch's test.

    Sources: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15(6); Welch (1947), Biometrika 34(1-2).
    """
    contrast = _paired(a, b) if paired else _independent(a, b)
    return _equivalence(contrast, margin, alpha, PAIRED_TOST if paired else WELCH_TOST)


def tost_from_summary(
    mean_a: float, sd_a: float, n_a: int, mean_b: float, sd_b: float, n_b: int, margin: Margin, alpha: float = 0.05
) -> Equivalence:
    """`tost` of independent samples from their means, standard deviations (n - 1) and counts.

    Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15(6).
    """
    if min(n_a, n_b) < 1 or min(sd_a, sd_b) < 0:
        raise TruingError(f"summaries of {n_a} and {n_b} values with sd {sd_a} and {sd_b}", "n >= 1 and sd >= 0", "correct the summary")
    return _equivalence(_from_moments(mean_a, sd_a, n_a, mean_b, sd_b, n_b, 0), margin, alpha, WELCH_TOST)


def noninferiority(
    a: Values | Keyed,
    b: Values | Keyed,
    margin: float,
    alpha: float = 0.05,
    *,
    paired: bool = False,
    higher_is_better: bool = True,
) -> NonInferiority:
    """One-sided test that a is not worse than b by `margin` or more.

    Args:
        a: Values of the condition that is judged.
        b: Values of the condition that it is held against.
        margin: Tolerated harm, above zero, in the unit of the values.
        alpha: One-sided level.
        paired: Pair by key for mappings, by position otherwise; unpaired is Welch's test.
        higher_is_better: False where harm is a larger value.

    Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15(6), one of the two one-sided tests.
    """
    check_fraction(alpha, "an alpha")
    if not 0 < margin < math.inf:
        raise TruingError(f"a margin of {margin}", "a positive number", "give the tolerated harm without a sign")
    contrast = _paired(a, b) if paired else _independent(a, b)
    method = PAIRED_NONINFERIORITY if paired else WELCH_NONINFERIORITY
    rest = (method, contrast.n_a, contrast.n_b, contrast.reason, contrast.n_missing)
    if contrast.diff is None or contrast.se is None or contrast.df is None:
        return NonInferiority(contrast.diff, None, None, margin, higher_is_better, alpha, None, None, None, *rest)
    good = 1.0 if higher_is_better else -1.0
    p = t_lower_tail(-(good * contrast.diff + margin) / contrast.se, contrast.df)
    bound = contrast.diff - good * t_quantile(contrast.df, 1 - 2 * alpha) * contrast.se
    return NonInferiority(contrast.diff, contrast.se, contrast.df, margin, higher_is_better, alpha, p, p < alpha, bound, *rest)


def power_t(n_a: int, n_b: int, d: float, alpha: float = 0.05) -> float:
    """Power of the two-sided t test of two independent groups for a true effect `d`, both tails counted.

    Noncentral t with n_a + n_b - 2 degrees of freedom and d sqrt(n_a n_b / (n_a + n_b)). Source:
    Cohen (1988), Statistical Power Analysis, section 2.5; Johnson, Kotz and Balakrishnan (1995), chapter 31.

    Raises:
        TruingError: a group without values, or no degree of freedom.
    """
    _check_groups(n_a, n_b)
    return _power(n_a + n_b - 2, d * math.sqrt(n_a * n_b / (n_a + n_b)), alpha)


def power_paired(n: int, d: float, alpha: float = 0.05) -> float:
    """Power of the two-sided paired t test for a true effect `d`, in standard deviations of the differences.

    Source: Cohen (1988), Statistical Power Analysis, section 2.3.4.
    """
    if n < 2:
        raise TruingError(f"a test of {n} pairs", "at least two pairs", "add pairs")
    return _power(n - 1, d * math.sqrt(n), alpha)


def detectable_effect(n_a: int, n_b: int, alpha: float, power: float = 0.8) -> DetectableEffect:
    """Smallest d that the two-sided t test of two groups sees with `power` at `alpha`.

    Give the alpha that is used, after correction: .05/10 for one of ten under Bonferroni. The t
    distribution is used throughout; with few values the normal formula promises far too much. Source:
    Cohen (1988), Statistical Power Analysis, section 2.4, with the noncentral t in place of tables.
    """
    check_fraction(alpha, "an alpha")
    check_fraction(power, "a power")
    if min(n_a, n_b) < 1 or n_a + n_b < 3:
        return DetectableEffect(None, n_a, n_b, max(n_a + n_b - 2, 0), alpha, power, False, f"no test of {n_a} against {n_b} values")
    return _detectable(n_a, n_b, n_a + n_b - 2, math.sqrt(n_a * n_b / (n_a + n_b)), alpha, power, paired=False)


def detectable_paired(n: int, alpha: float, power: float = 0.8) -> DetectableEffect:
    """Smallest d, in standard deviations of the differences, that the paired t test of `n` pairs sees.

    Source: Cohen (1988), Statistical Power Analysis, section 2.3.4, with the noncentral t in place of tables.
    """
    check_fraction(alpha, "an alpha")
    check_fraction(power, "a power")
    if n < 2:
        return DetectableEffect(None, n, n, max(n - 1, 0), alpha, power, True, f"no test of {n} pairs")
    return _detectable(n, n, n - 1, math.sqrt(n), alpha, power, paired=True)


def planned_n(d: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Values per group with which the two-sided t test of two equal groups sees `d` with at least `power`.

    Source: Cohen (1988), Statistical Power Analysis, section 2.4, with the noncentral t in place of tables.

    Raises:
        TruingError: an effect of zero, or one so small that no plan would reach it.
    """
    check_fraction(alpha, "an alpha")
    check_fraction(power, "a power")
    if not math.isfinite(d) or d == 0:
        raise TruingError(f"a plan to see an effect of {d}", "an effect other than zero", "give the smallest effect that would matter")
    high = 2
    while power_t(high, high, d, alpha) < power:
        high *= 2
        if high > MOST_PLANNED:
            raise TruingError(f"a plan to see d = {d}", f"a plan of at most {MOST_PLANNED} values", "give a larger effect")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_t(middle, middle, d, alpha) >= power else (middle, high)
    return high


def _independent(a: Values | Keyed, b: Values | Keyed) -> _Contrast:
    first, second = sample(a), sample(b)
    missing = first.n_missing + second.n_missing
    return _from_moments(first.mean, first.sd, first.n, second.mean, second.sd, second.n, missing)


def _from_moments(
    mean_a: float | None, sd_a: float | None, n_a: int, mean_b: float | None, sd_b: float | None, n_b: int, missing: int
) -> _Contrast:
    diff = None if mean_a is None or mean_b is None else mean_a - mean_b
    if sd_a is None or sd_b is None or min(n_a, n_b) < 2:
        return _Contrast(diff, None, None, n_a, n_b, missing, f"too few values: {n_a} of a, {n_b} of b")
    se, df = welch_se(sd_a, n_a, sd_b, n_b)
    return _Contrast(diff, se, df, n_a, n_b, missing, NO_SPREAD if se is None else None)


def _paired(a: Values | Keyed, b: Values | Keyed) -> _Contrast:
    differences = pairs(a, b).differences
    n = differences.n
    if not differences.sd:
        reason = NO_SPREAD if n >= 2 else f"too few values: {n} pairs"
        return _Contrast(differences.mean, None, None, n, n, differences.n_missing, reason)
    return _Contrast(differences.mean, differences.sd / math.sqrt(n), n - 1, n, n, differences.n_missing, None)


def _equivalence(contrast: _Contrast, margin: Margin, alpha: float, method: str) -> Equivalence:
    low, high = _margin(margin)
    if not 0 < alpha < 0.5:
        raise TruingError(f"an alpha of {alpha}", "an alpha between 0 and 0.5", "write 0.05 for an interval of 90 %")
    diff, se, df, level = contrast.diff, contrast.se, contrast.df, 1 - 2 * alpha
    rest = (level, method, contrast.n_a, contrast.n_b, contrast.reason, contrast.n_missing)
    if diff is None or se is None or df is None:
        return Equivalence(diff, None, None, low, high, alpha, None, None, None, None, None, None, *rest)
    p_lower, p_upper = t_lower_tail(-(diff - low) / se, df), t_lower_tail((diff - high) / se, df)
    p, half = max(p_lower, p_upper), t_quantile(df, level) * se
    return Equivalence(diff, se, df, low, high, alpha, p_lower, p_upper, p, p < alpha, diff - half, diff + half, *rest)


def _margin(margin: Margin) -> tuple[float, float]:
    low, high = margin if isinstance(margin, tuple) else (-margin, margin)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise TruingError(f"a margin of {margin}", "a positive number, or two bounds in order", "give what would count as no difference")
    return low, high


def _power(df: int, noncentrality: float, alpha: float) -> float:
    from scipy.special import ncfdtr, nctdtr

    check_fraction(alpha, "an alpha")
    critical, away = t_quantile(df, 1 - alpha), abs(noncentrality)
    if away < NEGLIGIBLE_TAIL:
        # Both tails at once: t^2 is a noncentral F. The far tail of t by itself can come back as NaN.
        return float(1.0 - ncfdtr(1, df, away**2, critical**2))
    # The far tail is below Phi(-away); the near one, as the lower tail of -t, never needs 1 - x.
    return float(nctdtr(df, -away, -critical))


def _detectable(n_a: int, n_b: int, df: int, t_per_d: float, alpha: float, power: float, *, paired: bool) -> DetectableEffect:
    from scipy.optimize import brentq

    if power <= alpha:
        raise TruingError(f"a power of {power} at alpha {alpha}", "a power above alpha", "ask for 0.8")
    high = 1.0
    while _power(df, high * t_per_d, alpha) < power:
        high *= 2
        if high > LARGEST_EFFECT:
            return DetectableEffect(None, n_a, n_b, df, alpha, power, paired, f"no effect up to {LARGEST_EFFECT:g} reaches the power")
    d = float(brentq(lambda effect: _power(df, effect * t_per_d, alpha) - power, 0.0, high, xtol=1e-12, rtol=1e-12))
    return DetectableEffect(d, n_a, n_b, df, alpha, power, paired)


def _check_groups(n_a: int, n_b: int) -> None:
    if min(n_a, n_b) < 1 or n_a + n_b < 3:
        raise TruingError(f"a test of {n_a} against {n_b} values", "a value in each group and three in all", "add values")
