"""Standardised difference of two means."""

from __future__ import annotations

from truing.stats.audit.evidence import Evidence
from truing.stats.audit.kinds import Finding, PairParams, ValueParams, kind, value_finding
from truing.stats.audit.spreads import pooled_sd


class CohenDParams(PairParams, ValueParams):
    """(mean(a) - mean(b)) / pooled SD is `value`."""


@kind("cohen_d", CohenDParams)
def cohen_d(cfg: CohenDParams, evidence: Evidence) -> Finding:
    """Cohen's d = (mean(a) - mean(b)) / pooled SD; monotone in each number, so its extremes are at vertices.

    Source: Cohen (1988), Statistical Power Analysis, eq. 2.5.1 to 2.5.2.
    """
    a, b = (evidence.moments(name, cfg.metric) for name in cfg.named())
    return value_finding(cfg, (a.mean - b.mean) / pooled_sd([a, b]), f"({cfg.a} - {cfg.b}) / pooled SD", cfg.named())
