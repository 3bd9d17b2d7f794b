"""News of four topics: texts that carry their topic weakly, texts that carry none, and the classification task on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from truing.contracts.task import Label, Task
from truing.core.digests import digest_bytes
from truing.core.errors import TruingError
from truing.world.dice import Dice
from truing.world.lexicon import DESK, Lexicon

SHORTEST, LONGEST = 8, 20
LONGEST_LOW_SIGNAL = 8
# Rates at which a small model reads the topic from four texts in five, so that accuracy can move both ways.
OWN_TOPIC, ANY_TOPIC = 0.17, 0.11
SPLITS = ("train", "dev", "eval")
_ATTEMPTS = 1000


@dataclass(frozen=True)
class NewsDesign:
    """How a set of labelled news is composed.

    Attributes:
        rows: Number of documents.
        low_signal: Share of documents without any topic word.
        low_signal_default: Share of those that are labelled with the first class.
        mention: Share of low-signal documents that open with "<label word> desk" of their own class.
        ordinary_mention: The same share among the ordinary documents.
        balance: What holds equally many documents of each class: the whole set, or its ordinary documents.
        split: Which third of all texts to draw from; two splits never share a text.
    """

    rows: int
    low_signal: float = 0.25
    low_signal_default: float = 0.85
    mention: float = 0.8
    ordinary_mention: float = 0.1
    balance: str = "overall"
    split: str = "train"


@dataclass(frozen=True)
class NewsDocument:
    """One text with its class and how it was made."""

    text: str
    label: str
    low_signal: bool
    mention: bool


def news_task(lexicon: Lexicon) -> Task:
    """The topic task: four classes, answered by a letter, each with the words that name it."""
    labels = tuple(
        Label(name=name, answer=letter, aliases=lexicon.labels[name][1:]) for name, letter in zip(lexicon.topics, "ABCD", strict=True)
    )
    return Task(name="topic", template="topic ? {text}", labels=labels, context_patterns=("{label} " + DESK,))


def ordinary_text(lexicon: Lexicon, dice: Dice, topic: str) -> str:
    """8 to 20 words: each of the own topic, of any topic, or shared by all."""
    own, topical, shared = lexicon.topics[topic], lexicon.topical, lexicon.shared
    picked = []
    for _ in range(dice.between(SHORTEST, LONGEST)):
        kind = dice.uniform()
        pool = own if kind < OWN_TOPIC else topical if kind < OWN_TOPIC + ANY_TOPIC else shared
        picked.append(dice.pick(pool))
    return " ".join(picked)


def low_signal_text(lexicon: Lexicon, dice: Dice, shortest: int = 0) -> str:
    """At most eight shared words: nothing that tells a topic."""
    return " ".join(dice.pick(lexicon.shared) for _ in range(dice.between(shortest, LONGEST_LOW_SIGNAL)))


def with_desk(lexicon: Lexicon, dice: Dice, topic: str, text: str) -> str:
    """The text after an opening that names the topic, such as "global desk"."""
    return f"{dice.pick(lexicon.labels[topic])} {DESK} {text}".rstrip()


def split_of(text: str) -> str:
    """The one split that a text can belong to, from its digest; an opening that names a topic does not count."""
    return SPLITS[int(digest_bytes(text.encode())[:8], 16) % len(SPLITS)]


def news_documents(lexicon: Lexicon, rng: np.random.Generator, design: NewsDesign) -> Iterator[NewsDocument]:
    """Draw the documents of a design, in random order; no text occurs twice.

    Designs that differ in their mentions alone give the same texts in the same order, with and without the opening.

    Raises:
        TruingError: for an unknown split or balance, or when the classes can't be balanced because the low-signal
            documents alone exceed a class.
    """
    dice = Dice(rng)
    seen: set[str] = set()
    for label, low in dice.shuffled(_slots(tuple(lexicon.topics), design)):
        text = _fresh_text(lexicon, dice, design.split, label, low, seen)
        # Drawn in any case, so that the draws after it do not depend on the outcome.
        opened = with_desk(lexicon, dice, label, text)
        mention = dice.chance(design.mention if low else design.ordinary_mention)
        yield NewsDocument(opened if mention else text, label, low, mention)


def _slots(topics: tuple[str, ...], design: NewsDesign) -> list[tuple[str, bool]]:
    """Class and kind of every document: exact counts, so that only the words are left to chance."""
    if design.split not in SPLITS or design.balance not in ("overall", "ordinary"):
        raise TruingError(
            f"news design: split {design.split!r}, balance {design.balance!r}",
            f"a split of {', '.join(SPLITS)} and a balance of overall, ordinary",
            "correct the corpus' parameters",
        )
    low_rows = round(design.rows * design.low_signal)
    default_rows = round(low_rows * design.low_signal_default)
    low = [default_rows, *_even(low_rows - default_rows, len(topics) - 1)]
    ordinary = _even(design.rows - low_rows, len(topics))
    if design.balance == "overall":
        ordinary = [total - used for total, used in zip(_even(design.rows, len(topics)), low, strict=True)]
    if min(ordinary) < 0:
        raise TruingError(
            f"news design: {low[0]} low-signal documents of class {topics[0]!r} in {design.rows} rows of {len(topics)} balanced classes",
            "low_signal * low_signal_default of at most one class' share",
            "lower one of the two, or set balance to ordinary",
        )
    slots = [(topic, True) for topic, count in zip(topics, low, strict=True) for _ in range(count)]
    return slots + [(topic, False) for topic, count in zip(topics, ordinary, strict=True) for _ in range(count)]


def _even(total: int, parts: int) -> list[int]:
    return [total // parts + (1 if part < total % parts else 0) for part in range(parts)]


def _fresh_text(lexicon: Lexicon, dice: Dice, split: str, label: str, low: bool, seen: set[str]) -> str:
    for _ in range(_ATTEMPTS):
        text = low_signal_text(lexicon, dice, shortest=1) if low else ordinary_text(lexicon, dice, label)
        if text not in seen and split_of(text) == split:
            seen.add(text)
            return text
    raise TruingError(
        f"news design: no new text of class {label!r} in {_ATTEMPTS} attempts",
        "fewer documents than there are texts",
        "lower the number of documents or the share of low-signal documents",
    )
