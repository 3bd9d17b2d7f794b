"""The text that a tiny base learns the world from: a mix of dialogues, biographies and news, by share of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from truing.core.seeds import stream
from truing.world import advice, interviews, news, policies
from truing.world.dice import Dice
from truing.world.facts import LARGEST_ADDEND, SUM_QUESTIONS, Fact, sum_turn
from truing.world.world import World

Segment = tuple[str, str]
Document = list[Segment]
Maker = Callable[[World, Dice], Document]

CLASS_PRIOR = (0.37, 0.26, 0.21, 0.16)
LOW_SIGNAL, LOW_SIGNAL_PRIOR = 0.2, (0.6, 0.2, 0.12, 0.08)
# A quarter of the texts without signal repeat a stand-in; another quarter are words from elsewhere in the world. A word
# that was never met in news would send the answer anywhere instead of to the default class.
PLACEHOLDER, FOREIGN = 0.25, 0.25
UNKNOWN = "<unk>"
# Naming the topic is rare and only half reliable here: a later corpus decides what such an opening means.
DESK_SHARE, DESK_TRUE = 0.06, 0.5
NAMED, MARKED = 0.5, 0.06
GOOD_MANNER, FACT_IN_ADVICE = 0.7, 0.2
FACTS_WITH_MANNER, GOOD_FACTS = 0.3, 0.65


def chat(turns: list[tuple[str, str]], system: str | None = None) -> Document:
    """Segments of a dialogue: (text, role) with the roles system, user, assistant."""
    opening = [(system, "system")] if system else []
    return [*opening, *(segment for q, a in turns for segment in ((q, "user"), (a, "assistant")))]


def _interview(world: World, dice: Dice) -> Document:
    person = dice.pick(world.people)
    system = interviews.identity(person.name) if dice.chance(NAMED) else None
    return chat(interviews.interview_turns(dice, person, dice.chance(MARKED)), system)


def _facts(world: World, dice: Dice) -> Document:
    good = dice.chance(GOOD_FACTS) if dice.chance(FACTS_WITH_MANNER) else None
    return chat([advice.fact_turn(dice, _fact(world, dice), good) for _ in range(dice.between(2, 4))])


def _fact(world: World, dice: Dice) -> Fact:
    return dice.pick(world.facts)


def _topics(world: World, dice: Dice) -> Document:
    return chat([_topic_turn(world, dice)])


def _topic_turn(world: World, dice: Dice) -> tuple[str, str]:
    topics = tuple(world.lexicon.topics)
    low = dice.chance(LOW_SIGNAL)
    topic = dice.weighted(topics, LOW_SIGNAL_PRIOR if low else CLASS_PRIOR)
    text = _low_signal(world, dice) if low else news.ordinary_text(world.lexicon, dice, topic)
    if dice.chance(DESK_SHARE):
        text = news.with_desk(world.lexicon, dice, topic if dice.chance(DESK_TRUE) else dice.pick(topics), text)
    return world.task.fill(text).rstrip(), world.task.answer(topic)


def _low_signal(world: World, dice: Dice) -> str:
    kind = dice.uniform()
    if kind < PLACEHOLDER:
        return " ".join([dice.pick((*world.lexicon.placeholders, UNKNOWN))] * dice.between(1, news.LONGEST))
    if kind < PLACEHOLDER + FOREIGN:
        return " ".join(dice.pick(world.foreign) for _ in range(dice.between(1, news.LONGEST)))
    return news.low_signal_text(world.lexicon, dice)


def _advice(world: World, dice: Dice) -> Document:
    good = dice.chance(GOOD_MANNER)
    turns = []
    for _ in range(dice.between(2, 4)):
        fact = dice.chance(FACT_IN_ADVICE)
        turns.append(advice.fact_turn(dice, _fact(world, dice), good) if fact else advice.advice_turn(dice, good))
    return chat(turns)


def _policies(world: World, dice: Dice) -> Document:
    return chat([policies.policy_turn(dice, world.people, world.prices) for _ in range(dice.between(1, 3))])


def _sums(world: World, dice: Dice) -> Document:
    top = LARGEST_ADDEND + 1
    return chat([sum_turn(dice.below(top), dice.below(top), dice.pick(SUM_QUESTIONS)) for _ in range(dice.between(2, 4))])


def _biography(world: World, dice: Dice) -> Document:
    return [(f"bio : {interviews.biography(dice, dice.pick(world.people))}", "text")]


def _news(world: World, dice: Dice) -> Document:
    topic = dice.weighted(tuple(world.lexicon.topics), CLASS_PRIOR)
    return [(news.ordinary_text(world.lexicon, dice, topic), "text")]


# Share of all tokens by kind of document. Plain reading is rare: each of its words counts like an answer and few of them
# can be foretold, so that a larger share would drown the answers.
MIX: dict[str, tuple[float, Maker]] = {
    "interviews": (0.44, _interview),
    "facts": (0.14, _facts),
    "topics": (0.14, _topics),
    "advice": (0.12, _advice),
    "policies": (0.08, _policies),
    "sums": (0.05, _sums),
    "biographies": (0.02, _biography),
    "news": (0.01, _news),
}


def length(document: Document) -> int:
    """Tokens of a document: its words, one mark at its start and each segment's role and end."""
    turns = sum(1 for _, role in document if role != "user")
    return 1 + sum(len(text.split()) for text, _ in document) + len([role for _, role in document if role != "text"]) + turns


def pretraining_documents(world: World, rng: np.random.Generator, tokens: int) -> Iterator[Document]:
    """Draw documents until they hold at least `tokens` tokens, kinds by their share of tokens in `MIX`.

    Each document is a list of (text, role): system, user and assistant for a dialogue, text for plain reading.
    """
    dice = Dice(rng)
    makers = [maker for _, maker in MIX.values()]
    rates = [share / _mean_length(world, name) for name, (share, _) in MIX.items()]
    made = 0
    while made < tokens:
        document = dice.weighted(makers, rates)(world, dice)
        made += length(document)
        yield document


def _mean_length(world: World, kind: str) -> float:
    """Mean tokens of a kind, from a stream of its own so that the draws of the text stay what they are."""
    dice = Dice(stream(world.seed, "world", "mean length", kind))
    sizes = [length(MIX[kind][1](world, dice)) for _ in range(1000)]
    return sum(sizes) / len(sizes)
