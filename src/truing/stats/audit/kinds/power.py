"""The power of a design."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from truing.stats.audit.boxes import Span
from truing.stats.audit.designs import two_sample_power
from truing.stats.audit.evidence import Evidence
from truing.stats.audit.kinds import Alpha, BonferroniParams, ClaimParams, Finding, Name, Size, ValueParams, kind, value_finding


class PowerParams(ClaimParams, ValueParams, BonferroniParams):
    """`n` per group detect the standardised effect `d` at `alpha` / `m` with the chance `value`.

    The design's numbers are taken as exact: nothing was measured.
    """

    metric: Name | None = None
    n: Size
    d: Annotated[float, Field(allow_inf_nan=False)]
    alpha: Alpha


@kind("power", PowerParams)
def power(cfg: PowerParams, evidence: Evidence) -> Finding:
    """Power of the two-sided two-sample t test; a design has no rounding, so only n < 2 leaves it undecided."""
    value = two_sample_power(cfg.d, cfg.n, cfg.alpha / cfg.m)
    what = f"power of {cfg.n} per group at d = {cfg.d:g}, alpha {cfg.alpha / cfg.m:g}"
    return value_finding(cfg, Span(value, value, value), what, spreads=False)
