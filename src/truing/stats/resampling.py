"""What every bootstrap shares: counts instead of copies, the ends of an interval, and when there are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from truing.core.errors import unknown
from truing.stats.samples import Floats, check_draws, check_fraction, constant

PERCENTILE = "percentile"
BCA = "bca"
METHODS = (PERCENTILE, BCA)
MIN_BCA_CLUSTERS = 8
CHUNK_ELEMENTS = 2_000_000


@dataclass(frozen=True)
class Bootstrap:
    """A value with its uncertainty by resampling.

    Attributes:
        value: The estimate from the data; None when every observation is missing.
        se: Standard deviation of the draws; None when nothing can be resampled.
        lo: Lower end of the interval; None exactly when `hi` is.
        hi: Upper end.
        level: Coverage of the interval.
        method: "percentile" or "bca"; None when there is no interval.
        n_questions: Questions (of clusters and tasks: their number).
        n_seeds: Seeds (runs); None for clusters.
        unit: What is resampled.
        n_draws: Draws that gave a value.
        n_missing: Cells, or observations, without a value.
        reason: Why there is no interval.
    """

    value: float | None
    se: float | None
    lo: float | None
    hi: float | None
    level: float
    method: str | None
    n_questions: int
    n_seeds: int | None
    unit: str
    n_draws: int = 0
    n_missing: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Limits:
    """Two ends of an interval, or the reason that there are none."""

    lo: float | None
    hi: float | None
    reason: str | None = None


def bca(value: float, drawn: Floats, left_out: Sequence[Floats], *, level: float = 0.95) -> Limits:
    """Bias-corrected and accelerated limits, Phi(z0 + (z0 + z) / (1 - a (z0 + z))) as shares of the draws.

    z0 comes from the share of draws below the value (ties count half), a from the skew of the
    jackknife, whose influences are added over the axes that are resampled.

    Args:
        value: The estimate.
        drawn: Its bootstrap draws.
        left_out: For each axis, the estimate without each of its clusters in turn.
        level: Coverage.

    Refused with a reason: fewer than eight clusters on an axis, draws that lie on one side of the
    value, limits beyond the draws, and limits on a bound where the draws are tied. Sources: Efron
    (1987), J. Am. Stat. Assoc. 82(397), eq. (2.3); Davison and Hinkley (1997), eq. (5.26), for more
    than one axis.
    """
    from scipy.special import ndtr, ndtri

    fewest = min(len(axis) for axis in left_out)
    if fewest < MIN_BCA_CLUSTERS:
        return Limits(None, None, f"bca needs at least {MIN_BCA_CLUSTERS} clusters on each axis that is resampled, not {fewest}")
    below = (np.count_nonzero(drawn < value) + np.count_nonzero(drawn <= value)) / (2 * len(drawn))
    if not 0 < below < 1:
        return Limits(None, None, "bca: all draws lie on one side of the value")
    z0 = float(ndtri(below))
    acceleration = _acceleration(left_out)
    z = z0 + ndtri([(1 - level) / 2, (1 + level) / 2])
    if acceleration is None or (1 - acceleration * z <= 0).any():
        return Limits(None, None, "bca: the jackknife gives no acceleration")
    shares = ndtr(z0 + z / (1 - acceleration * z))
    if shares.min() * len(drawn) < 1 or (1 - shares.max()) * len(drawn) < 1:
        return Limits(None, None, "bca: the limits lie beyond the draws")
    lo, hi = (float(end) for end in np.quantile(drawn, shares))
    if _tied_at_bound(drawn, lo, hi):
        return Limits(None, None, "bca: the draws are tied at a bound; use wilson_interval, clopper_pearson_interval or zero_event_bound")
    return Limits(lo, hi)


def check_request(draws: int, level: float, method: str) -> None:
    """Refuse what no bootstrap can do."""
    check_draws(draws)
    check_fraction(level, "a level")
    if method not in METHODS:
        raise unknown("interval method", method, METHODS, "bootstrap")


def without_interval(result: Bootstrap, reason: str | None) -> Bootstrap:
    """The estimate with the reason that it has no interval."""
    return replace(result, reason=reason or "no value")


def count_chunks(rng: np.random.Generator, n: int, draws: int, width: int) -> Iterator[Floats]:
    """How often each of `n` is drawn in `n` draws with replacement: arrays [draws, n] of bounded size."""
    rows = max(1, CHUNK_ELEMENTS // width)
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        # Counting drawn indices is several times as fast as drawing multinomial counts.
        drawn = rng.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def leave_one_out(sums: Floats, counts: Floats) -> Floats:
    """The ratio of sums without each cluster in turn."""
    rest = counts.sum() - counts
    # A cluster without a value changes nothing when it is left out and is no cluster of the jackknife.
    keep = (counts > 0) & (rest > 0)
    return (sums.sum() - sums[keep]) / rest[keep]


def with_interval(result: Bootstrap, drawn: Floats, left_out: Sequence[Floats], method: str) -> Bootstrap:
    """The estimate with the standard error and the interval of its draws."""
    # A draw of nothing but missing cells has no mean.
    defined = drawn[~np.isnan(drawn)]
    value, result = result.value, replace(result, n_draws=len(defined))
    if len(defined) < 2 or constant(defined) or value is None:
        return replace(result, reason="the draws do not vary")
    result = replace(result, se=float(defined.std(ddof=1)))
    limits = bca(value, defined, left_out, level=result.level) if method == BCA else percentile(defined, result.level)
    return replace(result, lo=limits.lo, hi=limits.hi, reason=limits.reason, method=method if limits.reason is None else None)


def percentile(drawn: Floats, level: float) -> Limits:
    """Limits at equal tails of the draws. Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 13.3."""
    tail = (1 - level) / 2
    if tail * len(drawn) < 1:
        return Limits(None, None, f"{len(drawn)} draws are too few for the tails of a level of {level}")
    lo, hi = np.quantile(drawn, [tail, 1 - tail])
    return Limits(float(lo), float(hi))


def _acceleration(left_out: Sequence[Floats]) -> float | None:
    influence = [(len(axis) - 1) / len(axis) * (axis.mean() - axis) for axis in left_out]
    squares = float(sum((one**2).sum() for one in influence))
    return float(sum((one**3).sum() for one in influence)) / (6 * squares**1.5) if squares > 0 else None


def _tied_at_bound(drawn: Floats, lo: float, hi: float) -> bool:
    # Sums in another order differ in the last bits; such draws are tied all the same.
    rounding = 1e-12 * float(np.ptp(drawn))
    least, most = float(drawn.min()) + rounding, float(drawn.max()) - rounding
    return bool((lo <= least and np.count_nonzero(drawn <= least) > 1) or (hi >= most and np.count_nonzero(drawn >= most) > 1))
