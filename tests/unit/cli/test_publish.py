"""`truing publish` and `truing pull`: what is printed is what is sent, refusals send nothing, and what was sent comes back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.hub_project import COMMIT, STUDY, hub_project
from support.hub_server import HubServer
from typer.testing import CliRunner, Result

from truing.cli import app
from truing.cli import publishing as questions
from truing.core.digests import digest_file
from truing.core.errors import Exit, TruingError
from truing.hub import provenance
from truing.planning.project import Project

TOKEN = "hf_" + "t0k3n" * 6
Say = Callable[..., Result]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A finished project in order; git and DVC answer that all is well."""
    made = hub_project(tmp_path / "project")
    monkeypatch.chdir(made.layout.root)
    monkeypatch.setattr(questions, "open_project", lambda: made)
    monkeypatch.setattr(questions, "_require_protocols", lambda project, study: None)
    answers: dict[str, object] = {"commit": COMMIT, "origin": None, "dirty": (), "plan_changes": (), "changed": {}}
    for name in answers:
        monkeypatch.setattr(provenance, name, lambda *_, name=name: answers[name])
    monkeypatch.setattr(Project, "open", classmethod(lambda cls, root=None: made))
    return made


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.adopt(monkeypatch, tmp_path / "home", server.login("me", TOKEN))
        yield server


@pytest.fixture
def say() -> Say:
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, list(arguments))


def listed(output: str) -> dict[str, str]:
    """Size and digest of every file that a push or a dry run names, by path."""
    lines = output.split("files: ")[1].split("gates:")[0].splitlines()[1:]
    return {line.split(None, 2)[2]: " ".join(line.split(None, 2)[:2]) for line in lines}


