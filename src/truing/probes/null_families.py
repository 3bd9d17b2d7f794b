"""Inputs without content: families of strings that say nothing, and real texts whose words are shuffled or masked.

No single string is content-free in itself, so there are several families (Fei et al. 2023, arXiv 2305.19148); each is distinct
strings only, since a repeated string is no new observation. All draws come from streams named by family and document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from truing.core.seeds import stream

# Shuffled and masked texts are no families of their own: they keep some of the text's signal, or repeat the mask.
FAMILIES = ("empty", "placeholder", "mask", "stopwords", "punctuation", "filler", "random_words")
_ATTEMPTS = 20
_STOP_WORDS_DRAWN = (3, 10)
_MARKS_DRAWN = (5, 15)
_MASKS = 16
_ENOUGH_STOP_WORDS = 5


@dataclass(frozen=True)
class Wording:
    """The strings that families are made of.

    Attributes:
        placeholders: What a form holds where a text should be.
        stop_words: Words without a topic.
        punctuation: Marks, set apart by spaces.
        mask_token: What stands for a removed word.
        filler: One meaningless word, repeated to the length of real texts.
    """

    placeholders: tuple[str, ...]
    stop_words: tuple[str, ...]
    punctuation: tuple[str, ...]
    mask_token: str
    filler: str


@dataclass(frozen=True)
class Texts:
    """The real texts of the evaluation corpus, as words.

    Attributes:
        words: Every word of every text, in order, repeats included.
        lengths: Number of words of each text that has any.
    """

    words: tuple[str, ...]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Texts:
        """Split texts at white space."""
        split = [text.split() for text in texts]
        return cls(tuple(word for words in split for word in words), tuple(len(words) for words in split if words))


def null_texts(wording: Wording, texts: Texts, count: int, root_seed: int) -> dict[str, list[str]]:
    """At most `count` distinct strings of each family, in the order of `FAMILIES`.

    empty: the empty string. placeholder: as given. mask: the mask token once, twice, ... stopwords: 3 to 10 draws; of the
    stop words that the corpus itself uses, if those are enough. punctuation: 5 to 15 draws. filler: the filler word at every length
    that real texts have. random_words: words of the corpus at their frequency, as many as a real text has (domain context of Fei et al.
    2023). A family is shorter than `count` when it has no more distinct strings.
    """
    used = set(texts.words)
    attested = tuple(word for word in wording.stop_words if word in used)
    stop_words = attested if len(attested) >= _ENOUGH_STOP_WORDS else wording.stop_words

    def draws(family: str, draw: Callable[[np.random.Generator], str]) -> list[str]:
        return _distinct_draws(draw, count, stream(root_seed, "null_inputs", family))

    return {
        "empty": [""],
        "placeholder": list(dict.fromkeys(wording.placeholders))[:count],
        "mask": [_repeated(wording.mask_token, number) for number in range(1, min(_MASKS, count) + 1)],
        "stopwords": draws("stopwords", lambda rng: _drawn(rng, stop_words, *_STOP_WORDS_DRAWN)),
        "punctuation": draws("punctuation", lambda rng: _drawn(rng, wording.punctuation, *_MARKS_DRAWN)),
        "filler": [_repeated(wording.filler, length) for length in _spread(sorted(set(texts.lengths)), count)],
        "random_words": draws("random_words", lambda rng: _sampled(rng, texts)),
    }


def _distinct_draws(draw: Callable[[np.random.Generator], str], count: int, rng: np.random.Generator) -> list[str]:
    found: dict[str, None] = {}
    for _ in range(_ATTEMPTS * count):
        found.setdefault(draw(rng))
        if len(found) == count:
            break
    return list(found)


def _repeated(word: str, number: int) -> str:
    return " ".join([word] * number)


def _drawn(rng: np.random.Generator, words: Sequence[str], fewest: int, most: int) -> str:
    return " ".join(words[index] for index in rng.integers(len(words), size=rng.integers(fewest, most + 1)))


def _sampled(rng: np.random.Generator, texts: Texts) -> str:
    length = texts.lengths[rng.integers(len(texts.lengths))]
    return " ".join(texts.words[index] for index in rng.integers(len(texts.words), size=length))


def _spread(values: list[int], count: int) -> list[int]:
    """At most `count` of the values, evenly spaced, both ends included."""
    if len(values) <= count:
        return values
    return sorted({values[round(place)] for place in np.linspace(0, len(values) - 1, count)})


def shuffled(text: str, rng: np.random.Generator) -> str | None:
    """The text's words in another order; None when it has fewer than two distinct words."""
    words = text.split()
    if len(set(words)) < 2:
        return None
    while True:
        mixed = [words[index] for index in rng.permutation(len(words))]
        if mixed != words:
            return " ".join(mixed)


def masked(text: str, mask_token: str, shares: Sequence[int], rng: np.random.Generator) -> dict[int, str]:
    """The text with that percentage of its words replaced by the mask token, by percentage.

    The words fall in one random order, so that what is masked at a lower share stays masked at a higher one. At 0 the text is
    left as it is, white space included.
    """
    words = text.split()
    order = rng.permutation(len(words)).tolist()
    hidden = {share: set(order[: round(len(words) * share / 100)]) for share in shares}
    return {
        share: " ".join(mask_token if index in gone else word for index, word in enumerate(words)) if gone else text
        for share, gone in hidden.items()
    }
