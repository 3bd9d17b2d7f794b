"""Is this run the committed one? Byte for byte by the lock, and within a stated tolerance by the sketches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from truing.planning.sketches import distance

Verdict = Literal["identical", "equal", "different", "missing"]

# Relative distance allowed per verb when bytes differ. Text, checks and weights come from exact arithmetic.
# A base is trained for over a thousand steps, along which rounding differences grow, so all that rests on it has room.
TOLERANCES = {
    "base": 0.05,
    "corpus": 0.0,
    "signal": 0.05,
    "manifest": 0.05,
    "train": 0.2,
    "respond": 0.2,
    "judge": 0.2,
    "collect": 0.1,
    "report": 0.1,
}


@dataclass(frozen=True)
class Comparison:
    """One node of this run beside the committed one."""

    node: str
    verdict: Verdict
    distance: float | None
    tolerance: float


def compare(
    lock: Mapping[str, Any], committed_lock: Mapping[str, Any], sketches: Mapping[str, Any], committed: Mapping[str, Any]
) -> list[Comparison]:
    """Compare every stage of two dvc.lock documents; sketches are asked only where the outputs' digests differ.

    Args:
        lock: dvc.lock of this run.
        committed_lock: dvc.lock of the revision to compare with.
        sketches: metrics/sketches.json of this run, "verb/key" -> sketch.
        committed: The same of that revision.
    """
    ours, theirs = lock.get("stages") or {}, committed_lock.get("stages") or {}
    return [_compare(stage, ours.get(stage), theirs.get(stage), sketches, committed) for stage in sorted({*ours, *theirs})]


def _compare(stage: str, ours: Any, theirs: Any, sketches: Mapping[str, Any], committed: Mapping[str, Any]) -> Comparison:
    verb, _, key = stage.partition("@")
    node, tolerance = f"{verb}/{key}", TOLERANCES[verb]
    if ours is None or theirs is None:
        return Comparison(node, "missing", None, tolerance)
    if _outs(ours) == _outs(theirs):
        return Comparison(node, "identical", 0.0, tolerance)
    if node not in sketches or node not in committed:
        return Comparison(node, "different", None, tolerance)
    gap = distance(sketches[node], committed[node])
    return Comparison(node, "equal" if gap is not None and gap <= tolerance else "different", gap, tolerance)


def _outs(stage: Mapping[str, Any]) -> dict[str, str]:
    return {out["path"]: out.get("md5", "") for out in stage.get("outs", [])}
