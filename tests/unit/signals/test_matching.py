from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from truing.core.errors import TruingError
from truing.signals import matching
from truing.signals.matching import LOOKALIKES, PhraseCounter

WORDS = ("world", "World news", "world news desk", "news", "sport", "sports", "e-mail", "c3po", "snake_case", "don't", "art", "news art")
PIECES = (
    *WORDS,
    *(
        "WORLD",
        "Sports",
        "SPORT",
        "artwork",
        "newsart",
        "mail",
        "e",
        "desk",
        "9",
        "_",
        "-",
        "'",
        " ",
        "  ",
        "\n",
        "\t",
        "\0",
        ".",
        "(",
        ")",
    ),
    *(
        "\u201c",
        "\u201d",
        "\u2014",
        "é",
        "ß",
        "ı",
        "İ",
        "ſ",
        "\u212a",
        "ſport",
        "SPORTſ",
        "kelvin",
        "\u4e16\u754c",
        "\u0661",
        "\u0301",
        "\U0001f600",
        "\ud800",
    ),
)
texts_strategy = st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), min_size=1, max_size=5)


def oracle(phrases: Sequence[str], text: str) -> int:
    r"""The definition for phrases that begin and end with word characters: between \b and \b, longest first."""
    ordered = sorted(set(phrases), key=len, reverse=True)
    return len(re.findall(rf"\b(?:{'|'.join(map(re.escape, ordered))})\b", text, re.IGNORECASE))


def check(groups: dict[str, Sequence[str]], texts: Sequence[str]) -> None:
    expected = [[oracle(phrases, text) for phrases in groups.values()] for text in texts]
    np.testing.assert_array_equal(PhraseCounter(groups).count(texts), expected)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(texts=texts_strategy, picks=st.lists(st.sets(st.sampled_from(WORDS), min_size=1, max_size=5), min_size=1, max_size=3))
@example(texts=["world news art", "world newsart"], picks=[{"World news", "news art"}, {"news"}])
@example(texts=["\u201cworld\u201d", "éworld", "worldé"], picks=[{"world"}])
@example(texts=["sportſ ſports", "don't don'tx"], picks=[{"sport", "sports", "don't"}])
def test_counts_equal_re_in_every_text(texts: list[str], picks: list[set[str]]) -> None:
    check({str(index): sorted(group) for index, group in enumerate(picks)}, texts)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(texts=texts_strategy, group=st.sets(st.sampled_from(("été", "ſport", "\u212aelvin", "art", "İ", "ß", "\u4e16")), min_size=1))
@example(texts=["sport kelvin i art", "ÉTÉ ART"], group={"ſport", "\u212aelvin", "İ", "été", "art"})
def test_phrases_beyond_ascii_equal_re(texts: list[str], group: set[str]) -> None:
    check({"g": sorted(group)}, texts)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(text=st.text(max_size=30), phrase=st.text(st.characters(categories=["Lu", "Ll", "N"]), min_size=1, max_size=2))
def test_any_text_and_any_word_equal_re(text: str, phrase: str) -> None:
    check({"g": [phrase]}, [text, f"{text}{phrase}", f"{phrase.upper()} {text}", f"{text} {phrase.lower()}\u2019s"])


def test_lookalikes_are_all_the_characters_that_re_folds_into_ascii() -> None:
    letters = re.compile("[a-z0-9_]|" + "|".join("abcdefghijklmnopqrstuvwxyz"), re.IGNORECASE)
    found = {chr(code) for code in range(128, sys.maxunicode + 1) if letters.fullmatch(chr(code))}
    assert found == set(LOOKALIKES)
    assert all(re.fullmatch(ascii_letter, character, re.IGNORECASE) for character, ascii_letter in LOOKALIKES.items())


DATA = Path(__file__).parents[4] / "shared/data/classification"
REAL = (DATA / "ag_news/ag_news_test_0_5600.csv", DATA / "hatexplain/eraser_val_split1.json", DATA / "sst2/dev.tsv")


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_counts_equal_re_in_real_text(path: Path) -> None:
    if not path.exists():
        pytest.skip(f"{path.name} of shared/data is absent")
    lines = path.read_text(encoding="utf-8").splitlines()[:3000]
    check(
        {"a": ["world", "sport", "sports", "company", "women"], "b": ["the world", "world", "of the", "the"], "c": ["sci-fi", "don't"]},
        lines,
    )


def test_a_boundary_is_asked_only_at_edges_that_are_word_characters() -> None:
    counter = PhraseCounter({"bracket": ["(a)"], "plus": ["c++"], "hash": ["#tag"]})
    counts = counter.count(["x(A)y (a)", "c++ C++x xc++", "#tag x#TAG #tags"])
    assert counts.tolist() == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]


def test_a_group_counts_a_place_once_and_groups_do_not_see_each_other() -> None:
    counter = PhraseCounter({"both": ["world", "world news"], "news": ["news"], "none": []})
    assert counter.count(["world news, world"]).tolist() == [[2, 1, 0]]


def test_no_phrase_reaches_over_the_border_of_two_texts_or_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "SLICE", 16)
    texts = ["world", "news world", "", "new", "s", "world news " * 9, "\u201cnews\u201d", "x"] * 3
    check({"a": ["world news", "s world"], "b": ["news"]}, texts)
    assert PhraseCounter({"a": ["news"]}).count([]).shape == (0, 1)


@pytest.mark.parametrize("phrase", ["", "a\0b"])
def test_uncountable_phrases_are_refused(phrase: str) -> None:
    with pytest.raises(TruingError, match="mine"):
        PhraseCounter({"mine": [phrase]})
