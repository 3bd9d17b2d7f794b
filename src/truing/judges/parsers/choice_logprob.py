"""The word of the vocabulary that the first token of the reply most probably is."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from truing.judges import Verdict
from truing.judges.parsers import WordSpec, failed, parser
from truing.judges.parsers.masses import DEFAULT_MIN_MASS, enough, exit_failure, first_token
from truing.judges.requests import Reply


class ChoiceSpec(WordSpec):
    """A vocabulary of words of one token each.

    Attributes:
        min_mass: Least probability that the vocabulary together must have; less is a failure.
    """

    min_mass: Annotated[float, Field(gt=0, le=1)] = DEFAULT_MIN_MASS


@parser("choice_logprob", ChoiceSpec)
def choice_logprob(reply: Reply, spec: ChoiceSpec) -> Verdict:
    """The most probable word; its score is the expected number over the words of the vocabulary, where all that have mass have numbers.

    A reply of one token ends by its length, so `finish_reason` says nothing here. Two words of equal probability are `parse`.
    """
    if reply.finish_reason == "content_filter":
        return failed("refusal")
    masses = first_token(reply)
    if masses is None:
        return failed("parse")
    held = {word: masses.get(word.casefold(), 0.0) for word in spec.vocabulary}
    total = math.fsum(held.values())
    if not enough(total, spec.min_mass):
        return exit_failure(masses, spec.exits, spec.min_mass)
    best = max(held, key=lambda word: held[word])
    if sum(mass == held[best] for mass in held.values()) > 1:
        return failed("parse")
    return Verdict(best, _expected({word: mass / total for word, mass in held.items() if mass}, spec.scores))


def _expected(shares: dict[str, float], scores: dict[str, float]) -> float | None:
    if any(word not in scores for word in shares):
        return None
    values = [scores[word] for word in shares]
    return min(max(math.fsum(share * scores[word] for word, share in shares.items()), min(values)), max(values))
