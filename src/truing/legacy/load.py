"""Files and a map into the checked result table. No file is opened here: the caller has the bytes.

The same numbers give the same table in any shape; only `source_digest` tells which file a value was read from.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from truing.contracts.frames import check_frame
from truing.contracts.protocol import as_text, derived, fingerprint
from truing.contracts.results import FAILURES, IDENTITY, RESULT_VERSION
from truing.contracts.schemas import schema
from truing.core.digests import digest_bytes
from truing.core.errors import Exit, TruingError, some
from truing.legacy.documents import outline, parse, rows_at
from truing.legacy.layouts import place
from truing.legacy.maps import Map, Metric, Rows, capture, fill, read_map, scaled
from truing.legacy.shapes import Reading, Shape, Source, shape
from truing.legacy.summaries import duplicate, seed_of
from truing.legacy.tables import CONDITION
from truing.legacy.values import agree, decimals_of, half_unit, lookup, plain, spelled

if TYPE_CHECKING:
    import pandas as pd


class Cell(NamedTuple):
    """What a value is of."""

    condition: str
    seed: int | None
    probe: str
    arm: str
    metric: str

    def __str__(self) -> str:
        return f"condition {self.condition}, seed {self.seed}, metric {self.metric} ({self.probe}/{self.arm})"


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a cell: in the table's unit, with the rounding error of its printed digits, and who else states it."""

    cell: Cell
    source: Source
    reading: Reading
    rule: Metric
    value: Decimal | None
    rounding: Decimal
    also: tuple[Source, ...] = ()


def load(sources: Mapping[str, bytes], mapping: object, where: str) -> pd.DataFrame:
    """The result table of legacy files, in canonical order, every row with origin "import".

    Args:
        sources: Bytes by file name, relative and with `/`; plain or gzip.
        mapping: The parsed map file; see `truing.legacy.maps`.
        where: What the map is called in messages.

    Raises:
        TruingError: a file of no known shape, a number that the map does not name, a missing or duplicate seed, a summary
            that is not that of its values, two sources that disagree, a protocol that contradicts itself.
    """
    rules = read_map(mapping, where)
    if not sources:
        raise TruingError(f"{where}: no files to import", "at least one file", "name the files on the command line")
    _require_files(rules, sources, where)
    entries = _merged(_entries(sources, rules, where))
    _require_grid(entries.values(), rules, where)
    return _frame(entries.values(), rules, where)


def _entries(sources: Mapping[str, bytes], rules: Map, where: str) -> Iterator[Entry]:
    shapes = {name: shape.get(name).target for name in shape.names()}
    strangers: dict[str, str] = {}
    for name in sorted(sources):
        source = _source(name, sources[name], rules)
        readings = list(_shape_of(source, shapes).read(source, rules))
        strangers.update((reading.name, name) for reading in readings if not rules.find(reading.name) and not rules.ignores(reading.name))
        yield from _of_source(source, readings, rules, where)
    if strangers:
        raise TruingError(
            f"{next(iter(strangers.values()))}: numbers that {where} does not name: {some(sorted(strangers))}",
            "every number under `metrics`, or under `ignore`",
            "add them to the map",
            Exit.REFUSED,
        )


def _source(name: str, data: bytes, rules: Map) -> Source:
    root = parse(name, data)
    content = root if rules.rows is None or isinstance(root, list) else _table(name, root, rules.rows)
    stated = place(name)
    seed = None if stated is None else stated.seed
    for pattern, template in rules.seed_from.items():
        if (captured := capture(pattern, name)) is not None:
            own = seed_of(fill(template, captured, {}, name), name)
            if seed not in (None, own):
                raise TruingError(f"{name}: its path states seed {seed}, seed_from {own}", "one seed", "correct seed_from", Exit.REFUSED)
            seed = own
            break
    return Source(name, digest_bytes(data), root, content, stated, seed)


def _table(name: str, root: Any, rows: Rows) -> Any:
    """The rows of an object, where the map says that there are some; JSON lines of one row are an object too."""
    if rows.at is not None:
        return rows_at(name, root, rows.at)
    columns = {rows.condition, rows.seed, rows.metric, rows.value, *rows.item} - {None}
    return [root] if columns and isinstance(root, dict) and columns <= set(root) else root


def _shape_of(source: Source, shapes: Mapping[str, Shape]) -> Shape:
    found = [name for name, one in shapes.items() if one.recognises(source.content)]
    if len(found) == 1:
        return shapes[found[0]]
    known = "\n    ".join(f"{name}: {one.looks}" for name, one in shapes.items())
    what = f"fits the shapes {' and '.join(found)}" if found else "is of no known shape"
    raise TruingError(
        f"{source.name}: {what}: {outline(source.content)}",
        f"one of\n    {known}",
        "convert the file, or add its shape as one new file",
        Exit.REFUSED,
    )


