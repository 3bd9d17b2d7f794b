"""pandera models of the tables, built from the JSON Schemas so that the two can never disagree."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from truing.contracts.schemas import schema
from truing.core.errors import MAX_EXAMPLES, Exit, TruingError, some

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import Check, Column, DataFrameSchema

_DTYPES = {"integer": "Int64", "number": "float64", "boolean": "bool", "string": "str"}
_BOUNDS = {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt"}


def _types(rule: Mapping[str, Any]) -> tuple[set[str], bool]:
    declared = rule.get("type") or ["string"]
    types = set(declared if isinstance(declared, list) else [declared])
    return types - {"null"}, "null" in types or None in rule.get("enum", ())


def _checks(rule: Mapping[str, Any]) -> list[Check]:
    from jsonschema import Draft202012Validator
    from pandera.pandas import Check

    checks = [getattr(Check, method)(rule[bound]) for bound, method in _BOUNDS.items() if bound in rule]
    if "enum" in rule:
        checks.append(Check.isin([value for value in rule["enum"] if value is not None]))
    if "pattern" in rule:
        checks.append(Check.str_matches(rule["pattern"]))
    if "minLength" in rule:
        checks.append(Check.str_length(min_value=rule["minLength"]))
    if {"array", "object"} & _types(rule)[0]:
        inner = Draft202012Validator(dict(rule))
        checks.append(Check(lambda cell: inner.is_valid(_plain(cell)), element_wise=True, name="json"))
    return checks


def _plain(cell: Any) -> Any:
    # Parquet gives lists back as numpy arrays.
    return cell.tolist() if hasattr(cell, "tolist") else cell


def _column(rule: Mapping[str, Any], required: bool) -> Column:
    from pandera.pandas import Column

    types, nullable = _types(rule)
    kind = next(iter(types)) if len(types) == 1 else "object"
    dtype = _DTYPES.get(kind)
    return Column(dtype, checks=_checks(rule), nullable=nullable, required=required, coerce=kind in ("integer", "number"))


@cache
def frame_schema(name: str) -> DataFrameSchema:
    """The pandera schema of a table: columns, types, bounds, vocabularies, unique keys; no other columns."""
    from pandera.pandas import DataFrameSchema

    document = schema(name)
    required = set(document["required"])
    columns = {key: _column(rule, key in required) for key, rule in document["properties"].items()}
    return DataFrameSchema(columns, strict=not document["additionalProperties"], unique=document.get("x-unique"), name=name)


def check_frame(name: str, frame: pd.DataFrame, where: object) -> pd.DataFrame:
    """Return the frame with its declared column types, or refuse it with a bounded number of examples."""
    from pandera.errors import SchemaErrors

    try:
        return frame_schema(name).validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        lines = [
            f"column {c.column}: {c.check} failed for {c.failure_case!r} (row {c.index})" for c in cases.head(MAX_EXAMPLES).itertuples()
        ]
        raise TruingError(
            f"{where}: {some(lines)}", f"what schemas/{name}.schema.json asks for", "mend the rows named above", Exit.REFUSED
        ) from error
