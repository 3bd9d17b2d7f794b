"""Tables of results: cells by column, rows that the map keeps, and one result a cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from truing.core.errors import Exit, TruingError, some
from truing.legacy.maps import NO_SEED, Map, Metric, Rows, Rule
from truing.legacy.records import count
from truing.legacy.shapes import Reading, Source
from truing.legacy.summaries import seed_of
from truing.legacy.values import is_number, lookup, number, spelled

Row = Mapping[str, Any]
CONDITION = "condition"


@dataclass(frozen=True)
class Table:
    """The rows of a file with the columns that the map names.

    Attributes:
        source: The file.
        mapping: The map.
        columns: Its names of columns.
    """

    source: Source
    mapping: Map
    columns: Rows

    def cell(self, row: Row, column: str) -> Any:
        """What stands in a column; None when a JSON row has no such key.

        Raises:
            TruingError: for a column that no row has.
        """
        if column in row:
            return row[column]
        if column not in self.names:
            raise TruingError(
                f"{self.source.name}: no column {column!r}", f"one of {some(sorted(self.names), 20)}", "correct the map", Exit.REFUSED
            )
        return lookup(row, column)

    @cached_property
    def names(self) -> set[str]:
        """Every column, those inside objects with their dotted path."""
        found: set[str] = set()
        for row in self.source.content:
            found.update(row)
            found.update(f"{key}.{inner}" for key, value in row.items() if isinstance(value, dict) for inner in value)
        return found

    @cached_property
    def rows(self) -> list[Row]:
        """The rows that every rule of `where` keeps.

        Raises:
            TruingError: when none is left.
        """
        kept = [row for row in self.source.content if all(self.holds(rule, row) for rule in self.columns.where)]
        if not kept:
            raise TruingError(f"{self.source.name}: no row is left by rows.where", "some rows", "correct the rules", Exit.REFUSED)
        return kept

    def holds(self, rule: Rule, row: Row) -> bool:
        """Whether a row keeps a rule; a null keeps none."""
        cell = self.cell(row, rule.of)
        if cell is None:
            return False
        if rule.equals is not None:
            return same(cell, rule.equals)
        if rule.among is not None:
            return any(same(cell, value) for value in rule.among)
        value = number(cell, f"{self.source.name}: column {rule.of}", texts=True)
        return value is not None and _compares(rule, value)

    def seed(self, row: Row) -> int | None:
        """The training seed of a row: of its column, or of the file.

        Raises:
            TruingError: when neither is there and the map has seeds, or when they disagree.
        """
        if self.mapping.seed_scope == NO_SEED:
            return None
        own = None if self.columns.seed is None else seed_of(self._seed_text(row), f"{self.source.name}: column {self.columns.seed}")
        if own is None and self.source.seed is None:
            raise TruingError(
                f"{self.source.name}: no seed in the path",
                "rows.seed, or seed_from in the map",
                "state one, or seed_scope: none",
                Exit.REFUSED,
            )
        if None not in (own, self.source.seed) and own != self.source.seed:
            raise TruingError(
                f"{self.source.name}: its path states seed {self.source.seed}, a row seed {own}",
                "one seed",
                "find out which is right",
                Exit.REFUSED,
            )
        return own if own is not None else self.source.seed

    def _seed_text(self, row: Row) -> Any:
        cell = self.cell(row, self.columns.seed or "")
        value = spelled(cell) if isinstance(cell, str) else cell
        # A column of seeds that once held a gap is written as 42.0.
        return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else cell

    def holes(self, metric: Metric) -> list[str]:
        """The columns that the templates of a metric name."""
        templates = metric.metric + metric.probe + metric.arm
        return [name for name in sorted(self.names) if f"{{{name}}}" in templates]

    def fields(self, row: Row, holes: Iterable[str]) -> dict[str, str]:
        """The cells of a row that templates name, and its condition."""
        named = {name: self._text(row, name) for name in holes}
        return named if self.columns.condition is None else {**named, CONDITION: self._text(row, self.columns.condition)}

    def _text(self, row: Row, column: str) -> str:
        cell = self.cell(row, column)
        if cell is None or cell == "":
            raise TruingError(
                f"{self.source.name}: a row without {column}", "a text", "mend the row, or leave it out by rows.where", Exit.REFUSED
            )
        return str(cell)

    def used(self) -> set[str]:
        """The columns that the map gives a part to."""
        columns, metrics = self.columns, self.mapping.metrics.values()
        missing = [one.column for one in (columns.missing, *(metric.missing for metric in metrics)) if one]
        rules = [rule.of for rule in (*columns.where, *(rule for metric in metrics for rule in metric.rules))]
        named = [columns.condition, columns.seed, columns.metric, columns.value, *columns.item, *(columns.cluster or ())]
        parts = [name for metric in metrics for name in (metric.n, metric.se, metric.column) if isinstance(name, str)]
        holes = {name for metric in metrics for name in self.holes(metric)}
        return {*missing, *rules, *parts, *holes, *(name for name in named if name)}

    def strangers(self) -> list[str]:
        """Columns of numbers that the map gives no part to: results that would be left behind in silence."""
        rest = sorted(name for name in self.names - self.used() if name and not self.mapping.find(name))
        return [name for name in rest if self._numeric(name)]

    def _numeric(self, column: str) -> bool:
        cells = [cell for row in self.rows if (cell := lookup(row, column)) not in (None, "")]
        return bool(cells) and all(isinstance(cell, bool) or is_number(cell) or spelled(cell) is not None for cell in cells)


def same(cell: Any, wanted: Any) -> bool:
    """Whether a cell is a value: as numbers where both are numbers, as texts otherwise; true and false in any case."""
    a, b = _plain_number(cell), _plain_number(wanted)
    return a == b if a is not None and b is not None else str(cell) == str(wanted)


def _plain_number(value: Any) -> Decimal | None:
    return spelled(str(value)) if isinstance(value, (str, bool, int, float, Decimal)) else None


def _compares(rule: Rule, value: Decimal) -> bool:
    tests: Sequence[tuple[float | None, Callable[[Decimal, Decimal], bool]]] = (
        (rule.less_than, Decimal.__lt__),
        (rule.greater_than, Decimal.__gt__),
        (rule.at_most, Decimal.__le__),
        (rule.at_least, Decimal.__ge__),
    )
    return all(test(value, Decimal(repr(bound))) for bound, test in tests if bound is not None)


def results(table: Table) -> Iterator[Reading]:
    """One reading a cell: of each mapped column, or of the value column of a long table."""
    columns = table.columns
    if columns.value is None or columns.metric is None:
        yield from (Reading(name, None, None) for name in table.strangers())
        wide = [name for name in sorted(table.names) if table.mapping.find(name)]
        pairs = ((row, name, metric_column(table, name)) for row in table.rows for name in wide)
    else:
        pairs = ((row, str(table.cell(row, columns.metric)), columns.value) for row in table.rows)
    for row, name, column in pairs:
        yield _result(table, row, name, column)


def metric_column(table: Table, name: str) -> str:
    """The column that a mapped name is about."""
    found = table.mapping.find(name)
    return name if found is None or found[1].column is None else found[1].column


def _result(table: Table, row: Row, name: str, column: str) -> Reading:
    found = table.mapping.find(name)
    if found is None:
        return Reading(name, None, None)
    metric, where = found[1], f"{table.source.name}: column {column}"
    value = number(table.cell(row, column), where, texts=True)
    error = None if metric.se is None else number(table.cell(row, metric.se), where, texts=True)
    items = count(table.cell(row, metric.n), where) if isinstance(metric.n, str) else None
    return Reading(name, table.seed(row), value, error, items, fields=table.fields(row, table.holes(metric)))
