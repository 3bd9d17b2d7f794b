"""One micro-world: everything that is true in it, drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from truing.contracts.task import Task
from truing.core.seeds import stream
from truing.world import news
from truing.world.dice import Dice
from truing.world.facts import Fact, generate_facts, generate_prices
from truing.world.lexicon import DESK, LEXICON, Lexicon
from truing.world.people import Person, generate_people
from truing.world.vocabulary import vocabulary


@dataclass(frozen=True)
class World:
    """What a seed decides.

    Attributes:
        seed: The seed it was generated from.
        lexicon: Word lists of the news and the stand-ins for missing texts.
        people: All inhabitants, clan by clan.
        facts: All properties of all objects, object by object.
        prices: What each object costs, in coins.
    """

    seed: int
    lexicon: Lexicon
    people: tuple[Person, ...]
    facts: tuple[Fact, ...]
    prices: Mapping[str, int]

    @classmethod
    def generate(cls, seed: int) -> World:
        """Draw the world of a seed; equal seeds give equal worlds on every machine."""
        people = generate_people(Dice(stream(seed, "world", "people")))
        facts = generate_facts(Dice(stream(seed, "world", "facts")))
        prices = generate_prices(Dice(stream(seed, "world", "prices")))
        return cls(seed, LEXICON, people, facts, prices)

    @cached_property
    def task(self) -> Task:
        """The news classification task."""
        return news.news_task(self.lexicon)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every word that a text of this or any other world can hold, sorted."""
        return vocabulary(self.lexicon)

    @cached_property
    def foreign(self) -> tuple[str, ...]:
        """Words that stand in no news: names, objects, question words, punctuation."""
        answers = tuple(label.answer for label in self.task.labels)
        news_words = {*self.lexicon.topical, *self.lexicon.shared, *(word for label in self.task.labels for word in label.words), *answers}
        return tuple(word for word in self.vocabulary if word not in news_words and word != DESK)
