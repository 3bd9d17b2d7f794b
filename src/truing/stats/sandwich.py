"""Weighted least squares with the influence of each row, and its standard error over one or two kinds of clusters."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truing.core.errors import TruingError
from truing.stats.samples import Floats

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
Labels = Sequence[Hashable]


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients [column], and by how much each row moved them, [item, column]."""

    values: Floats
    influence: Floats


@dataclass(frozen=True, eq=False)
class Spread:
    """Standard error of each coefficient, the degrees of freedom that it has, and what to beware of."""

    se: Floats
    df: float
    over: str
    note: str | None = None


def least_squares(x: Floats, outcome: Floats, weights: Floats) -> Fit:
    """Weighted least squares with the influence of each row: (X'WX)^-1 w_i x_i (y_i - x_i'b).

    Raises:
        TruingError: columns that are a combination of others.
    """
    gram = x.T @ (weights[:, None] * x)
    inverse = inverted(gram)
    values: Floats = inverse @ (x.T @ (weights * outcome))
    return Fit(values, (weights * (outcome - x @ values))[:, None] * (x @ inverse))


def inverted(gram: Floats) -> Floats:
    """Inverse of X'WX; refused where a column is a combination of the others."""
    scale = np.sqrt(np.maximum(np.diag(gram), np.finfo(np.float64).tiny))
    if np.linalg.matrix_rank(gram / np.outer(scale, scale), tol=1e-10) < len(gram):
        raise TruingError("covariates of which one is a combination of the others", "independent columns", "leave one out")
    return np.asarray(np.linalg.inv(gram), dtype=np.float64)


def sandwich(fit: Fit, x: Floats, rows: Mask, ways: Sequence[Codes | None], over: str) -> Spread:
    """Cluster-robust standard errors: the sum over clusters of squared sums of influences.

    Args:
        fit: Coefficients, with the influence of each row.
        x: [row, column] the covariates.
        rows: [row] those that entered.
        ways: One or two sets of clusters, [row] codes; None where each row is its own.
        over: What the clusters are called.

    With G clusters and L columns that are constant within each of them the variance is times G / (G - L), with
    G - L degrees of freedom; two-way variances are those of each way, less that of their crossing.
    Sources: Liang and Zeger (1986), Biometrika 73(1); Cameron and Miller (2015), J. Human Resources 50(2), sections
    VI.B and VI.D (G - L); Cameron, Gelbach and Miller (2011), J. Bus. Econ. Stat. 29(2), section 2, for two ways.
    """
    found = [_one_way(fit.influence[rows], x[rows], None if one is None else one[rows]) for one in ways]
    freedom = min(df for _, df in found)
    if freedom < 1:
        return Spread(np.full(x.shape[1], math.nan), freedom, over, f"too few {over} clusters to see a spread between them")
    if len(found) == 1:
        return Spread(np.sqrt(found[0][0]), freedom, over)
    both, _ = _one_way(fit.influence[rows], x[rows], crossed(*(one[rows] for one in ways if one is not None)))
    variance, largest = found[0][0] + found[1][0] - both, np.maximum(found[0][0], found[1][0])
    # The difference of variances can come out below zero; the larger of the two ways then stands in for it.
    low = variance <= 0
    note = "the two-way variance is not above zero: the larger one-way variance stands in for it" if low.any() else None
    return Spread(np.sqrt(np.where(low, largest, variance)), freedom, over, note)


def codes(labels: Labels | Floats) -> Codes:
    """Numbers of labels in order of appearance."""
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return np.array([numbers[label] for label in labels], dtype=np.int64)


def crossed(*axes: Codes) -> Codes:
    """Numbers of the combinations that occur, without gaps."""
    joint = axes[0]
    for one in axes[1:]:
        joint = np.unique(joint * (int(one.max()) + 1) + one, return_inverse=True)[1].astype(np.int64)
    return joint


def _one_way(influence: Floats, x: Floats, labels: Codes | None) -> tuple[Floats, float]:
    """Variance of each coefficient and its degrees of freedom; rows are clusters of their own without labels."""
    if labels is None:
        sums, count, fixed = influence, len(influence), x.shape[1]
    else:
        _, first, of = np.unique(labels, return_index=True, return_inverse=True)
        count, fixed = len(first), int((x == x[first][of]).all(axis=0).sum())
        sums = np.column_stack([np.bincount(of, weights=column, minlength=count) for column in influence.T])
    freedom = count - fixed
    factor = count / freedom if freedom > 0 else math.nan
    return (sums**2).sum(axis=0) * factor, float(freedom)
