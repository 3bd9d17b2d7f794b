"""A table, of CSV, JSON lines or a JSON list: results a row, or judged answers a row that are aggregated by seed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from truing.core.errors import TruingError
from truing.legacy.judged import aggregate
from truing.legacy.maps import Map
from truing.legacy.shapes import Reading, Shape, Source, shape
from truing.legacy.tables import Table, results


def _recognises(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and all(isinstance(row, dict) and row for row in content)


def _read(source: Source, mapping: Map) -> Iterable[Reading]:
    if mapping.rows is None:
        columns = ", ".join(map(str, list(source.content[0])[:12]))
        raise TruingError(
            f"{source.name}: a table with the columns {columns}", "`rows` in the map, which names them", "add `rows` to the map"
        )
    table = Table(source, mapping, mapping.rows)
    return aggregate(table) if mapping.rows.item else results(table)


ROWS = shape("rows")(Shape("a table (CSV, JSON lines, a list of objects), with `rows` in the map", _recognises, _read))
