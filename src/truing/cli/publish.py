"""Commands around the Hub: publish a base, an adapter, data, results, a collection; and pull them back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truing.cli.app import app
from truing.core.errors import Exit, TruingError, some

if TYPE_CHECKING:
    from truing.hub.gates import Candidate
    from truing.hub.making import Making
    from truing.hub.receipts import Receipt

publish = typer.Typer(no_args_is_help=True, help="Send outputs to the Hub with a card that says where they come from.")
app.add_typer(publish, name="publish")

RepoId = Annotated[str, typer.Option("--repo-id", help="OWNER/NAME on the Hub.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print files, sizes, gates and card, and contact nobody.")]
Public = Annotated[bool, typer.Option("--public", help="Make the repository public; it is private otherwise.")]
Licence = Annotated[str | None, typer.Option(help="Licence of what is published; by default the one that the corpora behind it share.")]
Gated = Annotated[
    bool | None, typer.Option("--gated/--no-gated", help="Let visitors ask for access; by default for what may not be deployed.")
]


@publish.command()
def adapter(
    name: Annotated[str, typer.Argument(help="STUDY/CONDITION/SEED, STUDY/CONDITION/PHASE/SEED, or train/KEY.")],
    repo_id: RepoId,
    dry_run: DryRun = False,
    public: Public = False,
    licence: Licence = None,
    gated: Gated = None,
) -> None:
    """Publish one adapter: weights, configuration, tokenizer, lineage, card. Its base must be on the Hub."""
    from truing.cli.publishing import candidate, find_trained, making, open_project
    from truing.hub.adapter import adapter_package

    project = open_project()
    made = making(project, repo_id, licence, gated)
    trained = find_trained(project, name)
    _send(made, candidate(made, adapter_package(made, trained), trained.study, trained), public, dry_run)


@publish.command()
def base(
    key: Annotated[str, typer.Argument(help="Key of a base node.")],
    repo_id: RepoId,
    dry_run: DryRun = False,
    public: Public = False,
    licence: Licence = None,
    gated: Gated = None,
) -> None:
    """Publish a base that was built here, so that its adapters can be loaded by others."""
    from truing.cli.publishing import candidate, making, open_project
    from truing.hub.adapter import base_package

    project = open_project()
    project.node("base", key)
    made = making(project, repo_id, licence, gated)
    _send(made, candidate(made, base_package(made, key)), public, dry_run)


@publish.command()
def dataset(
    name: Annotated[
        str, typer.Argument(help="Key of a corpus, a signal, a manifest, responses or judgements; VERB/KEY where two share one.")
    ],
    repo_id: RepoId,
    dry_run: DryRun = False,
    public: Public = False,
    licence: Licence = None,
    gated: Gated = None,
) -> None:
    """Publish a corpus, evidence, weights, answers or verdicts: Parquet tables, canonical files, Croissant document, card."""
    from truing.cli.publishing import asked_of, candidate, making, open_project
    from truing.hub.ancestry import split
    from truing.hub.dataset import dataset_package, find_data

    project = open_project()
    made = making(project, repo_id, licence, gated)
    node = find_data(project, name)
    verb, key = split(node)
    _send(made, candidate(made, dataset_package(made, node, asked_of(project, key) if verb == "corpus" else ())), public, dry_run)


@publish.command()
def results(
    study: Annotated[str, typer.Argument(help="Name of a study.")],
    repo_id: RepoId,
    dry_run: DryRun = False,
    public: Public = False,
    licence: Licence = None,
    gated: Gated = None,
) -> None:
    """Publish a study's results: tables, declaration, claims, verdict log, figures, card."""
    from truing.cli.publishing import candidate, making, open_project, read_study
    from truing.hub.results import receipt_of, results_package

    project = open_project()
    made = making(project, repo_id, licence, gated)
    read = read_study(project, study)
    others = tuple(one for one in _receipts(made, study) if one.key != receipt_of(study))
    _send(made, candidate(made, results_package(made, read, others), read), public, dry_run)


