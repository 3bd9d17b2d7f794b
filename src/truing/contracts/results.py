"""Rules of the result table that span columns; the JSON Schema holds those of single columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from truing.contracts.frames import check_frame
from truing.contracts.schemas import check_rows, schema
from truing.core.errors import MAX_EXAMPLES, Exit, TruingError, some

if TYPE_CHECKING:
    import pandas as pd

RESULT_VERSION = 2
FAILURES = ("refusal", "code", "off_scale", "parse", "transport", "truncated", "budget", "unscored")
# What identifies a cell of the table, apart from the seed.
IDENTITY = ("study", "condition", "phase", "probe", "arm", "metric")
_PLANNED = ("base_digest", "items_digest", "answers_digest", "code_digest", "environment_digest", "declaration_digest")
_INTERVAL = ("ci_lo", "ci_hi", "ci_level", "ci_method", "ci_unit")


def missing_columns(n_missing: int, classes: Mapping[str, int]) -> dict[str, int]:
    """The missing_ columns of a row; what no class was given for is unscored.

    Raises:
        TruingError: an unknown class, or classes that count more than is missing.
    """
    strange = sorted(set(classes) - set(FAILURES))
    rest = n_missing - sum(classes.values())
    if strange or rest < 0:
        raise TruingError(
            f"{n_missing} missing items, by class {dict(classes)}", f"the classes {some(FAILURES, 9)}, adding up to all", "mend the scoring"
        )
    counts = {name: classes.get(name, 0) for name in FAILURES}
    return {f"missing_{name}": count + (rest if name == "unscored" else 0) for name, count in counts.items()}


def result_table(rows: Iterable[Mapping[str, Any]], where: str) -> pd.DataFrame:
    """Rows through every gate of the result table: JSON Schema, frame model, and the rules that span columns.

    Returns:
        The table with its columns in the order of the schema and its rows sorted by identity and seed.

    Raises:
        TruingError: exit 3, with examples.
    """
    import pandas as pd

    checked = list(check_rows("result", rows, where))
    frame = check_frame("result", pd.DataFrame(checked, columns=list(schema("result")["properties"])), where)
    _require(where, [f"row {n}: {problem}" for n, row in enumerate(checked, start=1) for problem in _problems(row)])
    return frame.sort_values([*IDENTITY, "seed"], na_position="first", ignore_index=True)


def _problems(row: Mapping[str, Any]) -> Iterable[str]:
    by_class = sum(row[f"missing_{name}"] for name in FAILURES)
    if by_class != row["n_missing"]:
        yield f"n_missing is {row['n_missing']}, and the classes of missing add up to {by_class}"
    ends = {name for name in _INTERVAL if row[name] is None}
    if ends and ends != set(_INTERVAL):
        yield f"an interval without {some(sorted(ends))}"
    absent = [name for name in _PLANNED if row[name] is None]
    if row["origin"] == "plan" and absent:
        yield f"a planned value without {some(absent)}"
    if row["origin"] == "import" and row["source_digest"] is None:
        yield "an imported value without source_digest"


def _require(where: str, problems: list[str]) -> None:
    if problems:
        shown = "\n    ".join(problems[:MAX_EXAMPLES])
        raise TruingError(f"{where}:\n    {shown}", "rows whose columns agree with each other", "mend the rows named above", Exit.REFUSED)


def dictionary() -> str:
    """Every column of the result table with its type and meaning, as Markdown, generated from the schema."""
    lines = [
        "# The result table",
        "",
        "`metrics/results.parquet` holds one row per study, condition, phase, seed, probe, arm and metric; `metrics/results.csv` is the",
        "same table without the column `protocol`. Both are plain: no index, no nested column, no library's metadata. A missing value is",
        "null in Parquet and an empty cell in CSV, and never a number. This page is written by",
        f"`truing columns --into docs/result-table.md` from `schemas/result.schema.json`, version {RESULT_VERSION}.",
        "",
        "| column | type | may be missing | meaning |",
        "|---|---|---|---|",
    ]
    for name, rule in schema("result")["properties"].items():
        kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        kind = ", ".join(kind for kind in kinds if kind != "null")
        values = f" One of {', '.join(map(str, rule['enum']))}." if "enum" in rule else ""
        lines.append(f"| `{name}` | {kind} | {'yes' if 'null' in kinds else 'no'} | {rule['description']}{values} |")
    keys = ", ".join(f"`{key}`" for key in schema("result")["x-unique"])
    return "\n".join([*lines, "", f"Unique together: {keys}.", ""])
