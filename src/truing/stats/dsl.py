"""Design-based supervised learning: a judge's scores for all items, corrected with gold labels of a known random part.

The pseudo-outcome g + (R / pi)(y - g) has the mean of the gold label whatever g is, as long as pi is known: the judge
can only cost precision. g is what the verdict, the arm and the stratum say of the label, learnt on other folds.
Source of all of it: Egami, Hinck, Stewart and Wei (2023), NeurIPS 36, "Using imperfect surrogates for downstream
inference", sections 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from truing.core.errors import TruingError, unknown
from truing.stats.judged import Corrected, Judged, Target, contrast, finish, missing, no_gold
from truing.stats.samples import Floats
from truing.stats.sandwich import Codes, Fit, Mask, Spread, codes, inverted, least_squares, sandwich

FOLDS = 5
SPLITS = 10
FAMILIES = ("linear", "logit")
INTERCEPT = "intercept"
# Ridge penalty on standardised columns, in labelled items: the learner of scores on a scale stays defined when strata are small.
RIDGE = 1.0
NEWTON_STEPS = 50
NEWTON_TOLERANCE = 1e-10
# Mean of rate x (1 - rate) below which the coefficients are on their way to infinity.
LEAST_INFORMATION = 1e-6


@dataclass(frozen=True)
class Regression:
    """Coefficients by name, `family` "linear" or "logit" (log odds)."""

    family: str
    coefficients: Mapping[str, Corrected]


@dataclass(frozen=True, eq=False)
class Split:
    """One random split: the fit of the pseudo-outcome, and the prediction g [item] that it is made with."""

    fit: Fit
    predicted: Floats


def dsl(
    data: Judged,
    *,
    rng: np.random.Generator,
    difference: tuple[str, str] | None = None,
    cluster: str = "item",
    level: float = 0.95,
    folds: int = FOLDS,
    splits: int = SPLITS,
) -> Corrected:
    """Rate, or difference of two arms, by design-based supervised learning.

    Args:
        data: The items. One without a score is used as well: having none is a verdict of its own.
        rng: Deals the items to folds.
        difference: Arms (a, b) for `a - b`; None for the rate over all items.
        cluster: What is drawn independently: "item", "seed", "question" or "seed x question".
        level: Coverage of the interval.
        folds: Parts of the cross-fit.
        splits: Random splits. The value is the median b over them, its error sqrt(median(se_s^2 + (b_s - b)^2)).

    Source: Egami et al. (2023), section 4.1; Chernozhukov et al. (2018), Econometrics J. 21(1), definition 3.3, for
    the median over splits.
    """
    target = contrast(data, difference)
    absent = no_gold(data, target)
    if absent:
        return missing("dsl", data, target, level, absent)
    found = list(cross_fits(data, target, "linear", rng, folds, splits))
    values, spread = _over_splits(data, target, found, cluster)
    return finish("dsl", _method(data, folds, splits), data, target, float(values[target.at]), spread, level)


def dsl_regression(
    data: Judged,
    covariates: Mapping[str, ArrayLike],
    *,
    rng: np.random.Generator,
    family: str = "linear",
    cluster: str = "item",
    level: float = 0.95,
    folds: int = FOLDS,
    splits: int = SPLITS,
) -> Regression:
    """Regression of the gold label on covariates that are known of every item.

    Args:
        data: The items.
        covariates: [item] by name; an intercept is added.
        rng: Deals the items to folds.
        family: "linear", or "logit" for labels in [0, 1].
        cluster: As in `dsl`.
        level: Coverage of each interval.
        folds: Parts of the cross-fit.
        splits: Random splits.

    Solves sum of x (Y - mu(x'b)) = 0 with Y the pseudo-outcome; since x is known of every item, this is the moment
    of Egami et al. (2023), section 4.2. A logit whose pseudo-outcomes lie outside what a rate can be has no solution: a reason then.

    Raises:
        TruingError: an unknown family, labels of a logit outside [0, 1], or columns that are not finite or independent.
    """
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES, "dsl_regression")
    if family == "logit" and not ((np.nan_to_num(data.gold) >= 0) & (np.nan_to_num(data.gold) <= 1)).all():
        raise TruingError("a logit of labels outside [0, 1]", "labels 0 and 1", "use family='linear', or code the labels")
    names, x = (INTERCEPT, *covariates), columns(data, covariates)
    targets = [Target(x, np.ones(len(x), dtype=bool), at) for at in range(len(names))]
    found = list(cross_fits(data, targets[0], family, rng, folds, splits)) if data.labelled.any() else []
    failed = "the table has no gold label" if not found else "the pseudo-outcomes allow no logit: too few gold labels"
    if not found or any(np.isnan(split.fit.values).any() for split in found):
        return Regression(family, {name: missing("dsl", data, one, level, failed) for name, one in zip(names, targets, strict=True)})
    values, spread = _over_splits(data, targets[0], found, cluster)
    method = f"{family}, {_method(data, folds, splits)}"
    done = [finish("dsl", method, data, one, float(values[one.at]), spread, level) for one in targets]
    return Regression(family, dict(zip(names, done, strict=True)))


def cross_fits(data: Judged, target: Target, family: str, rng: np.random.Generator, folds: int, splits: int) -> Iterator[Split]:
    """The fit of the pseudo-outcome in each random split.

    Raises:
        TruingError: fewer than two folds, or no split.
    """
    if folds < 2 or splits < 1:
        raise TruingError(f"{folds} folds in {splits} splits", "at least two folds and one split", "ask for 5 and 10")
    levels = _levels(data)
    for _ in range(splits):
        dealt = _dealt(data, levels[0], rng, folds)
        predicted = _cell_means(data, levels, dealt, folds) if data.discrete else _ridge(data, dealt, folds)
        outcome = pseudo_outcome(data, predicted)
        fit = least_squares(target.x, outcome, target.used.astype(np.float64)) if family == "linear" else _logit(target.x, outcome)
        yield Split(fit, predicted)


def pseudo_outcome(data: Judged, predicted: Floats) -> Floats:
    """[item] g + (R / pi)(y - g), with pi scaled so that its mean is the labelled share."""
    return predicted + scaled_weights(data) * (np.nan_to_num(data.gold) - predicted)


def scaled_weights(data: Judged) -> Floats:
    """[item] R / pi with pi scaled so that its mean is the share of items with a label."""
    return data.weights * float(data.pi.mean()) / float(data.labelled.mean())


def _over_splits(data: Judged, target: Target, found: list[Split], cluster: str) -> tuple[Floats, Spread]:
    ways = data.ways(cluster)
    spreads = [sandwich(split.fit, target.x, target.used, ways, cluster) for split in found]
    each = np.array([split.fit.values for split in found])
    values: Floats = np.median(each, axis=0)
    se: Floats = np.sqrt(np.median(np.array([one.se for one in spreads]) ** 2 + (each - values) ** 2, axis=0))
    note = next((one.note for one in spreads if one.note), None)
    return values, Spread(se, spreads[0].df, cluster, note)


def _method(data: Judged, folds: int, splits: int) -> str:
    learner = "cell means" if data.discrete else "ridge"
    return f"{learner}, {folds} folds, median of {splits} splits"


def columns(data: Judged, covariates: Mapping[str, ArrayLike]) -> Floats:
    """[item, column] the covariates after a column of ones."""
    given = {name: np.asarray(values, dtype=np.float64) for name, values in covariates.items()}
    for name, values in given.items():
        if values.shape != data.pi.shape or not np.isfinite(values).all() or name == INTERCEPT:
            raise TruingError(
                f"covariate {name!r} of shape {values.shape}",
                f"{len(data.pi)} finite numbers, under another name than {INTERCEPT!r}",
                "give the value of every item",
            )
    x = np.column_stack([np.ones(len(data.pi)), *given.values()])
    inverted(x.T @ x)  # refuses columns that are not independent
    return x


def _levels(data: Judged) -> list[Codes]:
    """From the finest cells to all items: a cell without a label in the other folds takes the mean of the next level."""
    everything = np.zeros(len(data.pi), dtype=np.int64)
    verdict = codes(np.nan_to_num(data.judge, nan=math.inf).tolist()) if data.discrete else everything
    return [data.cells, verdict, everything]


def _dealt(data: Judged, cells: Codes, rng: np.random.Generator, folds: int) -> Codes:
    """[item] a fold: labelled items are dealt cell by cell, so that each fold has its part of every cell."""
    dealt = rng.integers(0, folds, len(cells))
    gold = np.flatnonzero(data.labelled)
    order = gold[np.lexsort((rng.random(len(gold)), cells[gold]))]
    dealt[order] = (np.arange(len(order)) + rng.integers(folds)) % folds
    return np.asarray(dealt, dtype=np.int64)


def _cell_means(data: Judged, levels: list[Codes], dealt: Codes, folds: int) -> Floats:
    """[item] weighted mean label of the item's cell in the other folds."""
    rows: Mask = data.labelled
    weights, gold = data.weights[rows], data.gold[rows]
    predicted = np.full(len(dealt), np.nan)
    for cell in levels:
        count = int(cell.max()) + 1
        at = dealt[rows] * count + cell[rows]
        held = np.stack([np.bincount(at, weights=one, minlength=folds * count) for one in (weights, weights * gold)])
        total, total_gold = _others(held.astype(np.float64).reshape(2, folds, count))
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(total > 0, total_gold / total, np.nan)[dealt, cell]
        predicted = np.where(np.isnan(predicted), means, predicted)
    # One label in all: its own fold has nothing to learn from, and zero is as valid a guess as any.
    return np.nan_to_num(predicted)


def _others(held: Floats) -> Floats:
    """Sums over the other folds; exactly zero where there is nothing, so that rounding makes no cell."""
    rest = held.sum(axis=1, keepdims=True) - held
    empty = rest[0] <= 1e-9 * held[0].sum(axis=0)
    return np.where(empty, 0.0, rest)


def _ridge(data: Judged, dealt: Codes, folds: int) -> Floats:
    """[item] ridge regression of the label on score, score squared and groups, fitted on the other folds."""
    x = _features(data)
    predicted = np.zeros(len(dealt))
    penalty = RIDGE * np.diag([0.0] + [1.0] * (x.shape[1] - 1))
    # Mean weight one, so that the penalty is in items whatever the labelled share.
    weights = data.weights / max(float(data.weights[data.labelled].mean()), 1e-300)
    for fold in range(folds):
        train = np.where(dealt == fold, 0.0, weights)
        if train.any():
            weighted = train[:, None] * x
            predicted[dealt == fold] = (x @ np.linalg.solve(x.T @ weighted + penalty, weighted.T @ np.nan_to_num(data.gold)))[dealt == fold]
    return predicted


def _features(data: Judged) -> Floats:
    known = ~np.isnan(data.judge)
    centre, sd = float(data.judge[known].mean()), float(data.judge[known].std()) or 1.0
    score = np.where(known, (data.judge - centre) / sd, 0.0)
    groups = data.groups
    marks = [(groups == one).astype(np.float64) for one in range(1, int(groups.max()) + 1)]
    lost = [] if known.all() else [(~known).astype(np.float64)]
    return np.column_stack([np.ones(len(score)), score, score**2, *lost, *marks, *(score * mark for mark in marks)])


def _logit(x: Floats, outcome: Floats) -> Fit:
    """Newton's steps for sum of x (Y - sigma(x'b)) = 0, halved while the step does not lower the deviance."""
    from scipy.special import expit

    values = np.zeros(x.shape[1])
    for _ in range(NEWTON_STEPS):
        rate = expit(x @ values)
        gram = x.T @ ((rate * (1 - rate))[:, None] * x)
        score = x.T @ (outcome - rate)
        if not float((rate * (1 - rate)).mean()) > LEAST_INFORMATION:
            break
        if np.abs(score).max() <= NEWTON_TOLERANCE * len(x):
            inverse = inverted(gram)
            return Fit(values, (outcome - rate)[:, None] * (x @ inverse))
        if not np.isfinite(gram).all() or not np.linalg.cond(gram) < 1e14:
            break
        values = _shorter(x, outcome, values, np.linalg.solve(gram, score))
    return Fit(np.full(x.shape[1], np.nan), np.full(x.shape, np.nan))


def _shorter(x: Floats, outcome: Floats, values: Floats, step: Floats) -> Floats:
    start = _deviance(x, outcome, values)
    for _ in range(30):
        if _deviance(x, outcome, values + step) <= start:
            break
        step = step / 2
    return np.asarray(values + step, dtype=np.float64)


def _deviance(x: Floats, outcome: Floats, values: Floats) -> float:
    at = x @ values
    return float((np.logaddexp(0.0, at) - outcome * at).sum())
