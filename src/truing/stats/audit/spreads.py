"""One standard deviation for several conditions, over the box."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from truing.stats.audit.boxes import Span
from truing.stats.audit.evidence import Moments

CommonSd = Literal["median", "mean", "pooled"]


def pooled_sd(groups: Sequence[Moments]) -> Span:
    """Square root of the mean of the variances, weighted by n - 1; it rises with each standard deviation.

    Source: Cohen (1988), Statistical Power Analysis, eq. 2.5.2, for any number of groups.
    """
    weights = np.array([group.n - 1 for group in groups], dtype=np.float64)
    return _rising(groups, lambda sds: math.sqrt(float(np.average(sds**2, weights=weights))))


def common_sd(groups: Sequence[Moments], which: CommonSd) -> Span:
    """The pooled standard deviation, or the mean or median of the groups'; each rises with every one of them."""
    if which == "pooled":
        return pooled_sd(groups)
    centre = np.median if which == "median" else np.mean
    return _rising(groups, lambda sds: float(centre(sds)))


def _rising(groups: Sequence[Moments], value: Callable[[np.ndarray], float]) -> Span:
    at, lo, hi = (value(np.array([getattr(group.sd, end) for group in groups])) for end in ("at", "lo", "hi"))
    return Span(at, lo, hi)
