"""Tail probabilities of Welch's t over a box: where on the box they are least and greatest.

A contrast of k independent means has the variance s = sum(u_i), u_i = sd_i^2 / n_i, and the degrees of freedom
df = s^2 / q, q = sum(u_i^2 / (n_i - 1)) (Welch 1947, Biometrika 34; Satterthwaite 1946, Biometrics Bulletin 2). For a
distance e > 0 the tail P(T_df > e / sqrt(s)) falls with e, rises with s, and at fixed s rises with q, as fewer degrees
of freedom have heavier tails. It is not monotone in one u_i, which moves s and df together. But at fixed s:

- q is convex, so it is greatest at a vertex of {u in the box, sum(u) = s}, where all u_i but one are at an end: the
  greatest tail of the box is on one of the box's edges;
- q is least at u_i = clip(k * (n_i - 1), lo_i, hi_i) for some k (the condition of Karush, Kuhn and Tucker of a separable
  quadratic): the least tail of the box is on the path that k draws.

Both are searches of one dimension: the vertices and kinks, a grid between them, and bounded minimisation
(`scipy.optimize.minimize_scalar`) around the best point. For e < 0 the tail is one minus that of -e.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from truing.stats.audit.boxes import Span
from truing.stats.audit.evidence import Moments

STEPS = 24
Path = Callable[[np.ndarray], np.ndarray]


def two_sided_p(difference: Span, groups: Sequence[Moments]) -> Span:
    """Two-sided p-value of Welch's test that a contrast of the groups' means is 0, over the box.

    Args:
        difference: The contrast; its coefficients are 1 and -1.
        groups: The groups, each with the variance of its own mean.
    """
    return upper_tail(abs(difference), groups).scaled(2.0).capped()


def upper_tail(distance: Span, groups: Sequence[Moments]) -> Span:
    """P(T > distance / standard error) with Welch-Satterthwaite degrees of freedom, over the box.

    Args:
        distance: How far the contrast is from the null value, positive in the direction of the alternative.
        groups: The groups that the contrast is made of.
    """
    return _tail_range(distance, tuple(groups))


# The claims of one table ask for the same few pairs again and again.
@lru_cache(maxsize=4096)
def _tail_range(distance: Span, groups: tuple[Moments, ...]) -> Span:
    box = np.array([[group.variance.lo, group.variance.hi] for group in groups])
    freedom = np.array([group.n - 1 for group in groups], dtype=np.float64)
    at = tails(distance.at, np.array([[group.variance.at for group in groups]]), freedom)[0]
    return Span(float(at), _least(distance.hi, box, freedom), _greatest(distance.lo, box, freedom))


def tails(distance: float, variances: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """P(T > distance / standard error) of each row of `variances` (rows x groups); `freedom` is n - 1 of each group."""
    from scipy.special import stdtr

    total = variances.sum(axis=1)
    df = total**2 / (variances**2 / freedom).sum(axis=1)
    # What scipy.stats.t.sf evaluates, without its checks of every call: a search makes hundreds.
    return np.asarray(stdtr(df, -distance / np.sqrt(total)), dtype=np.float64)


def _least(distance: float, box: np.ndarray, freedom: np.ndarray) -> float:
    if distance <= 0:
        return 1.0 - _greatest(-distance, box, freedom) if distance < 0 else 0.5
    kinks = np.unique(box / freedom[:, None])

    def balanced(k: np.ndarray) -> np.ndarray:
        return np.clip(k[:, None] * freedom, box[:, 0], box[:, 1])

    pieces = [_between(balanced, low, high) for low, high in itertools.pairwise(kinks)] or [_between(balanced, kinks[0], kinks[0])]
    return min(_search(lambda u: tails(distance, u, freedom), piece) for piece in pieces)


def _greatest(distance: float, box: np.ndarray, freedom: np.ndarray) -> float:
    if distance <= 0:
        return 1.0 - _least(-distance, box, freedom) if distance < 0 else 0.5
    return -min(_search(lambda u: -tails(distance, u, freedom), edge) for edge in _edges(box))


def _between(path: Path, low: float, high: float) -> Path:
    return lambda x: path(low + (high - low) * x)


def _edges(box: np.ndarray) -> list[Path]:
    edges: list[Path] = []
    for free in range(len(box)):
        for ends in itertools.product((0, 1), repeat=len(box) - 1):
            start = np.array([box[i, (*ends[:free], 0, *ends[free:])[i]] for i in range(len(box))])
            stop = start.copy()
            stop[free] = box[free, 1]
            edges.append(_segment(start, stop))
    return edges


def _segment(start: np.ndarray, stop: np.ndarray) -> Path:
    return lambda x: start + x[:, None] * (stop - start)


def _search(value: Callable[[np.ndarray], np.ndarray], path: Path) -> float:
    """Least value along a path that is parametrised by [0, 1]."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(0.0, 1.0, STEPS + 1)
    seen = value(path(grid))
    best = int(np.argmin(seen))
    # The best point may be an end of the path and the minimum in the step next to it.
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, STEPS)])
    found = minimize_scalar(lambda x: float(value(path(np.array([x])))[0]), bounds=bounds, method="bounded", options={"xatol": 1e-7})
    return min(float(seen[best]), float(found.fun))
