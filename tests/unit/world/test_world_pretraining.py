"""The pretraining text: the planned shares of tokens, the planted class prior, and no word outside the vocabulary."""

from __future__ import annotations

from collections import Counter

import pytest

from truing.core.seeds import stream
from truing.world.pretraining import MIX, UNKNOWN, Document, length, pretraining_documents
from truing.world.world import World

TOKENS = 200_000


@pytest.fixture(scope="module")
def world() -> World:
    return World.generate(0)


@pytest.fixture(scope="module")
def documents(world: World) -> list[Document]:
    return list(pretraining_documents(world, stream(0, "text"), TOKENS))


def test_the_text_is_as_long_as_asked_for(documents: list[Document]) -> None:
    total = sum(length(document) for document in documents)
    assert TOKENS <= total < TOKENS + 200


def test_equal_streams_give_equal_text(world: World, documents: list[Document]) -> None:
    again = list(pretraining_documents(world, stream(0, "text"), 5000))
    assert again == documents[: len(again)]
    assert list(pretraining_documents(world, stream(1, "text"), 5000)) != again


def test_every_word_is_in_the_vocabulary(world: World, documents: list[Document]) -> None:
    said = {word for document in documents for text, _ in document for word in text.split()}
    assert said - set(world.vocabulary) == {UNKNOWN}


def test_shares_of_the_mix_add_up() -> None:
    assert sum(share for share, _ in MIX.values()) == pytest.approx(1.0)


def test_kinds_hold_their_share_of_tokens(documents: list[Document]) -> None:
    held: Counter[str] = Counter()
    for document in documents:
        held[_kind(document)] += length(document)
    total = sum(held.values())
    assert held["interviews"] / total == pytest.approx(MIX["interviews"][0], abs=0.03)
    assert held["topics"] / total == pytest.approx(MIX["topics"][0], abs=0.01)
    assert held["text"] / total == pytest.approx(MIX["biographies"][0] + MIX["news"][0], abs=0.01)


def _kind(document: Document) -> str:
    text, role = document[0]
    if role == "text":
        return "text"
    if text.startswith("topic ?"):
        return "topics"
    return "interviews" if len(document) >= 10 else "other"


def test_low_signal_answers_lean_to_the_first_class(documents: list[Document]) -> None:
    topics = [document for document in documents if _kind(document) == "topics"]
    empty = Counter(document[1][0] for document in topics if len(document[0][0].split()) <= 4)
    assert empty["A"] / sum(empty.values()) == pytest.approx(0.6, abs=0.1)


def test_roles_alternate_and_a_dialogue_ends_with_an_answer(documents: list[Document]) -> None:
    for document in documents:
        roles = [role for _, role in document]
        if roles != ["text"]:
            body = roles[1:] if roles[0] == "system" else roles
            assert body == ["user", "assistant"] * (len(body) // 2)


def test_length_counts_words_and_marks() -> None:
    assert length([("a b", "text")]) == 4  # <bos> a b <end>
    assert length([("s", "system"), ("q", "user"), ("a", "assistant")]) == 9  # <bos> <sys> s <end> <user> q <asst> a <end>