def test_the_dry_run_prints_what_the_push_then_sends(project: Project, hub: HubServer, say: Say) -> None:
    dry = say("publish", "dataset", "news", "--repo-id", "me/news", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert hub.requests == []
    assert not (project.layout.metrics / "published").exists()
    sent = say("publish", "dataset", "news", "--repo-id", "me/news")
    assert sent.exit_code == 0, sent.output
    assert listed(dry.output) == listed(sent.output)
    receipt = json.loads((project.layout.metrics / "published" / "corpus-news.json").read_text())
    assert set(receipt["files"]) == set(listed(dry.output))
    card = dry.output.split("card:\n", 1)[1].split("dry run: every gate")[0]
    assert json.dumps(receipt).count(TOKEN) == 0
    assert "license: cc0-1.0" in card
    assert sent.output.startswith(dry.output.split("card:")[0])


def test_a_second_push_is_a_no_op_that_says_so(project: Project, hub: HubServer, say: Say) -> None:
    say("publish", "dataset", "news", "--repo-id", "me/news")
    again = say("publish", "dataset", "news", "--repo-id", "me/news")
    assert "unchanged: me/news@" in again.output
    assert sum("/commit/" in request for request in hub.requests) == 1


def test_a_refused_package_is_shown_with_every_reason_and_not_sent(
    project: Project, hub: HubServer, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "dirty", lambda root: ("params.yaml",))
    project.layout.corpus("news").write_text('{"doc_id": "/home/me/secret"}\n')
    refused = say("publish", "dataset", "news", "--repo-id", "me/news")
    assert isinstance(refused.exception, TruingError)
    assert refused.exception.code is Exit.REFUSED
    assert "params.yaml" in refused.output
    assert "refused  secrets" in refused.output
    assert hub.requests == []


def test_what_was_published_comes_back_bit_for_bit(project: Project, hub: HubServer, say: Say) -> None:
    before = {path: digest_file(path) for path in (project.layout.corpus("news"), project.layout.card("news"))}
    assert say("publish", "dataset", "news", "--repo-id", "me/news").exit_code == 0
    for path in before:
        path.unlink()
    back = say("pull", "corpus-news", "--force", "--json")
    assert back.exit_code == 0, back.output
    assert {path: digest_file(path) for path in before} == before
    assert json.loads(back.output)["written"] == ["data/corpora/news.card.json", "data/corpora/news.jsonl"]


def test_what_it_was_made_from_comes_back_along_as_far_as_it_was_published(project: Project, hub: HubServer, say: Say) -> None:
    assert say("publish", "dataset", "news", "--repo-id", "me/news").exit_code == 0
    assert say("publish", "dataset", "news-tarp", "--repo-id", "me/weights").exit_code == 0
    for path in (project.layout.corpus("news"), project.layout.card("news"), project.layout.manifest("news-tarp")):
        path.unlink()
    back = say("pull", "manifest-news-tarp", "--with-deps", "--force", "--json")
    assert back.exit_code == 0, back.output
    found = json.loads(back.output)
    assert [one["repo"] for one in found["deps"]] == ["me/news"]
    assert found["absent"] == []
    assert project.layout.corpus("news").exists()
    (project.layout.metrics / "published" / "corpus-news.json").unlink()
    project.layout.corpus("news").unlink()
    alone = say("pull", "manifest-news-tarp", "--with-deps", "--force")
    assert "absent: corpus/news" in alone.output


def test_a_base_then_results_then_a_collection(project: Project, hub: HubServer, say: Say) -> None:
    unlicensed = say("publish", "base", "tiny", "--repo-id", "me/tiny")
    assert isinstance(unlicensed.exception, TruingError)
    assert "--licence" in unlicensed.exception.fix
    assert say("publish", "base", "tiny", "--repo-id", "me/tiny", "--licence", "CC0-1.0").exit_code == 0
    assert say("publish", "results", STUDY, "--repo-id", "me/results").exit_code == 0
    asked = len(hub.requests)
    dry = say("publish", "collection", STUDY, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert len(hub.requests) == asked
    gathered = say("publish", "collection", STUDY)
    assert gathered.exit_code == 0, gathered.output
    assert "2 added" in gathered.output
    # What it said that it would gather is what it gathered.
    assert dry.output.splitlines()[:-1] == gathered.output.splitlines()[:-1]
    assert gathered.output.index("me/tiny") < gathered.output.index("me/results")


@pytest.mark.parametrize("name", ["news", "me/news/extra", "me/", "me/ne ws"])
def test_a_repository_is_named_with_its_owner_and_nothing_more(name: str, project: Project, say: Say) -> None:
    found = say("publish", "dataset", "news", "--repo-id", name, "--dry-run")
    assert isinstance(found.exception, TruingError)
    assert found.exception.code is Exit.USAGE


def test_an_unknown_receipt_lists_the_known_ones(project: Project, hub: HubServer, say: Say) -> None:
    say("publish", "dataset", "news", "--repo-id", "me/news")
    found = say("pull", "corpus-other")
    assert isinstance(found.exception, TruingError)
    assert "corpus-news" in found.exception.expected


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_receipt_makes_a_tree_neither_dirty_nor_newer(tmp_path: Path) -> None:
    from truing.planning.experiments import command

    for arguments in (("init", "-q"), ("config", "user.name", "a"), ("config", "user.email", "a@example.org")):
        command(tmp_path, "git", *arguments)
    (tmp_path / "a.txt").write_text("a")
    command(tmp_path, "git", "add", "-A")
    command(tmp_path, "git", "commit", "-qm", "one")
    first = provenance.commit(tmp_path)
    published = tmp_path / "metrics" / "published" / "x.json"
    published.parent.mkdir(parents=True)
    published.write_text("{}")
    assert provenance.dirty(tmp_path) == ()
    command(tmp_path, "git", "add", "-A")
    command(tmp_path, "git", "commit", "-qm", "receipt")
    assert provenance.commit(tmp_path) == first
    (tmp_path / "a.txt").write_text("b")
    assert provenance.dirty(tmp_path) == ("a.txt",)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://example.org/me/project.git", "https://example.org/me/project.git"),
        ("https://me:secret@example.org/me/project.git", None),
        ("git@example.org:me/project.git", None),
        ("/srv/git/project", None),
    ],
)
def test_an_origin_is_told_only_without_a_user_or_a_path(url: str, found: str | None, tmp_path: Path) -> None:
    from truing.planning.experiments import command

    command(tmp_path, "git", "init", "-q")
    assert provenance.origin(tmp_path) is None
    command(tmp_path, "git", "remote", "add", "origin", url)
    assert provenance.origin(tmp_path) == found
