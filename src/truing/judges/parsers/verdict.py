"""One word of a closed vocabulary, from a last line `VERDICT: word` or as the only such word of the reply."""

from __future__ import annotations

import re

from truing.judges import Verdict
from truing.judges.parsers import AROUND, WordSpec, bare, failed, parser, unreadable
from truing.judges.requests import Reply

_LAST_LINE = re.compile(rf"[\s{re.escape(AROUND)}]*verdict[\s{re.escape(AROUND)}]*:(.*)", re.IGNORECASE)
_PARTS = re.compile(r"[^\w'’-]+")
_NEGATIONS = frozenset({"not", "never", "neither", "nor", "cannot"})


@parser("verdict", WordSpec)
def verdict(reply: Reply, spec: WordSpec) -> Verdict:
    """The word that the reply gives as its verdict.

    A last line `VERDICT: word`, in any case and with markdown around it, decides alone, whatever is quoted above it; a word outside the
    vocabulary there is `parse`. Without such a line the reply must hold one word of the vocabulary or of the exits, in the case in which it
    is declared, and no other in any case: two words, a word inside another ("INCORRECT"), a choice ("YES/NO") or a word that is negated
    ("not CORRECT") are `parse`. A reply of one word is read in any case.
    """
    if (failure := unreadable(reply)) is not None or reply.text is None:
        return failure or failed("parse")
    last = reply.text.strip().splitlines()[-1]
    if (line := _LAST_LINE.fullmatch(last)) is not None:
        return spec.outcome(bare(line.group(1))) or failed("parse")
    return _only_word(reply.text.split(), spec)


def _only_word(tokens: list[str], spec: WordSpec) -> Verdict:
    if len(tokens) == 1:
        return spec.outcome(bare(tokens[0])) or failed("parse")
    words = [bare(token) for token in tokens]
    mentioned = {part.casefold() for word in words for part in _PARTS.split(word) if spec.outcome(part)}
    places = [index for index, word in enumerate(words) if word in spec.vocabulary or word in spec.exits]
    if len(mentioned) != 1 or not places or any(_negated(words[max(0, place - 2) : place]) for place in places):
        return failed("parse")
    return spec.outcome(words[places[0]]) or failed("parse")


def _negated(before: list[str]) -> bool:
    folded = [word.casefold().replace("’", "'") for word in before]
    return any(word in _NEGATIONS or word.endswith("n't") for word in folded)
