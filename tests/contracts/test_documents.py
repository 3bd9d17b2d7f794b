"""Generated documents are those of the code, and the repository's own configuration parses."""

from __future__ import annotations

from pathlib import Path

import yaml

from truing.contracts.results import dictionary
from truing.legacy.maps import read_map
from truing.stats.claims.labels import RULES

ROOT = Path(__file__).parents[2]


def test_the_column_dictionary_is_that_of_the_schema() -> None:
    assert (ROOT / "docs" / "result-table.md").read_text() == dictionary(), "run `truing columns --into docs/result-table.md`"


def test_the_rules_of_the_labels_are_those_that_decide() -> None:
    text = (ROOT / "docs" / "claims.md").read_text()
    for label, rule in RULES.items():
        assert f"| {label} | {rule} |" in text


def test_the_map_of_the_guide_is_a_map() -> None:
    text = (ROOT / "docs" / "importing.md").read_text()
    example = text.split("```yaml\n")[1].split("```")[0]
    assert read_map(yaml.safe_load(example), "guide").n_upstream == 1


def test_every_hook_of_pre_commit_names_its_entry_and_language() -> None:
    hooks = [hook for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]]
    assert len(hooks) >= 8
    assert all("id" in hook for hook in hooks)
