"""`{metric: {mean, std, values: [...]}}`, in the order of the seeds that stand beside it or in the map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from truing.legacy.maps import Map
from truing.legacy.shapes import Reading, Shape, Source, shape
from truing.legacy.summaries import has_values, read_entries


def _recognises(content: Any) -> bool:
    if not isinstance(content, dict) or "per_seed" in content:
        return False
    entries = content.values()
    return any(has_values(entry, list) for entry in entries) and not any(has_values(entry, dict) for entry in entries)


def _read(source: Source, mapping: Map) -> Iterable[Reading]:
    document = dict(source.content)
    listed = document.pop("seeds", None)
    return read_entries(document, listed, source, mapping)


FLAT = shape("flat")(Shape("{metric: {mean, std, values: [..]}}, with `seeds` beside or in the map", _recognises, _read))
