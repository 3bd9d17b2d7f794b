"""One object of numbers as the values of one seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from truing.core.errors import Exit, TruingError
from truing.legacy.maps import Map, Metric
from truing.legacy.shapes import Reading, Source
from truing.legacy.values import is_number, leaves, number

_ERROR = "_stderr"


def read_record(record: Mapping[str, Any], seed: int | None, source: Source, mapping: Map) -> Iterator[Reading]:
    """A reading of every number, and of every null that the map knows, by its dotted path.

    A name with `_stderr` in it is the standard error of the name without; a name that the map gives as the `n` or
    `se` of another is that.
    """
    cells = dict(leaves(record))
    used = {name for metric in mapping.metrics.values() for name in (metric.n, metric.se) if isinstance(name, str)}
    for name, raw in cells.items():
        if name in used or (_ERROR in name and name.replace(_ERROR, "", 1) in cells):
            continue
        found = mapping.find(name)
        if found is None:
            if is_number(raw):
                yield Reading(name, seed, None)
            continue
        where = f"{source.name}: {name}"
        yield Reading(name, seed, number(raw, where), _error(name, found[1], cells, where), _count(found[1], cells, where))


def _error(name: str, metric: Metric, cells: Mapping[str, Any], where: str) -> Decimal | None:
    if metric.se is not None:
        return number(cells.get(metric.se), where)
    # Harnesses write the error of "acc,none" as "acc_stderr,none".
    stem, comma, rest = name.partition(",")
    return number(cells.get(f"{stem}{_ERROR}{comma}{rest}"), where)


def _count(metric: Metric, cells: Mapping[str, Any], where: str) -> int | None:
    return count(cells.get(metric.n), where) if isinstance(metric.n, str) else None


def count(raw: Any, where: str) -> int | None:
    """A number of items; None when it is not known.

    Raises:
        TruingError: for a number that is no count.
    """
    found = number(raw, where, texts=True)
    if found is not None and (found < 0 or found != found.to_integral_value()):
        raise TruingError(f"{where}: n is {found}", "a whole number of items", "correct the file or the map", Exit.REFUSED)
    return None if found is None else int(found)
