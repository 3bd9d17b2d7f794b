"""Rates per condition with the lengths of the texts made alike."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from truing.core.errors import TruingError
from truing.judges.blindness import require

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Matched:
    """One number, as it is and with lengths matched.

    Attributes:
        raw: Over all texts; None where there is no score.
        value: With lengths matched; None where no length bin holds every condition.
        lo: Lower end of the interval of `value`; None where there is none.
        hi: Upper end of it.
    """

    raw: float | None
    value: float | None
    lo: float | None
    hi: float | None


@dataclass(frozen=True)
class MatchedRate:
    """The mean score of one condition.

    Attributes:
        condition: Its name.
        rate: The mean score.
        n: Texts with a score.
        n_missing: Texts without one, or scores without a text; left out.
        in_support: Share of the texts in bins that hold every condition.
    """

    condition: str
    rate: Matched
    n: int
    n_missing: int
    in_support: float | None


@dataclass(frozen=True)
class MatchedDifference:
    """The difference `a - b` of two conditions' mean scores."""

    a: str
    b: str
    difference: Matched


@dataclass(frozen=True)
class LengthMatched:
    """Every condition and every difference.

    Attributes:
        rates: By the conditions' names.
        differences: Of every two of them.
        edges: Lengths in characters at which bins end.
        level: Coverage of the intervals.
    """

    rates: tuple[MatchedRate, ...]
    differences: tuple[MatchedDifference, ...]
    edges: tuple[float, ...]
    level: float


def length_matched_rates(
    scored: pd.DataFrame, rng: np.random.Generator, *, bins: int = 10, level: float = 0.95, draws: int = 1000
) -> LengthMatched:
    """Mean scores with every condition given one distribution over bins of length.

    Bins are quantiles of the pooled lengths. A bin weighs as much as its rarest condition has texts in it,
    so a bin that a condition never reaches weighs nothing, and all conditions are weighed alike. The
    interval is a percentile bootstrap over items, bins fixed. What is estimated is the rate among texts of
    lengths that all conditions produce; `in_support` says how large a part of each condition that is.

    Sources: Iacus, King and Porro (2012), Political Analysis 20(1) (coarsened exact matching); Li, Morgan
    and Zaslavsky (2018), J. Am. Stat. Assoc. 113(521) (weights that fade out without overlap).

    Args:
        scored: Columns `condition`, `item_id`, `text` and `score`; a row without text or score is left out and counted.
        rng: Draws the bootstrap.
        bins: Most bins; equal lengths are never parted.
        level: Coverage of the intervals, in (0, 1).
        draws: Bootstrap draws.

    Raises:
        TruingError: a column is missing, or a setting is out of its range.
    """
    require(scored, ("condition", "item_id", "text", "score"), "the scored texts")
    if bins < 1 or draws < 1 or not 0 < level < 1:
        raise TruingError(
            f"bins {bins}, draws {draws}, level {level}", "1 or more bins and draws, a level in (0, 1)", "correct the setting"
        )
    names = sorted(map(str, set(scored["condition"])))
    known = scored[scored["text"].notna() & scored["score"].notna()]
    length = known["text"].str.len().to_numpy(dtype=np.float64)
    edges = np.unique(np.quantile(length, np.linspace(0, 1, bins + 1)[1:-1])) if len(known) else np.empty(0)
    cells = _Cells(known, names, np.searchsorted(edges, length, side="left"), len(edges) + 1)
    point = cells.rates(np.ones(cells.items))
    drawn = np.array([cells.rates(cells.draw(rng)) for _ in range(draws)]) if len(known) else np.full((1, len(names)), np.nan)
    raw, support = cells.raw(), cells.support()
    sizes, whole = cells.sizes(), scored["condition"].astype(str).value_counts()
    rates = [
        MatchedRate(name, _matched(raw[i], point[i], drawn[:, i], level), sizes[i], int(whole[name]) - sizes[i], _known(support[i]))
        for i, name in enumerate(names)
    ]
    differences = [
        MatchedDifference(names[i], names[j], _matched(raw[i] - raw[j], point[i] - point[j], drawn[:, i] - drawn[:, j], level))
        for i, j in combinations(range(len(names)), 2)
    ]
    return LengthMatched(tuple(rates), tuple(differences), tuple(edges.tolist()), level)


class _Cells:
    """Counts and sums of scores by item, condition and bin."""

    def __init__(self, known: pd.DataFrame, names: list[str], bin_of: NDArray[np.int64], bins: int) -> None:
        condition = np.array([names.index(name) for name in known["condition"].astype(str)], dtype=np.int64)
        self._items, self._item = np.unique(known["item_id"].astype(str).to_numpy(dtype=str), return_inverse=True)
        self._shape = (len(names), bins)
        self._cell = condition * bins + bin_of
        self._score = known["score"].to_numpy(dtype=np.float64)

    @property
    def items(self) -> int:
        return len(self._items)

    def draw(self, rng: np.random.Generator) -> Floats:
        return rng.multinomial(self.items, np.full(self.items, 1 / self.items)).astype(np.float64)

    def _count_and_sum(self, weight: Floats) -> tuple[Floats, Floats]:
        rows, size = weight[self._item], self._shape[0] * self._shape[1]
        count = np.bincount(self._cell, rows, size).astype(np.float64).reshape(self._shape)
        total = np.bincount(self._cell, rows * self._score, size).astype(np.float64).reshape(self._shape)
        return count, total

    def rates(self, weight: Floats) -> Floats:
        count, total = self._count_and_sum(weight)
        overlap = count.min(axis=0)
        share = np.divide(overlap, count, out=np.zeros_like(count), where=count > 0)
        return (total * share).sum(axis=1) / overlap.sum() if overlap.sum() else np.full(len(count), np.nan)

    def raw(self) -> Floats:
        count, total = self._count_and_sum(np.ones(self.items))
        size = count.sum(axis=1)
        return np.divide(total.sum(axis=1), size, out=np.full(len(size), np.nan), where=size > 0)

    def support(self) -> Floats:
        count, _ = self._count_and_sum(np.ones(self.items))
        size = count.sum(axis=1)
        return np.divide(count[:, count.min(axis=0) > 0].sum(axis=1), size, out=np.full(len(size), np.nan), where=size > 0)

    def sizes(self) -> list[int]:
        return [int(size) for size in self._count_and_sum(np.ones(self.items))[0].sum(axis=1)]


def _matched(raw: float, value: float, drawn: Floats, level: float) -> Matched:
    known = drawn[~np.isnan(drawn)]
    # Draws that all agree show no spread; that says nothing about the next items.
    if np.isnan(value) or len(known) < 2 or np.ptp(known) == 0:
        return Matched(_known(raw), _known(value), None, None)
    lo, hi = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Matched(_known(raw), _known(value), float(lo), float(hi))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