def _of_source(source: Source, readings: Sequence[Reading], rules: Map, where: str) -> Iterator[Entry]:
    found = [(reading, hit) for reading in readings if (hit := rules.find(reading.name)) and not rules.ignores(reading.name)]
    printed: defaultdict[str, list[Decimal | None]] = defaultdict(list)
    for reading, _ in found:
        printed[reading.name].append(reading.value)
    rounding = {
        name: half_unit(decimals_of(values) if rules.value_decimals is None else rules.value_decimals) for name, values in printed.items()
    }
    of_file = None if rules.condition is None else _condition(source.name, rules)
    for reading, (_, rule, captured) in found:
        condition = reading.fields.get(CONDITION) if of_file is None else of_file
        fields = {**reading.fields, CONDITION: condition or ""}
        texts = [fill(text, captured, fields, where) for text in (rule.probe, rule.arm, rule.metric)]
        cell = Cell(condition or "", reading.seed, *texts)
        value = None if reading.value is None else scaled(reading.value, rule.scale)
        yield Entry(cell, source, reading, rule, value, abs(scaled(rounding[reading.name], rule.scale)))


def _condition(name: str, rules: Map) -> str:
    if isinstance(rules.condition, str):
        return rules.condition
    for pattern, template in (rules.condition or {}).items():
        if (captured := capture(pattern, name)) is not None:
            return fill(template, captured, {}, name)
    raise TruingError(f"{name}: no pattern of `condition` fits", "a condition for every file", "add a pattern to the map", Exit.REFUSED)


def _merged(entries: Iterable[Entry]) -> dict[Cell, Entry]:
    """One entry a cell: the one with the most digits of those that agree."""
    found: dict[Cell, Entry] = {}
    for entry in entries:
        known = found.setdefault(entry.cell, entry)
        if known is entry:
            continue
        if known.source is entry.source:
            raise _twice(entry, "twice in one file")
        if known.source.place is not None and entry.source.place is not None:
            raise _twice(entry, f"also in {known.source.name}: one seed in two layouts")
        _require_equal(known, entry)
        best = min(known, entry, key=lambda one: one.rounding)
        others = (*known.also, (entry if best is known else known).source)
        found[entry.cell] = replace(best, also=others)
    return found


def _twice(entry: Entry, how: str) -> TruingError:
    error = duplicate(f"{entry.source.name}: {entry.cell}", entry.cell.seed)
    return TruingError(f"{error.what}, {how}", error.expected, error.fix, error.code)


def _require_equal(a: Entry, b: Entry) -> None:
    same = a.value is b.value if a.value is None or b.value is None else agree(a.value, b.value, max(a.rounding, b.rounding))
    if not same:
        raise TruingError(
            f"{a.cell}: {a.source.name} has {a.value}, {b.source.name} has {b.value}",
            "the same value in both, up to the printed digits",
            "find out which is right, and leave the other out",
            Exit.REFUSED,
        )


def _require_files(rules: Map, sources: Iterable[str], where: str) -> None:
    patterns = [*(rules.condition if isinstance(rules.condition, Mapping) else ()), *rules.seed_from]
    names = list(sources)
    if idle := [pattern for pattern in patterns if not any(capture(pattern, name) is not None for name in names)]:
        raise TruingError(
            f"{where}: no file fits {some(idle)}", "a file for every pattern", "add the file, or remove the pattern", Exit.REFUSED
        )


def _require_grid(entries: Iterable[Entry], rules: Map, where: str) -> None:
    """Every condition has every metric of every expected seed, and nothing else."""
    known = list(entries)
    files: defaultdict[str, set[str]] = defaultdict(set)
    for entry in known:
        files[entry.cell.condition].add(entry.source.name)
    kinds = {entry.cell[2:] for entry in known}
    _require_metrics(known, rules, where)
    cells = {entry.cell for entry in known}
    by_condition = rules.expected_seeds if isinstance(rules.expected_seeds, Mapping) else ()
    conditions = sorted({*files, *(rules.expected_conditions or ()), *by_condition})
    wanted = [Cell(condition, seed, *kind) for condition in conditions for seed in rules.wanted_seeds(condition) for kind in sorted(kinds)]
    if holes := [cell for cell in wanted if cell not in cells]:
        raise TruingError(
            f"{where}: missing: {some((f'{cell} in {_names(files[cell.condition])}' for cell in holes), 3)}",
            f"all {len(wanted)} of condition x seed x metric",
            "find the file or the seed, or correct the map",
            Exit.REFUSED,
        )
    if extra := sorted(cells - set(wanted), key=str):
        raise TruingError(f"{where}: not expected: {some(extra, 3)}", "the declared seeds and conditions", "declare it", Exit.REFUSED)


def _names(files: Iterable[str]) -> str:
    return some(sorted(files)) or "no file"


def _require_metrics(known: Sequence[Entry], rules: Map, where: str) -> None:
    hits = {id(entry.rule) for entry in known}
    if lost := [key for key, rule in rules.metrics.items() if id(rule) not in hits]:
        files = some(sorted({entry.source.name for entry in known}))
        raise TruingError(
            f"{where}: no file has the metric {some(lost)}; read: {files}",
            "every metric of the map",
            "correct the name, or remove it",
            Exit.REFUSED,
        )


