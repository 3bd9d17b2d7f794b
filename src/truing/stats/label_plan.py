"""How many gold labels a target standard error takes, from a pilot that has some."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from truing.core.errors import TruingError, some
from truing.stats.dsl import FOLDS, SPLITS, cross_fits, scaled_weights
from truing.stats.judged import Judged, Target, contrast, no_gold
from truing.stats.samples import Floats
from truing.stats.sandwich import inverted, sandwich

# Shares of all items that the table of budgets shows.
BUDGET_SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Budget:
    """The standard error predicted for a number of gold labels, drawn in the proportions of the pilot."""

    labels: int
    se: float


@dataclass(frozen=True)
class LabelPlan:
    """How many gold labels are needed.

    Attributes:
        target_se: The standard error asked for, in the unit of the label.
        needed: The least number of labels that is predicted to reach it; None when none does, and then `reason` says why.
        n: Items that take part.
        n_gold: Labels of the pilot.
        se_now: Standard error with the pilot's labels; None when it cannot be estimated.
        se_all: Predicted standard error with every item labelled: what no budget gets below.
        budgets: The table, from few labels to all.
        reason: Why `needed` is None.
    """

    target_se: float
    needed: int | None
    n: int
    n_gold: int
    se_now: float | None
    se_all: float | None
    budgets: tuple[Budget, ...]
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Meat:
    """The variance of one split: `rest`, and [label] terms that fall with the probability of a label."""

    rest: float
    terms: Floats
    deviation: float


@dataclass(frozen=True, eq=False)
class Pilot:
    """What predictions are made from: the meat of each split, pi of items that take part, and of those with a label."""

    meats: tuple[Meat, ...]
    pi: Floats
    pi_gold: Floats

    def se(self, labels: int) -> float:
        """Predicted standard error with so many labels expected."""
        factor = _factor(self.pi, labels)
        chance = np.minimum(1.0, factor * self.pi_gold)
        ratio = labels / float(self.pi.sum())
        parts = [meat.rest + float((meat.terms / chance).sum()) + meat.deviation / ratio for meat in self.meats]
        return math.sqrt(max(0.0, float(np.median(parts))))


def labels_needed(
    data: Judged,
    target_se: float,
    *,
    rng: np.random.Generator,
    difference: tuple[str, str] | None = None,
    cluster: str = "item",
    budgets: Sequence[int] = (),
    folds: int = FOLDS,
    splits: int = SPLITS,
) -> LabelPlan:
    """Predict the standard error of `dsl` for numbers of gold labels, and the least number for a target.

    Args:
        data: The pilot.
        target_se: Standard error wanted, in the unit of the label.
        rng: Deals the items to folds.
        difference: Arms (a, b) for `a - b`; None for the rate over all items.
        cluster: What is drawn independently, as in `dsl`.
        budgets: Numbers of labels for the table; without them shares of all items.
        folds: Parts of the cross-fit.
        splits: Random splits.

    The variance is a part that labels cannot lower and the sum of d_i^2 / pi_i, d the error of the prediction:
    with pi multiplied by k (to at most one) the second is divided by it. The prediction g is taken to be as good as in the pilot.
    Source: Egami, Hinck, Stewart and Wei (2023), NeurIPS 36, section 4, from the form of the variance; Saerndal,
    Swensson and Wretman (1992), Model Assisted Survey Sampling, section 6.6, for the difference estimator.

    Raises:
        TruingError: a target that is not positive, or a budget that is not from 1 to the number of items.
    """
    target = contrast(data, difference)
    n, n_gold = int(target.used.sum()), int((target.used & data.labelled).sum())
    _check(target_se, budgets, n)
    absent = no_gold(data, target)
    pilot = None if absent else _pilot(data, target, rng, cluster, folds, splits)
    if pilot is None:
        return LabelPlan(target_se, None, n, n_gold, None, None, (), absent or f"too few {cluster} clusters to see a spread between them")
    table = tuple(Budget(labels, pilot.se(labels)) for labels in (budgets or _default_budgets(n)))
    least = pilot.se(n)
    needed, reason = _least(pilot, target_se, n) if least > 0 else None, None
    if not least > 0:
        reason = "the pilot's labels explain more than all of the variance: too few labels or clusters to predict from"
    elif needed is None:
        reason = f"with all {n} items labelled the standard error is still {least:.3g}: more items, seeds or questions are needed"
    return LabelPlan(target_se, needed, n, n_gold, pilot.se(n_gold), least or None, table, reason)


def _pilot(data: Judged, target: Target, rng: np.random.Generator, cluster: str, folds: int, splits: int) -> Pilot | None:
    ways, gold = data.ways(cluster), target.used & data.labelled
    weights, inverse = scaled_weights(data), inverted(target.x.T @ (target.used[:, None] * target.x))
    pull = (target.x @ inverse)[:, target.at]
    found = list(cross_fits(data, target, "linear", rng, folds, splits))
    centre = float(np.median([split.fit.values[target.at] for split in found]))
    meats = []
    for split in found:
        se = float(sandwich(split.fit, target.x, target.used, ways, cluster).se[target.at])
        if math.isnan(se):
            return None
        squares = (pull * (np.nan_to_num(data.gold) - split.predicted))[gold] ** 2
        now = float((squares * weights[gold] ** 2).sum())
        meats.append(Meat(se**2 - now, squares * weights[gold], (float(split.fit.values[target.at]) - centre) ** 2))
    scale = float(data.labelled.mean()) / float(data.pi.mean())
    return Pilot(tuple(meats), data.pi[target.used] * scale, data.pi[gold] * scale)


def _factor(pi: Floats, labels: int) -> float:
    """K with sum of min(1, k pi) equal to `labels`."""
    if labels >= len(pi):
        return 1.0 / float(pi.min())
    ordered = np.sort(pi)[::-1]
    # With the m largest at one, k is (labels - m) over the sum of the others: the first m at which no other is above one.
    rest = np.cumsum(ordered[::-1])[::-1]
    factors = (labels - np.arange(len(pi))) / rest
    fits = (factors * ordered <= 1.0 + 1e-12) & (factors > 0)
    return float(factors[np.argmax(fits)])


def _least(pilot: Pilot, target_se: float, n: int) -> int | None:
    if pilot.se(n) > target_se:
        return None
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if pilot.se(middle) <= target_se else (middle, high)
    return high


def _default_budgets(n: int) -> list[int]:
    return sorted({max(1, round(share * n)) for share in BUDGET_SHARES})


def _check(target_se: float, budgets: Sequence[int], n: int) -> None:
    if not (math.isfinite(target_se) and target_se > 0):
        raise TruingError(f"a target standard error of {target_se}", "a positive number", "write 0.02 for 2 points")
    beyond = [labels for labels in budgets if not 1 <= labels <= n]
    if beyond:
        raise TruingError(f"budgets of {some(beyond)} labels", f"1 to {n}, the items that take part", "correct the budgets")
