"""Where a judge errs, condition by condition: a judge that errs differently makes gaps that are not there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from truing.core.errors import TruingError, unknown
from truing.stats.agreement import is_missing, ordered, shared
from truing.stats.intervals import Estimate, wilson_interval

ALL = "all"


@dataclass(frozen=True)
class Confusion:
    """Labels of people against verdicts of the judge in one condition.

    Attributes:
        condition: Its name.
        labels: The categories.
        counts: [gold, judge] items.
        correct: For each gold label the share judged so, with Wilson's interval; of no item there is no value.
        agreement: Share of items on which both agree, likewise.
        n: Items with both.
        n_missing: Items of the condition without one of them.
    """

    condition: str
    labels: tuple[Hashable, ...]
    counts: tuple[tuple[int, ...], ...]
    correct: Mapping[Hashable, Estimate]
    agreement: Estimate
    n: int
    n_missing: int


@dataclass(frozen=True)
class DifferentialError:
    """Whether items of one gold label are judged alike in all conditions.

    Attributes:
        label: The gold label.
        correct: Share judged so by condition.
        lowest: Condition where it is lowest, `highest` where it is highest, of those with items of the label.
        gap: Highest less lowest; None with fewer than two conditions that have such items.
        p_value: Two-sided, of equal shares in all conditions; None when there is nothing to test.
        method: "fisher exact" of two conditions, "chi-square" of more.
        reason: Why there is no p-value.
    """

    label: Hashable
    correct: Mapping[str, Estimate]
    lowest: str | None
    highest: str | None
    gap: float | None
    p_value: float | None
    method: str | None
    reason: str | None = None


def percent_agreement(
    a: Sequence[Hashable], b: Sequence[Hashable], conditions: Sequence[str] | None = None, *, level: float = 0.95
) -> dict[str, Estimate]:
    """Share of items on which two raters agree, by condition ("all" without any), with Wilson's interval.

    None and NaN are missing: left out and counted. It is not corrected for chance: see `cohen_kappa`.
    Source: Wilson (1927), J. Am. Stat. Assoc. 22(158).

    Raises:
        TruingError: lengths that differ.
    """
    both = shared(a, b)
    found = {}
    for name, items in _by_condition(conditions, len(a)).items():
        use = [i for i in items if both[i]]
        share = wilson_interval(sum(a[i] == b[i] for i in use), len(use), level=level)
        found[name] = Estimate(**{**vars(share), "n_missing": len(items) - len(use)})
    return found


def confusion(
    judge: Sequence[Hashable],
    gold: Sequence[Hashable],
    conditions: Sequence[str] | None = None,
    *,
    labels: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> dict[str, Confusion]:
    """Confusion of the judge with people, by condition ("all" without any).

    Args:
        judge: [item] verdict; None and NaN are missing.
        gold: [item] label by people; likewise.
        conditions: [item] the condition.
        labels: All categories; those that occur by default.
        level: Coverage of the intervals.

    Counts are of the labelled items as they are: where they were drawn with unequal probabilities, shares of a gold
    label are those of the sample; `truing.stats.misclassification.error_rates` weights them.

    Raises:
        TruingError: lengths that differ, or a label that is not among `labels`.
    """
    both = shared(judge, gold)
    seen = ordered([side[i] for side in (judge, gold) for i in range(len(both)) if not is_missing(side[i])])
    known = tuple(seen if labels is None else labels)
    for label in seen:
        if label not in known:
            raise unknown("label", str(label), map(str, known), "confusion")
    at = {label: number for number, label in enumerate(known)}
    found = {}
    for name, items in _by_condition(conditions, len(both)).items():
        table = np.zeros((len(known), len(known)), dtype=np.int64)
        for i in items:
            if both[i]:
                table[at[gold[i]], at[judge[i]]] += 1
        found[name] = _confusion(name, known, table, len(items), level)
    return found


def differential_error(found: Mapping[str, Confusion]) -> dict[Hashable, DifferentialError]:
    """For each gold label, whether the share judged so differs between conditions: differential misclassification.

    Sources: Fisher's exact test for two conditions, Pearson's chi-square (without a continuity correction) for more; Agresti (2013),
    Categorical Data Analysis, sections 3.2 and 3.5. That it is not significant does not show that the errors are alike.

    Raises:
        TruingError: conditions with different labels.
    """
    if len({one.labels for one in found.values()}) > 1:
        raise TruingError("confusions with different labels", "the same labels in all", "make them in one call")
    labels = next(iter(found.values())).labels if found else ()
    return {label: _differential(label, at, found) for at, label in enumerate(labels)}


def _confusion(name: str, labels: tuple[Hashable, ...], table: np.ndarray, items: int, level: float) -> Confusion:
    correct = {label: wilson_interval(int(table[i, i]), int(table[i].sum()), level=level) for i, label in enumerate(labels)}
    n = int(table.sum())
    agreement = wilson_interval(int(np.trace(table)), n, level=level)
    return Confusion(name, labels, tuple(tuple(int(x) for x in row) for row in table), correct, agreement, n, items - n)


def _differential(label: Hashable, at: int, found: Mapping[str, Confusion]) -> DifferentialError:
    from scipy.stats import chi2_contingency, fisher_exact

    correct = {name: one.correct[label] for name, one in found.items()}
    shares = {name: one.value for name, one in correct.items() if one.value is not None}
    if len(shares) < 2:
        return DifferentialError(label, correct, None, None, None, None, None, "fewer than two conditions with items of this label")
    lowest, highest = min(shares, key=lambda name: shares[name]), max(shares, key=lambda name: shares[name])
    gap = shares[highest] - shares[lowest]
    table = np.array([[found[name].counts[at][at], sum(found[name].counts[at]) - found[name].counts[at][at]] for name in shares])
    if (table.sum(axis=0) == 0).any():
        return DifferentialError(label, correct, lowest, highest, gap, None, None, "all are judged right, or all wrong")
    if len(table) == 2:
        return DifferentialError(label, correct, lowest, highest, gap, float(fisher_exact(table)[1]), "fisher exact")
    return DifferentialError(label, correct, lowest, highest, gap, float(chi2_contingency(table, correction=False)[1]), "chi-square")


def _by_condition(conditions: Sequence[str] | None, n: int) -> dict[str, list[int]]:
    names = [ALL] * n if conditions is None else list(conditions)
    if len(names) != n:
        raise TruingError(f"{len(names)} conditions of {n} items", "the condition of each item", "pass both from one table")
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(name, []).append(i)
    return groups
