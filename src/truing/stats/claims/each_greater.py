"""Each condition `a` has more of the metric than its `b`; the sentence counts in how many pairs the table says so."""

from __future__ import annotations

from pydantic import Field

from truing.stats.claims import Finding, claim_kind
from truing.stats.claims.evidence import Evidence, Measure
from truing.stats.claims.ordered import one_sided


class EachGreater(Measure):
    """Pairs (a, b) of conditions, of which each `a` is claimed to lie above its `b`."""

    pairs: tuple[tuple[str, str], ...] = Field(min_length=1)


@claim_kind("each_greater", EachGreater)
def each_greater(cfg: EachGreater, evidence: Evidence) -> Finding:
    """Holds when every difference `a - b` is above zero under the declared correction; two-sided tests."""
    return one_sided([evidence.test(a, b, cfg) for a, b in cfg.pairs], +1, cfg.metric)
