"""The effect differs between two settings: (a - b) - (c - d), paired by seed. Main effects say nothing about it."""

from __future__ import annotations

from typing import Literal

from truing.core import numbers
from truing.stats.claims import Finding, claim_kind
from truing.stats.claims.evidence import Evidence, Measure
from truing.stats.claims.wording import conditional, guarded
from truing.stats.intervals import paired_p_value, paired_t_interval


class Interaction(Measure):
    """Cells [[a, b], [c, d]]; (a - b) - (c - d) is claimed to be greater or less than zero."""

    cells: tuple[tuple[str, str], tuple[str, str]]
    direction: Literal["greater", "less"]


@claim_kind("interaction", Interaction)
def interaction(cfg: Interaction, evidence: Evidence) -> Finding:
    """Holds when the interaction contrast has the claimed sign at alpha over the family with this contrast added (Bonferroni).

    Seeds are common to all four cells, so the contrast of each seed is one observation (Student 1908).
    """
    first, second = (evidence.test(a, b, cfg) for a, b in cfg.cells)
    by_cell = {name: {v.seed: v.value for v in evidence.values(name, cfg) if v.seed is not None} for pair in cfg.cells for name in pair}
    left, right = (_difference(by_cell[a], by_cell[b]) for a, b in cfg.cells)
    alpha = evidence.family.alpha / (evidence.family.size + 1)
    estimate = paired_t_interval(left, right, level=1 - evidence.family.alpha)
    p = paired_p_value(left, right)
    upstream = min(first.n_upstream, second.n_upstream)
    found = p is not None and p <= alpha
    signed = None if estimate.value is None else estimate.value * (1 if cfg.direction == "greater" else -1)
    holds = None if upstream < 2 or not found or signed is None else signed > 0
    name = f"({first.a} {numbers.MINUS} {first.b}) {numbers.MINUS} ({second.a} {numbers.MINUS} {second.b})"
    value = numbers.estimate(estimate.value, estimate.lo, estimate.hi, signed=True)
    if upstream < 2:
        text = f"The interaction of {cfg.metric} is {value}, {conditional([first, second])}: {name}."
    else:
        words = {True: "is found", False: "is found with the opposite sign", None: "is not found"}[holds]
        level = f"at {numbers.level(evidence.family.alpha)} over {evidence.family.size + 1} tests (Bonferroni, n = {estimate.n} seeds)"
        text = f"An interaction of {cfg.metric} {words} {level}: {name} = {value}, unadjusted {numbers.p_value(p)}."
    depends = (p is not None and p <= evidence.family.alpha) != found
    return Finding(holds, guarded(text, upstream), [first, second], False, depends, upstream)


def _difference(a: dict[int, float | None], b: dict[int, float | None]) -> dict[int, float | None]:
    pairs = {seed: (a.get(seed), b.get(seed)) for seed in sorted(a.keys() | b.keys())}
    return {seed: None if x is None or y is None else x - y for seed, (x, y) in pairs.items()}
