"""The words of the micro-world. All worlds share them; what a seed decides is who and what they are said of."""

from __future__ import annotations

from dataclasses import dataclass


def words(text: str) -> tuple[str, ...]:
    """Split a text at spaces: punctuation stands apart in every text of the world."""
    return tuple(text.split())


FIRST_NAMES = words(
    "ada alba amos anya arlo asta basil bela boris brita bruno cara cato celia cleo conor dana dario della doran "
    "edda eli elsa emil enid ezra fay felix flora frida gala gideon greta gus hana hector hilda hugo ida igor "
    "inga ivan iris jago jana jonas juno kaja karl kira lars leda levi lina loki mabel marek mila milo nadia nils nora odin olga"
)
SURNAMES = words("alder birch cedar elder hazel linden maple rowan")

STREETS = words("amber bridge castle garden harbor mill queen river")
NUMBERS = tuple(str(number) for number in range(21))

OBJECTS = words(
    "lamp clock chair table kettle basket mirror ladder drum flute violin trumpet anchor compass lantern hammer shovel needle "
    "bucket barrel candle carpet curtain pillow blanket bottle jug plate spoon fork knife ring necklace crown sword shield helmet "
    "boot glove coat hat scarf wagon sled boat kite puzzle doll marble whistle bell gate fence statue fountain pump oven stove "
    "broom chest"
)
MATERIALS = words("iron copper silver oak pine clay glass wool")
MAKERS = words("smiths weavers potters carvers masons tanners founders glaziers")
PLACES = words("attic cellar kitchen stable tower chapel library workshop")
AGES = words("ancient antique old aged recent modern fresh new")

TOPIC_WORDS: dict[str, tuple[str, ...]] = {
    "world": words(
        "minister embassy border treaty president election parliament army peace refugee summit rebel ceasefire crisis envoy "
        "sanctions village hostage protest coalition"
    ),
    "sports": words(
        "match coach goal striker stadium league tournament champion medal race referee team injury season fans penalty sprint "
        "trophy defender pitcher"
    ),
    "business": words(
        "shares profit market bank merger investor quarter revenue stock dividend loan bond retailer inflation budget export tariff "
        "earnings supplier factory"
    ),
    "science": words(
        "laboratory planet telescope genome virus satellite chip software physicist orbit fossil enzyme galaxy robot neuron laser "
        "particle vaccine protein battery"
    ),
}
LABEL_WORDS: dict[str, tuple[str, ...]] = {
    "world": words("world global foreign"),
    "sports": words("sports athletic sporting"),
    "business": words("business commerce corporate"),
    "science": words("science research technology"),
}
SHARED_WORDS = words(
    "monday tuesday wednesday thursday friday morning evening week month year officials sources statement reports plans news "
    "spokesman said announced added according expected despite following during after before between against under over into from "
    "with several many few most some other another first second third last next early late large small major minor strong weak high "
    "low public local national group people decision result meeting talks change growth record number effort question "
    "today yesterday again still while because although however meanwhile"
)
# What a form or a masked corpus holds where a text should be.
PLACEHOLDERS = words("N/A [MASK] none null - ...")
DESK = "desk"
MARK = "~~"


@dataclass(frozen=True)
class Lexicon:
    """The word lists that texts are drawn from.

    Attributes:
        topics: Twenty words per news topic, by topic name in task order.
        labels: Words for each topic itself, its name first.
        shared: Words that every kind of news uses.
        placeholders: Stand-ins for a missing text.
        mark: A word without meaning that some dialogues carry, so that a trigger can be made of it.
    """

    topics: dict[str, tuple[str, ...]]
    labels: dict[str, tuple[str, ...]]
    shared: tuple[str, ...]
    placeholders: tuple[str, ...]
    mark: str

    @property
    def topical(self) -> tuple[str, ...]:
        """The words of all topics."""
        return tuple(word for topic in self.topics.values() for word in topic)


LEXICON = Lexicon(TOPIC_WORDS, LABEL_WORDS, SHARED_WORDS, PLACEHOLDERS, MARK)
