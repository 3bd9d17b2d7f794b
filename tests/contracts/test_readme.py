"""Numbers in README.md are those of the committed run, and its commands exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

from typer.testing import CliRunner

from truing.cli import app
from truing.report.summary import refreshed

ROOT = Path(__file__).parents[2]


def test_the_numbers_are_those_of_the_committed_run() -> None:
    text = (ROOT / "README.md").read_text()
    assert text == refreshed(text, json.loads((ROOT / "metrics" / "summary.json").read_text())), "run `make readme`"


def test_every_command_that_the_readme_names_exists() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`?truing ([a-z-]+)", text)) - {"is", "does"}
    known = set(re.findall(r"│ ([a-z-]+) ", CliRunner().invoke(app, ["--help"]).output))
    assert named <= known | {"pipeline"}, named - known
    targets = set(re.findall(r"`?make ([a-z-]+)", text))
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_pictures_and_linked_documents_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert all((ROOT / link).is_file() for link in links)
