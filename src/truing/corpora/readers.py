"""Strict reading of foreign files: what is cut off, wrongly encoded or wrongly shaped is an error that names its line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truing.core.digests import digest_file
from truing.core.errors import TruingError

_MARK = b"\xef\xbb\xbf"
_SHOWN = 80


@dataclass(frozen=True)
class Record:
    """One row of a delimited file: its number (from 1), the line it ends on, and its fields."""

    number: int
    line: int
    fields: list[str]


def local_file(source: str, project: Path, where: str) -> Path:
    """The local source file; a relative path is taken from the project's folder.

    Raises:
        TruingError: when there is no file at that place.
    """
    path = Path(source)
    path = path if path.is_absolute() else project / path
    if not path.is_file():
        raise TruingError(
            f"{where}: source: {path}: no such file", 'the source\'s own file, or "hub"', "correct `source`, or put the file there"
        )
    return path


def file_revision(path: Path) -> str:
    """The revision of a local file: the digest of its bytes."""
    return f"sha256:{digest_file(path)}"


def read_text(path: Path) -> str:
    """The whole file as text.

    Raises:
        TruingError: naming file, line and byte offset, for a byte-order mark or invalid UTF-8; for an empty file.
    """
    data = path.read_bytes()
    if data.startswith((_MARK, b"\xff\xfe", b"\xfe\xff")):
        raise _bad(path, "line 1, byte 0: starts with a byte-order mark", "save it as UTF-8 without a byte-order mark")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"line {line}, byte {error.start}: not UTF-8 ({error.reason}: 0x{data[error.start]:02x})"
        raise _bad(path, what, "convert the file to UTF-8, or restore it from its source") from error
    if not text.strip():
        raise _bad(path, "is empty", "restore the file from its source")
    return text


def read_csv(path: Path, columns: int) -> Iterator[Record]:
    """Rows of a quoted, comma-separated file without a header; a quote inside a field is doubled.

    Raises:
        TruingError: for a quote that is never closed, a stray quote, or another number of columns.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    number = 0
    while True:
        started = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            what = f"row {number + 1}, which starts on line {started}: {error}"
            raise _bad(path, what, "it may have been cut off inside a quoted field: restore it from its source") from error
        number += 1
        _check_width(path, number, reader.line_num, fields, columns)
        yield Record(number, reader.line_num, fields)


def read_tsv(path: Path, header: tuple[str, ...]) -> Iterator[Record]:
    r"""Rows of a tab-separated file in which quotes are ordinary characters; a first line equal to `header` is left out.

    Raises:
        TruingError: for another number of columns, which is also what a cut last line has.
    """
    lines = read_text(path).split("\n")
    if lines[-1] == "":
        lines.pop()
    number = 0
    for line, content in enumerate(lines, start=1):
        fields = content.removesuffix("\r").split("\t")
        if line == 1 and tuple(fields) == header:
            continue
        number += 1
        _check_width(path, number, line, fields, len(header))
        yield Record(number, line, fields)


def read_json_value(path: Path, *kinds: type[list[Any]] | type[dict[str, Any]]) -> Any:
    """A JSON document of one of the wanted kinds (`list`, `dict`).

    Raises:
        TruingError: naming line and column where the document breaks off, or the kind that was found instead.
    """
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        what = f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
        raise _bad(path, what, "it may have been cut off: restore the file from its source", "one whole JSON document") from error
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise _bad(path, f"holds a JSON {type(value).__name__}", "give the file in its original form", f"a JSON {wanted}")
    return value


def read_names(path: Path) -> list[str]:
    """Class names, one a line.

    Raises:
        TruingError: when the file is absent, or names a class twice.
    """
    if not path.is_file():
        raise TruingError(
            f"{path}: no such file", "the list of class names, one a line, beside the data file", "put the source's own list there"
        )
    names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if len(set(names)) != len(names):
        raise _bad(path, f"names a class twice: {names}", "restore the file from its source", "distinct class names, one a line")
    return names


def _check_width(path: Path, number: int, line: int, fields: list[str], columns: int) -> None:
    if len(fields) != columns:
        shown = " | ".join(fields)[:_SHOWN]
        raise _bad(
            path,
            f"line {line} (row {number}): {len(fields)} columns instead of {columns}: {shown!r}",
            "mend the line; when it is the last one, the file was cut off: restore it from its source",
            f"{columns} columns in every row",
        )


def _bad(path: Path, what: str, fix: str, expected: str = "a whole file in its original form, in UTF-8") -> TruingError:
    return TruingError(f"{path}: {what}", expected, fix)
