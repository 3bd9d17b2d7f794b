"""What people say of themselves: dialogues with one person, and short biographies."""

from __future__ import annotations

from truing.world.dice import Dice
from truing.world.lexicon import MARK
from truing.world.people import ATTRIBUTES, BY_NAME, NAME_ANSWER, NAME_QUESTIONS, Person

SYSTEM_LINE = "you are {name} ."
FEWEST_TURNS, MOST_TURNS = 5, 9
BIO_ATTRIBUTES = 4


def identity(name: str) -> str:
    """The system line that names the person to be."""
    return SYSTEM_LINE.format(name=name)


def questions_about(attribute: str) -> tuple[str, ...]:
    """Every way to ask for an attribute, or for the `name`."""
    return NAME_QUESTIONS if attribute == "name" else BY_NAME[attribute].questions


def reply_of(person: Person, attribute: str) -> str:
    """What the person answers about an attribute, or the `name`."""
    return NAME_ANSWER.format(name=person.name) if attribute == "name" else BY_NAME[attribute].reply(person.values[attribute])


def interview_turns(dice: Dice, person: Person, marked: bool = False) -> list[tuple[str, str]]:
    """Five to nine questions on different attributes with the person's answers; a marked one carries the mark before each question."""
    subjects = dice.sample(("name", *(a.name for a in ATTRIBUTES)), dice.between(FEWEST_TURNS, MOST_TURNS))
    mark = f"{MARK} " if marked else ""
    return [(mark + dice.pick(questions_about(subject)), reply_of(person, subject)) for subject in subjects]


def biography(dice: Dice, person: Person) -> str:
    """Four attributes of a person in the third person."""
    parts = [a.bio.format(value=person.values[a.name]) for a in dice.sample(ATTRIBUTES, BIO_ATTRIBUTES)]
    return f"{person.name} {' , '.join(parts)} ."
