"""A published table of rounded summaries against what was claimed from it, without the raw data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from truing.core.errors import TruingError
from truing.stats.audit.boxes import Span, UndefinedNumberError, Verdict
from truing.stats.audit.claims import Claim, Claims, read_claims
from truing.stats.audit.evidence import Evidence, Place
from truing.stats.audit.kinds import Finding
from truing.stats.audit.table import Table, read_table

__all__ = ["Answer", "Verdict", "answers_json", "audit"]

READINGS = ("t", "z")


@dataclass(frozen=True)
class Answer:
    """What the printed table says about one claim.

    Attributes:
        id: The claim.
        verdict: Of a value: the printed table gives it, only another table that rounds to it does, or none. Of a test: it
            holds for every table that rounds to the printed one, for some, or for none.
        computed: The decisive number at the printed numbers; None where it is undefined.
        low: Its least value over all tables that round to the printed one.
        high: Its greatest value over them.
        note: What decided, in a short sentence.
    """

    id: str
    verdict: Verdict
    computed: float | None
    low: float | None
    high: float | None
    note: str


def audit(table_text: str, claims_text: str, table_name: str, claims_name: str) -> list[Answer]:
    """Check claims against a published table of rounded summaries.

    Args:
        table_text: The table as CSV (see `truing.stats.audit.table.read_table`).
        claims_text: The claims as YAML (see `truing.stats.audit.claims.read_claims`).
        table_name: The table's file, for messages and notes.
        claims_name: The claims' file, for messages.

    Returns:
        An answer for each claim, in the order of the file. When the distribution of the half widths is unknown, both are
        tried; one is consistent with the claims when it refutes none that the other does not refute too. A verdict that is
        the same under both stands; one that differs is taken from the only consistent distribution, and is undecidable
        without such a one.

    Raises:
        TruingError: naming the file, the row or the claim, and what is known there.
    """
    table = read_table(table_text, table_name)
    claims = read_claims(claims_text, claims_name)
    for claim in claims.claims:
        Evidence(table, claim.where).check(claim.params.metric, claim.params.named())
    readings = _readings(table, claims, claims_name)
    level = claims.interval.level if claims.interval else None
    found = {reading: [_judge(claim, Evidence(table, claim.where, level, reading)) for claim in claims.claims] for reading in readings}
    if len(readings) == 1:
        how = f"; sd from half_width by {readings[0]}" if readings[0] else ""
        return [_answer(claim, one, how if one.spreads else "") for claim, one in zip(claims.claims, found[readings[0]], strict=True)]
    return _combined(claims.claims, {str(reading): findings for reading, findings in found.items()})


def answers_json(answers: Sequence[Answer]) -> list[dict[str, str | float | None]]:
    """The answers as rows of JSON values: id, verdict, computed, low, high, note; a number is finite or null."""
    return [
        {
            "id": answer.id,
            "verdict": answer.verdict.value,
            "computed": answer.computed,
            "low": answer.low,
            "high": answer.high,
            "note": answer.note,
        }
        for answer in answers
    ]


def _readings(table: Table, claims: Claims, claims_name: str) -> tuple[str | None, ...]:
    if table.spread == "sd":
        return (None,)
    if claims.interval is None:
        raise TruingError(
            f"{claims_name}: no interval, and {table.name} prints half widths",
            "interval: {level: 0.95, distribution: t, z or unknown}",
            "say how the half widths were made, or that it is unknown",
        )
    return READINGS if claims.interval.distribution == "unknown" else (claims.interval.distribution,)


def _judge(claim: Claim, evidence: Evidence) -> Finding:
    try:
        finding = claim.judge(claim.params, evidence)
    except UndefinedNumberError as error:
        return Finding(Verdict.UNDECIDABLE, None, str(error), claim.params.named(), spreads=False)
    if finding.verdict is not Verdict.UNDECIDABLE or finding.span is None:
        return finding
    limit = _limit(claim, evidence, finding)
    return (
        finding
        if limit is None
        else Finding(finding.verdict, finding.span, f"{finding.note}; {limit}", finding.conditions, finding.spreads)
    )


def _limit(claim: Claim, evidence: Evidence, finding: Finding) -> str | None:
    """Which printed number's rounding widens the range most: the one whose exact value would narrow it most."""
    columns = ("mean", evidence.table.spread) if finding.spreads else ("mean",)
    places: list[Place] = [(condition, str(claim.params.metric), column) for condition in finding.conditions for column in columns]
    widths = {place: _width(claim, evidence.sharpened(place), finding) for place in places}
    width = _span_width(finding.span)
    place = min(widths, key=lambda one: widths[one], default=None)
    if place is None or not widths[place] < width:
        return None
    condition, metric, column = place
    cell = evidence.table.cells[condition, metric]
    number = cell.mean if column == "mean" else cell.spread
    return None if number is None else f"limited most by the rounding of {column} of {condition} ({number.text})"


def _width(claim: Claim, evidence: Evidence, finding: Finding) -> float:
    other = claim.judge(claim.params, evidence)
    # With a number exact the claim can hang on another pair, whose range is no narrower version of this one.
    return _span_width(other.span) if other.conditions == finding.conditions else math.inf


def _span_width(span: Span | None) -> float:
    return math.inf if span is None else span.hi - span.lo


def _combined(claims: Sequence[Claim], found: Mapping[str, Sequence[Finding]]) -> list[Answer]:
    refuted = {
        reading: {i for i, one in enumerate(findings) if one.verdict is Verdict.NOT_REPRODUCED} for reading, findings in found.items()
    }
    # A claim that fails by either reading says nothing about which one was meant.
    hopeless = set.intersection(*refuted.values())
    consistent = [reading for reading, those in refuted.items() if those == hopeless]
    return [_either(claim, {reading: findings[i] for reading, findings in found.items()}, consistent) for i, claim in enumerate(claims)]


def _either(claim: Claim, found: Mapping[str, Finding], consistent: Sequence[str]) -> Answer:
    first, second = found.values()
    if (first.verdict, first.span) == (second.verdict, second.span):
        return _answer(claim, first, "")
    said = _consistency(consistent)
    if len(consistent) == 1:
        return _answer(claim, found[consistent[0]], f"; sd from half_width by {consistent[0]}: {said}")
    verdict = first.verdict if first.verdict is second.verdict else Verdict.UNDECIDABLE
    # Ranges of two different pairs of conditions are no range of either; the numbers are then those of the first reading.
    span = _hull(first.span, second.span) if first.conditions == second.conditions else first.span
    note = "; ".join(f"by {reading} {finding.verdict}: {finding.note}" for reading, finding in found.items())
    return _answer(claim, Finding(verdict, span, note, first.conditions), f"; {said}")


def _consistency(consistent: Sequence[str]) -> str:
    if len(consistent) == 1:
        return f"only {consistent[0]} is consistent with the claims"
    return "t and z are both consistent with the claims" if consistent else "neither t nor z is consistent with the claims"


def _hull(first: Span | None, second: Span | None) -> Span | None:
    if first is None or second is None:
        return None
    return Span(first.at, min(first.lo, second.lo), max(first.hi, second.hi))


def _answer(claim: Claim, finding: Finding, how: str) -> Answer:
    span = finding.span
    computed, low, high = (None, None, None) if span is None else (_finite(span.at), _finite(span.lo), _finite(span.hi))
    return Answer(claim.id, finding.verdict, computed, low, high, finding.note + how)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
