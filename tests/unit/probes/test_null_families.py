"""Null families: distinct, seeded, made of the corpus' own words, and a masking curve that only ever loses words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.core.seeds import stream
from truing.probes.null_families import FAMILIES, Texts, Wording, masked, null_texts, shuffled
from truing.probes.null_inputs import NullParams

CORPUS = [
    "officials said after a match that many fans left",
    "shares fell with the market again",
    "several planets were found before",
    "some into over",
]
WORDING = Wording(("N/A", "none", "N/A"), ("after", "a", "many", "with", "the", "again", "zzz"), (".", ","), "[MASK]", "...")


def _families(count: int = 20, seed: int = 1, **changes: Any) -> dict[str, list[str]]:
    return null_texts(Wording(**{**vars(WORDING), **changes}), Texts.of(CORPUS), count, seed)


def test_every_family_holds_distinct_strings_only() -> None:
    found = _families()
    assert tuple(found) == FAMILIES
    assert all(len(set(strings)) == len(strings) <= 20 for strings in found.values())
    assert found["empty"] == [""]
    assert found["placeholder"] == ["N/A", "none"]
    assert found["mask"][:2] == ["[MASK]", "[MASK] [MASK]"]
    assert found["filler"] == ["... ... ...", " ".join(["..."] * 5), " ".join(["..."] * 6), " ".join(["..."] * 9)]
    assert len(found["stopwords"]) == len(found["random_words"]) == 20


def test_one_seed_gives_one_set_and_families_do_not_disturb_each_other() -> None:
    assert _families() == _families()
    assert _families(seed=2)["stopwords"] != _families()["stopwords"]
    assert _families(stop_words=("a", "b"))["random_words"] == _families()["random_words"]


def test_stop_words_are_those_that_the_corpus_uses_if_there_are_enough() -> None:
    drawn = {word for text in _families()["stopwords"] for word in text.split()}
    assert drawn <= {"after", "a", "many", "with", "the", "again"}
    few = {word for text in _families(stop_words=("a", "zzz", "yyy"))["stopwords"] for word in text.split()}
    assert few == {"a", "zzz", "yyy"}


def test_random_words_are_of_the_corpus_and_of_its_lengths() -> None:
    words = {word for text in CORPUS for word in text.split()}
    for text in _families()["random_words"]:
        assert set(text.split()) <= words
        assert len(text.split()) in {3, 5, 6, 9}


def test_a_small_family_ends_early() -> None:
    assert len(_families(count=64, punctuation=(".",))["punctuation"]) <= 11


@settings(derandomize=True, max_examples=50)
@given(words=st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=12), seed=st.integers(0, 99))
def test_a_shuffle_keeps_the_words_and_changes_the_order(words: list[str], seed: int) -> None:
    mixed = shuffled(" ".join(words), stream(seed))
    if len(set(words)) < 2:
        assert mixed is None
    else:
        assert mixed is not None
        assert sorted(mixed.split()) == sorted(words)
        assert mixed.split() != words


@settings(derandomize=True, max_examples=50)
@given(count=st.integers(0, 15), seed=st.integers(0, 99))
def test_masking_is_nested_and_exact(count: int, seed: int) -> None:
    text = "  ".join(f"w{index}" for index in range(count))
    shares = (0, 20, 50, 100)
    found = masked(text, "#", shares, np.random.default_rng(seed))
    assert found[0] == text
    gone: set[int] = set()
    for share in shares:
        words = found[share].split()
        now = {index for index, word in enumerate(words) if word == "#"}
        assert len(now) == round(count * share / 100)
        assert gone <= now
        gone = now
    assert set(found[100].split()) <= {"#"}


@pytest.mark.parametrize("masking", [(), (0,), (0, 50), (20, 100), (0, 100, 50), (0, 50, 50, 100)])
def test_the_curve_must_rise_from_whole_to_masked(masking: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="masking must rise from 0 to 100"):
        NullParams(masking=masking)
