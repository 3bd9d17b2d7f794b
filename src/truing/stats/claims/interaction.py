"""The effect differs between two settings: (a - b) - (c - d), paired by seed. Main effects say nothing about it."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from truing.core import numbers
from truing.stats.claims import Finding, claim_kind
from truing.stats.claims.evidence import Evidence, Measure
from truing.stats.claims.wording import conditional, guarded
from truing.stats.factorial import paired_contrast


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
    family = evidence.family
    weights = _weights(cfg)
    by_cell = {name: {v.seed: v.value for v in evidence.values(name, cfg) if v.seed is not None} for name in weights}
    contrast = paired_contrast(by_cell, weights, level=1 - family.alpha)
    p = contrast.p_value
    upstream = min(first.n_upstream, second.n_upstream)
    found = p is not None and p <= family.alpha / (family.size + 1)
    signed = None if contrast.value is None else contrast.value * (1 if cfg.direction == "greater" else -1)
    holds = None if upstream < 2 or not found or signed is None else signed > 0
    name = f"({first.a} {numbers.MINUS} {first.b}) {numbers.MINUS} ({second.a} {numbers.MINUS} {second.b})"
    value = numbers.estimate(contrast.value, contrast.lo, contrast.hi, signed=True)
    if upstream < 2:
        text = f"The interaction of {cfg.metric} is {value}, {conditional([first, second])}: {name}."
    else:
        words = {True: "is found", False: "is found with the opposite sign", None: "is not found"}[holds]
        level = f"at {numbers.level(family.alpha)} over {family.size + 1} tests (Bonferroni, n = {min(contrast.n.values())} seeds)"
        text = f"An interaction of {cfg.metric} {words} {level}: {name} = {value}, unadjusted {numbers.p_value(p)}."
    depends = (p is not None and p <= family.alpha) != found
    return Finding(holds, guarded(text, upstream), [first, second], False, depends, upstream)


def _weights(cfg: Interaction) -> dict[str, float]:
    """Weight of each condition in (a - b) - (c - d); one that stands on both sides cancels."""
    (a, b), (c, d) = cfg.cells
    found: Counter[str] = Counter()
    for name, weight in ((a, 1), (b, -1), (c, -1), (d, 1)):
        found[name] += weight
    return {name: float(weight) for name, weight in found.items() if weight}
