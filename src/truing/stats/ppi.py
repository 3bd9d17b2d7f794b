"""Prediction-powered inference: the judge's mean over all items, less its error where there are gold labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from truing.core.errors import TruingError
from truing.stats.dsl import INTERCEPT, Regression, columns
from truing.stats.judged import Corrected, Judged, Target, contrast, finish, missing, no_gold
from truing.stats.samples import Floats
from truing.stats.sandwich import Fit, Mask, inverted, least_squares, sandwich


def ppi(
    data: Judged,
    *,
    difference: tuple[str, str] | None = None,
    cluster: str = "item",
    level: float = 0.95,
    power: float | None = None,
) -> Corrected:
    """Rate, or difference of two arms, by prediction-powered inference with power tuning (PPI++).

    Args:
        data: The items, all with a score.
        difference: Arms (a, b) for `a - b`; None for the rate over all items.
        cluster: What is drawn independently: "item", "seed", "question" or "seed x question".
        level: Coverage of the interval.
        power: lambda, by which the scores are multiplied: 1 is plain PPI, 0 the gold labels alone; None tunes
            it to the least variance, in each arm, within [0, 1].

    mean over all items of lambda f + weighted mean over the labelled of (y - lambda f), weights 1 / pi. The first mean
    is over labelled and unlabelled items: with lambda_u = lambda (N - n) / N on the unlabelled alone it is the same number.
    Sources: Angelopoulos, Bates, Fannjiang, Jordan and Zrnic (2023), Science 382; Angelopoulos, Duchi and Zrnic (2023),
    arXiv 2311.01453, sections 2 and 6 (tuning).

    Raises:
        TruingError: an item without a score: it has to be judged, or be corrected by `dsl`.
    """
    target = contrast(data, difference)
    _check_scores(data, target)
    absent = no_gold(data, target)
    if absent:
        return missing("ppi", data, target, level, absent)
    parts = _parts(target)
    tuned = {name: tuning(data, np.ones((len(part), 1)), part, None) if power is None else power for name, part in parts.items()}
    scale = np.zeros(len(data.pi))
    for name, part in parts.items():
        scale[part] = tuned[name]
    fit = _powered(data, target.x, target.used, scale)
    spread = sandwich(fit, target.x, target.used, data.ways(cluster), cluster)
    method = "ppi++, lambda " + ", ".join(f"{one:.3g}" for one in tuned.values())
    return finish("ppi", method, data, target, float(fit.values[target.at]), spread, level)


def ppi_regression(
    data: Judged, covariates: Mapping[str, ArrayLike], *, cluster: str = "item", level: float = 0.95, power: float | None = None
) -> Regression:
    """Linear regression of the gold label on covariates that are known of every item, by PPI++.

    Args:
        data: The items, all with a score.
        covariates: [item] by name; an intercept is added.
        cluster: As in `ppi`.
        level: Coverage of each interval.
        power: lambda; None tunes it, for each coefficient, to its least variance within [0, 1].

    Source: Angelopoulos, Duchi and Zrnic (2023), arXiv 2311.01453, sections 3 and 6.
    """
    x, names, everything = columns(data, covariates), (INTERCEPT, *covariates), np.ones(len(data.pi), dtype=bool)
    found = {}
    for at, name in enumerate(names):
        target = Target(x, everything, at)
        _check_scores(data, target)
        absent = no_gold(data, target)
        if absent:
            found[name] = missing("ppi", data, target, level, absent)
            continue
        tuned = tuning(data, x, everything, at) if power is None else power
        fit = _powered(data, x, everything, np.full(len(x), tuned))
        spread = sandwich(fit, x, everything, data.ways(cluster), cluster)
        found[name] = finish("ppi", f"linear, ppi++, lambda {tuned:.3g}", data, target, float(fit.values[at]), spread, level)
    return Regression("linear", found)


def tuning(data: Judged, x: Floats, rows: Mask, at: int | None) -> float:
    """Lambda with the least variance of coefficient `at` (None: the first), within [0, 1].

    sum of (R/pi)(1/pi - 1) h u_y u_f over sum of (1/pi - 1) h u_f^2, with u the residuals of label and score and h the
    squared row of (X'X)^-1 X'. For a mean with equal pi this is Cov(y, f) / Var(f), which on the unlabelled alone is
    Cov(y, f) / ((1 + n/N) Var(f)): Angelopoulos, Duchi and Zrnic (2023), arXiv 2311.01453, section 6, example of the mean.
    """
    weights = data.weights * rows
    label = np.nan_to_num(data.gold) - x @ least_squares(x, np.nan_to_num(data.gold), weights).values
    score = np.nan_to_num(data.judge)
    score = score - x @ least_squares(x, score, rows.astype(np.float64)).values
    lever = (x @ inverted(x.T @ (rows[:, None] * x)))[:, at or 0] ** 2
    spare = rows * (1.0 / data.pi - 1.0) * lever
    variance = float((spare * score**2).sum())
    # Everything labelled, or a score that does not vary: the scores have nothing to add.
    if not variance > 0:
        return 0.0
    covariance = float((weights * spare * label * score).sum())
    return min(1.0, max(0.0, covariance / variance))


def _powered(data: Judged, x: Floats, rows: Mask, scale: Floats) -> Fit:
    score = scale * np.nan_to_num(data.judge)
    imputed = least_squares(x, score, rows.astype(np.float64))
    rectifier = least_squares(x, np.nan_to_num(data.gold) - score, data.weights * rows)
    return Fit(imputed.values + rectifier.values, imputed.influence + rectifier.influence)


def _parts(target: Target) -> dict[str, Mask]:
    if target.a is None or target.b is None:
        return {"all": target.used}
    is_a = target.x[:, 1] == 1
    return {target.a: target.used & is_a, target.b: target.used & ~is_a}


def _check_scores(data: Judged, target: Target) -> None:
    lost = int((np.isnan(data.judge) & target.used).sum())
    if lost:
        raise TruingError(
            f"{lost} items without a score of the judge",
            "a score of every item",
            "judge them, or use dsl, which takes no score for a verdict",
        )
