"""One verdict from several of the same answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from truing.core.errors import TruingError
from truing.judges import Verdict


@dataclass(frozen=True)
class Voted(Verdict):
    """A verdict with the votes behind it.

    Attributes:
        share: Votes for the verdict, or for the failure, over all votes; None where no outcome has more than half.
        votes: Count of each word, of "score" for numbers without a word, and of each failure class in brackets.
    """

    share: float | None = None
    votes: Mapping[str, int] = field(default_factory=dict)


def combine_votes(verdicts: Sequence[Verdict]) -> Voted:
    """The outcome of more than half of all votes; failed votes count as votes, so they can prevent a verdict and never make one.

    Numbers without a word agree in being numbers: their mean stands. Words that agree keep the mean of their numbers. Failures of one
    class agree. A tie, or no outcome with more than half of the votes, is `parse`.

    Raises:
        TruingError: there is no vote.
    """
    if not verdicts:
        raise TruingError("no votes to combine", "at least one verdict", "ask the judge `votes` times, with `votes` of at least 1")
    counts = Counter(_outcome(verdict) for verdict in verdicts)
    name, most = counts.most_common(1)[0]
    if 2 * most <= len(verdicts):
        return Voted(None, None, "parse", None, dict(counts))
    winners = [verdict for verdict in verdicts if _outcome(verdict) == name]
    return Voted(winners[0].verdict, _mean(winners), winners[0].failure, most / len(verdicts), dict(counts))


def _outcome(verdict: Verdict) -> str:
    if verdict.failure is not None:
        return f"({verdict.failure})"
    return "score" if verdict.verdict is None else verdict.verdict


def _mean(verdicts: Sequence[Verdict]) -> float | None:
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    if len(scores) < len(verdicts):
        return None
    return min(max(math.fsum(scores) / len(scores), min(scores)), max(scores))
