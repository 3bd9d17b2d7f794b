"""The document that every node leaves beside its output: what it is, and the digests of what it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from truing.core.files import read_json
from truing.planning.project import Project, complete_marker

# What each verb writes last.
SCHEMAS = {
    "base": "base",
    "corpus": "corpus_card",
    "signal": "signal_meta",
    "manifest": "manifest_meta",
    "train": "lineage",
    "respond": "responses_meta",
    "judge": "judgements_meta",
}


def marker(project: Project, verb: str, key: str) -> Path:
    """The file whose presence means that the node is complete."""
    return complete_marker(verb, project.outputs(verb, key))


def record(project: Project, verb: str, key: str) -> dict[str, Any] | None:
    """The node's document; None where the node has not been run."""
    path = marker(project, verb, key)
    document: dict[str, Any] | None = read_json(path) if path.exists() else None
    return document


def records(project: Project) -> dict[str, dict[str, Any]]:
    """The documents of all nodes that have one, by "verb/key"."""
    found = {f"{verb}/{key}": record(project, verb, key) for verb in SCHEMAS for key in project.plan[verb]}
    return {name: document for name, document in found.items() if document is not None}


def find_node(project: Project, path: Path) -> tuple[str, str] | None:
    """The node that a path is an output of, or lies within; None for a source file."""
    absolute = path.absolute()
    for verb, nodes in project.plan.items():
        if verb == "environment":
            continue
        for key in nodes:
            for output in project.outputs(verb, key):
                if absolute == output or output in absolute.parents:
                    return verb, key
    return None
