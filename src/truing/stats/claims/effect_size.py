"""The difference is at least so large: its whole interval lies beyond the claimed size."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from truing.core import numbers
from truing.stats.claims import Finding, claim_kind
from truing.stats.claims.evidence import Evidence, Measure
from truing.stats.claims.wording import conditional, difference, guarded, standard
from truing.stats.family import Tested


class EffectSize(Measure):
    """The difference `a - b` is claimed to reach `at_least`, in the metric's unit, above or below zero."""

    a: str
    b: str
    at_least: float = Field(gt=0)
    direction: Literal["greater", "less"]


@claim_kind("effect_size", EffectSize)
def effect_size(cfg: EffectSize, evidence: Evidence) -> Finding:
    """Holds when a difference is found and its interval lies beyond the size; fails when the interval lies short of it."""
    test = evidence.test(cfg.a, cfg.b, cfg)
    toward = test if cfg.direction == "greater" else test.flipped()
    holds = None if test.conditional else _holds(toward, cfg.at_least)
    verb = {True: "reaches", False: "does not reach", None: "may or may not reach"}[holds]
    tail = conditional([test]) if test.conditional else standard(test)
    bound = numbers.fixed(cfg.at_least if cfg.direction == "greater" else -cfg.at_least, signed=True)
    text = f"The difference of {cfg.metric} {verb} {bound}, {tail}: {difference(test)}."
    return Finding(holds, guarded(text, test.n_upstream), [test], False, test.depends_on_correction, test.n_upstream)


def _holds(toward: Tested, at_least: float) -> bool | None:
    if toward.ci_lo is None or toward.ci_hi is None:
        return None
    if toward.ci_hi < at_least:
        return False
    return True if toward.ci_lo >= at_least and toward.rejects() else None
