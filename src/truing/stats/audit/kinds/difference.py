"""The difference of two means."""

from __future__ import annotations

from truing.stats.audit.evidence import Evidence
from truing.stats.audit.kinds import Finding, PairParams, ValueParams, kind, value_finding


class DifferenceParams(PairParams, ValueParams):
    """mean(a) - mean(b) is `value`."""


@kind("difference", DifferenceParams)
def difference(cfg: DifferenceParams, evidence: Evidence) -> Finding:
    """mean(a) - mean(b); its extremes are at vertices."""
    span = evidence.mean(cfg.a, cfg.metric) - evidence.mean(cfg.b, cfg.metric)
    return value_finding(cfg, span, f"{cfg.a} - {cfg.b}", cfg.named(), spreads=False)
