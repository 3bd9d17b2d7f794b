"""The table as one claim sees it: spans of means and standard deviations, under one reading of the half widths."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cache

from truing.core.errors import TruingError
from truing.stats.audit.boxes import Printed, Span, UndefinedNumberError
from truing.stats.audit.table import Cell, Table

# A printed number of the table: condition, metric and column.
Place = tuple[str, str, str]


@dataclass(frozen=True)
class Moments:
    """What a test needs of one condition.

    Attributes:
        mean: Mean of the replicates.
        sd: Their standard deviation (divisor n - 1); greater than 0 in the whole box.
        n: Number of replicates; at least 2.
    """

    mean: Span
    sd: Span
    n: int

    @property
    def variance(self) -> Span:
        """Squared standard error of the mean."""
        return Span(self.sd.at**2 / self.n, self.sd.lo**2 / self.n, self.sd.hi**2 / self.n)


@dataclass(frozen=True)
class Evidence:
    """The table under one reading, for one claim.

    Attributes:
        table: The published table.
        where: The claims file and the claim, for messages.
        level: Coverage of the intervals whose half widths are printed; None when standard deviations are.
        distribution: "t" or "z", whose quantile the half widths were made with; None when standard deviations are printed.
        exact: Printed numbers to take as if they were exact, to see how much their rounding matters.
    """

    table: Table
    where: str
    level: float | None = None
    distribution: str | None = None
    exact: frozenset[Place] = field(default_factory=frozenset)

    def check(self, metric: str | None, conditions: tuple[str, ...]) -> None:
        """Refuse a claim about a metric or a condition that the table does not have."""
        if metric is None:
            return
        known = self.table.metrics()
        if metric not in known:
            raise self._unknown("metric", metric, known)
        rows = self.table.conditions(metric)
        for condition in conditions:
            if condition not in rows:
                raise self._unknown(f"condition of {metric}", condition, rows)

    def sharpened(self, *places: Place) -> Evidence:
        """The same evidence with these printed numbers taken as exact."""
        return replace(self, exact=self.exact | frozenset(places))

    def mean(self, condition: str, metric: str) -> Span:
        """The mean of a condition.

        Raises:
            UndefinedNumberError: it is not printed.
        """
        return self._span(self._cell(condition, metric).mean, (condition, metric, "mean"))

    def moments(self, condition: str, metric: str) -> Moments:
        """Mean, standard deviation and n of a condition.

        Raises:
            UndefinedNumberError: one of them is not printed, n is below 2, or the standard deviation may be 0.
        """
        cell = self._cell(condition, metric)
        if cell.n is None:
            raise UndefinedNumberError(f"n of {condition} / {metric} is missing")
        if cell.n < 2:
            raise UndefinedNumberError(f"n of {condition} / {metric} is {cell.n}, and a spread needs 2")
        column = self.table.spread
        spread = self._span(cell.spread, (condition, metric, column))
        if cell.spread is not None and cell.spread.span.lo <= 0:
            raise UndefinedNumberError(f"the {column} of {condition} / {metric} is printed as {cell.spread.text} and may be 0")
        return Moments(self.mean(condition, metric), spread.scaled(self._sd_per_spread(cell.n)), cell.n)

    def _sd_per_spread(self, n: int) -> float:
        # half_width = q * sd / sqrt(n)
        if self.level is None or self.distribution is None:
            return 1.0
        return math.sqrt(n) / quantile(self.distribution, self.level, n)

    def _span(self, number: Printed | None, place: Place) -> Span:
        if number is None:
            condition, metric, column = place
            raise UndefinedNumberError(f"{column} of {condition} / {metric} is missing")
        return number.point if place in self.exact else number.span

    def _cell(self, condition: str, metric: str) -> Cell:
        return self.table.cells[condition, metric]

    def _unknown(self, what: str, name: str, known: list[str]) -> TruingError:
        return TruingError(
            f"{self.where}: unknown {what} {name!r}",
            f"one of those in {self.table.name}: {', '.join(known)}",
            "correct the claim, or add the row to the table",
        )


@cache
def quantile(distribution: str, level: float, n: int) -> float:
    """Standard errors from the mean to the end of its two-sided interval: Student's with n - 1 df ("t") or the normal ("z")."""
    from scipy import stats

    upper = (1 + level) / 2
    return float(stats.t.ppf(upper, n - 1) if distribution == "t" else stats.norm.ppf(upper))
