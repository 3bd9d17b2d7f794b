"""A rate from a judge whose error rates are known: the correction of Rogan and Gladen, condition by condition.

The error rates of one condition say nothing about another: a judge that errs differently in two arms makes a gap out
of nothing, and shared rates leave it there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from truing.core.errors import TruingError, some
from truing.stats.hypotheses import t_quantile
from truing.stats.judged import FEW_GOLD, FEW_IN_CELL, Corrected, Judged, contrast, missing
from truing.stats.samples import Floats, check_fraction
from truing.stats.sandwich import Mask

METHOD = "rogan-gladen, delta method; normal"
# The correction divides by sensitivity + specificity - 1. Below this, or within two of its standard errors of zero, it is refused.
LEAST_YOUDEN = 0.1
YOUDEN_Z = 2.0


@dataclass(frozen=True)
class ErrorRates:
    """Sensitivity and specificity of a judge in one condition; None without a gold label of that kind.

    Attributes:
        condition: Its name.
        p: Share of items that the judge calls positive, of `n` items.
        n: Items.
        sensitivity: Share of the truly positive that it calls positive.
        specificity: Share of the truly negative that it calls negative.
        n_se: Gold labels behind the sensitivity; with unequal probabilities their effective number.
        n_sp: Gold labels behind the specificity; likewise.
        n_gold: Gold labels.
    """

    condition: str
    p: float
    n: int
    sensitivity: float | None
    specificity: float | None
    n_se: float
    n_sp: float
    n_gold: int


def rogan_gladen(
    p: float, sensitivity: float, specificity: float, n_se: float, n_sp: float, *, n: int, n_gold: int | None = None, level: float = 0.95
) -> Corrected:
    """True rate of ONE condition: (p + sp - 1) / (se + sp - 1), with the variance of both error rates.

    Args:
        p: Share of the items that the judge calls positive.
        sensitivity: Of the truly positive, the share that it calls positive; estimated in this condition.
        specificity: Of the truly negative, the share that it calls negative; estimated in this condition.
        n_se: Labels that the sensitivity is estimated from.
        n_sp: Labels that the specificity is estimated from.
        n: Items that p is a share of.
        n_gold: Gold labels; n_se + n_sp by default.
        level: Coverage of the interval.

    [p(1-p)/n + theta^2 se(1-se)/n_se + (1-theta)^2 sp(1-sp)/n_sp] / (se+sp-1)^2, the three taken for independent. A rate
    of exactly 0 or 1 has no variance to plug in: (x+1)/(n+2) then stands in it. No estimate, with a reason, when se + sp
    is near 1: the judge tells nothing then. Sources: Rogan and Gladen (1978), Am. J. Epidemiol. 107(1), for both;
    Lang and Reiczigel (2014), Prev. Vet. Med. 113(1), for (x+1)/(n+2).

    Raises:
        TruingError: a share outside [0, 1], or a number of labels or items below one.
    """
    check_fraction(level, "a level")
    _check(p, sensitivity, specificity, n_se, n_sp, n)
    gold = round(n_se + n_sp) if n_gold is None else n_gold
    youden = sensitivity + specificity - 1.0
    v_se, v_sp, v_p = _variance(sensitivity, n_se), _variance(specificity, n_sp), _variance(p, n)
    if youden < max(LEAST_YOUDEN, YOUDEN_Z * math.sqrt(v_se + v_sp)):
        reason = f"sensitivity + specificity is {youden + 1:.3g} +- {math.sqrt(v_se + v_sp):.2g}: near 1 (or below) the judge tells nothing"
        return Corrected("rogan_gladen", None, None, None, None, level, n, gold, None, reason)
    value = (p + specificity - 1.0) / youden
    se = math.sqrt(v_p + value**2 * v_se + (1 - value) ** 2 * v_sp) / youden
    half = t_quantile(math.inf, level) * se
    return Corrected(
        "rogan_gladen", value, se, value - half, value + half, level, n, gold, METHOD, None, _warning(value, gold, min(n_se, n_sp))
    )


def rogan_gladen_judged(data: Judged, *, difference: tuple[str, str] | None = None, level: float = 0.95) -> Corrected:
    """True rate of a table of 0/1 verdicts and labels, or the difference of two arms, each with error rates of its own.

    Args:
        data: The items. Without a difference they are one condition.
        difference: Arms (a, b) for `a - b`.
        level: Coverage of the interval.

    Items are taken for independent; where they come in clusters use `dsl`.

    Raises:
        TruingError: scores or labels other than 0 and 1, or an item without a score.
    """
    target = contrast(data, difference)
    each = [_corrected(rates, level) for rates in error_rates(data, difference or ())]
    if any(one.value is None or one.se is None for one in each):
        reasons = "; ".join(f"{name}: {one.reason}" for name, one in zip(difference or ("all",), each, strict=True) if one.reason)
        return missing("rogan_gladen", data, target, level, reasons)
    if difference is None:
        return each[0]
    a, b = each
    value, se = (a.value or 0.0) - (b.value or 0.0), math.hypot(a.se or 0.0, b.se or 0.0)
    half = t_quantile(math.inf, level) * se
    warning = "; ".join(f"{name}: {one.warning}" for name, one in zip(difference, each, strict=True) if one.warning) or None
    size = (a.n + b.n, a.n_gold + b.n_gold)
    return Corrected("rogan_gladen", value, se, value - half, value + half, level, *size, METHOD, None, warning, *difference)


def error_rates(data: Judged, arms: tuple[str, ...] = ()) -> list[ErrorRates]:
    """Sensitivity and specificity in each arm, weighted by the inverse probability of a label; without arms, of all items.

    Raises:
        TruingError: scores or labels other than 0 and 1, or an item without a score.
    """
    _check_binary(data)
    names = np.array(data.arm or ["all"] * len(data.pi), dtype=object)
    return [_rates(data, name, names == name if arms else np.ones(len(names), dtype=bool)) for name in arms or ("all",)]


def _rates(data: Judged, name: str, rows: Mask) -> ErrorRates:
    weights = data.weights * rows
    se, n_se = _share(data.judge == 1, weights * (data.gold == 1))
    sp, n_sp = _share(data.judge == 0, weights * (data.gold == 0))
    return ErrorRates(name, float(data.judge[rows].mean()), int(rows.sum()), se, sp, n_se, n_sp, int((data.labelled & rows).sum()))


def _share(hit: Mask, weights: Floats) -> tuple[float | None, float]:
    """Weighted share, and Kish's effective number: (sum w)^2 / sum w^2."""
    total = float(weights.sum())
    if not total > 0:
        return None, 0.0
    return float(weights[hit].sum()) / total, total**2 / float((weights**2).sum())


