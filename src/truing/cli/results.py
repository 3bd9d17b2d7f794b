"""Commands around results: compare, import, audit, and the claims that are made of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from truing.cli.app import app
from truing.core.errors import Exit, TruingError

if TYPE_CHECKING:
    from rich.console import Console

    from truing.contracts.protocol import Allowance
    from truing.core.files import Layout
    from truing.report.compare import Comparison, Operand


def _console() -> Console:
    from rich.console import Console

    # Off a terminal the width is unknown, and a folded table is hard to read in a log.
    return Console(width=None if sys.stdout.isatty() else 180)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="train/KEY, FILE[:CONDITION], CONDITION, or REVISION[:CONDITION].")],
    b: Annotated[str, typer.Argument(help="The same; differences are a - b.")],
    metric: Annotated[list[str] | None, typer.Option(help="Compare this metric; by default the headline metrics. Repeatable.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Compare every metric that both have.")] = False,
    allow_mismatch: Annotated[
        list[str] | None, typer.Option(help="Vouch for a protocol field (or a pattern over fields) that differs. Repeatable.")
    ] = None,
    reason: Annotated[list[str] | None, typer.Option(help="Why the comparison still stands: one for all fields, or one each.")] = None,
    out: Annotated[Path | None, typer.Option(help="Record the comparison here; one that vouches for a field is always recorded.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Compare two results in every shared metric, once their protocols are known to be equal; exit 3 and name the fields if not."""
    from truing.cli.operands import operands
    from truing.report.compare import compare as compare_operands

    allowed = _allowances(allow_mismatch or [], reason or [])
    found, refusals = [], []
    for left, right in operands(a, b):
        try:
            names, arms = ((metric or []), None) if metric or every else _headline(left, right)
            comparison = compare_operands(left, right, metrics=names, exempt=_declared(left, right), allowed=allowed, arms=arms)
            found.append(comparison)
        except TruingError as error:
            if error.code != Exit.REFUSED:
                raise
            refusals.append(error)
    _count_questions(found)
    _record(found, out, as_json)
    if refusals:
        more = f" (and {len(refusals) - 1} more conditions)" if len(refusals) > 1 else ""
        raise TruingError(refusals[0].what + more, refusals[0].expected, refusals[0].fix, Exit.REFUSED)


def _allowances(fields: Sequence[str], reasons: Sequence[str]) -> list[Allowance]:
    from truing.contracts.protocol import Allowance

    if (fields and len(reasons) not in (1, len(fields))) or any(not text.strip() for text in reasons):
        raise TruingError(
            f"{len(fields)} --allow-mismatch with {len(reasons)} --reason",
            "one reason for all, or one each, none empty",
            "say why the comparison stands",
        )
    each = reasons if len(reasons) == len(fields) else list(reasons) * len(fields)
    return [Allowance(field=field, reason=text.strip()) for field, text in zip(fields, each, strict=True)]


def _headline(a: Operand, b: Operand) -> tuple[list[str], dict[str, str]]:
    """The metrics and arms that the study's page leads with, as far as both have them; all metrics of a study without a page."""
    from truing.report.sections import section

    studies = {row["study"] for side in (a, b) for row in side.rows}
    known = [metric for study in sorted(studies & set(section.names())) for metric in section.get(study).target.metrics]
    shared = [{(row["arm"], row["metric"]) for row in side.rows} for side in (a, b)]
    arms = {metric.name: metric.arm for metric in known if all((metric.arm, metric.name) in side for side in shared)}
    return list(arms), arms


def _layout() -> Layout | None:
    """The project around the working directory; None outside one, where imported tables can still be compared."""
    from truing.core.files import Layout, project_root

    try:
        return Layout(project_root())
    except TruingError:
        return None


def _declared(a: Operand, b: Operand) -> tuple[str, ...]:
    """The fields that a declared contrast of these two conditions manipulates."""
    from truing.core.files import read_yaml

    layout = _layout()
    if layout is None or not layout.plan.is_file() or a.trained_only or b.trained_only:
        return ()
    declarations = read_yaml(layout.plan)["plan"]["collect"]["all"]["declarations"]
    contrasts = [contrast for one in declarations.values() for contrast in one["family"]["contrasts"]]
    fields = [field for c in contrasts if {c["a"], c["b"]} == {a.condition, b.condition} for field in c["manipulates"]]
    return tuple(dict.fromkeys(fields))


