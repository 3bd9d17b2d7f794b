"""The JSON Schemas of `schemas/` (draft 2020-12) and the validators of rows and documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from truing.core.errors import MAX_EXAMPLES, Exit, TruingError
from truing.core.files import read_json

SCHEMA_VERSION = 1


def _folder() -> Path:
    packaged = Path(str(files("truing"))) / "schemas"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "schemas"


@cache
def schema(name: str) -> dict[str, Any]:
    """The schema of that name, checked against its own meta-schema."""
    document: dict[str, Any] = read_json(_folder() / f"{name}.schema.json")
    Draft202012Validator.check_schema(document)
    return document


def schema_names() -> list[str]:
    """Every schema's name, sorted."""
    return sorted(path.name.removesuffix(".schema.json") for path in _folder().glob("*.schema.json"))


@cache
def validator(name: str) -> Draft202012Validator:
    """The compiled validator of a schema."""
    return Draft202012Validator(schema(name))


def check_document(name: str, document: Mapping[str, Any], where: object) -> None:
    """Refuse a document that does not fit its schema.

    Raises:
        TruingError: with the first few problems, each with its place in the document.
    """
    problems = [f"{'/'.join(map(str, e.absolute_path)) or '(root)'}: {e.message}" for e in validator(name).iter_errors(document)]
    if problems:
        raise _refused(name, where, problems)


def check_rows(name: str, rows: Iterable[Mapping[str, Any]], where: object) -> Iterator[Mapping[str, Any]]:
    """Yield rows on while they fit their schema and repeat no unique key; refuse with examples at the end of the stream.

    Raises:
        TruingError: naming row numbers, values and rules; at most a handful of examples are kept.
    """
    check = validator(name)
    keys: tuple[str, ...] = tuple(schema(name).get("x-unique", ()))
    seen: set[tuple[Any, ...]] = set()
    problems: list[str] = []
    for number, row in enumerate(rows, start=1):
        if not check.is_valid(row):
            error = next(check.iter_errors(row))
            problems.append(f"row {number}: {'/'.join(map(str, error.absolute_path)) or '(row)'}: {error.message[:200]}")
        elif keys:
            # Only the key of a valid row is sure to be made of scalars.
            identity = tuple(row.get(key) for key in keys)
            if identity in seen:
                problems.append(f"row {number}: duplicate {' + '.join(keys)} {'/'.join(map(str, identity))}")
            seen.add(identity)
        if len(problems) > MAX_EXAMPLES:
            break
        yield row
    if problems:
        raise _refused(name, where, problems)


def _refused(name: str, where: object, problems: list[str]) -> TruingError:
    shown = "\n    ".join(problems[:MAX_EXAMPLES])
    return TruingError(
        f"{where}:\n    {shown}", f"what schemas/{name}.schema.json asks for", "mend the rows or fields named above", Exit.REFUSED
    )
