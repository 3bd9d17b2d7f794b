r"""Counts of whole phrases in many texts: equal to `re` to the last hit, at many times its speed.

Definition. Phrases are counted in groups. The count of a group in a text is the number of matches of ONE
alternation of its phrases, longest first, ignoring case with the Unicode rules of `re`: leftmost, then longest,
without overlap inside the group. Groups do not see each other. A word boundary is asked at each edge of a phrase
that is a word character, so that phrases of words behave as between `\b` and `\b`, while "(a)" needs no letter
before its bracket. A phrase is literal: its spaces match that one space.

Method. Texts are joined into buffers of UTF-8 that fit the processor's cache, separated by NUL, and lowered once
(bytes lower ASCII only). One Aho-Corasick automaton (Aho & Corasick 1975) finds the candidates; boundaries, documents
and counts are array operations. Texts in which that could differ from `re` take `re` itself: those that hold one
of the four characters beyond ASCII which `re` takes for an ASCII letter, and, if a phrase is not ASCII, all that are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind
from numpy.typing import NDArray

from truing.core.errors import TruingError, some

# Every character beyond ASCII that `re` with IGNORECASE takes for an ASCII letter.
LOOKALIKES = {"\u0130": "i", "\u0131": "i", "\u017f": "s", "\u212a": "k"}

# Characters a buffer: the text, its lowered copy and the class array stay in a second-level cache.
SLICE = 1 << 18

_SEPARATOR = "\0"
_WORD, _BEYOND = 1, 2
_CLASS = np.array([_BEYOND if code > 127 else int(chr(code).isalnum() or chr(code) == "_") for code in range(256)], dtype=np.uint8)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def is_word(character: str) -> bool:
    r"""Whether `re` takes a character for `\w`."""
    return character.isalnum() or character == "_"


def bounded(phrase: str) -> str:
    """The regular expression of one whole phrase: escaped, with a boundary at each edge that is a word character."""
    left = r"(?<!\w)" if is_word(phrase[0]) else ""
    right = r"(?!\w)" if is_word(phrase[-1]) else ""
    return f"{left}{re.escape(phrase)}{right}"


def alternation(phrases: Sequence[str]) -> str:
    """The regular expression of a group: its phrases, longest first; it matches nothing when there are none."""
    ordered = sorted(set(phrases), key=lambda phrase: (-len(phrase), phrase))
    return "|".join(bounded(phrase) for phrase in ordered) or r"(?!)"


def _folded(phrase: str) -> str:
    return "".join(LOOKALIKES.get(character, character) for character in phrase).lower()


@dataclass(frozen=True)
class _Buffer:
    """Texts as lowered UTF-8 with a NUL before, between and after; `starts` are byte offsets, `slow` the texts left out."""

    data: bytes
    starts: Ints
    ascii: bool
    slow: tuple[int, ...]


class PhraseCounter:
    """Counts groups of whole phrases in texts.

    Args:
        groups: Phrases by group name.

    Raises:
        TruingError: for an empty phrase or one that holds a NUL.
    """

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        _check(groups)
        self.names = tuple(groups)
        self._expressions = tuple(re.compile(alternation(phrases), re.IGNORECASE) for phrases in groups.values())
        self._beyond_ascii = not all(phrase.isascii() for phrases in groups.values() for phrase in phrases)
        folded = [{_folded(phrase) for phrase in phrases} for phrases in groups.values()]
        # A phrase that stays beyond ASCII can't occur in an ASCII text, and no other text comes by here then.
        phrases = sorted(phrase for phrase in set().union(*folded) if phrase.isascii())
        member = np.array([[phrase in group for group in folded] for phrase in phrases], dtype=bool)
        self._member: Bools = member.reshape(len(phrases), len(folded))
        self._left: Bools = np.array([is_word(phrase[0]) for phrase in phrases], dtype=bool)
        self._right: Bools = np.array([is_word(phrase[-1]) for phrase in phrases], dtype=bool)
        self._one_word: Bools = np.array([all(map(is_word, phrase)) for phrase in phrases], dtype=bool)
        self._automaton = _automaton(phrases, leftmost=bool(self._one_word.all()))
        self._overlapping = not self._one_word.all()
        self._layers = _layers(self._member)
        # Two whole words never overlap; only groups with phrases of several words need their overlaps settled.
        self._tangled = np.flatnonzero(self._member[~self._one_word].any(axis=0))

    def count(self, texts: Sequence[str]) -> Ints:
        """Hits of every group in every text, int64 [len(texts), len(names)]."""
        counts = np.zeros((len(texts), len(self.names)), dtype=np.int64)
        for first, last in _slices(texts):
            counts[first:last] = self._count_slice(texts[first:last])
        return counts

    def _count_slice(self, texts: Sequence[str]) -> Ints:
        buffer = self._buffer(texts)
        document, phrase, start, end = self._hits(buffer)
        flat: Ints = np.zeros(len(texts) * len(self.names), dtype=np.int64)
        for groups in self._layers:
            cell = document * len(self.names) + groups[phrase]
            flat += np.bincount(cell[groups[phrase] >= 0], minlength=len(flat))
        counts: Ints = flat.reshape(len(texts), len(self.names))
        for group in self._tangled:
            mine = np.flatnonzero(self._member[phrase, group])
            mine = mine[_without_overlap(start[mine], end[mine])]
            counts[:, group] = np.bincount(document[mine], minlength=len(texts))
        for row in buffer.slow:
            counts[row] = [len(list(expression.finditer(texts[row]))) for expression in self._expressions]
        return counts

    def _buffer(self, texts: Sequence[str]) -> _Buffer:
        joined = _SEPARATOR.join(("", *texts, ""))
        if joined.isascii():
            return _Buffer(joined.encode().lower(), _starts(list(map(len, texts))), True, ())
        strange = [character for character in LOOKALIKES if character in joined]
        pieces = [self._encoded(text, strange) for text in texts]
        slow = tuple(row for row, piece in enumerate(pieces) if piece is None)
        kept = [piece or b"" for piece in pieces]
        return _Buffer(_SEPARATOR.encode().join((b"", *kept, b"")).lower(), _starts(list(map(len, kept))), False, slow)

    def _encoded(self, text: str, strange: Sequence[str]) -> bytes | None:
        if not text.isascii() and (self._beyond_ascii or any(character in text for character in strange)):
            return None
        try:
            return text.encode()
        except UnicodeEncodeError:  # a lone surrogate
            return None

    def _hits(self, buffer: _Buffer) -> tuple[Ints, Ints, Ints, Ints]:
        """Document, phrase, first byte and end byte of every whole-phrase hit."""
        found: list[Any] = self._automaton.find_matches_as_indexes(buffer.data, overlapping=self._overlapping) if self._automaton else []
        flat = np.fromiter(chain.from_iterable(found), np.int64, count=3 * len(found)).reshape(-1, 3)
        phrase, start, end = flat.T
        whole = self._bounded(buffer, self._left[phrase], start - 1, after=False)
        whole &= self._bounded(buffer, self._right[phrase], end, after=True)
        phrase, start, end = flat[whole].T
        return np.searchsorted(buffer.starts, start, side="right") - 1, phrase, start, end

    def _bounded(self, buffer: _Buffer, asked: Bools, position: Ints, *, after: bool) -> Bools:
        kind = _CLASS[np.frombuffer(buffer.data, dtype=np.uint8)[position]]
        inside = kind == _WORD
        if not buffer.ascii:
            for hit in np.flatnonzero(asked & (kind == _BEYOND)):
                inside[hit] = is_word(_character(buffer.data, int(position[hit]), after))
        result: Bools = ~(asked & inside)
        return result


def _check(groups: Mapping[str, Sequence[str]]) -> None:
    bad = [f"{name}: {phrase!r}" for name, phrases in groups.items() for phrase in phrases if not phrase or _SEPARATOR in phrase]
    if bad:
        raise TruingError(f"phrases that can't be counted: {some(bad)}", "at least one character, and no NUL", "correct the phrases")


def _automaton(phrases: Sequence[str], *, leftmost: bool) -> Any:
    if not phrases:
        return None
    # Without overlaps the automaton is faster. That loses no whole word: a candidate which hides one would have to
    # reach over the boundary before it, or be longer from the same place, where the word then goes on.
    kind = MatchKind.LeftmostLongest if leftmost else MatchKind.Standard
    return BytesAhoCorasick([phrase.encode() for phrase in phrases], matchkind=kind, implementation=Implementation.DFA)


def _layers(member: Bools) -> list[Ints]:
    """The first group of every phrase, the second where there is one, and so on; -1 where there is none."""
    groups = [np.flatnonzero(row) for row in member]
    depth = max(map(len, groups), default=0)
    return [np.array([row[layer] if layer < len(row) else -1 for row in groups], dtype=np.int64) for layer in range(depth)]


def _slices(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ranges of texts that together hold about `SLICE` characters."""
    if not texts:
        return
    window = np.cumsum(list(map(len, texts))) // SLICE
    cuts = [0, *(np.flatnonzero(np.diff(window)) + 1).tolist(), len(texts)]
    yield from pairwise(cuts)


def _starts(lengths: Sequence[int]) -> Ints:
    starts = np.cumsum(np.array([0, *lengths], dtype=np.int64) + 1)
    result: Ints = starts[:-1]
    return result


def _character(data: bytes, position: int, after: bool) -> str:
    """The character that begins at a byte, or that ends with it."""
    if after:
        return data[position : position + 4].decode("utf-8", "ignore")[0]
    return data[max(0, position - 3) : position + 1].decode("utf-8", "ignore")[-1]


def _without_overlap(start: Ints, end: Ints) -> Ints:
    """Indexes of the hits that a left-to-right search for the longest would take."""
    order = np.lexsort((-end, start))
    first, last = start[order], end[order]
    if (first[1:] >= np.maximum.accumulate(last)[:-1]).all():
        return order
    kept: list[int] = []
    limit = -1
    for index, begin, stop in zip(order.tolist(), first.tolist(), last.tolist(), strict=True):
        if begin >= limit:
            kept.append(index)
            limit = stop
    return np.array(kept, dtype=np.int64)
