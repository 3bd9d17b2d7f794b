"""The bytes of a result file as what they hold: a JSON document, or rows. What a file is called plays no part."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from decimal import Decimal
from typing import Any

from truing.core.errors import Exit, TruingError

_GZIP = b"\x1f\x8b"
_HOLE = re.compile(r"\{(\w+)\}")


def parse(name: str, data: bytes) -> Any:
    """A JSON value, or a list of rows of JSON lines or of a CSV table with a header.

    Floats become Decimal, with the digits they were printed with. Cells of a CSV table stay texts.

    Raises:
        TruingError: an empty or damaged file, a text that is not UTF-8, a key that an object has twice, a ragged table.
    """
    text = _text(name, data)
    if text[:1] not in "{[":
        return _table(name, text)
    try:
        return _json(name, text)
    except json.JSONDecodeError as error:
        if text[0] != "{" or error.msg != "Extra data":
            raise _damaged(name, error) from error
    return _lines(name, text)


def _text(name: str, data: bytes) -> str:
    if data[:2] == _GZIP:
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise _damaged(name, error) from error
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise _damaged(name, error) from error
    if not text:
        raise TruingError(
            f"{name}: the file is empty ({len(data)} bytes)", "results", "leave the file out, or fetch it again", Exit.REFUSED
        )
    return text


def _json(name: str, text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise TruingError(f"{name}: duplicate key {twice!r}", "each key (each seed) once", "remove one of the two", Exit.REFUSED)
        return found

    return json.loads(text, parse_float=Decimal, object_pairs_hook=once)


def _lines(name: str, text: str) -> list[Any]:
    rows = []
    # Only a line feed ends a line: other separators of Unicode may stand inside a JSON text.
    for at, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                rows.append(_json(name, line))
            except json.JSONDecodeError as error:
                raise _damaged(f"{name}, line {at}", error) from error
    return rows


def _table(name: str, text: str) -> list[dict[str, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader)
        if len(set(header)) != len(header):
            raise TruingError(f"{name}: two columns of one name in {', '.join(header)}", "distinct names", "rename one", Exit.REFUSED)
        rows = []
        for cells in reader:
            if len(cells) != len(header):
                raise TruingError(
                    f"{name}, line {reader.line_num}: {len(cells)} cells", f"{len(header)}, as in the header", "mend the line", Exit.REFUSED
                )
            rows.append(dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise _damaged(name, error) from error
    return rows


def rows_at(name: str, content: Any, path: str) -> list[dict[str, Any]]:
    """Rows that stand deep in a document, with the keys above them as columns.

    Args:
        name: File, for the message.
        content: The document.
        path: Keys with dots between them; `{column}` stands for any key, which becomes a column of the rows below it.

    Raises:
        TruingError: when there are no rows there.
    """
    found: list[dict[str, Any]] = []

    def enter(value: Any, steps: list[str], names: dict[str, Any]) -> None:
        if not steps:
            found.extend({**row, **names} for row in value if isinstance(row, dict)) if isinstance(value, list) else None
        elif isinstance(value, dict):
            hole = _HOLE.fullmatch(steps[0])
            for key in value if hole else [steps[0]]:
                enter(value.get(key), steps[1:], {**names, hole[1]: key} if hole else names)

    enter(content, path.split("."), {})
    if not found:
        raise TruingError(f"{name}: no rows at {path}", "a list of objects there", "correct rows.at of the map", Exit.REFUSED)
    return found


def outline(content: Any) -> str:
    """What a document is made of, for a message about a shape that nobody knows."""
    if isinstance(content, dict):
        parts = [f"{key}: {_kind(value)}" for key, value in list(content.items())[:8]]
        return f"an object of {len(content)} keys ({', '.join(parts)})"
    return _kind(content)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return f"object with {', '.join(list(map(str, value))[:4]) or 'no keys'}"
    if isinstance(value, list):
        return f"list of {len(value)}" + (f", first a {type(value[0]).__name__}" if value else "")
    return "number" if isinstance(value, Decimal) else type(value).__name__


def _damaged(name: str, error: Exception) -> TruingError:
    return TruingError(
        f"{name}: cannot be read: {error}", "UTF-8 JSON, JSON lines or CSV, plain or gzip", "fetch or write the file again", Exit.REFUSED
    )