def _count_questions(found: Sequence[Comparison]) -> None:
    """Enter every compared metric in the project's ledger of questions, which refuses one too many."""
    from truing.planning.questions import ask

    layout = _layout()
    asked = [question for comparison in found for question in comparison.questions]
    if asked and layout is not None:
        spent, budget = ask(layout, asked)
        typer.echo(f"questions put to this question set so far: {spent} of {budget}", err=True)


def _record(found: Sequence[Comparison], out: Path | None, as_json: bool) -> None:
    from truing.contracts.schemas import check_document
    from truing.core.files import Layout, project_root, write_json

    for comparison in found:
        document = comparison.document()
        check_document("comparison", document, f"{comparison.a} - {comparison.b}")
        if as_json:
            typer.echo(json.dumps(document, indent=2, sort_keys=True))
        else:
            _print(comparison)
        if comparison.mismatches or out:
            slug = re.sub(r"[^a-z0-9]+", "-", f"{comparison.a}-minus-{comparison.b}".lower()).strip("-")
            target = out if out and len(found) == 1 else (out or Layout(project_root()).metrics / "comparisons") / f"{slug}.json"
            write_json(target, document)
            typer.echo(f"recorded in {target}", err=True)


def _print(comparison: Comparison) -> None:
    from rich.table import Table

    from truing.contracts.protocol import shown
    from truing.core import numbers

    table = Table(
        title=f"{comparison.a} {numbers.MINUS} {comparison.b}, 95 % intervals", caption=_caption(comparison), caption_justify="left"
    )
    for name in ("phase", "probe", "arm", "metric", "a", "b", "a \u2212 b", "n", "p", "method"):
        table.add_column(name, justify="right" if name in ("a", "b", "a \u2212 b", "n", "p") else "left")
    if not comparison.rows:
        typer.echo(f"{comparison.a} {numbers.MINUS} {comparison.b}: {_caption(comparison)}")
    for row in comparison.rows:
        ends = [numbers.estimate(value, None, None) for value in (row.a, row.b)]
        diff = numbers.estimate(row.diff, row.ci_lo, row.ci_hi, signed=True)
        n = str(row.n_a) if row.n_a == row.n_b else f"{row.n_a}, {row.n_b}"
        table.add_row(row.phase, row.probe, row.arm, row.metric, *ends, diff, n, numbers.p_value(row.p_value), row.method)
    if comparison.rows:
        _console().print(table)
    for mismatch in comparison.mismatches:
        typer.echo(f"vouched for: {mismatch.field} is {shown(mismatch.a)} in a and {shown(mismatch.b)} in b: {mismatch.reason}")


def _caption(comparison: Comparison) -> str:
    equal = (
        "protocols equal" if not comparison.mismatches else f"protocols differ in {len(comparison.mismatches)} vouched fields, listed below"
    )
    exempt = f"; {', '.join(comparison.exempt)} is the declared manipulation" if comparison.exempt else ""
    return ". ".join([equal + exempt, *comparison.notes])


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="Result files of earlier work: JSON, JSON lines or CSV, plain or .gz.")],
    mapping: Annotated[Path, typer.Option("--map", help="YAML that says what the files' names mean.")],
    out: Annotated[Path | None, typer.Option(help="Table to write; metrics/imported/MAP.parquet of the project by default.")] = None,
) -> None:
    """Load results of earlier work into the one result table, whatever shape they were written in."""
    from truing.contracts.protocol import from_text, unknown_fields
    from truing.core.files import Layout, project_root, read_yaml
    from truing.core.tables import write_csv, write_parquet
    from truing.legacy import load

    table = load({path.as_posix(): _bytes(path) for path in files}, read_yaml(mapping), mapping.as_posix())
    target = out or Layout(project_root()).imported(mapping.stem)
    if target.suffix == ".csv":
        write_csv(target, table)
    else:
        write_parquet(target, table)
    unknowns = {len(unknown_fields(from_text(text))) for text in set(table["protocol"])}
    counts = {name: table[name].nunique() for name in ("condition", "seed", "metric")}
    typer.echo(f"{target}: {len(table)} rows, " + ", ".join(f"{count} {name}s" for name, count in counts.items()))
    typer.echo(f"unknown protocol fields: {', '.join(map(str, sorted(unknowns)))}; an unknown field equals nothing in `truing compare`")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TruingError(f"{path}: {error.strerror}", "a readable file", "correct the path") from error