def _corrected(rates: ErrorRates, level: float) -> Corrected:
    n_gold = rates.n_gold
    if rates.sensitivity is None or rates.specificity is None:
        kind = "positive" if rates.sensitivity is None else "negative"
        return Corrected("rogan_gladen", None, None, None, None, level, rates.n, n_gold, None, f"no truly {kind} item with a gold label")
    return rogan_gladen(rates.p, rates.sensitivity, rates.specificity, rates.n_se, rates.n_sp, n=rates.n, n_gold=n_gold, level=level)


def _variance(share: float, n: float) -> float:
    if share in (0.0, 1.0):
        share = (share * n + 1) / (n + 2)
    return share * (1 - share) / n


def _warning(value: float, gold: int, least: float) -> str | None:
    notes = [f"few gold labels: {gold}, and {least:.0f} for one of the error rates"] if gold < FEW_GOLD or least < FEW_IN_CELL else []
    notes += [] if 0 <= value <= 1 else ["outside 0 to 1: the error rates do not fit this condition, or chance"]
    return "; ".join(notes) or None


def _check(p: float, sensitivity: float, specificity: float, n_se: float, n_sp: float, n: int) -> None:
    shares = {"p": p, "sensitivity": sensitivity, "specificity": specificity}
    wrong = [f"{name} {share}" for name, share in shares.items() if not 0 <= share <= 1]
    wrong += [f"{name} {count}" for name, count in {"n_se": n_se, "n_sp": n_sp, "n": n}.items() if not count >= 1]
    if wrong:
        raise TruingError(some(wrong), "shares from 0 to 1 and at least one label and item for each", "estimate them in this condition")


def _check_binary(data: Judged) -> None:
    gold = data.gold[data.labelled]
    if not np.isin(data.judge, (0.0, 1.0)).all() or not np.isin(gold, (0.0, 1.0)).all():
        raise TruingError("scores or labels other than 0 and 1", "a 0/1 verdict of every item and 0/1 labels", "use dsl or ppi")