@publish.command()
def collection(
    study: Annotated[str, typer.Argument(help="Name of a study.")],
    title: Annotated[str | None, typer.Option(help="Title of the collection; the study's name by default.")] = None,
    public: Public = False,
    dry_run: DryRun = False,
) -> None:
    """Gather everything of a study that is published in one collection of the Hub."""
    from truing.cli.publishing import open_project
    from truing.hub.collection import gather
    from truing.hub.published import of_study

    found = of_study(open_project(), study)
    named = title or f"truing: {study}"
    for one in found:
        typer.echo(f"{one.repo_type:<8} {one.repo}@{(one.revision or '')[:12]}  {one.key}")
    if dry_run:
        typer.echo(f"dry run: {len(found)} repositories for the collection {named!r}; nobody was contacted")
        return
    made = gather(named, found, private=not public)
    typer.echo(f"{made.url}: {len(made.added)} added, {len(made.kept)} there already")


def _receipts(made: Making, study: str) -> list[Receipt]:
    from truing.hub.published import of_study

    return of_study(made.project, study)


def _send(made: Making, asked: Candidate, public: bool, dry_run: bool) -> None:
    """Print what is sent and what the gates say, then send it; a refusal comes after the print, and nothing is sent."""
    from truing.cli.publishing import plan_lines
    from truing.hub.gates import ask, require
    from truing.hub.push import push

    found = ask(asked)
    for line in plan_lines(asked.package, made.repo, public, found):
        typer.echo(line)
    if dry_run:
        content = asked.package.files["README.md"]
        typer.echo(f"card:\n{content.decode('utf-8') if isinstance(content, bytes) else content.read_text(encoding='utf-8')}")
    require(found, asked.package.key)
    receipt = push(asked.package, made.repo, made.project.layout.root, private=not public, dry_run=dry_run)
    if dry_run:
        typer.echo("dry run: every gate is open; nobody was contacted and nothing was written")
        return
    typer.echo(f"{receipt.outcome}: {receipt.repo}@{receipt.revision}")
    typer.echo(f"receipt: metrics/published/{receipt.key}.json; commit it")


@app.command()
def pull(
    receipt: Annotated[Path, typer.Argument(help="A receipt: metrics/published/KEY.json, or its KEY.")],
    with_deps: Annotated[bool, typer.Option("--with-deps", help="Pull what it was made from too, as far as there are receipts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write even where dvc.lock records other outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Write published outputs back in their place, every file checked; `dvc status` is then clean for them."""
    from truing.hub.pull import behind, outputs_of
    from truing.hub.receipts import read_receipt, receipt_path, receipts
    from truing.planning.project import Project

    project = Project.open()
    root = project.layout.root
    path = receipt if receipt.is_file() else receipt_path(root, str(receipt))
    if not path.is_file():
        known = some([one.key for one in receipts(root)], 20) or "none yet"
        raise TruingError(
            f"{receipt}: no such receipt", f"a file, or one of: {known}", "correct the name, or `git pull` to get it", Exit.USAGE
        )
    found = read_receipt(path)
    deps, absent = behind(project, found, receipts(root)) if with_deps else ([], [])
    pulled = [_restored(root, one, outputs_of(project, one), force) for one in (*deps, found)]
    if as_json:
        extra = {"deps": pulled[:-1], "absent": absent} if with_deps else {}
        typer.echo(json.dumps({**pulled[-1], **extra}, indent=2, sort_keys=True))
        return
    for one in pulled:
        typer.echo(f"{one['repo']}@{one['revision']}: {len(one['written'])} outputs")
        for name in one["written"]:
            typer.echo(f"  {name}")
    for node in absent:
        typer.echo(f"absent: {node} was not published from here; publish it, or use a DVC remote")


def _restored(root: Path, receipt: Receipt, outputs: Sequence[Path], force: bool) -> dict[str, Any]:
    """Pull one receipt: where from, and what was written."""
    from truing.hub.pull import pull as fetch

    written = [one.relative_to(root).as_posix() for one in fetch(receipt, root, outputs, force=force)]
    return {"repo": receipt.repo, "revision": receipt.revision, "written": written}
