"""Means whose observations come in clusters: how many independent observations they are worth, and their error."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from truing.core.errors import TruingError, some
from truing.stats.hypotheses import t_quantile
from truing.stats.intervals import Estimate
from truing.stats.samples import Floats, check_fraction, constant

CLUSTERED_METHOD = "t over clusters"
# Below this many clusters the clustered standard error is noticeably too small: Cameron and Miller (2015),
# J. Human Resources 50(2), section VI, place "few" between 5 and 30 clusters, and above for unequal ones.
FEW_CLUSTERS = 30


@dataclass(frozen=True)
class Icc:
    """Intraclass correlation: `value` can be negative, and is None with a `reason` when it is not defined."""

    value: float | None
    clusters: int
    members: float
    n_missing: int
    reason: str | None


@dataclass(frozen=True)
class ClusteredSE:
    """A mean whose observations come in clusters.

    Attributes:
        mean: Mean of the observations.
        se: Clustered standard error; None with fewer than two clusters, or when all observations are equal.
        naive_se: The standard error that takes observations for independent; None as above.
        design_effect: (se / naive_se)^2; None when either is.
        n: Observations with a value, of `clusters` clusters; `n_missing` have none.
        note: What to beware of; None when there is nothing.
    """

    mean: float
    se: float | None
    naive_se: float | None
    design_effect: float | None
    n: int
    clusters: int
    n_missing: int
    note: str | None


def design_effect(m: float, icc: float) -> float:
    """By how much clusters of `m` members multiply the variance of a mean: 1 + (m - 1) ICC.

    Source: Kish (1965), Survey Sampling, section 5.4. The correlation is within [-1/(m-1), 1].
    """
    if not m >= 1:
        raise TruingError(f"clusters of {m} members", "at least one member", "pass the mean size of a cluster")
    effect = 1.0 + (m - 1.0) * icc
    if not (-1 <= icc <= 1 and effect >= -1e-12):
        raise TruingError(f"an intraclass correlation of {icc} in clusters of {m}", "-1/(m-1) to 1", "estimate it with `icc`")
    return max(effect, 0.0)


def effective_n(n: int, effect: float) -> float:
    """How many independent observations are worth `n` clustered ones: n / design effect.

    Source: Kish (1965), Survey Sampling, section 8.2.
    """
    if not effect > 0:
        raise TruingError(f"a design effect of {effect}", "a number above 0", "see `design_effect`")
    return n / effect


def icc(values: ArrayLike) -> Icc:
    """Intraclass correlation of members of a cluster, from one-way analysis of variance.

    Args:
        values: [cluster, member]; NaN is missing, so that clusters can have unequal sizes.

    (MSB - MSW) / (MSB + (m0 - 1) MSW), with m0 = (N - sum m_i^2 / N) / (clusters - 1) for m.
    Sources: Shrout and Fleiss (1979), Psychol. Bull. 86(2), ICC(1,1); Donner (1986), Int. Stat. Rev. 54(1), for m0.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise TruingError(f"values with {table.ndim} axes", "two: [cluster, member]", "reshape, with NaN for members that are missing")
    check_finite(table)
    counts = np.isfinite(table).sum(axis=1)
    rows, sizes = table[counts > 0], counts[counts > 0]
    n, g, missing = int(sizes.sum()), len(sizes), int(np.isnan(table).sum())
    if g < 2 or n == g:
        return Icc(None, g, n / g if g else math.nan, missing, "needs two clusters, and a cluster of two members")
    m0 = float((n - (sizes**2).sum() / n) / (g - 1))
    means = np.nanmean(rows, axis=1)
    between = float((sizes * (means - np.nansum(rows) / n) ** 2).sum()) / (g - 1)
    within = float(np.nansum((rows - means[:, None]) ** 2)) / (n - g)
    if constant(rows[~np.isnan(rows)]):
        return Icc(None, g, m0, missing, "all values are equal")
    return Icc((between - within) / (between + (m0 - 1) * within), g, m0, missing, None)


