"""`{metric: {mean, std, values: {"42": x}}}`: each value with its seed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from truing.legacy.maps import Map
from truing.legacy.shapes import Reading, Shape, Source, shape
from truing.legacy.summaries import has_values, read_entries


def _recognises(content: Any) -> bool:
    return isinstance(content, dict) and "per_seed" not in content and any(has_values(entry, dict) for entry in content.values())


def _read(source: Source, mapping: Map) -> Iterable[Reading]:
    document = dict(source.content)
    listed = document.pop("seeds", None)
    return read_entries(document, listed, source, mapping)


BY_SEED = shape("by_seed")(Shape('{metric: {mean, std, values: {"42": x}}}', _recognises, _read))
