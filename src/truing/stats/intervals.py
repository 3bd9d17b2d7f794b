"""Intervals with the unit they are over: independent seeds, or items asked of one model.

An interval that the data cannot support is absent, never of zero width: one seed has no spread, and
seeds that agree exactly show a spread of zero that says nothing about the next seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from truing.core.errors import TruingError, some

T_METHOD = "t"
PAIRED_T_METHOD = "paired t"
WILSON_METHOD = "wilson"
CLOPPER_PEARSON_METHOD = "clopper-pearson"
ZERO_EVENT_METHOD = "clopper-pearson, one-sided"


@dataclass(frozen=True)
class Estimate:
    """A value with its uncertainty.

    Attributes:
        value: The point estimate; None when every observation is missing.
        se: Standard error, in the unit of the value; None when it cannot be estimated.
        lo: Lower end of the interval; None exactly when `hi` is.
        hi: Upper end of the interval.
        level: Coverage of the interval, in (0, 1).
        method: How the interval was made; None when there is no interval.
        n: Observations that entered; missing ones do not.
        unit: What one observation is: "seed" or "item".
        n_missing: Observations that were left out because they have no value.
    """

    value: float | None
    se: float | None
    lo: float | None
    hi: float | None
    level: float
    method: str | None
    n: int
    unit: str
    n_missing: int = 0


def t_interval(values: Iterable[float | None], *, level: float = 0.95, unit: str = "seed") -> Estimate:
    """Mean with Student's interval: mean +- t(n-1, (1+level)/2) * s / sqrt(n).

    None and NaN are missing: left out and counted. With one value, or with values that are all equal,
    there is a mean and no interval. Source: Student (1908), Biometrika 6(1).
    """
    return _t_estimate(values, level, unit, T_METHOD)


def paired_t_interval(a: Mapping[int, float | None], b: Mapping[int, float | None], *, level: float = 0.95, unit: str = "seed") -> Estimate:
    """Interval of the mean of `a - b`, paired by seed.

    Args:
        a: Value by seed of the condition that the difference is named after first.
        b: Value by seed of the condition that is subtracted.
        level: Coverage, in (0, 1).
        unit: What a pair is.

    A seed that only one of the two has, or whose value is missing in either, is left out and counted.
    Source: Student (1908), Biometrika 6(1), on the differences of pairs.
    """
    return _t_estimate(_differences(a, b), level, unit, PAIRED_T_METHOD)


def paired_p_value(a: Mapping[int, float | None], b: Mapping[int, float | None]) -> float | None:
    """Two-sided p-value of the paired t test that the mean of `a - b` is zero.

    None with fewer than two complete pairs, or when all differences are equal and t is undefined or
    infinite. Source: Student (1908), Biometrika 6(1).
    """
    from scipy.special import stdtr

    estimate = paired_t_interval(a, b)
    if estimate.value is None or not estimate.se:
        return None
    return float(2.0 * stdtr(estimate.n - 1, -abs(estimate.value / estimate.se)))


def wilson_interval(successes: int, n: int, *, level: float = 0.95, unit: str = "item") -> Estimate:
    """Wilson's score interval of a proportion; it keeps to [0, 1] and has width at 0 and n successes.

    With no trials there is no value. Source: Wilson (1927), J. Am. Stat. Assoc. 22(158), eq. for the score limits.
    """
    from scipy.special import ndtri

    _check_level(level)
    _check_counts(successes, n)
    if n == 0:
        return Estimate(None, None, None, None, level, None, 0, unit)
    p = successes / n
    z = float(ndtri(0.5 + level / 2))
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the ends the exact limits are 0 and 1; rounding must not push them outside.
    lo = 0.0 if successes == 0 else centre - half
    hi = 1.0 if successes == n else centre + half
    return Estimate(p, math.sqrt(p * (1 - p) / n), lo, hi, level, WILSON_METHOD, n, unit)


def clopper_pearson_interval(successes: int, n: int, *, level: float = 0.95, unit: str = "item") -> Estimate:
    """The exact two-sided interval of a proportion, from quantiles of the beta distribution.

    With no trials there is no value. Source: Clopper and Pearson (1934), Biometrika 26(4).
    """
    from scipy.special import betaincinv

    _check_level(level)
    _check_counts(successes, n)
    if n == 0:
        return Estimate(None, None, None, None, level, None, 0, unit)
    tail = (1 - level) / 2
    lo = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    hi = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    p = successes / n
    return Estimate(p, math.sqrt(p * (1 - p) / n), lo, hi, level, CLOPPER_PEARSON_METHOD, n, unit)


def zero_event_bound(n: int, *, level: float = 0.95, unit: str = "item") -> Estimate:
    """What seeing no event in `n` trials says about its rate: at most 1 - (1 - level)^(1/n), one-sided.

    This is the exact form of the rule of three, 3/n. Sources: Clopper and Pearson (1934), Biometrika
    26(4); Hanley and Lippman-Hand (1983), JAMA 249(13).
    """
    _check_level(level)
    if n < 1:
        raise TruingError(f"a bound on an event in {n} trials", "at least one trial", "leave the bound out where nothing was tried")
    return Estimate(0.0, None, 0.0, -math.expm1(math.log1p(-level) / n), level, ZERO_EVENT_METHOD, n, unit)


def _t_estimate(values: Iterable[float | None], level: float, unit: str, method: str) -> Estimate:
    from scipy.special import stdtrit

    _check_level(level)
    observed = [None if value is None or math.isnan(value) else float(value) for value in values]
    known = np.array([value for value in observed if value is not None], dtype=np.float64)
    if not np.isfinite(known).all():
        raise TruingError(f"values with an infinity: {some(known.tolist())}", "finite values", "mend the metric that produced them")
    n, missing = len(known), len(observed) - len(known)
    mean = float(known.mean()) if n else None
    if n < 2 or _equal(known):
        return Estimate(mean, None, None, None, level, None, n, unit, missing)
    se = float(known.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * se
    return Estimate(mean, se, float(known.mean()) - half, float(known.mean()) + half, level, method, n, unit, missing)


def _equal(known: np.ndarray) -> bool:
    # Differences of equal decimals differ in the last bits; that is rounding, not a spread.
    return bool(np.ptp(known) <= 16 * np.finfo(np.float64).eps * max(1.0, float(np.abs(known).max())))


def _differences(a: Mapping[int, float | None], b: Mapping[int, float | None]) -> list[float | None]:
    pairs = [(a.get(seed), b.get(seed)) for seed in sorted(a.keys() | b.keys())]
    return [None if x is None or y is None else x - y for x, y in pairs]


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise TruingError(f"an interval of level {level}", "a level between 0 and 1", "write 0.95 for 95 %")


def _check_counts(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise TruingError(f"{successes} successes in {n} trials", "0 <= successes <= trials", "correct the counts")