def clustered_se(values: Iterable[float | None], clusters: Sequence[Hashable]) -> ClusteredSE:
    """Standard error of a mean whose observations are independent only between clusters.

    The clusters are one per value; a value that is None or NaN is missing, left out and counted.
    SE^2 = (1/n^2) sum over clusters of (sum over members of (x_i - mean))^2. Source: Miller (2024),
    arXiv 2411.00640, section 2.2; this is the sandwich of Liang and Zeger (1986) without a correction
    for few clusters, for which see `clustered_interval`.

    Raises:
        TruingError: other than one cluster for each value, or no known value.
    """
    known, labels, missing = _clustered(values, clusters)
    n, mean = len(known), float(known.mean())
    sums = _cluster_sums(known - mean, labels)
    spread = n > 1 and not constant(known)
    se = math.sqrt(float((sums**2).sum())) / n if spread and len(sums) > 1 else None
    naive = float(known.std(ddof=1)) / math.sqrt(n) if spread else None
    effect = (se / naive) ** 2 if se is not None and naive is not None else None
    return ClusteredSE(mean, se, naive, effect, n, len(sums), missing, _few(len(sums)))


def clustered_interval(values: Iterable[float | None], clusters: Sequence[Hashable], *, level: float = 0.95) -> Estimate:
    """Mean with an interval over clusters: mean +- t(G-1) * se * sqrt(G / (G-1)), G clusters.

    With clusters of one size this is Student's interval of the cluster means, exact for normal means at
    any G. Source: Cameron and Miller (2015), J. Human Resources 50(2), section VI.B (CR1 with t(G-1)).
    No interval with fewer than two clusters, or without a spread between them.
    """
    check_fraction(level, "a level")
    found = clustered_se(values, clusters)
    # Clusters whose means agree up to rounding have no spread between them.
    if found.se is None or found.naive_se is None or found.se <= 1e-12 * found.naive_se:
        return Estimate(found.mean, None, None, None, level, None, found.clusters, "cluster", found.n_missing)
    se = found.se * math.sqrt(found.clusters / (found.clusters - 1))
    half = t_quantile(found.clusters - 1, level) * se
    return Estimate(
        found.mean, se, found.mean - half, found.mean + half, level, CLUSTERED_METHOD, found.clusters, "cluster", found.n_missing
    )


def check_finite(table: Floats) -> None:
    """Refuse a table with an infinity; NaN is missing."""
    if np.isinf(table).any():
        raise TruingError(
            f"values with an infinity at {some(np.argwhere(np.isinf(table)).tolist())}", "finite values or NaN", "mend the metric"
        )


def _clustered(values: Iterable[float | None], clusters: Sequence[Hashable]) -> tuple[Floats, list[Hashable], int]:
    numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    if len(numbers) != len(clusters):
        raise TruingError(
            f"{len(numbers)} values in {len(clusters)} clusters", "the cluster of each value", "pass both from the same table"
        )
    check_finite(numbers)
    known = ~np.isnan(numbers)
    if not known.any():
        raise TruingError("no value that is known", "at least one", "leave out a mean of nothing")
    return numbers[known], [cluster for cluster, use in zip(clusters, known, strict=True) if use], int((~known).sum())


def _cluster_sums(residuals: Floats, labels: Sequence[Hashable]) -> Floats:
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    sums = np.zeros(len(numbers))
    np.add.at(sums, [numbers[label] for label in labels], residuals)
    return sums


def _few(clusters: int) -> str | None:
    if clusters >= FEW_CLUSTERS:
        return None
    if clusters < 2:
        return "one cluster: nothing is known of the spread between clusters"
    return (
        f"{clusters} clusters are few (under {FEW_CLUSTERS}): this standard error is too small by about "
        f"{100 * (1 - math.sqrt((clusters - 1) / clusters)):.1f} %; report the interval with t on {clusters - 1} df"
    )
