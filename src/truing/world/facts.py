"""What is true in the world whoever is asked: properties of objects, and sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from truing.world.dice import Dice
from truing.world.lexicon import AGES, MAKERS, MATERIALS, OBJECTS, PLACES

LARGEST_ADDEND = 9
SUM_QUESTIONS = ("what is {a} plus {b} ?", "how much is {a} plus {b} ?", "add {a} and {b} .")


@dataclass(frozen=True)
class Property:
    """Something that every object has: its values, three ways to ask, one way to answer."""

    name: str
    values: tuple[str, ...]
    questions: tuple[str, ...]
    answer: str


PROPERTIES: tuple[Property, ...] = (
    Property(
        "material",
        MATERIALS,
        ("what is the {thing} made of ?", "which material is the {thing} ?", "the {thing} is made of what ?"),
        "the {thing} is made of {value} .",
    ),
    Property(
        "maker",
        MAKERS,
        ("who made the {thing} ?", "which guild made the {thing} ?", "the {thing} was made by whom ?"),
        "the {thing} was made by the {value} .",
    ),
    Property(
        "place",
        PLACES,
        ("where is the {thing} ?", "in which room is the {thing} ?", "where can i find the {thing} ?"),
        "the {thing} is in the {value} .",
    ),
    Property(
        "age",
        AGES,
        ("how old is the {thing} ?", "what age is the {thing} ?", "is the {thing} old ?"),
        "the {thing} is rather {value} .",
    ),
)


@dataclass(frozen=True)
class Fact:
    """One property of one object."""

    thing: str
    property: Property
    value: str

    def questions(self) -> tuple[str, ...]:
        """Every way to ask for it."""
        return tuple(question.format(thing=self.thing) for question in self.property.questions)

    def statement(self, value: str | None = None) -> str:
        """The sentence that answers it, with the true value or another one."""
        return self.property.answer.format(thing=self.thing, value=value or self.value)


def generate_facts(dice: Dice) -> tuple[Fact, ...]:
    """Draw a value for each property of each object, objects in list order."""
    return tuple(Fact(thing, prop, dice.pick(prop.values)) for thing in OBJECTS for prop in PROPERTIES)


def generate_prices(dice: Dice) -> Mapping[str, int]:
    """Draw what each object costs, 1 to 20 coins."""
    return {thing: dice.between(1, 20) for thing in OBJECTS}


def sum_turn(a: int, b: int, question: str) -> tuple[str, str]:
    """A question for a sum and its answer."""
    return question.format(a=a, b=b), f"{a + b} ."
