"""What a person may name in a comparison: runs, conditions, revisions of the project, imported tables."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truing.core.errors import Exit, TruingError, some
from truing.core.files import Layout, project_root

if TYPE_CHECKING:
    import pandas as pd

    from truing.report.compare import Operand

LINEAGE = "lineage.json"


def operands(a: str, b: str) -> list[tuple[Operand, Operand]]:
    """The pairs that two names stand for; two whole tables give one pair for every condition that both have.

    A name is, in this order: a training run (`train/KEY`, its folder, or a lineage.json), FILE or FILE:CONDITION with a
    Parquet table of `truing import`, a condition of this workspace, and REVISION or REVISION:CONDITION with a commit, a
    branch or the name of a DVC experiment.

    Raises:
        TruingError: a name is none of these, or two tables share no condition.
    """
    left, right = _resolve(a), _resolve(b)
    if isinstance(left, dict) and isinstance(right, dict) and max(len(left), len(right)) > 1:
        shared = sorted(left.keys() & right.keys())
        if not shared:
            have = [some(sorted(side), 20) for side in (left, right)]
            raise TruingError(f"{a} has the conditions {have[0]}; {b} has {have[1]}", "a condition of both", "name one: NAME:CONDITION")
        return [(left[name], right[name]) for name in shared]
    return [(_single(left, a), _single(right, b))]


def _single(side: Operand | dict[str, Operand], name: str) -> Operand:
    if not isinstance(side, dict):
        return side
    if len(side) > 1:
        raise TruingError(f"{name} holds the conditions {some(sorted(side), 20)}", "one condition", f"name it: {name}:CONDITION")
    return next(iter(side.values()))


def _resolve(name: str) -> Operand | dict[str, Operand]:
    """A run, one condition, or every condition of a table."""
    lineage = _lineage(name)
    if lineage is not None:
        return _run(name, lineage)
    source, _, condition = name.rpartition(":") if ":" in name else (name, "", "")
    if Path(source).is_file():
        return _of_table(name, _file(Path(source)), condition)
    layout = Layout(project_root())
    here = layout.metrics / "results.parquet"
    if ":" not in name and here.is_file():
        from truing.core.tables import read_parquet

        table = read_parquet(here)
        if name in set(table["condition"]):
            return _of_table(name, table, name)
    return _of_table(name, _revision(layout.root, source), condition)


def _lineage(name: str) -> Path | None:
    path = Path(name)
    if path.name == LINEAGE and path.is_file():
        return path
    if path.is_dir():
        return path / LINEAGE if (path / LINEAGE).is_file() else None
    if name.startswith("train/"):
        from truing.planning.project import Project
        from truing.planning.records import marker

        return marker(Project.open(), "train", name.removeprefix("train/"))
    # A record under any other name: it says itself what it is.
    return path if path.suffix == ".json" and path.is_file() and _is_lineage(path) else None


def _is_lineage(path: Path) -> bool:
    from truing.core.files import read_json

    document = read_json(path)
    return isinstance(document, dict) and "protocol" in document and "loss_trace_digest" in document


def _run(name: str, path: Path) -> Operand:
    from truing.contracts.schemas import check_document
    from truing.core.files import read_json
    from truing.report.compare import Operand
    from truing.report.protocols import lineage_protocol

    document = read_json(path)
    check_document("lineage", document, path)
    return Operand(name, {("", ""): lineage_protocol([*_earlier(path, document), document])})


def _earlier(path: Path, document: Mapping[str, Any]) -> list[Any]:
    """Lineages of the earlier phases, from the folders beside this run's."""
    from truing.core.files import read_json

    parent = document["parent"]
    if parent is None:
        return []
    earlier = path.parents[2] / parent["group"] / str(parent["seed"]) / LINEAGE
    found = read_json(earlier)
    return [*_earlier(earlier, found), found]


def _file(path: Path) -> pd.DataFrame:
    from truing.contracts.frames import check_frame
    from truing.core.tables import read_parquet

    return check_frame("result", read_parquet(path), path)


def _revision(root: Path, revision: str) -> pd.DataFrame:
    from truing.planning.experiments import command

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "results.parquet"
        try:
            command(root, "dvc", "get", ".", "metrics/results.parquet", "--rev", revision, "--out", str(target), "--quiet")
        except TruingError as error:
            raise TruingError(
                f"{revision}: no run, file or condition of that name, and DVC gets no metrics/results.parquet of such a revision",
                "train/KEY, FILE[:CONDITION], CONDITION, or REVISION[:CONDITION]",
                "see `truing status`, `dvc exp list` and `git log`; results of another machine come with `dvc pull`",
                Exit.USAGE,
            ) from error
        return _file(target)


def _of_table(name: str, table: pd.DataFrame, condition: str) -> Operand | dict[str, Operand]:
    from truing.report.compare import operand

    if condition:
        return operand(name, table, condition)
    return {found: operand(f"{name}:{found}", table, found) for found in sorted(set(table["condition"]))}
