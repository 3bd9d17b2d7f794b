"""A hold-out set that stays honest: every question to it is counted, chained and paid from a budget.

Nothing here reads or writes a file: ledgers come and go as plain rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from truing.core.digests import digest
from truing.core.errors import Exit, TruingError, some
from truing.core.seeds import derive_seed

OPENING = "opening"
# What the first entry names as the one before it.
START = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One answered question to a hold-out set.

    Attributes:
        number: Position in the ledger, from 0.
        holdout_digest: Digest of the set that was asked.
        metrics: What was measured.
        arms: What was measured or compared, as given.
        kind: What the answer was for; "opening" is the one look at a sealed set.
        budget: The budget in force, so that a budget that was raised shows.
        previous: Digest of the entry before.
        digest: Digest of all of the above.
    """

    number: int
    holdout_digest: str
    metrics: tuple[str, ...]
    arms: tuple[str, ...]
    kind: str
    budget: int
    previous: str
    digest: str

    @property
    def question(self) -> tuple[object, ...]:
        """What makes two questions the same one: the order of arms or metrics does not."""
        return (self.holdout_digest, tuple(sorted(self.metrics)), tuple(sorted(self.arms)), self.kind)

    def row(self) -> dict[str, Any]:
        """The entry as a row of JSON values."""
        return asdict(self) | {"metrics": list(self.metrics), "arms": list(self.arms)}


@dataclass(frozen=True)
class Ledger:
    """The questions that were put to hold-out sets; appending gives a new ledger.

    Attributes:
        budget: Questions that each hold-out set answers.
        entries: What was asked, in order.
    """

    budget: int
    entries: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise TruingError(f"a hold-out budget of {self.budget}", "at least one question", "declare how often the set may be asked")

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]], budget: int, *, head: str | None = None) -> Ledger:
        """The ledger of stored rows, verified; see `verify` for `head`."""
        return cls(budget, verify(rows, head=head))

    def rows(self) -> list[dict[str, Any]]:
        """The entries as rows of JSON values, for `from_rows`."""
        return [entry.row() for entry in self.entries]

    @property
    def head(self) -> str:
        """Digest of the last entry; kept elsewhere, it proves that no entry was cut off the end."""
        return self.entries[-1].digest if self.entries else START

    def spent(self, holdout_digest: str) -> int:
        """Questions that the set has answered; the opening of a sealed set is one."""
        return sum(entry.holdout_digest == holdout_digest for entry in self.entries)

    def query(self, holdout_digest: str, metric: str, arms: Sequence[str], kind: str) -> Ledger:
        """Pay for one question and record it; a question that was asked before is free.

        Args:
            holdout_digest: Digest of the hold-out set.
            metric: What is measured.
            arms: Names of what is measured, better their digests: an arm that was trained anew under an
                old name would pass for the old question.
            kind: What the answer is for, e.g. "report" or "select"; not "opening", for which see `open_seal`.

        Raises:
            TruingError: the budget is out (exit code BUDGET), the set is a seal that was opened (REFUSED),
                or a name is empty.
        """
        if kind == OPENING:
            raise TruingError("a query of the kind 'opening'", "another kind", "open a sealed set with open_seal")
        return self._append(holdout_digest, (metric,), arms, kind)

    def _append(self, holdout_digest: str, metrics: Sequence[str], arms: Sequence[str], kind: str) -> Ledger:
        _check_names(holdout_digest, metrics, arms, kind)
        entry = _entry(len(self.entries), holdout_digest, metrics, arms, kind, self.budget, self.head)
        if any(known.question == entry.question for known in self.entries):
            return self
        self._refuse_opened(holdout_digest)
        spent = self.spent(holdout_digest)
        if spent >= self.budget:
            raise TruingError(
                f"question {spent + 1} to the hold-out set {holdout_digest[:12]}: {', '.join(metrics)} of {some(arms)}",
                f"at most {self.budget} questions",
                "choose on training data, or collect a new hold-out set; what was asked before can be read again",
                Exit.BUDGET,
            )
        return Ledger(self.budget, (*self.entries, entry))

    def _refuse_opened(self, holdout_digest: str) -> None:
        for entry in self.entries:
            if entry.holdout_digest == holdout_digest and entry.kind == OPENING:
                raise TruingError(
                    f"another look at the sealed set {holdout_digest[:12]}, opened by entry {entry.number}",
                    f"the look that was recorded: {some(entry.metrics)} of {some(entry.arms)}",
                    "report the recorded look, or seal new items for the next claim",
                    Exit.REFUSED,
                )


