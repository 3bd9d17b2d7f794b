"""Commands around the plan: expand it, ask after it, verify a run, show its numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truing.cli.app import app
from truing.core.errors import Exit, TruingError

if TYPE_CHECKING:
    from truing.planning.project import Project


@app.command()
def plan(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 3 when plan.yaml is stale.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON and write nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change and write nothing.")] = False,
    overlay: Annotated[list[Path] | None, typer.Option(help="Merge this YAML file into params.yaml first.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="Set one value of params.yaml first: KEY.PATH=VALUE.")] = None,
) -> None:
    """Expand params.yaml and the studies into plan.yaml, and remove outputs of nodes that left the plan."""
    from truing.core.files import Layout, project_root, read_yaml, write_text
    from truing.planning.expand import expand, render, require_fresh, stale
    from truing.planning.params import settings

    layout = Layout(project_root())
    text = _edited(layout.params, overlay or [], setting or [])
    wanted = expand(settings(_yaml(text)))
    committed = read_yaml(layout.plan) if layout.plan.exists() else None
    if as_json:
        typer.echo(json.dumps(wanted, indent=2, sort_keys=True))
        return
    if check:
        require_fresh(committed, wanted)
    changes = stale(committed, wanted)
    if not (check or dry_run):
        write_text(layout.params, text)
        write_text(layout.plan, render(wanted))
    _report_plan(layout.root, wanted["plan"], changes, remove=not (check or dry_run))


def _edited(params: Path, overlays: list[Path], values: list[str]) -> str:
    from truing.core.files import read_yaml
    from truing.planning.overlay import overlaid

    text = params.read_text(encoding="utf-8")
    if not overlays and not values:
        return text
    for path in overlays:
        text = overlaid(text, read_yaml(path))
    return overlaid(text, {}, values)


def _yaml(text: str) -> Any:
    import yaml

    from truing.core.files import load_yaml

    try:
        return load_yaml(text)
    except yaml.YAMLError as error:
        raise TruingError(f"params.yaml: not valid YAML: {error}", "a YAML mapping", "correct the line named above") from error


def _report_plan(root: Path, plan: dict[str, Any], changes: list[str], remove: bool) -> None:
    from truing.core.files import read_yaml
    from truing.planning.nodes import VERBS
    from truing.planning.prune import orphans, prune
    from truing.planning.warnings import plan_warnings

    counts = ", ".join(f"{len(plan[verb])} {verb}" for verb in VERBS if plan[verb])
    typer.echo(f"{sum(len(plan[verb]) for verb in VERBS)} nodes: {counts}")
    for line in changes:
        typer.echo(f"  {line}")
    lock = root / "dvc.lock"
    gone = orphans(read_yaml(lock), plan) if lock.exists() else []
    for path in prune(root, gone) if remove else []:
        typer.echo(f"  removed {path}: its node left the plan")
    for warning in plan_warnings(root, plan):
        typer.echo(f"warning: {warning}", err=True)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Say of every node whether it is complete, missing, or changed since it last ran."""
    from truing.planning.project import Project
    from truing.planning.status import node_states

    states = node_states(Project.open())
    if as_json:
        typer.echo(json.dumps(states, indent=2, sort_keys=True))
        return
    for node, state in states.items():
        typer.echo(f"{state:<9} {node}")
    summary = sorted({state: list(states.values()).count(state) for state in states.values()}.items())
    typer.echo(", ".join(f"{count} {state}" for state, count in summary))


