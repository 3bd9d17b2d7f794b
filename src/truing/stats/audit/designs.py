"""Power of the two-sample t test with equal groups, and the effect that it detects."""

from __future__ import annotations

import math

from truing.stats.audit.boxes import UndefinedNumberError


def two_sample_power(effect: float, n: int, alpha: float) -> float:
    """Chance that the two-sided t test of two groups of `n` is significant at `alpha`.

    Args:
        effect: Difference of the means in units of the common standard deviation.
        n: Size of each group; at least 2.
        alpha: Level of the test, after any correction.

    Raises:
        UndefinedNumberError: groups of fewer than 2 have no spread.

    Source: Cohen (1988), Statistical Power Analysis, section 12.2: noncentral t with 2n - 2 degrees of freedom and
    noncentrality effect * sqrt(n / 2), both tails.
    """
    from scipy import stats

    _check_size(n)
    df, shift = 2 * n - 2, abs(effect) * math.sqrt(n / 2)
    critical = float(stats.t.isf(alpha / 2, df))
    # The far tail is lost in rounding where it is tiny, and scipy then has no number for it.
    far = float(stats.nct.cdf(-critical, df, shift))
    power = float(stats.nct.sf(critical, df, shift)) + (far if math.isfinite(far) else 0.0)
    if not math.isfinite(power):
        raise UndefinedNumberError(f"the noncentral t with {df} df and noncentrality {shift:g} is beyond scipy's range")
    return min(1.0, power)


def detectable_effect(n: int, alpha: float, power: float) -> float:
    """The standardised effect whose power is `power`, the inverse of `two_sample_power`; alpha < power < 1."""
    from scipy.optimize import brentq

    _check_size(n)
    high = 1.0
    while two_sample_power(high, n, alpha) < power:
        high *= 2.0
    return float(brentq(lambda effect: two_sample_power(effect, n, alpha) - power, 0.0, high, xtol=1e-12))


def _check_size(n: int) -> None:
    if n < 2:
        raise UndefinedNumberError(f"n is {n} per group, and a spread needs 2")
