"""What is done and what `dvc repro` would run, in the words of the plan."""

from __future__ import annotations

import json
from typing import Any

from truing.planning.experiments import command
from truing.planning.nodes import VERBS
from truing.planning.project import Project
from truing.planning.records import marker


def node_states(project: Project) -> dict[str, str]:
    """Each node's state: `missing` (never completed), `changed` (something it reads or wrote is no longer the same), `complete`."""
    changed: dict[str, Any] = json.loads(command(project.layout.root, "dvc", "status", "--json"))
    states = {}
    for verb in VERBS:
        for key in project.plan[verb]:
            if not marker(project, verb, key).exists():
                states[f"{verb}/{key}"] = "missing"
            else:
                states[f"{verb}/{key}"] = "changed" if f"{verb}@{key}" in changed else "complete"
    return states