@app.command()
def lineage(
    path: Annotated[Path, typer.Argument(help="Any output under data/, models/ or metrics/.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Walk digests from an output back to corpora, base, recipe and seed; exit 1 when one no longer matches."""
    from dataclasses import asdict

    from truing.planning.lineage import lineage as walk
    from truing.planning.project import Project

    steps = list(walk(Project.open(), path))
    if as_json:
        typer.echo(json.dumps([{**asdict(step), "matches": step.matches} for step in steps], indent=2, sort_keys=True))
    else:
        for step in steps:
            typer.echo(_step_line(step))
    if any(step.matches is False or step.digest is None for step in steps):
        raise TruingError(
            f"{path}: an input is not the one it was made from (marked above)",
            "recorded and present digests to be equal",
            "run `dvc repro`, or `dvc checkout` to get the recorded inputs back",
            Exit.FAILED,
        )


def _step_line(step: Any) -> str:
    mark = {None: "", True: "  = recorded", False: f"  DIFFERS from recorded {(step.recorded or '')[:12]}"}[step.matches]
    edge = f"{step.edge}: " if step.edge else ""
    facts = ", ".join(f"{name} {json.dumps(value, sort_keys=True)}" for name, value in step.facts.items())
    return f"{'  ' * step.depth}{edge}{step.node}  {(step.digest or 'MISSING')[:12]}{mark}{f'  ({facts})' if facts else ''}"


@app.command()
def verify(revision: Annotated[str, typer.Option(help="Git revision whose lock and sketches to compare with.")] = "HEAD") -> None:
    """Say of every node whether it is identical to the committed run, or equal within a stated tolerance."""
    from truing.core.files import project_root, read_json, read_yaml
    from truing.planning.experiments import command
    from truing.planning.verify import compare

    root = project_root()
    old_lock = _yaml(command(root, "git", "show", f"{revision}:dvc.lock"))
    old_sketches = json.loads(command(root, "git", "show", f"{revision}:metrics/sketches.json"))
    rows = compare(read_yaml(root / "dvc.lock"), old_lock, read_json(root / "metrics" / "sketches.json"), old_sketches)
    for row in (row for row in rows if row.verdict != "identical"):
        gap = "not comparable" if row.distance is None else f"relative distance {row.distance:.2e}, tolerance {row.tolerance:g}"
        typer.echo(f"{row.verdict:<9} {row.node}  ({gap})")
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("identical", "equal", "different", "missing")}
    typer.echo(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if counts["different"] or counts["missing"]:
        raise typer.Exit(int(Exit.FAILED))


@app.command()
def exp(seeds: Annotated[str, typer.Option(help="Comma-separated seeds: one experiment each.")]) -> None:
    """Run one DVC experiment per seed, so that seeds are rows of `dvc exp show`."""
    from truing.core.files import Layout, project_root
    from truing.planning.experiments import each_seed

    layout = Layout(project_root())
    try:
        values = [int(part) for part in seeds.split(",")]
    except ValueError as error:
        raise TruingError(f"--seeds {seeds}: not a list of whole numbers", "--seeds 1,2,3", "correct the list") from error

    def rewrite(seed: int) -> None:
        plan(setting=[f"run.seeds=[{seed}]"])

    names = each_seed(layout.root, values, rewrite, typer.echo)
    typer.echo(f"{', '.join(names)}: compare them with `make show`")


@app.command()
def show(
    into: Annotated[Path | None, typer.Option(help="Write the tables between the marks of this Markdown file instead.")] = None,
) -> None:
    """Print the headline table and the path of the report."""
    from rich.console import Console

    from truing.core.files import Layout, project_root, read_json, write_text
    from truing.report.summary import headline_table, refreshed

    layout = Layout(project_root())
    if into is not None:
        write_text(into, refreshed(into.read_text(encoding="utf-8"), read_json(layout.metrics / "summary.json")))
        return
    # Off a terminal the width is unknown, and a folded table is hard to read in a log.
    Console(width=None if sys.stdout.isatty() else 150).print(headline_table(read_json(layout.metrics / "summary.json")))
    typer.echo(f"report: {(layout.report / 'index.html').relative_to(layout.root)}")


@app.command("data-docs")
def data_docs(corpus: Annotated[str, typer.Argument(help="Key of a corpus node.")]) -> None:
    """Build Great Expectations Data Docs of a corpus under logs/; they carry random ids and are never an output."""
    from truing.core.files import read_json, read_jsonl
    from truing.corpora.expectations import data_docs as build
    from truing.planning.project import Project

    project: Project = Project.open()
    project.node("corpus", corpus)
    target = project.layout.root / "logs" / "data_docs" / corpus
    build(read_json(project.layout.card(corpus)), list(read_jsonl(project.layout.corpus(corpus))), target)
    typer.echo(str(target.relative_to(project.layout.root) / "index.html"))
