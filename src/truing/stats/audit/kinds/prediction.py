"""A single new value against the replicates of a condition."""

from __future__ import annotations

import math
from typing import Self

from pydantic import model_validator

from truing.stats.audit.boxes import PrintedNumber, Span
from truing.stats.audit.evidence import Evidence
from truing.stats.audit.kinds import (
    Alpha,
    Finding,
    LevelParams,
    MetricParams,
    Name,
    Tolerance,
    ValueParams,
    kind,
    level_finding,
    shown,
    value_finding,
)


class PredictionParams(MetricParams, LevelParams):
    """`observed` has the prediction t `value`; or it is an outlier at `alpha`, or with `expected: false` it is not."""

    condition: Name
    observed: PrintedNumber
    alpha: Alpha = 0.05
    value: PrintedNumber | None = None
    tolerance: Tolerance | None = None

    @model_validator(mode="after")
    def _one_claim(self) -> Self:
        tested = sorted({"alpha", "expected", "m", "correction"} & self.model_fields_set)
        if self.value is not None and tested:
            raise ValueError(f"value claims a t and {', '.join(tested)} a test; make two claims")
        if self.value is None and self.tolerance is not None:
            raise ValueError("tolerance is of a value, and there is none")
        return self

    def named(self) -> tuple[str, ...]:
        """The condition."""
        return (self.condition,)


@kind("prediction", PredictionParams)
def prediction(cfg: PredictionParams, evidence: Evidence) -> Finding:
    """The prediction t = (observed - mean) / (sd * sqrt(1 + 1 / n)), n - 1 degrees of freedom; `observed` is rounded as printed.

    Monotone in each number, so the extremes of t are at vertices, and the p-value falls with |t|. Source: Hahn and
    Meeker (1991), Statistical Intervals, section 4.2 (the prediction interval of one future value).
    """
    group = evidence.moments(cfg.condition, cfg.metric)
    t = (cfg.observed.span - group.mean) / group.sd.scaled(math.sqrt(1 + 1 / group.n))
    if cfg.value is not None:
        claim = ValueParams(value=cfg.value, tolerance=cfg.tolerance)
        return value_finding(claim, t, f"prediction t of {cfg.observed.text} against {cfg.condition}", cfg.named())
    what = f"{cfg.observed.text} against {cfg.condition}, t {shown(t)} with {group.n - 1} df"
    return level_finding(cfg, _two_sided(t, group.n - 1), what, cfg.named(), "an outlier")


def _two_sided(t: Span, df: int) -> Span:
    from scipy import stats

    size = abs(t)
    at, lo, hi = (2.0 * float(stats.t.sf(end, df)) for end in (size.at, size.hi, size.lo))
    return Span(at, lo, hi)
