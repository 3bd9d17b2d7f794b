"""Whether two conditions differ significantly."""

from __future__ import annotations

from truing.stats.audit.contrasts import two_sided_p
from truing.stats.audit.evidence import Evidence
from truing.stats.audit.kinds import Finding, LevelParams, PairParams, kind, level_finding


class SignificantParams(PairParams, LevelParams):
    """a - b is significant at `alpha` / `m`, or with `expected: false` it is not."""


@kind("significant", SignificantParams)
def significant(cfg: SignificantParams, evidence: Evidence) -> Finding:
    """Welch's test (Welch 1947, Biometrika 34), two-sided; the decisive number is the p-value times `m`."""
    a, b = (evidence.moments(name, cfg.metric) for name in cfg.named())
    return level_finding(cfg, two_sided_p(a.mean - b.mean, [a, b]), f"{cfg.a} - {cfg.b}", cfg.named())
