"""Held-out text in training data is found exactly, nearly, and never by a collision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from truing.core.errors import Exit, TruingError
from truing.corpora import CommonParams, CorpusContext
from truing.corpora.overlap import HASHES, bands, find_overlap, jaccard, keep_out, minhash, shingles

WORDS = np.array([f"w{i}" for i in range(3000)])
CONTEXT = CorpusContext("train", 7, Path())
CARD = {"key": "eval", "digest": "0" * 64}


def texts(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=40)) for _ in range(count)]


def row(doc_id: str, text: str) -> dict[str, Any]:
    return {"doc_id": doc_id, "source": "s", "text": text, "label": None, "metadata": {}}


def edited(text: str, word: int) -> str:
    words = text.split()
    words[word] = "changed"
    return " ".join(words)


def test_shingles_of_known_texts() -> None:
    assert shingles("The cat, sat DOWN!") == {("the", "cat", "sat"), ("cat", "sat", "down")}
    assert shingles("Two words") == {("two", "words")}
    assert jaccard(shingles("a b c d"), shingles("a b c e")) == pytest.approx(1 / 3)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95, 1.0])
def test_bands_find_a_pair_at_the_threshold(threshold: float) -> None:
    count, width = bands(threshold)
    assert count * width <= HASHES
    assert (1 - threshold**width) ** count < 1e-3


def test_minhash_estimates_the_similarity() -> None:
    a = texts(1, 1)[0]
    b = edited(a, 20)
    one, two = minhash([shingles(a), shingles(b)], 7)
    assert float((one == two).mean()) == pytest.approx(jaccard(shingles(a), shingles(b)), abs=0.12)


def test_planted_copies_are_found_and_nothing_else_is() -> None:
    held, train = texts(300, 1), texts(300, 2)
    train[10] = "  " + held[5].upper() + "\n"
    train[20] = edited(held[6], 0)
    train[30] = edited(edited(held[7], 10), 30)
    found = find_overlap(train, {f"h{i}": text for i, text in enumerate(held)}, 0.7, 7)
    assert [(match.index, match.heldout_id, match.exact) for match in found] == [(10, "h5", True), (20, "h6", False), (30, "h7", False)]
    assert found[1].jaccard == pytest.approx(37 / 39)
    assert [match.index for match in find_overlap(train, {f"h{i}": text for i, text in enumerate(held)}, 0.9, 7)] == [10, 20]


def test_recall_at_the_threshold() -> None:
    held = texts(400, 3)
    train = [edited(text, 12) for text in held]
    similarity = jaccard(shingles(held[0]), shingles(train[0]))
    found = find_overlap(train, {str(i): text for i, text in enumerate(held)}, round(similarity - 0.005, 3), 7)
    assert len(found) == 400


def test_empty_questions_do_not_overlap() -> None:
    assert find_overlap(["", "a b c"], {"x": "  "}, 0.8, 7) == []


def test_fail_is_the_default_and_shows_bounded_examples() -> None:
    held = [row(f"h{i}", text) for i, text in enumerate(texts(10, 1))]
    train = [row(f"t{i}", one["text"]) for i, one in enumerate(held)] + [row("own", "entirely other words here")]
    with pytest.raises(TruingError, match="10 of 11 rows are among the held-out items of eval") as caught:
        keep_out(train, (CARD, held), CommonParams(), CONTEXT)
    assert caught.value.code == Exit.REFUSED
    assert "t0 ~ h0 (exact, 1.00)" in caught.value.what
    assert "(and 5 more)" in caught.value.what
    assert "on_overlap: drop" in caught.value.fix


def test_drop_removes_and_accounts() -> None:
    held = [row(f"h{i}", text) for i, text in enumerate(texts(3, 1))]
    train = [row("t0", held[0]["text"]), row("t1", edited(held[1]["text"], 0)), row("t2", "entirely other words here")]
    kept, account = keep_out(train, (CARD, held), CommonParams(on_overlap="drop"), CONTEXT)
    assert [one["doc_id"] for one in kept] == ["t2"]
    assert (account["exact"], account["near"], account["dropped"], account["heldout"]) == (1, 1, 2, "eval")
    assert account["examples"][1]["doc_id"] == "t1"
    with pytest.raises(TruingError, match="2 of 2 rows"):
        keep_out(train[:2], (CARD, held), CommonParams(on_overlap="drop"), CONTEXT)


def test_conversations_and_pairs_are_recognised_by_what_is_asked() -> None:
    chat = {"doc_id": "c", "messages": [{"role": "user", "content": "what is the name of it"}, {"role": "assistant", "content": "no"}]}
    pair = {"doc_id": "p", "prompt": "what is the name of it", "chosen": "x", "rejected": "y"}
    _, account = keep_out([dict(chat), row("o", "other")], (CARD, [pair]), CommonParams(on_overlap="drop"), CONTEXT)
    assert account["exact"] == 1
