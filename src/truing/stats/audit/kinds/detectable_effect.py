"""The effect that a design detects."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from truing.stats.audit import designs
from truing.stats.audit.boxes import Span
from truing.stats.audit.evidence import Evidence
from truing.stats.audit.kinds import Alpha, BonferroniParams, ClaimParams, Finding, Name, Size, ValueParams, kind, value_finding


class DetectableEffectParams(ClaimParams, ValueParams, BonferroniParams):
    """`n` per group detect the standardised effect `value` at `alpha` / `m` with the chance `power`.

    The design's numbers are taken as exact: nothing was measured.
    """

    metric: Name | None = None
    n: Size
    alpha: Alpha
    power: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _above_chance(self) -> Self:
        if self.power <= self.alpha / self.m:
            raise ValueError(f"power {self.power:g} is not above alpha {self.alpha / self.m:g}, which no effect at all reaches")
        return self


@kind("detectable_effect", DetectableEffectParams)
def detectable_effect(cfg: DetectableEffectParams, evidence: Evidence) -> Finding:
    """The standardised effect with that power; a design has no rounding, so only n < 2 leaves it undecided."""
    value = designs.detectable_effect(cfg.n, cfg.alpha / cfg.m, cfg.power)
    what = f"effect with power {cfg.power:g} of {cfg.n} per group, alpha {cfg.alpha / cfg.m:g}"
    return value_finding(cfg, Span(value, value, value), what, spreads=False)
