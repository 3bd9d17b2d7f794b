"""What the result table and the pages are made of, read from the outputs of the planned nodes and of no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from truing.planning.artifacts import read_responses
from truing.planning.nodes import Cell
from truing.planning.project import Project
from truing.planning.records import SCHEMAS, records
from truing.planning.sketches import sketch
from truing.planning.warnings import plan_warnings
from truing.report.collect import Answered
from truing.report.inputs import ReportInputs, StudyPage
from truing.stats.summary import aggregate

if TYPE_CHECKING:
    import pandas as pd


def gather(project: Project) -> list[Answered]:
    """The answers behind every cell of the plan's grid."""
    return [_answered(project, cell) for cell in project.node("collect", "all").cells]


def _answered(project: Project, cell: Cell) -> Answered:
    node = project.node("respond", cell.responses)
    entry = project.settings.entry("respond", node.config)
    cfg = entry.plugin.configure(entry.values, f"params.yaml: probes.{node.config}")
    found = read_responses(project.layout.responses(cell.responses))
    return Answered(cell, node.seeds, entry.plugin, cfg, found.meta, found.items, found.answers)


def summarise(project: Project, results: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells and declared contrasts of every study; a contrast compares conditions of one study only."""
    import pandas as pd

    parts = [aggregate(part, project.settings.report.contrasts.get(str(study), ())) for study, part in results.groupby("study")]
    differences = [frame for _, frame in parts if len(frame)]
    return pd.concat([cells for cells, _ in parts], ignore_index=True), pd.concat(differences, ignore_index=True) if differences else parts[
        0
    ][1]


def sketches(project: Project) -> dict[str, Any]:
    """A sketch of every node's outputs by "verb/key"; pages are left out, since they only repeat the table."""
    return {f"{verb}/{key}": sketch(*project.outputs(verb, key)) for verb in SCHEMAS for key in project.plan[verb]}


def report_inputs(project: Project, results: pd.DataFrame) -> ReportInputs:
    """Everything that `report.render` needs."""
    cells, differences = summarise(project, results)
    settings = project.settings.report
    return ReportInputs(
        results=results,
        cells=cells,
        differences=differences,
        plan={verb: nodes for verb, nodes in project.plan.items() if verb != "environment"},
        metas=records(project),
        title=settings.title,
        warnings=plan_warnings(project.layout.root, project.plan),
        studies=[StudyPage(study, study, settings.contrasts.get(study, ())) for study in project.node("report", "site").studies],
    )