def _frame(entries: Iterable[Entry], rules: Map, where: str) -> pd.DataFrame:
    import pandas as pd

    protocols = _Protocols(rules, where)
    properties = schema("result")["properties"]
    frame = pd.DataFrame([{**_row(entry, rules, where), **protocols.of(entry)} for entry in entries]).assign(**_constant(rules))
    protocols.require_paths()
    frame = frame.assign(**{name: _empty(rule, len(frame)) for name, rule in properties.items() if name not in frame})[list(properties)]
    return check_frame("result", frame, where).sort_values([*IDENTITY, "seed"], na_position="first", ignore_index=True)


def _empty(rule: Mapping[str, Any], rows: int) -> pd.api.extensions.ExtensionArray:
    """A column of nulls that has its type all the same: what a file does not tell of a value is null, not absent."""
    import pandas as pd

    return pd.array([None] * rows, dtype="str" if "string" in rule["type"] else "Float64")


def _constant(rules: Map) -> dict[str, Any]:
    return {
        "schema_version": RESULT_VERSION,
        "study": rules.study,
        "phase": rules.phase,
        "seed_scope": rules.seed_scope,
        "n_upstream": rules.n_upstream,
        "origin": "import",
    }


def _row(entry: Entry, rules: Map, where: str) -> dict[str, Any]:
    cell, reading = entry.cell, entry.reading
    n, missing = _counts(entry, rules)
    return {
        "condition": cell.condition,
        "seed": cell.seed,
        "probe": cell.probe,
        "arm": cell.arm,
        "metric": cell.metric,
        "value": _float(entry.value, cell, where),
        "unit": entry.rule.unit,
        "n": n,
        "n_missing": sum(missing.values()),
        **{f"missing_{name}": missing.get(name, 0) for name in FAILURES},
        "se": None if reading.se is None or entry.value is None else _float(abs(scaled(reading.se, entry.rule.scale)), cell, where),
        "node": f"import/{rules.study}-{cell.condition}",
        "source_digest": entry.source.digest,
    }


def _counts(entry: Entry, rules: Map) -> tuple[int | None, Mapping[str, int]]:
    """Items that entered (None where no one says) and items that were left out by class; a null value left out every one of its items."""
    stated = entry.rule.n if isinstance(entry.rule.n, int) else None
    n = entry.reading.n if entry.reading.n is not None else stated
    if entry.value is None and not entry.reading.missing:
        return 0, {rules.missing_class: max(1, n or 0)}
    return n, entry.reading.missing


def _float(value: Decimal | None, cell: Cell, where: str) -> float | None:
    found = None if value is None else float(value)
    if found is not None and math.isinf(found):
        raise TruingError(f"{where}: {cell}: {value} is beyond what a double holds", "a finite number", "mend the value", Exit.REFUSED)
    return found


class _Protocols:
    """Protocols of rows; equal ones are derived and checked once."""

    def __init__(self, rules: Map, where: str) -> None:
        self.rules, self.where = rules, where
        self.documents: dict[str, dict[str, Any]] = {}
        self.found: set[str] = set()
        self.texts: dict[bytes | str, dict[str, Any]] = {}

    def of(self, entry: Entry) -> dict[str, Any]:
        """The columns of a row's protocol."""
        own = [self.rules.protocol, self.rules.protocol_by_condition.get(entry.cell.condition, {}), entry.rule.protocol]
        fields: dict[str, Any] = {}
        for scope in (*own, *map(self._document, (entry.source, *entry.also))):
            for field, value in scope.items():
                if value is not None and fields.setdefault(field, value) != value:
                    raise TruingError(
                        f"{entry.source.name}: {field} is {value!r}, and {fields[field]!r} elsewhere",
                        "one value",
                        "correct the map",
                        Exit.REFUSED,
                    )
        key = as_text(fields)
        if key not in self.texts:
            full = derived(fields, f"{self.where}: {entry.source.name}")
            self.texts[key] = {"protocol": as_text(full), "protocol_digest": fingerprint(full)}
        return self.texts[key]

    def _document(self, source: Source) -> dict[str, Any]:
        if source.name not in self.documents:
            values = {path: _stated(source, path) for path in self.rules.protocol_from}
            self.found |= {path for path, value in values.items() if value is not None}
            self.documents[source.name] = {field: values[path] for path, field in self.rules.protocol_from.items()}
        return self.documents[source.name]

    def require_paths(self) -> None:
        """Refuse a path that stands in no file: what is unknown is left out of the map."""
        if idle := sorted(set(self.rules.protocol_from) - self.found):
            raise TruingError(
                f"{self.where}: protocol_from: no file has {some(idle)}", "paths of the files", "correct the path", Exit.REFUSED
            )


def _stated(source: Source, path: str) -> Any:
    if not isinstance(source.root, list):
        return plain(lookup(source.root, path))
    cells = {str(cell): cell for row in source.root if (cell := lookup(row, path)) not in (None, "")}
    if len(cells) > 1:
        raise TruingError(f"{source.name}: column {path} has {some(sorted(cells))}", "one value in the file", "leave it out", Exit.REFUSED)
    cell = next(iter(cells.values()), None)
    return plain(number) if isinstance(cell, str) and (number := spelled(cell)) is not None else plain(cell)
