"""Whether the difference of two conditions depends on a third factor."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from truing.stats.audit.contrasts import two_sided_p
from truing.stats.audit.evidence import Evidence
from truing.stats.audit.kinds import Finding, LevelParams, MetricParams, Name, kind, level_finding


class InteractionParams(MetricParams, LevelParams):
    """(a - b) - (c - d) of `cells: [[a, b], [c, d]]` is significant, or with `expected: false` it is not."""

    cells: tuple[tuple[Name, Name], tuple[Name, Name]]

    @model_validator(mode="after")
    def _four(self) -> Self:
        # A condition in two cells would enter the variance twice, as if it had been measured twice.
        if len(set(self.named())) < 4:
            raise ValueError(f"cells name {', '.join(self.named())}, and four different conditions are needed")
        return self

    def named(self) -> tuple[str, ...]:
        """a, b, c and d."""
        return (*self.cells[0], *self.cells[1])


@kind("interaction", InteractionParams)
def interaction(cfg: InteractionParams, evidence: Evidence) -> Finding:
    """The contrast (a - b) - (c - d) with its own variance and Satterthwaite's df (1946, Biometrics Bulletin 2)."""
    groups = [evidence.moments(name, cfg.metric) for name in cfg.named()]
    a, b, c, d = (group.mean for group in groups)
    contrast = (a - b) - (c - d)
    names = "({} - {}) - ({} - {})".format(*cfg.named())
    return level_finding(cfg, two_sided_p(contrast, groups), f"{names} = {contrast.at:.4g}", cfg.named())
