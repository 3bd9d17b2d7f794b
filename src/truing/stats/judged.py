"""Rates that a judge scored, some items of which people labelled as well: the table, the sandwich, naive and gold-only.

A judge that is right nine times in ten biases a rate, and biases a difference as soon as its errors depend on the
condition. Where a known random part of the items has a gold label the bias can be taken out: see `truing.stats.dsl`,
`truing.stats.ppi` and `truing.stats.misclassification`. Every estimator here is a weighted least-squares fit whose
rows have known influence, so that clusters enter all of them in one way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from truing.core.errors import TruingError, some, unknown
from truing.stats.hypotheses import t_quantile
from truing.stats.samples import Floats, check_fraction
from truing.stats.sandwich import Codes, Labels, Mask, Spread, codes, crossed, least_squares, sandwich

# Under these the normal quantile is too small: intervals take t, and say so.
FEW_GOLD = 100
FEW_IN_CELL = 10
# More distinct scores than this are a scale, not verdicts.
MOST_VERDICTS = 10
# Labels that are this many standard errors more or fewer than their probabilities say were not drawn with them.
DESIGN_Z = 6.0
CLUSTERS = ("item", "seed", "question", "seed x question")
NAIVE_METHOD = "biased: the judge's scores taken for the truth"


@dataclass(frozen=True)
class Corrected:
    """A rate, a difference or a coefficient from judged items.

    Attributes:
        estimator: "naive", "gold_only", "ppi", "dsl" or "rogan_gladen".
        value: The estimate; of a difference `a - b`. None when there is none, and then `reason` says why.
        se: Standard error; None when it cannot be estimated.
        lo: Lower end of the interval; None exactly when `hi` is.
        hi: Upper end.
        level: Coverage of the interval, in (0, 1).
        n: Items that entered.
        n_gold: Those of them with a gold label.
        method: How estimate and interval were made; None when there is no estimate.
        reason: Why something is absent.
        warning: What to beware of in what is there.
        a: First arm of a difference, b the one that is subtracted; None of a rate or a coefficient.
        b: See `a`.
    """

    estimator: str
    value: float | None
    se: float | None
    lo: float | None
    hi: float | None
    level: float
    n: int
    n_gold: int
    method: str | None
    reason: str | None = None
    warning: str | None = None
    a: str | None = None
    b: str | None = None


@dataclass(frozen=True, eq=False)
class Judged:
    """Judged items, checked; made by `judged`.

    Attributes:
        judge: [item] score of the judge, on the scale of the gold label; NaN where it gave none.
        gold: [item] label by people; NaN where it was not asked for.
        pi: [item] probability with which the item was drawn for labelling, in (0, 1].
        arm: [item] names of the conditions; None when there is one.
        stratum: [item] codes of what else errors may depend on; None when nothing.
        seed: [item] codes of the training seed; None when not given.
        question: [item] codes of the question; None when not given.
    """

    judge: Floats
    gold: Floats
    pi: Floats
    arm: tuple[str, ...] | None = None
    stratum: Codes | None = None
    seed: Codes | None = None
    question: Codes | None = None

    @property
    def labelled(self) -> Mask:
        """[item] whether there is a gold label."""
        return ~np.isnan(self.gold)

    @property
    def weights(self) -> Floats:
        """[item] R / pi: the inverse probability of a labelled item, zero of another."""
        return np.where(self.labelled, 1.0 / self.pi, 0.0)

    @property
    def discrete(self) -> bool:
        """Whether the judge gives few verdicts rather than a scale."""
        return len(np.unique(self.judge[~np.isnan(self.judge)])) <= MOST_VERDICTS

    @property
    def groups(self) -> Codes:
        """[item] codes of arm x stratum."""
        arms = codes(self.arm) if self.arm is not None else np.zeros(len(self.pi), dtype=np.int64)
        return arms if self.stratum is None else crossed(arms, self.stratum)

    @property
    def cells(self) -> Codes:
        """[item] codes of verdict x arm x stratum; of a scale, of arm x stratum. No verdict is a verdict of its own."""
        return crossed(codes(np.nan_to_num(self.judge, nan=math.inf).tolist()), self.groups) if self.discrete else self.groups

    def arms(self) -> tuple[str, ...]:
        """The names of the arms, in order of appearance."""
        return tuple(dict.fromkeys(self.arm or ()))

    def ways(self, cluster: str) -> list[Codes | None]:
        """[item] codes of the clusters, one list for each way; None where each item is its own.

        Raises:
            TruingError: an unknown cluster, or one that the table does not have.
        """
        if cluster not in CLUSTERS:
            raise unknown("cluster", cluster, CLUSTERS, "standard error")
        known = {"item": np.arange(len(self.pi)), "seed": self.seed, "question": self.question}
        names = cluster.split(" x ")
        for name in names:
            if known[name] is None:
                raise TruingError(f"a standard error over {cluster} of items without a {name}", f"the {name} of each item", f"pass {name}=")
        return [None if name == "item" else known[name] for name in names]


@dataclass(frozen=True, eq=False)
class Target:
    """What is estimated: coefficient `at` of a regression on `x` of the rows in `used`.

    Attributes:
        x: [item, column] the mean's is a column of ones, the difference's has a second that marks arm `a`.
        used: [item] whether the item is of an arm that takes part.
        at: The column whose coefficient is wanted.
        a: First arm of a difference.
        b: The arm that is subtracted.
    """

    x: Floats
    used: Mask
    at: int
    a: str | None = None
    b: str | None = None


def judged(
    judge: ArrayLike,
    gold: ArrayLike,
    pi: ArrayLike,
    *,
    arm: Sequence[str] | None = None,
    stratum: Labels | None = None,
    seed: Labels | None = None,
    question: Labels | None = None,
) -> Judged:
    """Check a table of judged items.

    Args:
        judge: [item] score of the judge, on the scale of the gold label; NaN where it failed.
        gold: [item] label by people; NaN where there is none.
        pi: [item] probability with which each item, labelled or not, was to be drawn for labelling.
        arm: [item] the condition.
        stratum: [item] what else the judge's errors may depend on: the family of a question.
        seed: [item] training seed. One name in two arms is one seed: name them apart if they are not paired.
        question: [item] the question; likewise.

    Raises:
        TruingError: lengths that differ, an infinity, a probability outside (0, 1] (an item that could never be
            labelled is not represented by the labels), an item sure to be labelled without a label, or a number
            of labels that the probabilities cannot have given.
    """
    first, second, third = (np.asarray(one, dtype=np.float64) for one in (judge, gold, pi))
    lengths = {len(one) for one in (first, second, third, arm, stratum, seed, question) if one is not None}
    if len(lengths) != 1 or lengths == {0}:
        raise TruingError(f"columns of {some(sorted(lengths))} items", "columns of one length, with an item", "pass all from one table")
    if np.isinf(first).any() or np.isinf(second).any():
        raise TruingError("a score or a label that is infinite", "finite numbers, NaN for missing", "mend the parser")
    _check_design(second, third)
    return Judged(
        first,
        second,
        third,
        None if arm is None else tuple(arm),
        *(None if one is None else codes(one) for one in (stratum, seed, question)),
    )


def naive(data: Judged, *, difference: tuple[str, str] | None = None, cluster: str = "item", level: float = 0.95) -> Corrected:
    """The judge's scores taken for the truth: biased by its errors, and labelled so. To show beside a corrected estimate.

    Args:
        data: The items; those without a score are left out.
        difference: Arms (a, b) for `a - b`; None for the rate over all items.
        cluster: What is drawn independently: "item", "seed", "question" or "seed x question".
        level: Coverage of the interval.
    """
    target = contrast(data, difference)
    rows = target.used & ~np.isnan(data.judge)
    absent = _lacking(target, rows, "score of the judge")
    if absent:
        return missing("naive", data, target, level, absent)
    fit = least_squares(target.x, np.nan_to_num(data.judge), rows.astype(np.float64))
    spread = sandwich(fit, target.x, rows, data.ways(cluster), cluster)
    lost, value = int((target.used & ~rows).sum()), float(fit.values[target.at])
    note = f"{lost} items without a score are left out" if lost else None
    return finish("naive", NAIVE_METHOD, data, target, value, spread, level, gold=False, note=note, n=int(rows.sum()))


def gold_only(
    data: Judged,
    *,
    difference: tuple[str, str] | None = None,
    cluster: str = "item",
    level: float = 0.95,
    weighting: str = "hajek",
) -> Corrected:
    """The labelled items alone, weighted by the inverse of their probability: unbiased, and wasteful.

    Args:
        data: The items.
        difference: Arms (a, b) for `a - b`; None for the rate over all items.
        cluster: What is drawn independently: "item", "seed", "question" or "seed x question".
        level: Coverage of the interval.
        weighting: "hajek", sum(w y) / sum(w); or "horvitz-thompson", sum(w y) / N, unbiased and less precise.

    The variance is that of independent draws; of a sample with a fixed size in each stratum it is at most too large.
    Sources: Horvitz and Thompson (1952), J. Am. Stat. Assoc. 47(260); Hajek (1971), in Foundations of Statistical
    Inference; Saerndal, Swensson and Wretman (1992), Model Assisted Survey Sampling, section 5.7.
    """
    if weighting not in ("hajek", "horvitz-thompson"):
        raise unknown("weighting", weighting, ("hajek", "horvitz-thompson"), "gold_only")
    target = contrast(data, difference)
    absent = no_gold(data, target)
    if absent:
        return missing("gold_only", data, target, level, absent)
    weights = data.weights * target.used
    if weighting == "hajek":
        rows, fit = target.used & data.labelled, least_squares(target.x, np.nan_to_num(data.gold), weights)
    else:
        rows, fit = target.used, least_squares(target.x, weights * np.nan_to_num(data.gold), target.used.astype(np.float64))
    spread = sandwich(fit, target.x, rows, data.ways(cluster), cluster)
    return finish("gold_only", weighting, data, target, float(fit.values[target.at]), spread, level)


def contrast(data: Judged, difference: tuple[str, str] | None) -> Target:
    """The mean of all items, or the difference of two arms, as a regression.

    Raises:
        TruingError: a difference of items without arms, of an unknown arm, or of an arm and itself.
    """
    n = len(data.pi)
    if difference is None:
        return Target(np.ones((n, 1)), np.ones(n, dtype=bool), 0)
    a, b = difference
    for name in difference:
        if name not in data.arms():
            raise unknown("arm", name, data.arms(), "difference")
    if a == b:
        raise TruingError(f"a difference of {a!r} and itself", "two arms", "name the arm to subtract")
    arm = np.array(data.arm, dtype=object)
    is_a = arm == a
    return Target(np.column_stack([np.ones(n), is_a.astype(np.float64)]), is_a | (arm == b), 1, a, b)


def finish(
    estimator: str,
    method: str,
    data: Judged,
    target: Target,
    value: float,
    spread: Spread,
    level: float,
    *,
    gold: bool = True,
    note: str | None = None,
    n: int | None = None,
) -> Corrected:
    """The interval of an estimate: normal; t with few clusters, or with few gold labels, which is warned of."""
    check_fraction(level, "a level")
    few, freedom = _few(data, target) if gold else (None, math.inf)
    df = freedom if spread.over == "item" else min(freedom, spread.df)
    warning = "; ".join(one for one in (few, note, spread.note) if one) or None
    size = (int(target.used.sum()) if n is None else n, int((target.used & data.labelled).sum()))
    se = float(spread.se[target.at])
    if not se > 1e-12 * max(1.0, abs(value)):
        reason = spread.note or "what entered does not vary"
        return Corrected(estimator, value, None, None, None, level, *size, method, reason, few, target.a, target.b)
    quantile = "normal" if math.isinf(df) else f"t({df:g})"
    over = "" if spread.over == "item" else f" over {spread.over}"
    half = se * t_quantile(df, level)
    return Corrected(
        estimator, value, se, value - half, value + half, level, *size, f"{method}; {quantile}{over}", None, warning, target.a, target.b
    )


def missing(estimator: str, data: Judged, target: Target, level: float, reason: str) -> Corrected:
    """An estimate that there is not, with the reason."""
    check_fraction(level, "a level")
    size = (int(target.used.sum()), int((target.used & data.labelled).sum()))
    return Corrected(estimator, None, None, None, None, level, *size, None, reason, None, target.a, target.b)


def no_gold(data: Judged, target: Target) -> str | None:
    """Why gold labels do not suffice for an estimate; None when they do."""
    return _lacking(target, target.used & data.labelled, "gold label")


def _check_design(gold: Floats, pi: Floats) -> None:
    outside = np.flatnonzero(~((pi > 0) & (pi <= 1)))
    if outside.size:
        raise TruingError(
            f"items with a labelling probability outside (0, 1]: {some(f'{i}: {pi[i]:g}' for i in outside)}",
            "a known probability above 0 for every item, labelled or not",
            "leave out of the question what could never be labelled, or draw a sample in which it could",
        )
    labelled = ~np.isnan(gold)
    if (~labelled & (pi == 1)).any():
        raise TruingError(
            f"{int((~labelled & (pi == 1)).sum())} items drawn with probability 1 that have no label", "their labels", "label them"
        )
    drawn, expected, sd = int(labelled.sum()), float(pi.sum()), math.sqrt(float((pi * (1 - pi)).sum()))
    if abs(drawn - expected) > DESIGN_Z * sd + 1:
        raise TruingError(
            f"{drawn} gold labels where the probabilities say {expected:.0f} +- {sd:.0f}",
            "labels for the items that were drawn with these probabilities, all of them",
            "pass the probabilities as recorded at the draw, and label what is missing",
        )


def _lacking(target: Target, rows: Mask, what: str) -> str | None:
    groups = {None: rows} if target.a is None else {target.a: rows & (target.x[:, 1] == 1), target.b: rows & (target.x[:, 1] == 0)}
    short = [f"{name or 'the table'} has no {what}" for name, one in groups.items() if not one.any()]
    return "; ".join(short) or None


def _few(data: Judged, target: Target) -> tuple[str | None, float]:
    """Why gold labels are few, with the degrees of freedom that they leave; None and infinity when they are not."""
    rows, cells = target.used & data.labelled, data.cells
    per_cell = np.bincount(cells[rows], minlength=int(cells.max()) + 1)[np.unique(cells[target.used])]
    total, least = int(rows.sum()), int(per_cell.min())
    if total >= FEW_GOLD and least >= FEW_IN_CELL:
        return None, math.inf
    text = f"few gold labels: {total}, and {least} in the smallest of {len(per_cell)} cells (want {FEW_GOLD} and {FEW_IN_CELL})"
    return text, max(1.0, float(total - np.count_nonzero(per_cell)))
