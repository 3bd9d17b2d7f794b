"""Measures of label distributions and of predictions, in closed form, on arrays. No randomness, no input or output.

`p` is float64 [n, K], label probabilities of n distinct items that sum to one in each row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Number = TypeVar("Number", float, NDArray[np.float64])


@dataclass(frozen=True)
class Interval:
    """A mean with its uncertainty; what cannot be estimated is None.

    Attributes:
        value: The mean.
        se: Standard error.
        lo: Lower end; None exactly when `hi` is.
        hi: Upper end.
        method: How the interval was made; None without one.
        distribution: Distribution of its quantiles.
        df: Degrees of freedom of that distribution; None where it has none.
    """

    value: float | None
    se: float | None = None
    lo: float | None = None
    hi: float | None = None
    method: str | None = None
    distribution: str | None = None
    df: float | None = None


def renormalised(logprobs: Floats) -> Floats:
    """Label probabilities given that the answer is one of the labels: softmax over the label log-probabilities [n, K]."""
    shares = np.exp(logprobs - logprobs.max(axis=1, keepdims=True))
    result: Floats = shares / shares.sum(axis=1, keepdims=True)
    return result


def above_chance(probability: Number, classes: int) -> Number:
    """A greatest-class probability mapped so that 0 is an even spread and 1 is certainty: (x - 1/K) / (1 - 1/K)."""
    return (probability - 1 / classes) / (1 - 1 / classes)


def entropies(p: Floats) -> Floats:
    """Shannon entropy of each row, in nats; at most ln K."""
    logs = np.log(np.where(p > 0, p, 1.0))
    return np.maximum(-(p * logs).sum(axis=1), 0.0)


def null_robustness(entropy_norm: float, abstention: float, lean: float) -> float:
    """Null-robustness score in [0, 1]: the mean of normalised entropy, abstention rate and 1 - normalised DCB.

    Every part lies in [0, 1] for any number of classes: 1 is an even answer to every null input, 0 a certain one that never changes.

    Args:
        entropy_norm: Mean entropy over ln K.
        abstention: Share of items whose greatest probability is below the threshold.
        lean: (max of mean - 1/K) / (1 - 1/K).
    """
    return (entropy_norm + abstention + (1 - lean)) / 3


def null_robustness_legacy(entropy_nats: float, abstention: float, max_mean: float, classes: int) -> float:
    """Sum of entropy (nats), abstention (threshold 0.3) and -(max of mean - 1/K): for comparison with earlier reports only.

    Its scale depends on K, and with three classes or fewer its abstention is always zero.
    """
    return entropy_nats + abstention - (max_mean - 1 / classes)


def mean_interval(values: Floats, level: float) -> Interval:
    """Mean over items with Student's interval (Student 1908); without spread or with one item there is no interval."""
    from scipy.stats import t

    if not len(values):
        return Interval(None)
    mean = float(values.mean())
    if len(values) < 2 or float(np.ptp(values)) == 0.0:
        return Interval(mean)
    se = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * se
    return Interval(mean, se, mean - half, mean + half, "t", "t", len(values) - 1)


def stratified_interval(strata: Sequence[Floats], complete: Sequence[bool], level: float) -> Interval:
    """Mean of the strata's means, each with equal weight, with an interval over items within strata (Cochran 1977, chapter 5).

    Variance: sum of s^2 / n over strata, by the square of their number; degrees of freedom after Satterthwaite (1946).

    Args:
        strata: Values of the items of each stratum.
        complete: Strata that hold every item there can be: their mean has no sampling error.
        level: Coverage.

    A stratum without values makes the mean missing; an incomplete one of one item leaves it without an interval.
    """
    from scipy.stats import t

    if any(not len(values) for values in strata):
        return Interval(None)
    mean = float(np.mean([values.mean() for values in strata]))
    sampled = [values for values, whole in zip(strata, complete, strict=True) if not whole]
    if any(len(values) < 2 for values in sampled):
        return Interval(mean)
    variances = [float(values.var(ddof=1)) / len(values) for values in sampled]
    total = sum(variances)
    # Values that differ by rounding alone show no spread.
    if total <= np.finfo(np.float64).eps ** 2:
        return Interval(mean)
    freedom = total**2 / sum(v**2 / (len(values) - 1) for v, values in zip(variances, sampled, strict=True))
    se = math.sqrt(total) / len(strata)
    half = float(t.ppf((1 + level) / 2, freedom)) * se
    return Interval(mean, se, mean - half, mean + half, "stratified t", "t", freedom)


def wilson(successes: int, n: int, level: float) -> Interval:
    """A proportion with Wilson's (1927) score interval; None of nothing."""
    from scipy.stats import norm

    if n == 0:
        return Interval(None)
    share, z = successes / n, float(norm.ppf((1 + level) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    lo, hi = max(centre - half, 0.0), min(centre + half, 1.0)
    return Interval(share, math.sqrt(share * (1 - share) / n), lo, hi, "wilson", "normal")


def confusion(gold: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts [gold class, predicted class]."""
    table: Ints = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (gold, predicted), 1)
    return table


def macro_f1(table: Ints) -> float | None:
    """Mean over the classes that occur of F1 = 2 TP / (2 TP + FP + FN); None without items."""
    hits, golds, answers = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    present = golds > 0
    return float(np.mean(2 * hits[present] / (golds + answers)[present])) if present.any() else None


def matthews(table: Ints) -> float | None:
    """Matthews correlation for K classes (Gorodkin 2004); None where it is 0/0: one gold class, or one answer to everything."""
    total, hits = float(table.sum()), float(np.trace(table))
    golds, answers = table.sum(axis=1).astype(float), table.sum(axis=0).astype(float)
    below = (total**2 - answers @ answers) * (total**2 - golds @ golds)
    return float((hits * total - golds @ answers) / math.sqrt(below)) if below > 0 else None


def best_permutation_accuracy(table: Ints) -> float | None:
    """Accuracy under the relabelling of answers that agrees best with gold (Hungarian method, Kuhn 1955).

    Well above the accuracy itself, it says that the label map is probably wrong.
    """
    from scipy.optimize import linear_sum_assignment

    if not table.sum():
        return None
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / table.sum())


def brier(p: Floats, gold: Ints) -> Floats:
    """Squared distance of each row from its gold class, in [0, 2] (Brier 1950)."""
    result: Floats = ((p - np.eye(p.shape[1])[gold]) ** 2).sum(axis=1)
    return result


def calibration_error(p: Floats, gold: Ints, bins: int) -> float | None:
    """Expected calibration error over equal-width bins of the greatest probability (Guo et al. 2017, arXiv 1706.04599)."""
    if not len(p):
        return None
    confidence, right = p.max(axis=1), p.argmax(axis=1) == gold
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(float((right[place == b] - confidence[place == b]).sum())) for b in range(bins)]
    return sum(gaps) / len(p)
