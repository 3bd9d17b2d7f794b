"""From a declaration and a table to verdicts, and the append-only log that keeps every claim's history.

A log is a list of plain rows (schemas/verdict.schema.json). Every row carries the digest of the one before it,
so a row that was edited or removed is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from truing.contracts.declaration import Claim, Declaration
from truing.core.digests import digest
from truing.core.errors import Exit, TruingError, unknown
from truing.stats.claims import Finding, claim_kind
from truing.stats.claims.evidence import Evidence
from truing.stats.claims.labels import Label, label

Row = dict[str, Any]
HOLDS, FAILS, UNDECIDED, RETRACTED = "holds", "fails", "undecided", "retracted"
_STATUS = {True: HOLDS, False: FAILS, None: UNDECIDED}
# What makes two verdicts the same statement about the same evidence.
_SAME = ("study", "claim", "kind", "status", "label", "sentence", "declaration_digest", "evidence_digest")


@dataclass(frozen=True)
class Verdict:
    """What may be said of one claim now."""

    study: str
    claim: Claim
    finding: Finding
    label: Label
    mismatches: tuple[Row, ...]

    @property
    def status(self) -> str:
        """Whether the claim holds, fails, or is undecided."""
        return _STATUS[self.finding.holds]

    @property
    def answers(self) -> list[str]:
        """Digests of the answers that it stands on."""
        return sorted({*self.finding.answers, *(digest for test in self.finding.tests for digest in test.answers)})

    def row(self, declaration: str) -> Row:
        """As a row of the log, but for its place in it."""
        return {
            "study": self.study,
            "claim": self.claim.id,
            "kind": self.claim.kind,
            "status": self.status,
            "label": str(self.label),
            "sentence": self.finding.sentence,
            "n_upstream": self.finding.n_upstream,
            "declaration_digest": declaration,
            "evidence": self.answers,
            "evidence_digest": digest(self.answers),
            "mismatches": list(self.mismatches),
            "reason": None,
        }


def verdicts(declaration: Declaration, evidence: Evidence, mismatches: Sequence[Row]) -> list[Verdict]:
    """The verdict on every claim of a study, in the order of the declaration.

    Args:
        declaration: What the study declared.
        evidence: Its tests and values.
        mismatches: Protocol differences that were allowed, each with the conditions `a` and `b` it stands between.
    """
    found = [(claim, claim_kind.get(claim.kind).target(_params(claim), evidence)) for claim in declaration.claims]
    return [_verdict(evidence.study, claim, finding, found, mismatches) for claim, finding in found]


def _params(claim: Claim) -> Any:
    return claim_kind.get(claim.kind).configure(claim.params, f"claim {claim.id}")


def _verdict(study: str, claim: Claim, finding: Finding, every: Iterable[tuple[Claim, Finding]], mismatches: Sequence[Row]) -> Verdict:
    mine = {frozenset((test.a, test.b)) for test in finding.tests}
    vouched = tuple(row for row in mismatches if frozenset((row["a"], row["b"])) in mine)
    others = (other for one, other in every if one.id != claim.id and one.kind == claim.kind)
    supported = any(
        _metrics(other) != _metrics(finding) and _pairs(other) == _pairs(finding) and other.holds == finding.holds for other in others
    )
    return Verdict(study, claim, finding, label(finding, vouched=bool(vouched), supported=supported), vouched)


def _metrics(finding: Finding) -> set[str]:
    return {test.metric for test in finding.tests}


def _pairs(finding: Finding) -> set[frozenset[str]]:
    return {frozenset((test.a, test.b)) for test in finding.tests}


def current(log: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """The last row of every claim, by study and claim."""
    return {(row["study"], row["claim"]): row for row in log}


def history(log: Sequence[Row], study: str, claim: str) -> list[Row]:
    """Every row of one claim, oldest first."""
    return [row for row in log if (row["study"], row["claim"]) == (study, claim)]


def fresh(log: Sequence[Row], rows: Iterable[Row]) -> list[Row]:
    """The rows that the log has to be extended by: verdicts that differ from what it last says of their claim.

    A retraction stands until the evidence or the declaration changes: the same verdict on the same evidence does not undo it.

    Raises:
        TruingError: exit 3, for a log that was edited.
    """
    check(log)
    last, added = current(log), list[Row]()
    for row in rows:
        known = last.get((row["study"], row["claim"]))
        if known is None or not _repeats(known, row):
            added.append(_placed([*log, *added], row, known))
    return added


def _repeats(known: Row, row: Row) -> bool:
    keys = [key for key in _SAME if key not in ("status", "label", "sentence")] if known["status"] == RETRACTED else _SAME
    return all(known[key] == row[key] for key in keys)


def retraction(log: Sequence[Row], claim: str, reason: str) -> Row:
    """The row that retracts a claim.

    Args:
        log: The log so far.
        claim: Id of the claim, or study/id where two studies share it.
        reason: Why; it is shown wherever the claim is.

    Raises:
        TruingError: an unknown claim, one that two studies share, or one that is retracted already.
    """
    check(log)
    known = current(log)
    found = [row for key, row in known.items() if claim in (key[1], "/".join(key))]
    if not found:
        raise unknown("claim", claim, [key[1] for key in known], "the verdict log")
    if len(found) > 1 or found[0]["status"] == RETRACTED:
        states = ", ".join(f"{row['study']}/{row['claim']} ({row['status']})" for row in found)
        raise TruingError(f"claim {claim}: {states}", "one claim that is not retracted", "name it as study/claim")
    if not reason.strip():
        raise TruingError(f"claim {claim}: a retraction without a reason", "--reason TEXT", "say why")
    return _placed(log, {**found[0], "status": RETRACTED, "reason": reason.strip()}, found[0])


def _placed(log: Sequence[Row], row: Row, known: Row | None) -> Row:
    place = {"schema": 1, "seq": len(log) + 1, "supersedes": known["seq"] if known else None, "previous": digest(log[-1]) if log else None}
    return {**row, **place}


def check(log: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a log whose rows do not follow each other.

    Raises:
        TruingError: exit 3, naming the first row that was edited, removed or moved.
    """
    for index, row in enumerate(log):
        wanted = digest(dict(log[index - 1])) if index else None
        if row["seq"] != index + 1 or row["previous"] != wanted:
            raise TruingError(
                f"verdict log: row {index + 1} (claim {row['claim']}) does not follow the row before it",
                "a log that was only ever appended to",
                "restore metrics/verdicts.jsonl from git; a verdict is corrected by a new row, never by an edit",
                Exit.REFUSED,
            )
