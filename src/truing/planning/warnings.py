"""What a plan holds that cannot change a result: said before the run where it can be, and after it where it must be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truing.core.files import Layout, meta_path, read_json


def manifest_warnings(metas: Mapping[str, Mapping[str, Any]], nodes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Each manifest's own warnings, and every group of manifests of one corpus that give the same weights.

    Args:
        metas: Documents of the manifests that have been made, by key.
        nodes: The plan's manifest entries, by key.
    """
    lines = [f"manifest {key}: {warning}" for key, meta in sorted(metas.items()) for warning in meta["warnings"]]
    same: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in sorted(metas.keys() & nodes.keys()):
        same[nodes[key]["corpus"], metas[key]["weights_digest"]].append(key)
    lines += [
        f"manifests {', '.join(keys)} give identical weights: training on each is the same training"
        for keys in same.values()
        if len(keys) > 1
    ]
    return lines


def plan_warnings(root: Path, plan: Mapping[str, Any]) -> list[str]:
    """Warnings from the manifests that lie on disk; a plan that has not run yet has none."""
    layout = Layout(root)
    paths = {key: meta_path(layout.manifest(key)) for key in plan["manifest"]}
    metas = {key: read_json(path) for key, path in paths.items() if path.exists()}
    return manifest_warnings(metas, plan["manifest"])
