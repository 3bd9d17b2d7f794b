"""One JSON object of numbers a seed, with the seed in the file's path or in the object itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from truing.core.errors import Exit, TruingError
from truing.legacy.layouts import LAYOUTS
from truing.legacy.maps import NO_SEED, Map
from truing.legacy.records import read_record
from truing.legacy.shapes import Reading, Shape, Source, shape
from truing.legacy.shapes.harness import HARNESS
from truing.legacy.summaries import has_values, seed_of
from truing.legacy.values import is_number, leaves


def _recognises(content: Any) -> bool:
    if not isinstance(content, dict) or "per_seed" in content or HARNESS.recognises(content):
        return False
    inner = content.get("metrics")
    entries = [*content.values(), *(inner.values() if isinstance(inner, dict) else ())]
    if any(has_values(entry, (list, dict)) for entry in entries):
        return False
    return any(value is None or is_number(value) for _, value in leaves(content))


def _read(source: Source, mapping: Map) -> Iterable[Reading]:
    record = {name: value for name, value in source.content.items() if name != "seed"}
    return read_record(record, _seed(source, mapping), source, mapping)


def _seed(source: Source, mapping: Map) -> int | None:
    own = source.content.get("seed")
    inner = None if own is None else seed_of(own, source.name)
    if mapping.seed_scope == NO_SEED:
        if source.seed is not None:
            raise TruingError(
                f"{source.name}: its path states seed {source.seed}, the map seed_scope none",
                "seeds, or none",
                "correct seed_scope",
                Exit.REFUSED,
            )
        return None
    if None not in (inner, source.seed) and inner != source.seed:
        raise TruingError(
            f"{source.name}: its path states seed {source.seed}, its content seed {inner}",
            "one seed",
            "find out which is right",
            Exit.REFUSED,
        )
    seed = source.seed if source.seed is not None else inner
    if seed is None:
        raise TruingError(
            f"{source.name}: no seed in the path or in the document",
            f"one of the layouts {'; '.join(LAYOUTS)}, a `seed` in the document, or `seed_from` in the map",
            "name the file after its seed, or state `seed_from`",
            Exit.REFUSED,
        )
    return seed


DETAIL = shape("detail")(Shape(f"one object of numbers a seed: {'; '.join(LAYOUTS)}", _recognises, _read))