@dataclass(frozen=True)
class SealedSplit:
    """Items that may be looked at, and items for one final claim; both sorted."""

    open: tuple[str, ...]
    sealed: tuple[str, ...]

    @property
    def sealed_digest(self) -> str:
        """Digest of the sealed ids, by which a ledger knows the set."""
        return digest(list(self.sealed))


@dataclass(frozen=True)
class ThresholdAnswer:
    """An answer of `Thresholdout`: its value, the set that it comes from, and how often the hold-out may still answer."""

    value: float
    source: Literal["train", "holdout"]
    budget_left: int


class Thresholdout:
    """Answers questions from the training set as long as the hold-out set agrees, and from the hold-out with noise when not.

    Args:
        threshold: T, the disagreement that is tolerated, in the unit of the answers.
        sigma: Noise rate, in the same unit: Laplace noise of scale 2 sigma on the threshold, 4 sigma on each
            comparison and sigma on an answer of the hold-out.
        budget: B, how often the hold-out set may answer.
        rng: Source of the noise.

    Source: Dwork et al. (2015), Generalization in adaptive data analysis and holdout reuse, arXiv
    1506.02629, figure 1. The answer is a mean over at least about 2,000 items or the noise outweighs it.
    """

    def __init__(self, threshold: float, sigma: float, budget: int, rng: np.random.Generator) -> None:
        for name, value in (("threshold", threshold), ("sigma", sigma)):
            if not (math.isfinite(value) and value > 0):
                raise TruingError(
                    f"a {name} of {value}", "a positive number in the unit of the answers", "see the arguments of Thresholdout"
                )
        if budget < 1:
            raise TruingError(f"a budget of {budget}", "at least one answer of the hold-out set", "declare how often it may answer")
        self.threshold, self.sigma, self.budget_left = threshold, sigma, budget
        self._rng = rng
        self._noisy_threshold = self._draw_threshold()

    def query(self, train: float, holdout: float) -> ThresholdAnswer:
        """Answer one question, given its value on either set.

        Raises:
            TruingError: the budget is out (exit code BUDGET), or a value is not finite.
        """
        if not (math.isfinite(train) and math.isfinite(holdout)):
            raise TruingError(f"values {train} (train) and {holdout} (hold-out)", "finite values", "mend the metric that produced them")
        if self.budget_left < 1:
            raise TruingError(
                "a question to a hold-out set whose budget is out", "budget left", "stop, or collect a new hold-out set", Exit.BUDGET
            )
        if abs(train - holdout) <= self._noisy_threshold + self._rng.laplace(scale=4 * self.sigma):
            return ThresholdAnswer(float(train), "train", self.budget_left)
        self.budget_left -= 1
        self._noisy_threshold = self._draw_threshold()
        return ThresholdAnswer(float(holdout + self._rng.laplace(scale=self.sigma)), "holdout", self.budget_left)

    def _draw_threshold(self) -> float:
        return self.threshold + float(self._rng.laplace(scale=2 * self.sigma))


