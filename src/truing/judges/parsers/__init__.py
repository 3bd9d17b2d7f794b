"""Parsers: what a judge's reply says, read against the closed set of words or the scale that its prompt declares."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from truing.core.registry import Params, Registry
from truing.judges import Verdict
from truing.judges.requests import Reply

FailureClass = Literal["refusal", "code", "off_scale", "parse", "transport", "truncated", "budget"]

# What may stand around a word in a reply without being a part of it: quotes, brackets, markdown, closing punctuation.
# Signs, slashes and percent are parts: "-5", "5/10" and "5%" do not say 5.
AROUND = "\"'`*_()[]{}<>“”‘’«»!?;….,:—–~#"


def bare(token: str) -> str:
    """A token without quotes, brackets, markdown and punctuation around it."""
    return token.strip().strip(AROUND + string.whitespace)


def failed(why: FailureClass) -> Verdict:
    """The verdict of a judge that gave none."""
    return Verdict(None, None, why)


def unreadable(reply: Reply) -> Verdict | None:
    """The failure of a reply whose text cannot be read at all, if it is one.

    A cut reply is `truncated` whatever it says, a reply that the endpoint withheld is a `refusal`, a blank one is `parse`.
    Phrases are never taken for refusals: only a declared exit or the endpoint's own word is one.
    """
    if reply.finish_reason == "content_filter":
        return failed("refusal")
    if reply.finish_reason == "length":
        return failed("truncated")
    return failed("parse") if reply.text is None or not reply.text.strip() else None


def _distinct_words(words: tuple[str, ...]) -> tuple[str, ...]:
    if len({word.casefold() for word in words}) < len(words):
        raise ValueError("a word stands twice; case does not tell words apart")
    for word in words:
        if not word or bare(word) != word or len(word.split()) != 1:
            raise ValueError(f"{word!r} is not one word without spaces, quotes and punctuation around it")
    return words


def _exit_words(exits: Mapping[str, FailureClass]) -> Mapping[str, FailureClass]:
    _distinct_words(tuple(exits))
    return exits


Vocabulary = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct_words)]
Exits = Annotated[dict[str, FailureClass], AfterValidator(_exit_words)]
Scores = dict[str, Annotated[float, Field(allow_inf_nan=False)]]


class Scale(Params):
    """Both ends belong to the scale."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> Scale:
        if not self.low < self.high:
            raise ValueError("low is not below high")
        return self

    def holds(self, value: float) -> bool:
        """Whether a number lies on the scale."""
        return self.low <= value <= self.high


class WordSpec(Params):
    """A closed vocabulary, its exits, and the numbers that its words stand for.

    Attributes:
        vocabulary: The words that are verdicts.
        exits: Words that say why there is no verdict, with their failure class.
        scores: Number of a word; a word that stands for none is left out.
    """

    vocabulary: Vocabulary
    exits: Exits = Field(default_factory=dict)
    scores: Scores = Field(default_factory=dict)

    @model_validator(mode="after")
    def _closed(self) -> WordSpec:
        if {word.casefold() for word in self.vocabulary} & {word.casefold() for word in self.exits}:
            raise ValueError("a word is both a verdict and an exit")
        if strangers := set(self.scores) - set(self.vocabulary):
            raise ValueError(f"scores of words outside the vocabulary: {', '.join(sorted(strangers))}")
        return self

    def outcome(self, word: str) -> Verdict | None:
        """The verdict or the exit that a word is, in any case; None for every other word."""
        folded = word.casefold()
        for known in self.vocabulary:
            if known.casefold() == folded:
                return Verdict(known, self.scores.get(known))
        classes = {known.casefold(): why for known, why in self.exits.items()}
        return failed(classes[folded]) if folded in classes else None


Parser = Callable[[Reply, Any], Verdict]
parser: Registry[Parser] = Registry("parser", "truing.judges.parsers")
