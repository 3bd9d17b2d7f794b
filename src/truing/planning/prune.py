"""Outputs of nodes that left the plan: an orphan seed must not enter a folder that a later stage reads."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truing.planning.nodes import VERBS


def orphans(lock: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """Project-relative outputs that dvc.lock lists for stages of ours which the plan no longer holds.

    Only what a stage is on record to have written is ever named; DVC's cache keeps the content.
    """
    stages = lock.get("stages") or {}
    planned = {f"{verb}@{key}" for verb in VERBS for key in plan[verb]}
    ours = {name: stage for name, stage in stages.items() if name.partition("@")[0] in VERBS}
    kept = {out["path"] for name, stage in ours.items() if name in planned for out in stage.get("outs", [])}
    gone = {out["path"] for name, stage in ours.items() if name not in planned for out in stage.get("outs", [])}
    return sorted(gone - kept)


def prune(root: Path, paths: list[str]) -> list[str]:
    """Delete outputs (and a group folder that became empty); return those that were there."""
    removed = []
    for relative in paths:
        path = root / relative
        if path.is_dir():
            shutil.rmtree(path)
            if relative.startswith("models/") and not any(path.parent.iterdir()):
                path.parent.rmdir()
        elif path.exists():
            path.unlink()
        else:
            continue
        removed.append(relative)
    return removed
