"""`{per_seed: [{seed, metric...}], summary: {metric: {mean, std}}}`: one record a seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from truing.core.errors import Exit, TruingError
from truing.legacy.maps import Map
from truing.legacy.records import read_record
from truing.legacy.shapes import Reading, Shape, Source, shape
from truing.legacy.summaries import SUMMARY, check_summary, duplicate, seed_of
from truing.legacy.values import is_number


def _recognises(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("per_seed"), (list, dict))


def _read(source: Source, mapping: Map) -> Iterable[Reading]:
    readings = [reading for seed, record in _records(source) for reading in read_record(record, seed, source, mapping)]
    for name, claims in _claims(source.content.get("summary")).items():
        if mapping.ignores(name):
            continue
        if mapping.find(name) is None:
            readings.append(Reading(name, None, None))
            continue
        values: list[Decimal | None] = [reading.value for reading in readings if reading.name == name]
        check_summary(name, claims, values, source, mapping)
    return readings


def _records(source: Source) -> Iterator[tuple[int, Mapping[str, Any]]]:
    records = source.content["per_seed"]
    pairs = records.items() if isinstance(records, dict) else ((None, record) for record in records)
    seen: set[int] = set()
    for at, (key, record) in enumerate(pairs):
        if not isinstance(record, Mapping) or (key is None and "seed" not in record):
            raise TruingError(f"{source.name}: per_seed[{at}] has no seed", "an object with a seed", "add the seed", Exit.REFUSED)
        seed = seed_of(record["seed"] if key is None else key, f"{source.name}: per_seed[{at}]")
        if seed in seen:
            raise duplicate(f"{source.name}: per_seed", seed)
        seen.add(seed)
        yield seed, {name: value for name, value in record.items() if name != "seed"}


def _claims(summary: Any) -> dict[str, dict[str, Any]]:
    """Claims by metric, of {metric: {mean, std}} and of {metric_mean, metric_std}."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in (summary or {}).items():
        if isinstance(value, Mapping):
            found.setdefault(key, {}).update(value)
        elif is_number(value):
            name, _, kind = key.rpartition("_")
            if kind in SUMMARY and name:
                found.setdefault(name, {})[kind] = value
    return found


PER_SEED = shape("per_seed")(Shape("{per_seed: [{seed, metric: x}], summary: {..}}", _recognises, _read))
