"""Which pairs of conditions differ significantly, and that no other pair does."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator

from truing.core.errors import TruingError, some
from truing.stats.audit.boxes import Span, Verdict, compare_level, nearness
from truing.stats.audit.evidence import Evidence
from truing.stats.audit.families import CORRECTIONS, Correction, Tested, adjusted, welch_test
from truing.stats.audit.kinds import Alpha, Count, Finding, MetricParams, Name, kind, shown

Pair = tuple[Name, Name]
SHOWN = 3


class OnlySignificantParams(MetricParams):
    """The `pairs` are significant at `alpha` under the correction, and no other pair of the family is.

    Attributes:
        pairs: The significant pairs; none for a claim that nothing is.
        among: The family; by default all pairs of conditions that have a row for the metric.
        m: Size of the family for Bonferroni, when it has more tests than `among`.
    """

    pairs: tuple[Pair, ...]
    alpha: Alpha
    correction: Correction
    among: Annotated[tuple[Pair, ...], Field(min_length=1)] | None = None
    m: Count | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for listed in (self.pairs, self.among or ()):
            _check_pairs(listed)
        outside = [pair for pair in self.pairs if self.among is not None and frozenset(pair) not in set(map(frozenset, self.among))]
        if outside:
            raise ValueError(f"pairs that are not among the family: {_names(outside)}")
        if self.m is not None and self.correction != "bonferroni":
            raise ValueError(f"m is of a Bonferroni correction, and this one is {self.correction}")
        return self

    def named(self) -> tuple[str, ...]:
        """Every condition of the pairs and of the family."""
        return tuple(dict.fromkeys(itertools.chain.from_iterable((*self.pairs, *(self.among or ())))))


@dataclass(frozen=True)
class _Judged:
    tested: Tested
    p: Span
    listed: bool
    verdict: Verdict


@kind("only_significant", OnlySignificantParams)
def only_significant(cfg: OnlySignificantParams, evidence: Evidence) -> Finding:
    """Welch's tests of the family; the decisive number is the adjusted p-value that the verdict hangs on.

    The claim is refuted when one pair refutes it in the whole box, and holds when every pair keeps to it there. That
    two pairs can be right only in different tables of the box is not looked for: such a claim stays undecidable.
    """
    tests = [welch_test(evidence, cfg.metric, a, b) for a, b in _family(cfg, evidence)]
    judged = _judge(cfg, tests, cfg.correction)
    verdict = _joint(judged)
    # Of the pairs that the verdict hangs on, the one nearest to the threshold.
    decisive = min((one for one in judged if one.verdict is verdict), key=lambda one: nearness(one.p.at, cfg.alpha))
    note = _note(judged, verdict, decisive, cfg, len(tests)) + _sensitivity(cfg, tests, verdict)
    span = None if decisive.tested.why else decisive.p
    return Finding(verdict, span, note, (decisive.tested.a, decisive.tested.b))


def _family(cfg: OnlySignificantParams, evidence: Evidence) -> list[Pair]:
    family = cfg.among or tuple(itertools.combinations(evidence.table.conditions(cfg.metric), 2))
    if not family:
        known = evidence.table.conditions(cfg.metric)
        raise TruingError(
            f"{evidence.where}: {cfg.metric} has only {some(known)}", "two conditions or more, for a pair", "name another metric"
        )
    # A pair keeps the direction that the claim gives it.
    listed = {frozenset(pair): pair for pair in cfg.pairs}
    return [listed.get(frozenset(pair), pair) for pair in family]


def _judge(cfg: OnlySignificantParams, tests: Sequence[Tested], correction: Correction) -> list[_Judged]:
    listed = set(map(frozenset, cfg.pairs))
    values = adjusted([test.p for test in tests], correction, cfg.m if correction == "bonferroni" else None)
    found = []
    for test, p in zip(tests, values, strict=True):
        expected = frozenset((test.a, test.b)) in listed
        found.append(_Judged(test, p, expected, compare_level(p, cfg.alpha, expected)))
    return found


def _joint(judged: Sequence[_Judged]) -> Verdict:
    verdicts = {one.verdict for one in judged}
    for verdict in (Verdict.NOT_REPRODUCED, Verdict.UNDECIDABLE):
        if verdict in verdicts:
            return verdict
    return Verdict.REPRODUCED


def _note(judged: Sequence[_Judged], verdict: Verdict, decisive: _Judged, cfg: OnlySignificantParams, size: int) -> str:
    family = f"{size} pairs, {cfg.correction}, alpha {cfg.alpha:g}"
    if verdict is Verdict.REPRODUCED:
        return f"{family}: nearest is {_told(decisive)}"
    rest = [one for one in judged if one.verdict is verdict and one is not decisive]
    what = "against the claim" if verdict is Verdict.NOT_REPRODUCED else "undecided"
    return f"{family}: {what}: {some(map(_told, (decisive, *rest)), SHOWN)}"


def _told(one: _Judged) -> str:
    number = one.tested.why or f"p {shown(one.p)}"
    return f"{one.tested.a} - {one.tested.b} ({'listed' if one.listed else 'not listed'}) {number}"


def _sensitivity(cfg: OnlySignificantParams, tests: Sequence[Tested], verdict: Verdict) -> str:
    others = {correction: _joint(_judge(cfg, tests, correction)) for correction in CORRECTIONS if correction != cfg.correction}
    differing = [f"{correction} {other}" for correction, other in others.items() if other is not verdict]
    return f"; under other corrections: {', '.join(differing)}" if differing else ""


def _check_pairs(pairs: Sequence[Pair]) -> None:
    same = [pair for pair in pairs if pair[0] == pair[1]]
    if same:
        raise ValueError(f"a pair of one condition: {_names(same)}")
    if len(set(map(frozenset, pairs))) < len(pairs):
        raise ValueError(f"a pair is listed twice: {_names(pairs)}")


def _names(pairs: Iterable[Pair]) -> str:
    return some(f"[{a}, {b}]" for a, b in pairs)