@app.command()
def audit(
    table: Annotated[Path, typer.Argument(help="CSV: condition, metric, n, mean, and half_width or sd, as printed.")],
    claims: Annotated[Path, typer.Argument(help="YAML: interval and claims.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Re-check claims against a published table of rounded summaries; exit 0 when all reproduce, 3 otherwise."""
    from rich.table import Table

    from truing.stats.audit import answers_json
    from truing.stats.audit import audit as run_audit

    answers = run_audit(_text(table), _text(claims), table.as_posix(), claims.as_posix())
    if as_json:
        typer.echo(json.dumps(answers_json(answers), indent=2))
    else:
        shown = Table(title=f"{claims} against {table}")
        for name in ("id", "verdict", "computed", "low", "high", "note"):
            shown.add_column(name, justify="right" if name in ("computed", "low", "high") else "left", overflow="fold")
        for one in answers:
            shown.add_row(
                one.id, str(one.verdict), *(("" if v is None else f"{v:.4g}") for v in (one.computed, one.low, one.high)), one.note
            )
        _console().print(shown)
        counts = {
            verdict: sum(str(one.verdict) == verdict for one in answers) for verdict in ("reproduced", "not_reproduced", "undecidable")
        }
        typer.echo(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if any(str(one.verdict) != "reproduced" for one in answers):
        raise typer.Exit(int(Exit.REFUSED))


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TruingError(f"{path}: not UTF-8: {error}", "UTF-8 text", "convert the file to UTF-8") from error


@app.command()
def claims(
    check: Annotated[bool, typer.Option("--check", help="Exit 3 when the log does not say what the result table says now.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the log as JSON.")] = False,
) -> None:
    """Print every claim as the verdict log has it last, and what it was before."""
    from truing.core.tables import read_parquet
    from truing.planning.project import Project
    from truing.report.gather import claim_rows, read_log, summarise
    from truing.stats.claims.verdicts import current, fresh, history

    project = Project.open()
    log = read_log(project)
    if as_json:
        typer.echo(json.dumps(log, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        for (study, claim), row in current(log).items():
            typer.echo(f"{row['label']:<11} {row['status']:<9} {study}/{claim}")
            typer.echo(f"    {row['sentence']}")
            for older in history(log, study, claim)[:-1]:
                typer.echo(f"    before (entry {older['seq']}): {older['label']} {older['status']}: {older['sentence']}")
            if row["reason"]:
                typer.echo(f"    retracted: {row['reason']}")
    if check:
        results = read_parquet(project.layout.metrics / "results.parquet")
        new = fresh(log, claim_rows(summarise(project, results), results))
        if new:
            names = ", ".join(f"{row['study']}/{row['claim']}" for row in new)
            raise TruingError(
                f"metrics/verdicts.jsonl lacks verdicts on {names}", "a verdict on every claim", "run `dvc repro`", Exit.REFUSED
            )


@app.command()
def retract(
    claim: Annotated[str, typer.Argument(help="Id of a claim, or STUDY/ID.")],
    reason: Annotated[str, typer.Option(help="Why; it is shown wherever the claim is.")],
) -> None:
    """Retract a claim: an entry is added to the verdict log, and every page that used the claim shows it after `dvc repro`."""
    from truing.core.files import write_jsonl
    from truing.planning.project import Project
    from truing.report.gather import read_log
    from truing.stats.claims.verdicts import retraction

    project = Project.open()
    log = read_log(project)
    row = retraction(log, claim, reason)
    write_jsonl(project.layout.verdicts, [*log, row])
    typer.echo(f"entry {row['seq']}: {row['study']}/{row['claim']} is retracted")


@app.command()
def columns(
    into: Annotated[Path | None, typer.Option(help="Write the dictionary to this Markdown file instead.")] = None,
) -> None:
    """Print what every column of the result table means, from its schema."""
    from truing.contracts.results import dictionary
    from truing.core.files import write_text

    text = dictionary()
    if into is None:
        typer.echo(text, nl=False)
    else:
        write_text(into, text)
