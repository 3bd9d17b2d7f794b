"""A metric as `{mean, std, n, values}`: its values by seed, and the refusal of a summary that is not theirs."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

from truing.core.errors import Exit, TruingError
from truing.legacy.maps import NO_SEED, Map
from truing.legacy.shapes import Reading, Source
from truing.legacy.values import agree, decimals_of, half_unit, is_number, leaves, number

MEANS, SPREADS, ERRORS, COUNTS = ("mean", "avg"), ("std", "sd", "stdev"), ("se", "sem", "stderr"), ("n", "count", "n_seeds")
SUMMARY = (*MEANS, *SPREADS, *ERRORS, *COUNTS)
_SEED = re.compile(r"(?:seed[_-]?)?(\d+)", re.ASCII)


def has_values(entry: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether an object is a metric whose `values` are of that type, or of one of those."""
    return isinstance(entry, Mapping) and isinstance(entry.get("values"), kind)


def read_entries(entries: Mapping[str, Any], listed: Any, source: Source, mapping: Map) -> Iterator[Reading]:
    """The values of every metric of an object, each checked against its own summary.

    Args:
        entries: Metric to `{mean, std, n, values}`; the values a list in the order of the seeds, or by seed.
        listed: Seeds that the document lists; None when it lists none.
        source: The file.
        mapping: The map.

    Numbers beside the metrics are passed on, so that one that the map does not name is refused.
    """
    for name, entry in entries.items():
        if not isinstance(entry, Mapping) or not {"values", *SUMMARY} & set(entry):
            yield from _strays(name, entry, source, mapping)
        elif mapping.ignores(name):
            continue
        elif mapping.find(name) is None:
            yield Reading(name, None, None)
        elif not isinstance(entry.get("values"), (Mapping, list)):
            raise TruingError(
                f"{source.name}: {name} has a summary and no values", "the value of each seed", "add them, or ignore it", Exit.REFUSED
            )
        else:
            values = _by_seed(name, entry["values"], listed, source, mapping)
            check_summary(name, entry, values.values(), source, mapping)
            yield from (Reading(name, seed, value) for seed, value in values.items())


def _strays(name: str, entry: Any, source: Source, mapping: Map) -> Iterator[Reading]:
    """Numbers that are of no seed; the caller refuses those that the map does not leave out."""
    for path, value in leaves(entry, name):
        if mapping.find(path) is not None and not mapping.ignores(path):
            raise TruingError(f"{source.name}: {path} has no values by seed", "{values: ..}", "correct the file or the map", Exit.REFUSED)
        if is_number(value):
            yield Reading(path, None, None)


def _by_seed(name: str, values: Any, listed: Any, source: Source, mapping: Map) -> dict[int | None, Decimal | None]:
    where = f"{source.name}: {name}"
    pairs: Iterable[tuple[int | None, Any]]
    if isinstance(values, Mapping):
        pairs = [(seed_of(seed, where), value) for seed, value in values.items()]
    else:
        seeds = _listed(listed, source, mapping)
        if len(seeds) != len(values):
            raise TruingError(
                f"{where} has {len(values)} values for {len(seeds)} seeds",
                "one value a seed",
                "correct the seeds or the file",
                Exit.REFUSED,
            )
        pairs = zip(seeds, values, strict=True)
    found: dict[int | None, Decimal | None] = {}
    for seed, value in pairs:
        if seed in found:
            raise duplicate(where, seed)
        found[seed] = number(value, f"{where}, seed {seed}")
    return found


