"""Families of tests: p-values adjusted for how many there are, over the box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from truing.stats.audit.boxes import Span, UndefinedNumberError
from truing.stats.audit.contrasts import two_sided_p
from truing.stats.audit.evidence import Evidence

Correction = Literal["none", "bonferroni", "holm", "bh"]
CORRECTIONS: tuple[Correction, ...] = ("none", "bonferroni", "holm", "bh")
# Nothing is known about a test that the table cannot give.
UNKNOWN_P = Span(math.nan, 0.0, 1.0)


def adjusted(p_values: Sequence[Span], correction: Correction, m: int | None = None) -> list[Span]:
    """Adjusted p-values, to compare with alpha itself, in the order given.

    Args:
        p_values: Those of the family; `UNKNOWN_P` for a test that cannot be made.
        correction: "bonferroni" (times the size of the family), "holm" (Holm 1979, Scand. J. Stat. 6), "bh" (Benjamini
            and Hochberg 1995, J. R. Stat. Soc. B 57) or "none".
        m: Size of the family for Bonferroni, when tests outside `p_values` belong to it.

    Every adjusted value is non-decreasing in every p-value of the family, so the ends of its range are bounded by the
    adjustment of all lower ends and that of all upper ends. With Holm and BH the bounds are sound but can be wider
    than the range itself, because tests that share a condition cannot all be at their ends at once.
    """
    if correction in ("none", "bonferroni"):
        factor = 1 if correction == "none" else m or len(p_values)
        return [p.scaled(factor).capped() for p in p_values]
    at, lo, hi = (_stepwise([getattr(p, end) for p in p_values], correction) for end in ("at", "lo", "hi"))
    return [Span(*ends) for ends in zip(at, lo, hi, strict=True)]


def _stepwise(p_values: list[float], correction: Correction) -> list[float]:
    from scipy.stats import false_discovery_control

    # The order of the others decides each step: with one unknown, none is known.
    if np.isnan(p_values).any():
        return [math.nan] * len(p_values)
    return _holm(p_values) if correction == "holm" else [float(p) for p in false_discovery_control(p_values, method="bh")]


def _holm(p_values: list[float]) -> list[float]:
    # By hand, because statsmodels collects garbage in every call of its Holm, a thousand times what this costs.
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    found = np.empty(len(p_values))
    found[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(p) for p in found]


@dataclass(frozen=True)
class Tested:
    """One test of a family.

    Attributes:
        a: The condition that the difference is named after first.
        b: The condition that is subtracted.
        p: Two-sided p-value over the box; `UNKNOWN_P` when the table cannot give it.
        why: Why the table cannot give it; None when it can.
    """

    a: str
    b: str
    p: Span
    why: str | None = None


def welch_test(evidence: Evidence, metric: str, a: str, b: str) -> Tested:
    """Welch's test of a - b, or the reason why the table cannot give it."""
    try:
        first, second = evidence.moments(a, metric), evidence.moments(b, metric)
    except UndefinedNumberError as error:
        # A family is judged with what is known of the others: a missing test can be anything.
        return Tested(a, b, UNKNOWN_P, str(error))
    return Tested(a, b, two_sided_p(first.mean - second.mean, [first, second]))
