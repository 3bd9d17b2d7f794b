"""The conditions stand in the claimed order; only neighbours whose difference is found count as ordered."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field

from truing.stats.claims import Finding, claim_kind
from truing.stats.claims.evidence import Evidence, Measure
from truing.stats.claims.ordered import one_sided


class Rank(Measure):
    """Conditions from the greatest to the least; every pair of neighbours must be a contrast of the family."""

    order: tuple[str, ...] = Field(min_length=2)


@claim_kind("rank", Rank)
def rank(cfg: Rank, evidence: Evidence) -> Finding:
    """Holds when every condition lies above the next one under the declared correction."""
    return one_sided([evidence.test(a, b, cfg) for a, b in pairwise(cfg.order)], +1, cfg.metric)
