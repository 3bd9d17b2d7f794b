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


def _foreign(name: str, frame: pd.DataFrame) -> list[str]:
    """Cells of scalar columns with a type that the schema does not name: coercion would turn "1" and True into numbers."""
    properties = schema(name)["properties"]
    return [
        f"column {key}: {cell!r} is not of type {'/'.join(sorted(kinds))} (row {index})"
        for key in frame.columns.intersection(list(properties))
        if not (kinds := _types(properties[key])[0]) & {"array", "object"} and not _is_plain(frame[key], kinds)
        for index, cell in frame[key].items()
        if _is_foreign(cell, kinds)
    ]


def _is_plain(cells: pd.Series, kinds: set[str]) -> bool:
    """Whether the column's own type already says that no cell is foreign, so that long tables need no look at each cell."""
    import pandas as pd
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if isinstance(cells.dtype, pd.StringDtype):
        return "string" in kinds
    return is_numeric_dtype(cells) and not is_bool_dtype(cells)


def _is_foreign(cell: Any, kinds: set[str]) -> bool:
    from numbers import Real

    import pandas as pd

    if isinstance(cell, str):
        return "string" not in kinds
    if pd.api.types.is_bool(cell):
        return "boolean" not in kinds
    # What is no number and no text is either missing, which `nullable` decides on, or a container.
    return not (isinstance(cell, Real) or pd.api.types.is_scalar(cell))


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

    if foreign := _foreign(name, frame):
        raise _refused(name, where, foreign)
    try:
        return frame_schema(name).validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        lines = [
            f"column {c.column}: {c.check} failed for {c.failure_case!r} (row {c.index})" for c in cases.head(MAX_EXAMPLES).itertuples()
        ]
        raise _refused(name, where, lines) from error


def _refused(name: str, where: object, problems: list[str]) -> TruingError:
    return TruingError(f"{where}: {some(problems)}", f"what schemas/{name}.schema.json asks for", "mend the rows named above", Exit.REFUSED)
