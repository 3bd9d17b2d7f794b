"""The range of the means in units of a standard deviation."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from truing.core.errors import TruingError
from truing.stats.audit.boxes import Span
from truing.stats.audit.evidence import Evidence
from truing.stats.audit.kinds import Finding, MetricParams, Name, ValueParams, kind, value_finding
from truing.stats.audit.spreads import CommonSd, common_sd


class RangeOverSdParams(MetricParams, ValueParams):
    """(greatest mean - least mean) / SD is `value`; over `conditions`, by default all of the metric."""

    sd: CommonSd
    conditions: Annotated[tuple[Name, ...], Field(min_length=2)] | None = None

    def named(self) -> tuple[str, ...]:
        """The conditions listed."""
        return tuple(dict.fromkeys(self.conditions or ()))


@kind("range_over_sd", RangeOverSdParams)
def range_over_sd(cfg: RangeOverSdParams, evidence: Evidence) -> Finding:
    """(greatest mean - least mean) / (median, mean or pooled SD) over the conditions."""
    names = cfg.named() or tuple(evidence.table.conditions(cfg.metric))
    if len(names) < 2:
        raise TruingError(f"{evidence.where}: a range over {len(names)} condition", "two conditions or more", "name another metric")
    groups = [evidence.moments(name, cfg.metric) for name in names]
    span = _range([group.mean for group in groups]) / common_sd(groups, cfg.sd)
    return value_finding(cfg, span, f"range of {len(names)} means / {cfg.sd} SD", names)


def _range(means: list[Span]) -> Span:
    # Least when all means that can meet do: intervals have a common point exactly when each two of them have.
    least = max(0.0, max(mean.lo for mean in means) - min(mean.hi for mean in means))
    # The two ends belong to two different conditions.
    greatest = max(a.hi - b.lo for i, a in enumerate(means) for j, b in enumerate(means) if i != j)
    at = [mean.at for mean in means]
    return Span(max(at) - min(at), least, greatest)
