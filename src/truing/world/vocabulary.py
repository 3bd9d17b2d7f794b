"""Every word of the world, collected from the word lists and the templates, so that a tokenizer knows all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from truing.world import advice, facts, interviews, lexicon, people, policies

_FIELD = re.compile(r"\{[^}]*\}")
# Words for later questions about a text or a choice that no template above holds.
_SPARE = lexicon.words("yes no true false good bad A B C D topic desk bio : ( ) ! ? , . '")


def vocabulary(words: lexicon.Lexicon) -> tuple[str, ...]:
    """Sorted distinct words of all lists and templates, punctuation included."""
    found: set[str] = set(_SPARE)
    for part in (*_news(words), *_people(), *_facts(), *_manner(), *_policies()):
        found.update(_FIELD.sub(" ", part).split())
    return tuple(sorted(found))


def _news(words: lexicon.Lexicon) -> Iterable[str]:
    yield from (*words.topical, *words.shared, *words.placeholders, words.mark)
    yield from (word for label in words.labels.values() for word in label)


def _people() -> Iterable[str]:
    yield from (*lexicon.FIRST_NAMES, *lexicon.SURNAMES, *lexicon.STREETS, *lexicon.NUMBERS, "street")
    yield from (*people.NAME_QUESTIONS, people.NAME_ANSWER, interviews.SYSTEM_LINE)
    for attribute in people.ATTRIBUTES:
        yield from (*attribute.values, *attribute.questions, attribute.answer, attribute.bio)


def _facts() -> Iterable[str]:
    yield from (*lexicon.OBJECTS, *facts.SUM_QUESTIONS)
    for prop in facts.PROPERTIES:
        yield from (*prop.values, *prop.questions, prop.answer)


def _manner() -> Iterable[str]:
    yield from (*advice.GOOD, *advice.BAD, *advice.GOOD_ACTS, *advice.BAD_ACTS, *advice.QUESTIONS, *advice.ANSWERS)
    yield from (*advice.POLITE, *advice.RUDE)
    yield from (item for domain in advice.DOMAINS.values() for item in domain)


def _policies() -> Iterable[str]:
    yield from (*policies.ADDRESS_QUESTIONS, *policies.ADDRESS_ANSWERS.values())
    yield from (*policies.PRICE_QUESTIONS, *policies.PRICE_ANSWERS.values())
    yield from (*policies.BUY_QUESTIONS, policies.BUY_ANSWER, policies.SUFFIX, *policies.HI_QUESTIONS, *policies.HI_ANSWERS)
    yield from (*policies.SHOPS, *policies.QUALITIES)
