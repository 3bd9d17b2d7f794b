"""Which results may stand side by side: seeds of one condition, the two sides of a contrast, and two sources of one cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from truing.contracts.declaration import Declaration
from truing.contracts.protocol import Allowance, Protocol, require_comparable
from truing.contracts.results import IDENTITY
from truing.core.errors import Exit, TruingError, some
from truing.report.protocols import Made

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def require_one_protocol(condition: str, made: Mapping[int | None, Made]) -> None:
    """Refuse a condition whose seeds were made by different protocols: their mean would be of nothing.

    Raises:
        TruingError: exit 3, with the fields and both values.
    """
    (first, one), *rest = made.items()
    for seed, other in rest:
        require_comparable(one.protocol, other.protocol, names=(f"{condition}, seed {first}", f"{condition}, seed {seed}"))


def contrast_mismatches(declaration: Declaration, protocols: Mapping[str, Protocol], allowed: Sequence[Allowance]) -> list[Row]:
    """Check both sides of every declared contrast; the protocol differences that somebody vouched for.

    Args:
        declaration: What the study declared; the fields that a contrast manipulates may differ.
        protocols: Protocol of every condition.
        allowed: Differences that somebody vouches for.

    Raises:
        TruingError: exit 3, with every other differing field.
    """
    return [
        mismatch.row(contrast.a, contrast.b)
        for contrast in declaration.family.contrasts
        for mismatch in require_comparable(
            protocols[contrast.a],
            protocols[contrast.b],
            names=(contrast.a, contrast.b),
            exempt=contrast.manipulates,
            allowed=allowed,
        )
    ]


def require_planned(results: pd.DataFrame, plan: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse rows of a node that the plan does not hold: an orphan must not enter a page.

    Raises:
        TruingError: exit 3, naming the nodes.
    """
    planned = {f"{verb}/{key}" for verb, nodes in plan.items() for key in nodes}
    strange = sorted({str(node) for node in results["node"]} - planned)
    if strange:
        raise TruingError(
            f"metrics/results.parquet holds values of {some(strange)}", "nodes of the plan only", "run `dvc repro`", Exit.REFUSED
        )


def require_agreement(results: pd.DataFrame, imported: Mapping[str, pd.DataFrame]) -> None:
    """Refuse two sources that give different values of one cell, beyond the rounding of the imported one.

    Raises:
        TruingError: exit 3, with examples of both values.
    """
    keys = [*IDENTITY, "seed"]
    problems = []
    for name, table in imported.items():
        both = results[[*keys, "value"]].merge(table[[*keys, "value"]], on=keys, suffixes=("", "_imported"))
        for row in both.to_dict("records"):
            if not agree(row["value"], row["value_imported"]):
                cell = "/".join(str(row[key]) for key in keys)
                problems.append(f"{cell}: {row['value']} here, {row['value_imported']} in {name}")
    if problems:
        raise TruingError(
            f"two sources disagree: {some(problems)}",
            "one value of every cell",
            "find out which source is right, and take the other out of report.imported",
            Exit.REFUSED,
        )


def agree(here: float | None, there: float | None) -> bool:
    """Whether a value rounds to another one as it is printed, to three digits at least; a missing value agrees with a missing one only."""
    if here is None or there is None or math.isnan(here) or math.isnan(there):
        return _absent(here) and _absent(there)
    # A trailing zero is not in the number any more, so 0.6 may have been printed as 0.600.
    digits = max(3, len(repr(float(there)).partition("e")[0].partition(".")[2]))
    return abs(here - there) <= 0.5 * 10.0**-digits + 1e-12 * max(1.0, abs(here))


def _absent(value: float | None) -> bool:
    return value is None or math.isnan(value)
