"""Whether two conditions are equal up to a margin."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from truing.stats.audit.boxes import Span
from truing.stats.audit.contrasts import upper_tail
from truing.stats.audit.evidence import Evidence
from truing.stats.audit.kinds import Finding, LevelParams, PairParams, kind, level_finding


class EquivalenceParams(PairParams, LevelParams):
    """|a - b| is below `margin` (in the metric's unit, taken as exact) by two one-sided tests at `alpha` / `m`."""

    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)]


@kind("equivalence", EquivalenceParams)
def equivalence(cfg: EquivalenceParams, evidence: Evidence) -> Finding:
    """The larger p-value of the two one-sided Welch tests of a - b against -margin and +margin.

    That is the tail beyond margin - |a - b|. Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, with Welch's
    variance and degrees of freedom.
    """
    a, b = (evidence.moments(name, cfg.metric) for name in cfg.named())
    room = Span(cfg.margin, cfg.margin, cfg.margin) - abs(a.mean - b.mean)
    return level_finding(cfg, upper_tail(room, [a, b]), f"{cfg.a} - {cfg.b} within {cfg.margin:g}", cfg.named(), "equivalent")
