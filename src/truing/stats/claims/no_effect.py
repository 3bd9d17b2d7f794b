"""No difference worth the name: every difference is shown to lie within the declared margin. A large p-value is no such evidence."""

from __future__ import annotations

from pydantic import Field

from truing.core import numbers
from truing.core.errors import TruingError
from truing.stats.claims import Finding, claim_kind
from truing.stats.claims.evidence import Evidence, Measure
from truing.stats.claims.wording import conditional, counted, guarded, listed, standard
from truing.stats.family import Tested


class NoEffect(Measure):
    """Pairs (a, b) of conditions that are claimed not to differ by more than the outcome's margin."""

    pairs: tuple[tuple[str, str], ...] = Field(min_length=1)


@claim_kind("no_effect", NoEffect)
def no_effect(cfg: NoEffect, evidence: Evidence) -> Finding:
    """Holds when two one-sided tests put every difference within the margin; fails when an interval lies outside it.

    Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15(6). A claim that needs every test to hold needs no
    correction for their number (Berger 1982, Technometrics 24(4)).
    """
    tests = [evidence.test(a, b, cfg) for a, b in cfg.pairs]
    margins = sorted({test.margin for test in tests if test.margin is not None})
    if len(margins) != 1 or any(test.margin is None for test in tests):
        raise TruingError(
            f"study {evidence.study}: a claim of no effect in {cfg.metric} without a margin",
            "one margin of the outcome, declared with the family",
            "declare the largest difference that counts as none",
        )
    upstream = min(test.n_upstream for test in tests)
    inside = sum(test.equivalent is True for test in tests)
    head = f"{counted(inside, len(tests), cfg.metric)} within \u00b1{numbers.fixed(margins[0])}"
    tail = f"{conditional(tests)}: {listed(tests)}" if upstream < 2 else f"{_standard(tests)}: {'; '.join(map(_one, tests))}"
    text = guarded(f"{head}, {tail}.", upstream)
    holds = None if upstream < 2 else _holds(tests)
    return Finding(holds, text, tests, holds is True, False, upstream)


def _holds(tests: list[Tested]) -> bool | None:
    if any(_outside(test) for test in tests):
        return False
    return True if all(test.equivalent for test in tests) else None


def _outside(test: Tested) -> bool:
    """Whether the interval excludes every value within the margin."""
    if test.ci_lo is None or test.ci_hi is None or test.margin is None:
        return False
    return test.ci_lo > test.margin or test.ci_hi < -test.margin


def _standard(tests: list[Tested]) -> str:
    return f"two one-sided tests {standard(tests[0]).split(' over ')[0]} (n = {tests[0].n} pairs of seeds)"


def _one(test: Tested) -> str:
    words = f"{test.a} {numbers.MINUS} {test.b} {numbers.estimate(test.diff, test.ci_lo, test.ci_hi, signed=True)}"
    if test.p_equivalence is None:
        return f"{words}, no test"
    found = "" if test.detectable is None else f", detectable {numbers.fixed(test.detectable)}"
    return f"{words}, {numbers.p_value(test.p_equivalence)}{found}"
