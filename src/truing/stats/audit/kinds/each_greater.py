"""Whether every condition of a list has a greater mean than one other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator

from truing.core.errors import some
from truing.stats.audit.boxes import Span, UndefinedNumberError, Verdict, compare_level, nearness
from truing.stats.audit.contrasts import two_sided_p
from truing.stats.audit.evidence import Evidence
from truing.stats.audit.families import Correction, Tested, adjusted, welch_test
from truing.stats.audit.kinds import Alpha, Count, Finding, MetricParams, Name, kind, shown

SHOWN = 3


class EachGreaterParams(MetricParams):
    """mean(condition) > mean(than) for each of `conditions`, and two-sided significant at `alpha` when there is one.

    Attributes:
        correction: How p-values are adjusted over the conditions listed; Bonferroni when only `m` is given, else none.
        m: Size of the family for Bonferroni, when it has more tests than `conditions`.
    """

    conditions: Annotated[tuple[Name, ...], Field(min_length=1)]
    than: Name
    alpha: Alpha | None = None
    correction: Correction | None = None
    m: Count | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.than in self.conditions or len(set(self.conditions)) < len(self.conditions):
            raise ValueError(f"conditions {', '.join(self.conditions)} name one twice, or {self.than!r} itself")
        if self.m is not None and self.correction not in (None, "bonferroni"):
            raise ValueError(f"m is of a Bonferroni correction, and this one is {self.correction}")
        if self.alpha is None and (self.m or self.correction):
            raise ValueError("a correction is of tests, and without alpha there are none")
        return self

    def named(self) -> tuple[str, ...]:
        """The conditions, and the one that they are compared with last."""
        return (*self.conditions, self.than)

    @property
    def rule(self) -> Correction:
        """The correction in use."""
        return self.correction or ("none" if self.m is None else "bonferroni")


@dataclass(frozen=True)
class _Judged:
    condition: str
    span: Span | None
    verdict: Verdict
    distance: float
    told: str


@kind("each_greater", EachGreaterParams)
def each_greater(cfg: EachGreaterParams, evidence: Evidence) -> Finding:
    """Differences condition - than, with Welch's test when `alpha` is given.

    The decisive number is the adjusted p-value nearest to alpha among the conditions that the verdict hangs on, or
    without alpha the difference nearest to 0.
    """
    judged = _by_means(cfg, evidence) if cfg.alpha is None else _by_tests(cfg, evidence, cfg.alpha)
    verdicts = {one.verdict for one in judged}
    order = (Verdict.NOT_REPRODUCED, Verdict.UNDECIDABLE, Verdict.REPRODUCED)
    verdict = next(one for one in order if one in verdicts)
    deciding = sorted((one for one in judged if one.verdict is verdict), key=lambda one: one.distance)
    rule = "means only" if cfg.alpha is None else f"alpha {cfg.alpha:g}, {cfg.rule}"
    note = f"{len(judged)} compared with {cfg.than}, {rule}: {some((one.told for one in deciding), SHOWN)}"
    return Finding(verdict, deciding[0].span, note, (deciding[0].condition, cfg.than), spreads=cfg.alpha is not None)


def _by_means(cfg: EachGreaterParams, evidence: Evidence) -> list[_Judged]:
    found = []
    for condition in cfg.conditions:
        try:
            span = evidence.mean(condition, cfg.metric) - evidence.mean(cfg.than, cfg.metric)
        except UndefinedNumberError as error:
            found.append(_Judged(condition, None, Verdict.UNDECIDABLE, 0.0, f"{condition}: {error}"))
            continue
        told = f"{condition} - {cfg.than} {shown(span)}"
        found.append(_Judged(condition, span, _side(span), abs(span.at), told))
    return found


def _by_tests(cfg: EachGreaterParams, evidence: Evidence, alpha: float) -> list[_Judged]:
    tests = [welch_test(evidence, cfg.metric, condition, cfg.than) for condition in cfg.conditions]
    values = adjusted([test.p for test in tests], cfg.rule, cfg.m)
    return [_tested(cfg, evidence, tests, i, p, alpha) for i, p in enumerate(values)]


def _tested(cfg: EachGreaterParams, evidence: Evidence, tests: Sequence[Tested], i: int, p: Span, alpha: float) -> _Judged:
    test = tests[i]
    if test.why is not None:
        return _Judged(test.a, None, Verdict.UNDECIDABLE, 0.0, f"{test.a}: {test.why}")
    groups = [evidence.moments(name, cfg.metric) for name in (test.a, test.b)]
    difference = groups[0].mean - groups[1].mean
    side = _side(difference)
    verdict = side
    if side is not Verdict.NOT_REPRODUCED:
        # Only tables in which the condition is the greater one can bear the claim out.
        above = Span(max(difference.at, 0.0), max(difference.lo, 0.0), difference.hi)
        greater = [two_sided_p(above, groups) if j == i else other.p for j, other in enumerate(tests)]
        level = compare_level(adjusted(greater, cfg.rule, cfg.m)[i], alpha)
        verdict = Verdict.UNDECIDABLE if level is Verdict.REPRODUCED else level
        if side is Verdict.REPRODUCED:
            verdict = level
    told = f"{test.a} - {test.b} {shown(difference)}, p {shown(p)}"
    return _Judged(test.a, p, verdict, nearness(p.at, alpha), told)


def _side(difference: Span) -> Verdict:
    if difference.lo > 0:
        return Verdict.REPRODUCED
    return Verdict.NOT_REPRODUCED if difference.hi <= 0 else Verdict.UNDECIDABLE
