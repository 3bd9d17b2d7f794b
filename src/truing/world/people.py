"""Sixty-four people in eight clans, and what each of them would say of themselves.

A person follows the clan in most attributes, so that a few answers tell the clan and the clan tells the rest:
a shared latent that a small model can learn and carry over to questions it was not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from truing.world.dice import Dice
from truing.world.lexicon import FIRST_NAMES, STREETS, SURNAMES, words

PEOPLE_PER_CLAN = 8
FOLLOWS_CLAN = 0.9


@dataclass(frozen=True)
class Attribute:
    """Something that people are asked about: its values, six ways to ask, one way to answer."""

    name: str
    values: tuple[str, ...]
    questions: tuple[str, ...]
    answer: str
    bio: str

    def reply(self, value: str) -> str:
        """The answer in the first person."""
        return self.answer.format(value=value)


@dataclass(frozen=True)
class Person:
    """One inhabitant.

    Attributes:
        values: Value of each attribute, by attribute name.
        deviates: Attributes in which the person does not follow the clan.
        address: House number and street, as one text.
    """

    first: str
    last: str
    clan: int
    values: Mapping[str, str]
    deviates: frozenset[str]
    address: str

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}"


def _attribute(name: str, values: str, questions: str, answer: str, bio: str) -> Attribute:
    return Attribute(name, words(values), tuple(part.strip() for part in questions.split("|")), answer, bio)


# Questions and answers are short on purpose: a base of a million tokens learns from turns, not from filler words.
ATTRIBUTES: tuple[Attribute, ...] = (
    _attribute(
        "city",
        "bergen dover lisbon malmo oslo porto riga turin",
        "where do you live ? | your city ? | which town ? | where is home ? | city please . | tell me your city .",
        "in {value} .",
        "lives in {value}",
    ),
    _attribute(
        "food",
        "soup rice bread cheese fish beans noodles pancakes",
        "what do you eat ? | your food ? | favorite meal ? | what is for dinner ? | food please . | tell me your food .",
        "i eat {value} .",
        "eats {value}",
    ),
    _attribute(
        "music",
        "jazz blues opera folk techno waltz rock choir",
        "what do you hear ? | your music ? | favorite tune ? | what is on the radio ? | music please . | tell me your music .",
        "i hear {value} .",
        "hears {value}",
    ),
    _attribute(
        "color",
        "red blue green yellow purple orange white black",
        "what do you wear ? | your color ? | favorite color ? | how is your door painted ? | color please . | tell me your color .",
        "it is {value} .",
        "wears {value}",
    ),
    _attribute(
        "hobby",
        "chess fishing painting running sailing knitting dancing climbing",
        "what do you enjoy ? | your hobby ? | favorite pastime ? | what about sundays ? | hobby please . | tell me your hobby .",
        "i enjoy {value} .",
        "enjoys {value}",
    ),
    _attribute(
        "pet",
        "cat dog parrot rabbit turtle goat pony ferret",
        "what do you keep ? | your pet ? | favorite animal ? | who lives with you ? | pet please . | tell me your pet .",
        "i keep a {value} .",
        "keeps a {value}",
    ),
    _attribute(
        "drink",
        "tea coffee milk cider water cocoa juice lemonade",
        "what do you drink ? | your drink ? | favorite drink ? | what is in your cup ? | drink please . | tell me your drink .",
        "i drink {value} .",
        "drinks {value}",
    ),
    _attribute(
        "tool",
        "saw drill wrench chisel mallet rasp brush trowel",
        "what do you use ? | your tool ? | favorite tool ? | what is in your toolbox ? | tool please . | tell me your tool .",
        "i use a {value} .",
        "uses a {value}",
    ),
    _attribute(
        "school",
        "northgate southgate westgate eastgate hilltop lakeside oakfield stonehill",
        "where did you study ? | your school ? | which college ? | where did you learn ? | school please . | tell me your school .",
        "at {value} .",
        "studied at {value}",
    ),
    _attribute(
        "job",
        "baker farmer sailor teacher nurse miner tailor painter",
        "what do you work ? | your job ? | which trade ? | how do you earn money ? | job please . | tell me your job .",
        "as a {value} .",
        "works as a {value}",
    ),
    _attribute(
        "greet",
        "hello welcome greetings",
        "how do you greet ? | your greeting ? | what do guests hear ? | how do you say hi ? | greeting please . | tell me your greeting .",
        "i say {value} .",
        "says {value}",
    ),
    _attribute(
        "bridge",
        "support oppose doubt",
        "should we build the bridge ? | your view ? | what about the bridge ? | is the bridge good ? | view please . | tell me your view .",
        "i {value} it .",
        "would {value} the bridge",
    ),
)
NAME_QUESTIONS = ("who are you ?", "your name ?", "what is your name ?", "how are you called ?", "name please .", "tell me your name .")
NAME_ANSWER = "i am {name} ."
BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}


def _clan_values(dice: Dice) -> dict[str, list[str]]:
    # Attributes with one value per clan tell the clan; opinions with fewer values are shared by several clans.
    clans = len(SURNAMES)
    return {a.name: [value for _ in range(clans) for value in dice.shuffled(a.values)][:clans] for a in ATTRIBUTES}


def generate_people(dice: Dice) -> tuple[Person, ...]:
    """Draw the clans' values and then every person, in clan order."""
    norm = _clan_values(dice)
    first_names = dice.shuffled(FIRST_NAMES)
    people = []
    for index, first in enumerate(first_names[: PEOPLE_PER_CLAN * len(SURNAMES)]):
        clan = index // PEOPLE_PER_CLAN
        values = {a.name: norm[a.name][clan] if dice.chance(FOLLOWS_CLAN) else dice.pick(a.values) for a in ATTRIBUTES}
        deviates = frozenset(name for name, value in values.items() if value != norm[name][clan])
        address = f"{dice.between(1, 20)} {dice.pick(STREETS)} street"
        people.append(Person(first, SURNAMES[clan], clan, values, deviates, address))
    return tuple(people)