def _listed(listed: Any, source: Source, mapping: Map) -> Sequence[int | None]:
    if mapping.seed_scope == NO_SEED:
        return (None,)
    if listed is None:
        if mapping.seeds is None:
            raise TruingError(
                f"{source.name}: the values are a list and no seeds are listed", "seeds in the file or in the map", "add `seeds` to the map"
            )
        return mapping.seeds
    if not isinstance(listed, list):
        raise TruingError(f"{source.name}: seeds are {listed!r:.60}", "a list of seeds", "mend the file", Exit.REFUSED)
    seeds = [seed_of(seed, f"{source.name}: seeds") for seed in listed]
    if repeated := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise duplicate(f"{source.name}: seeds", repeated[0])
    if mapping.seeds is not None and list(mapping.seeds) != seeds:
        raise TruingError(
            f"{source.name}: lists the seeds {seeds}, the map {list(mapping.seeds)}",
            "one order",
            "leave `seeds` out of the map",
            Exit.REFUSED,
        )
    return seeds


def seed_of(value: Any, where: str) -> int:
    """A seed as a number, from 42, "42" or "seed_42".

    Raises:
        TruingError: for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SEED.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise TruingError(f"{where}: {value!r:.60} is no seed", "a whole number", "correct the file or the map", Exit.REFUSED)
    return int(found[1])


def duplicate(where: str, seed: int | None) -> TruingError:
    """The error for a seed that is there twice."""
    return TruingError(f"{where}: duplicate seed {seed}", "each seed once", "remove one of the two", Exit.REFUSED)


def check_summary(name: str, claims: Mapping[str, Any], values: Iterable[Decimal | None], source: Source, mapping: Map) -> None:
    """Refuse a mean, standard deviation (of a sample, n - 1), standard error or count that is not that of the values.

    The slack is the rounding of the printed digits of the summary, or of `decimals`, and that of `value_decimals`.
    Rounding every value by at most h moves the mean by at most h and the deviation by at most h sqrt(n / (n - 1)),
    the triangle inequality of the norm that it is.

    Raises:
        TruingError: naming the file, the metric and both numbers.
    """
    known = [value for value in values if value is not None]
    where = f"{source.name}: {name}"
    stated = {key: number(claims[key], f"{where}, {key}") for key in SUMMARY if is_number(claims.get(key))}
    printed = decimals_of(stated[key] for key in stated if key not in COUNTS)
    rounding = half_unit(printed if mapping.decimals is None else mapping.decimals)
    inexact = Decimal(0) if mapping.value_decimals is None else half_unit(mapping.value_decimals)
    for key, claim in stated.items():
        if claim is None:
            continue
        found, moved = _statistic(key, known)
        if found is None or not agree(claim, found, Decimal(0) if key in COUNTS else rounding + inexact * moved):
            raise _disagrees(where, key, claim, found, known, rounding)


def _statistic(key: str, known: Sequence[Decimal]) -> tuple[Decimal | None, Decimal]:
    """A statistic of the values, and how far it moves when each of them moves by one."""
    n = len(known)
    if key in COUNTS:
        return Decimal(n), Decimal(0)
    if key in MEANS:
        return (statistics.mean(known) if n else None), Decimal(1)
    if n < 2:
        return None, Decimal(0)
    with localcontext(prec=40):
        spread, moved = statistics.stdev(known), (Decimal(n) / (n - 1)).sqrt()
        root = Decimal(n).sqrt()
        return (spread / root, moved / root) if key in ERRORS else (spread, moved)


def _disagrees(where: str, key: str, claim: Decimal, found: Decimal | None, known: Sequence[Decimal], rounding: Decimal) -> TruingError:
    if key in SPREADS and len(known) > 1 and agree(claim, statistics.pstdev(known), rounding):
        return TruingError(
            f"{where}: {key} {claim} is the population standard deviation of its values (division by n)",
            f"that of a sample, {found:.6g} (division by n - 1): the seeds are a sample of all seeds",
            "write the sample standard deviation, or remove it",
            Exit.REFUSED,
        )
    shown = "undefined" if found is None else f"{found:.12g}"
    return TruingError(
        f"{where}: {key} is stated as {claim}, its {len(known)} values give {shown}",
        "a summary that is that of its values, up to its printed digits",
        "correct the file; where the values were rounded, state `value_decimals` in the map",
        Exit.REFUSED,
    )
