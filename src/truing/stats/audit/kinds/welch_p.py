"""The p-value of Welch's test of two conditions."""

from __future__ import annotations

from truing.stats.audit.contrasts import two_sided_p
from truing.stats.audit.evidence import Evidence
from truing.stats.audit.kinds import BonferroniParams, Finding, PairParams, ValueParams, kind, value_finding


class WelchPParams(PairParams, ValueParams, BonferroniParams):
    """The two-sided p-value of a - b, times `m`, is `value`."""


@kind("welch_p", WelchPParams)
def welch_p(cfg: WelchPParams, evidence: Evidence) -> Finding:
    """Two-sided p-value of Welch's t test (Welch 1947, Biometrika 34), times `m` and at most 1."""
    a, b = (evidence.moments(name, cfg.metric) for name in cfg.named())
    p = two_sided_p(a.mean - b.mean, [a, b]).scaled(cfg.m).capped()
    return value_finding(cfg, p, f"p of {cfg.a} - {cfg.b}", cfg.named())
