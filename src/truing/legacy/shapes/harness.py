"""Results of the LM evaluation harness, old (`acc`, `acc_stderr`) and new (`acc,none`, `acc_stderr,none`, `n-samples`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from truing.core.errors import Exit, TruingError
from truing.legacy.maps import NO_SEED, Map
from truing.legacy.records import count
from truing.legacy.shapes import Reading, Shape, Source, shape
from truing.legacy.values import is_number, number

_DEFAULT_FILTER = "none"
_ERROR = "_stderr"


def _recognises(content: Any) -> bool:
    if not isinstance(content, dict) or not {"versions", "configs", "config"} & set(content):
        return False
    results = content.get("results")
    return isinstance(results, dict) and bool(results) and all(isinstance(task, dict) for task in results.values())


def _read(source: Source, mapping: Map) -> Iterable[Reading]:
    seed = None if mapping.seed_scope == NO_SEED else source.seed
    if seed is None and mapping.seed_scope != NO_SEED:
        raise TruingError(
            f"{source.name}: no seed in the path, and the harness records no training seed",
            "a seed in the path, or seed_scope: none",
            "state `seed_from` in the map",
            Exit.REFUSED,
        )
    for task, cells in source.content["results"].items():
        yield from _task(task, cells, _items(task, source), seed, source)


def _task(task: str, cells: Mapping[str, Any], n: int | None, seed: int | None, source: Source) -> Iterator[Reading]:
    seen: set[str] = set()
    for key, raw in cells.items():
        stem, _, chosen = key.partition(",")
        if stem.endswith(_ERROR) or not (raw is None or is_number(raw)):
            continue
        name = f"{task}.{stem}" if chosen in ("", _DEFAULT_FILTER) else f"{task}.{key}"
        if name in seen:
            raise TruingError(
                f"{source.name}: {name} stands there twice, with and without a filter", "one of them", "remove one", Exit.REFUSED
            )
        seen.add(name)
        error = cells.get(f"{stem}{_ERROR},{chosen}" if chosen else f"{stem}{_ERROR}")
        where = f"{source.name}: {name}"
        yield Reading(name, seed, number(raw, where), number(error, where), n)


def _items(task: str, source: Source) -> int | None:
    """Items that were asked, which a limit makes fewer than the task has."""
    samples = source.content.get("n-samples", {}).get(task)
    return count(samples.get("effective") if isinstance(samples, dict) else samples, f"{source.name}: n-samples of {task}")


HARNESS = shape("harness")(Shape("{results: {task: {acc, acc_stderr}}, versions | configs}", _recognises, _read))
