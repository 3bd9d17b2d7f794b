"""Expansion: studies x seeds -> `plan.yaml`, and the check that the committed one is what it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truing.core.environment import versions
from truing.core.errors import Exit, TruingError, some
from truing.core.files import ABSENT, dump_yaml
from truing.planning.builder import Builder
from truing.planning.nodes import CollectNode, Node, ReportNode
from truing.planning.params import Settings

MAX_NODES = 100
HEADER = "# GENERATED from params.yaml and src/truing/studies by `truing plan`. Do not edit.\n"


def expand(settings: Settings) -> dict[str, Any]:
    """The content of plan.yaml under its one root key (other keys would collide with params.yaml in DVC).

    Raises:
        TruingError: for an unknown name, or a plan too large for one lock file.
    """
    builder = Builder(settings)
    for name, (plugin, cfg) in settings.studies().items():
        builder.study = name
        plugin.target(builder, cfg)
        if name not in builder.declarations:
            raise TruingError(f"study {name} declares no family of contrasts", "one call of plan.declare", "add it to the study's file")
    builder.nodes["collect"]["all"] = _collect(builder)
    builder.nodes["report"]["site"] = ReportNode(plugin="site", config="report", studies=tuple(settings.studies()))
    count = sum(len(nodes) for nodes in builder.nodes.values())
    if count > MAX_NODES:
        raise TruingError(
            f"the plan has {count} nodes",
            f"at most {MAX_NODES}: the cost of dvc.lock grows faster than its length",
            "use fewer studies, conditions or seeds in one run, or `truing exp --seeds` for one experiment per seed",
        )
    verbs = {verb: {key: _plain(node) for key, node in sorted(nodes.items())} for verb, nodes in builder.nodes.items()}
    return {"plan": {"environment": dict(versions()), **verbs}}


def _collect(builder: Builder) -> CollectNode:
    folders = {"judgements": "data/judgements" if builder.nodes["judge"] else ABSENT}
    for name, verb in (("signals", "signal"), ("manifests", "manifest"), ("responses", "respond"), ("corpora", "corpus")):
        folders[name] = f"data/{name}" if builder.nodes[verb] else ABSENT
    imported = builder.settings.report.imported
    folders["imported"] = "metrics/imported" if imported else ABSENT
    return CollectNode(
        plugin="results", config="report", deps=folders, cells=tuple(builder.cells), seeds=builder.seeds,
        declarations=builder.declarations, imported=imported,
    )  # fmt: skip


def _plain(node: Node) -> dict[str, Any]:
    return {key: value for key, value in node.model_dump(mode="json").items() if value is not None}


def render(plan: Mapping[str, Any]) -> str:
    """The bytes of plan.yaml, as text."""
    return HEADER + dump_yaml(plan)


def stale(committed: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> list[str]:
    """What differs between the plan on disk and the plan that params.yaml asks for, one line each; empty when fresh."""
    if not committed or "plan" not in committed:
        return ["plan.yaml is missing or has no `plan:` key"]
    have, want = committed["plan"], wanted["plan"]
    lines = []
    for verb in sorted({*have, *want}):
        old, new = have.get(verb) or {}, want.get(verb) or {}
        lines += [f"{verb}: {key} is not in plan.yaml" for key in sorted(set(new) - set(old))]
        lines += [f"{verb}: {key} is no longer planned" for key in sorted(set(old) - set(new))]
        lines += [f"{verb}: {key} has changed" for key in sorted(set(old) & set(new)) if old[key] != new[key]]
    return lines


def require_fresh(committed: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> None:
    """Refuse to work from a stale plan.

    Raises:
        TruingError: exit 3, with a few of the differences.
    """
    lines = stale(committed, wanted)
    if lines:
        raise TruingError(f"plan.yaml is stale: {some(lines)}", "the plan that params.yaml asks for", "run `truing plan`", Exit.REFUSED)