def verify(entries: Iterable[Mapping[str, Any]], *, head: str | None = None) -> tuple[Entry, ...]:
    """The entries of stored rows, if none was edited, removed, added or moved since it was written.

    Args:
        entries: Rows as `Ledger.rows` gives them.
        head: `Ledger.head` as recorded elsewhere. The chain alone cannot show that its last entries were cut off.

    Raises:
        TruingError: with exit code REFUSED, at the first row that does not follow from those before.
    """
    found: list[Entry] = []
    for number, row in enumerate(entries):
        previous = found[-1].digest if found else START
        try:
            fields = (str(row["holdout_digest"]), tuple(row["metrics"]), tuple(row["arms"]), str(row["kind"]), int(row["budget"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _broken(f"entry {number} of the ledger is no entry: {error!r}") from error
        entry = _entry(number, *fields, previous)
        if dict(row) != entry.row():
            raise _broken(f"entry {number} of the ledger does not follow from those before: {_differing(row, entry)}")
        found.append(entry)
    if head is not None and head != (found[-1].digest if found else START):
        raise _broken(f"the ledger ends after {len(found)} entries with a head that is not {head[:12]}")
    return tuple(found)


def sealed_split(item_ids: Iterable[str], share: float, root_seed: int, purpose: str) -> SealedSplit:
    """Seal about `share` of the items, each by a hash of its own id.

    Args:
        item_ids: Distinct ids; near-duplicates need one id per family, or they end up on both sides.
        share: Chance of an item to be sealed, in (0, 1).
        root_seed: Root seed of the run.
        purpose: What the seal is for; another purpose seals other items.

    Whether an item is sealed depends on no other item and on no order, so that items can be added later.

    Raises:
        TruingError: a share outside (0, 1), an id that occurs twice, or a side without any item.
    """
    ids = sorted(item_ids)
    twice = sorted({first for first, second in pairwise(ids) if first == second})
    if twice:
        raise TruingError(f"item ids that occur twice: {some(twice)}", "distinct ids", "give every item its own id")
    if not 0 < share < 1:
        raise TruingError(f"a sealed share of {share}", "a share between 0 and 1", "write 0.3 for 30 %")
    sealed = {item for item in ids if derive_seed(root_seed, "seal", purpose, item) < share * 2**63}
    if not sealed or len(sealed) == len(ids):
        raise TruingError(
            f"{len(sealed)} of {len(ids)} items sealed", "items on both sides", "add items, or move the share towards one half"
        )
    return SealedSplit(tuple(item for item in ids if item not in sealed), tuple(item for item in ids if item in sealed))


def open_seal(ledger: Ledger, sealed_digest: str, metrics: Sequence[str], arms: Sequence[str]) -> Ledger:
    """Record the one look at a sealed set, with all that will be read from it.

    The same look can be taken again, e.g. when a stage runs anew; any other is refused, and so is an
    opening of a set that has answered questions before.

    Raises:
        TruingError: with exit code REFUSED, the set was opened for another look or was never sealed.
    """
    asked = [entry for entry in ledger.entries if entry.holdout_digest == sealed_digest and entry.kind != OPENING]
    if asked:
        raise TruingError(
            f"opening a set that answered {len(asked)} question(s) before, first in entry {asked[0].number}",
            "a set that nobody has asked",
            "seal new items for the final claim",
            Exit.REFUSED,
        )
    return ledger._append(sealed_digest, tuple(metrics), arms, OPENING)


def _entry(number: int, holdout: str, metrics: Sequence[str], arms: Sequence[str], kind: str, budget: int, previous: str) -> Entry:
    content = [number, holdout, list(metrics), list(arms), kind, budget, previous]
    return Entry(number, holdout, tuple(metrics), tuple(arms), kind, budget, previous, digest(content))


def _check_names(holdout_digest: str, metrics: Sequence[str], arms: Sequence[str], kind: str) -> None:
    if isinstance(arms, str) or isinstance(metrics, str):
        raise TruingError(f"arms {arms!r}, metrics {metrics!r}", "lists of names", "wrap a single name in a list")
    if not (holdout_digest and kind and metrics and arms and all(metrics) and all(arms)):
        raise TruingError(
            f"a question about metrics {some(metrics)} of arms {some(arms)}, kind {kind!r}, to {holdout_digest!r}",
            "no empty name",
            "name each",
        )


def _differing(row: Mapping[str, Any], entry: Entry) -> str:
    expected = entry.row()
    return some(name for name in sorted(expected.keys() | row.keys()) if row.get(name) != expected.get(name) or name not in expected)


def _broken(what: str) -> TruingError:
    return TruingError(
        what, "the rows as they were written", "restore the ledger from version control; it is only ever appended to", Exit.REFUSED
    )
