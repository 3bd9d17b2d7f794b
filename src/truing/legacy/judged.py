"""Judged answers into one value a condition and seed: a mean or a rate, what is missing by class, and a standard error.

An answer has a score, or it is missing and counted in its class; a word that the map does not explain is an error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from truing.core.errors import Exit, TruingError
from truing.legacy.maps import Metric, Missing
from truing.legacy.shapes import Reading
from truing.legacy.tables import Row, Table, same
from truing.legacy.values import number


@dataclass
class _Group:
    fields: dict[str, str]
    values: list[float] = field(default_factory=list)
    clusters: list[Any] = field(default_factory=list)
    missing: Counter[str] = field(default_factory=Counter)
    items: set[tuple[str, ...]] = field(default_factory=set)


def aggregate(table: Table) -> Iterator[Reading]:
    """One reading a metric, condition, seed and arm.

    Raises:
        TruingError: an item twice, a word without a meaning.
    """
    yield from (Reading(name, None, None) for name in table.strangers())
    for name, metric in table.mapping.metrics.items():
        for (seed, _), group in _groups(table, name, metric).items():
            value = math.fsum(group.values) / len(group.values) if group.values else None
            yield Reading(
                name,
                seed,
                _exact(value),
                _exact(standard_error(group.values, group.clusters)),
                len(group.values),
                group.missing,
                group.fields,
            )


def _exact(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(repr(value))


def _groups(table: Table, name: str, metric: Metric) -> dict[tuple[Any, ...], _Group]:
    groups: dict[tuple[Any, ...], _Group] = {}
    cluster, holes = table.columns.cluster, table.holes(metric)
    for row in table.rows:
        fields, seed = table.fields(row, holes), table.seed(row)
        group = groups.setdefault((seed, tuple(sorted(fields.items()))), _Group(fields))
        item = tuple(str(table.cell(row, column)) for column in table.columns.item)
        if item in group.items:
            raise TruingError(
                f"{table.source.name}: item {'/'.join(item)} of {_place(seed, fields)} is there twice",
                f"one row for each {' + '.join(table.columns.item)}",
                "name more columns in rows.item, or remove the copy",
                Exit.REFUSED,
            )
        group.items.add(item)
        score = _score(table, row, name, metric)
        if isinstance(score, str):
            group.missing[score] += 1
        else:
            group.values.append(score)
            group.clusters.append(item if cluster is None else tuple(str(table.cell(row, column)) for column in cluster))
    return groups


def _place(seed: int | None, fields: dict[str, str]) -> str:
    return ", ".join([f"seed {seed}", *fields.values()])


def _score(table: Table, row: Row, name: str, metric: Metric) -> float | str:
    """The score of a row, or the class of its absence."""
    rule: Missing | None = metric.missing or table.columns.missing
    if rule is not None:
        cell = table.cell(row, rule.column)
        for word, kind in rule.values.items():
            if cell is not None and same(cell, word):
                return kind
    if metric.rules:
        # A null is no evidence against a rule.
        cells = [table.cell(row, one.of) for one in metric.rules]
        if any(cell is None or cell == "" for cell in cells):
            return table.mapping.missing_class
        return float(all(table.holds(one, row) for one in metric.rules))
    return _number(table, row, metric.column or name, metric)


def _number(table: Table, row: Row, column: str, metric: Metric) -> float | str:
    cell = table.cell(row, column)
    if metric.score is not None and cell is not None:
        for word, score in metric.score.items():
            if same(cell, word):
                return score
        raise _meaningless(table, column, cell, "a word of `score`")
    try:
        value = number(cell, table.source.name, texts=True)
    except TruingError as error:
        raise _meaningless(table, column, cell, "a number, or a word of `missing`") from error
    return table.mapping.missing_class if value is None else float(value)


def _meaningless(table: Table, column: str, cell: Any, expected: str) -> TruingError:
    return TruingError(
        f"{table.source.name}: column {column} holds {str(cell)!r:.60}",
        expected,
        "say in the map what it means: missing, or a number",
        Exit.REFUSED,
    )


def standard_error(values: Sequence[float], clusters: Iterable[Any]) -> float | None:
    """Standard error of a mean over answers that hang together in clusters.

    With e_c the sum over cluster c of y - mean: sqrt(C / (C - 1) sum_c e_c^2) / n, the linearised variance of a ratio
    of cluster totals (Cochran 1977, Sampling Techniques, sections 9A.1 and 6.4). With clusters of one answer it is s / sqrt(n).
    None with fewer than two clusters, or when the clusters do not differ: that is no knowledge of zero error.
    """
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    parts: dict[Any, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        parts.setdefault(cluster, []).append(value - mean)
    total = math.fsum(math.fsum(part) ** 2 for part in parts.values())
    size = len(parts)
    if size < 2 or total <= (1e-12 * n * max(1.0, abs(mean))) ** 2:
        return None
    return math.sqrt(size / (size - 1) * total) / n
