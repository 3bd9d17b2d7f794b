"""How a text looks, without a word of what it says: lengths, marks, tags, and the kinds of its first and last characters."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MARKS = ".,;:!?-–—…'\"“”«»()[]{}<>/\\|*_#`~=+@&%$^"
_TAG = re.compile(r"</?[^<>\s]{1,40}>")
_KINDS = ("none", "quote", "upper", "lower", "digit", "space", "bracket", "stop", "markdown", "other")
_COUNTS = ("characters", "words", "lines", "blank_lines", "tags")
_SHARES = ("upper_share", "digit_share", "space_share", "non_ascii_share", "word_length")

NAMES: tuple[str, ...] = (
    *(f"log_{name}" for name in _COUNTS),
    "log_characters_spread",
    *_SHARES,
    *(f"mark {mark}" for mark in MARKS),
    *(f"first {kind}" for kind in _KINDS),
    *(f"last {kind}" for kind in _KINDS),
)


def surface(texts: Sequence[str]) -> NDArray[np.float64]:
    """One row of `NAMES` per text; counts enter as log(1 + count), shares are of all characters.

    The squared distance of the log length from its mean stands beside the length, so that a condition
    whose answers are now short and now long differs from one whose answers are always middling.
    """
    table = np.array([_row(text) for text in texts], dtype=np.float64).reshape(len(texts), len(NAMES))
    if len(texts):
        length = table[:, 0]
        table[:, len(_COUNTS)] = (length - length.mean()) ** 2
    return table


def _row(text: str) -> list[float]:
    size = max(len(text), 1)
    words = len(text.split())
    counts = [len(text), words, text.count("\n"), text.count("\n\n"), len(_TAG.findall(text))]
    shares = [
        sum(map(str.isupper, text)) / size,
        sum(map(str.isdigit, text)) / size,
        sum(map(str.isspace, text)) / size,
        (len(text) - len(text.encode("ascii", "ignore"))) / size,
        (len(text) - sum(map(str.isspace, text))) / max(words, 1),
    ]
    marks = np.log1p([text.count(mark) for mark in MARKS]).tolist()
    first, last = (_kind(text[0]), _kind(text[-1])) if text else ("none", "none")
    ends = [float(kind == found) for found in (first, last) for kind in _KINDS]
    return [*np.log1p(counts).tolist(), 0.0, *shares, *marks, *ends]


def _kind(mark: str) -> str:
    for kind, members in (("quote", "\"'“”‘’«»`"), ("bracket", "()[]{}<>"), ("stop", ".!?…"), ("markdown", "#*-_>|~")):
        if mark in members:
            return kind
    tests = (("digit", str.isdigit), ("space", str.isspace), ("upper", str.isupper), ("lower", str.islower))
    return next((kind for kind, test in tests if test(mark)), "other")
