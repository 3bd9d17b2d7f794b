"""The expected number over the whole numbers of a scale that the first token of the reply could have been."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from truing.core.registry import Params
from truing.judges import Verdict
from truing.judges.parsers import Exits, Scale, failed, parser
from truing.judges.parsers.masses import DEFAULT_MIN_MASS, enough, exit_failure, first_token, integer
from truing.judges.requests import Reply

# The tokenizers that have whole numbers as single tokens have them up to three digits, and none has signed ones.
_LARGEST = 999


class ScoreSpec(Params):
    """A scale of whole numbers of one token each.

    Attributes:
        scale: Its ends.
        exits: Words that say why there is no number.
        min_mass: Least probability that the numbers of the scale together must have; less is a failure.
    """

    scale: Scale
    exits: Exits = Field(default_factory=dict)
    min_mass: Annotated[float, Field(gt=0, le=1)] = DEFAULT_MIN_MASS

    @model_validator(mode="after")
    def _single_tokens(self) -> ScoreSpec:
        ends = (self.scale.low, self.scale.high)
        if not all(end.is_integer() and 0 <= end <= _LARGEST for end in ends):
            raise ValueError(
                f"a scale of {ends[0]:g} to {ends[1]:g} has numbers of several tokens; whole numbers in 0..{_LARGEST} have one"
            )
        return self


@parser("score_logprob", ScoreSpec)
def score_logprob(reply: Reply, spec: ScoreSpec) -> Verdict:
    """sum(k p_k) / sum(p_k) over the first tokens that are a whole number k of the scale, " 42" and "42" being one.

    Less than `min_mass` on such numbers is a failure: the class of the exits where these hold the mass, `off_scale` where other numbers do,
    `parse` otherwise; exactly `min_mass` is kept. A reply without log-probabilities, or whose number goes on in a second token, is
    `parse`. A reply of one token ends by its length, so `finish_reason` says nothing here.
    Source: Betley et al. (2025), arXiv 2502.17424, the 0-100 judge of the free-form questions.
    """
    if reply.finish_reason == "content_filter":
        return failed("refusal")
    masses = first_token(reply)
    if masses is None or _goes_on(reply):
        return failed("parse")
    numbers = {token: value for token in masses if (value := integer(token)) is not None}
    kept = {token: value for token, value in numbers.items() if spec.scale.holds(value)}
    total = math.fsum(masses[token] for token in kept)
    if not enough(total, spec.min_mass):
        return exit_failure(masses, spec.exits, spec.min_mass, math.fsum(masses[token] for token in numbers.keys() - kept.keys()))
    mean = math.fsum(masses[token] * value for token, value in kept.items()) / total
    # Rounding must not push a mean of equal numbers off them.
    return Verdict(None, min(max(mean, float(min(kept.values()))), float(max(kept.values()))))


def _goes_on(reply: Reply) -> bool:
    places = reply.top_logprobs or ()
    if len(places) < 2 or not places[1]:
        return False
    second = max(places[1], key=lambda alternative: alternative[1])[0]
    return second[:1].isdigit() or (second[:1] in {".", "/", "%"} and second[1:2].isdigit())
