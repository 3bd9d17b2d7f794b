"""`{metrics: {name: {mean, std, values}}, training_config: {...}}`: the metrics in one object, what made them in another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from truing.legacy.maps import Map
from truing.legacy.shapes import Reading, Shape, Source, shape
from truing.legacy.summaries import has_values, read_entries

CONFIG = "training_config"


def _recognises(content: Any) -> bool:
    entries = content.get("metrics") if isinstance(content, dict) else None
    return isinstance(entries, dict) and any(has_values(entry, (list, dict)) for entry in entries.values())


def _read(source: Source, mapping: Map) -> Iterable[Reading]:
    config = source.content.get(CONFIG)
    seeds = source.content.get("seeds", config.get("seeds") if isinstance(config, dict) else None)
    return read_entries(source.content["metrics"], seeds, source, mapping)


NESTED = shape("nested")(Shape("{metrics: {name: {values: ..}}, training_config: {..}}", _recognises, _read))
