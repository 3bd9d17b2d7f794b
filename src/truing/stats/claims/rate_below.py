"""A rate lies below a bound: the upper limit over all items and seeds does, exactly, also where no event was seen."""

from __future__ import annotations

from pydantic import Field

from truing.core import numbers
from truing.core.errors import TruingError
from truing.stats.claims import Finding, claim_kind
from truing.stats.claims.evidence import Evidence, Measure, Value
from truing.stats.claims.wording import guarded
from truing.stats.intervals import clopper_pearson_interval, t_interval


class RateBelow(Measure):
    """The rate of one condition is claimed to lie below `bound`."""

    condition: str
    bound: float = Field(gt=0, le=1)


@claim_kind("rate_below", RateBelow)
def rate_below(cfg: RateBelow, evidence: Evidence) -> Finding:
    """Holds when both upper limits lie below the bound: exact over items (Clopper and Pearson 1934), and t over seeds where they spread.

    Items of several seeds are the same questions, so the exact limit takes the worst seed alone.
    """
    found = evidence.values(cfg.condition, cfg)
    known = [(value.n, value.value) for value in found if value.value is not None and value.n is not None]
    _check(found, cfg)
    upstream = min(value.n_upstream for value in found)
    answers = tuple(sorted({value.answers for value in found if value.answers}))
    if len(known) < len(found):
        text = (
            f"The {cfg.metric} of {cfg.condition}, or its number of items, is missing for {len(found) - len(known)} of {len(found)} seeds."
        )
        return Finding(None, text, [], False, False, upstream, answers)
    level = 1 - evidence.family.alpha
    items, rate = max(known, key=lambda pair: pair[1])
    exact = clopper_pearson_interval(round(rate * items), items, level=level)
    seeds = t_interval([rate for _, rate in known], level=level)
    limits = [limit for limit in (exact.hi, seeds.hi) if limit is not None]
    lowest = max((limit for limit in (exact.lo, seeds.lo) if limit is not None), default=None)
    holds = True if max(limits) < cfg.bound else (False if lowest is not None and lowest >= cfg.bound else None)
    words = {True: "lies below", False: "does not lie below", None: "may lie above"}[holds]
    scope = f"over {items} items of the highest of {len(known)} seeds" if upstream > 1 or len(known) == 1 else "of one checkpoint only"
    text = (
        f"The {cfg.metric} of {cfg.condition} {words} {numbers.fixed(cfg.bound)}: upper limit {numbers.fixed(max(limits))} "
        f"at {numbers.level(level)} ({scope})."
    )
    return Finding(holds, guarded(text, upstream), [], False, False, upstream, answers)


def _check(found: list[Value], cfg: RateBelow) -> None:
    if any(value.unit != "rate" for value in found):
        raise TruingError(f"{cfg.metric} is in {found[0].unit}", "a metric of unit rate", "claim an effect size instead")
