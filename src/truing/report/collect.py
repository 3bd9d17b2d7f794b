"""The result table: every cell of the declared grid, filled from answers by the probe's own scoring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from truing.contracts.frames import check_frame
from truing.contracts.schemas import SCHEMA_VERSION, check_rows
from truing.core.errors import Exit, TruingError, some
from truing.core.files import Row
from truing.core.registry import Plugin
from truing.planning.nodes import Cell
from truing.probes import Probe

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = ("study", "condition", "phase", "probe", "arm", "metric")


@dataclass(frozen=True)
class Answered:
    """The answers behind one cell of the grid.

    Attributes:
        cell: Study, condition and phase.
        seeds: The seeds that the plan declares for this node; empty for an untuned base.
        plugin: The probe that asked.
        cfg: Its parsed parameters.
        meta: The respond node's document.
        items: What was asked.
        answers: One row per item, seed and sample.
    """

    cell: Cell
    seeds: tuple[int, ...]
    plugin: Plugin[Probe]
    cfg: Any
    meta: Row
    items: pd.DataFrame
    answers: pd.DataFrame


def collect(cells: Iterable[Answered], where: str) -> pd.DataFrame:
    """One row per study, condition, phase, seed, probe, arm and metric, through both schema gates.

    Raises:
        TruingError: exit 3, when answers of a declared seed are missing, answers of an undeclared one are
            there, or the rows do not fill the grid.
    """
    import pandas as pd

    rows = [row for answered in cells for row in _cell_rows(answered)]
    if not rows:
        raise TruingError(
            f"{where}: no condition is measured", "at least one respond node with a condition", "see the study's file", Exit.REFUSED
        )
    checked = list(check_rows("result", rows, where))
    frame = check_frame("result", pd.DataFrame(checked), where)
    _require_grid(frame, where)
    return frame.sort_values([*IDENTITY, "seed"], na_position="first", ignore_index=True)


def _cell_rows(answered: Answered) -> Iterable[Row]:
    declared: list[int | None] = list(answered.seeds) or [None]
    _require_seeds(answered, declared)
    for seed in declared:
        column = answered.answers["seed"]
        mine = answered.answers[column.isna() if seed is None else column == seed]
        for measure in answered.plugin.target.score(answered.cfg, answered.items, mine, answered.meta["labels"]):
            yield {**_identity(answered, seed), **asdict(measure)}


def _require_seeds(answered: Answered, declared: list[int | None]) -> None:
    found = {
        None if value != value or value is None else int(value)
        for value in answered.answers["seed"].astype(object).where(answered.answers["seed"].notna(), None)
    }
    if found != set(declared):
        raise TruingError(
            f"respond/{answered.cell.responses}: answers of the seeds {some(sorted(map(str, found)))}",
            f"answers of exactly the planned seeds {some(map(str, declared))}",
            "run `truing plan`, then `dvc repro`",
            Exit.REFUSED,
        )


def _identity(answered: Answered, seed: int | None) -> Row:
    adapters = answered.meta["adapters"]
    mine = adapters.get(str(seed), {})
    cell = answered.cell
    return {
        "schema_version": SCHEMA_VERSION,
        "study": cell.study,
        "condition": cell.condition,
        "phase": cell.phase,
        "seed": seed,
        "seed_scope": cell.phase if seed is not None else "none",
        # Ten seeds of one checkpoint are one upstream run: what counts is how many different adapters there are.
        "n_upstream": len({entry["adapter_digest"] for entry in adapters.values()}) or 1,
        "probe": answered.plugin.name,
        "node": f"respond/{cell.responses}",
        "base_digest": answered.meta["base_digest"],
        "corpus_digest": mine.get("corpus_digest"),
        "manifest_digest": mine.get("manifest_digest"),
        "adapter_digest": mine.get("adapter_digest"),
        "items_digest": answered.meta["items_digest"],
        "answers_digest": answered.meta["answers_digest"],
        "judgements_digest": None,
    }


def _require_grid(frame: pd.DataFrame, where: str) -> None:
    """Every seed of a probe has every (arm, metric) that any condition of its study has."""
    for (study, probe), part in frame.groupby(["study", "probe"]):
        wanted = set(zip(part["arm"], part["metric"], strict=True))
        for (condition, phase, seed), cell in part.groupby(["condition", "phase", "seed"], dropna=False):
            gaps = wanted - set(zip(cell["arm"], cell["metric"], strict=True))
            if gaps:
                raise TruingError(
                    f"{where}: study {study}, condition {condition}, phase {phase}, seed {seed}, probe {probe} lacks {some(sorted(gaps))}",
                    "a row for every metric of the declared grid, with a null value where it is missing",
                    "mend the probe's scoring",
                    Exit.REFUSED,
                )
