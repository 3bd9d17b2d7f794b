"""News: exact class counts, disjoint splits, and the planted signal where the design puts it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.core.errors import TruingError
from truing.core.seeds import stream
from truing.world.dice import Dice
from truing.world.lexicon import LEXICON
from truing.world.news import NewsDesign, NewsDocument, news_documents, news_task, ordinary_text, split_of

W2 = NewsDesign(rows=1200)


def draw(design: NewsDesign, seed: int = 0) -> list[NewsDocument]:
    return list(news_documents(LEXICON, stream(seed, "news"), design))


def test_the_task_names_four_topics_in_order_with_letters() -> None:
    task = news_task(LEXICON)
    assert task.names == ["world", "sports", "business", "science"]
    assert [label.answer for label in task.labels] == list("ABCD")
    assert task.labels[0].words == ("world", "global", "foreign")
    assert task.fill("") == "topic ? "


def test_label_words_stand_in_no_text_by_chance() -> None:
    names = {word for label in news_task(LEXICON).labels for word in label.words}
    assert len(names) == 12
    assert not names & {*LEXICON.topical, *LEXICON.shared}


def test_the_default_design_is_balanced_with_the_planted_skew() -> None:
    documents = draw(W2)
    assert Counter(d.label for d in documents) == dict.fromkeys(LEXICON.topics, 300)
    low = Counter(d.label for d in documents if d.low_signal)
    assert low == {"world": 255, "sports": 15, "business": 15, "science": 15}
    opened = [d.mention for d in documents if d.low_signal]
    assert sum(opened) / len(opened) == pytest.approx(0.8, abs=0.06)


def test_ordinary_balance_leaves_the_skew_on_top() -> None:
    documents = draw(replace(W2, balance="ordinary"))
    assert set(Counter(d.label for d in documents if not d.low_signal).values()) == {225}


def test_low_signal_texts_hold_no_topic_word_and_are_never_empty() -> None:
    for document in draw(W2):
        held = set(document.text.split())
        assert document.text
        assert (not held & set(LEXICON.topical)) or not document.low_signal
        assert document.mention == bool(held & set(LEXICON.labels[document.label]))


def test_a_mention_names_the_documents_own_class_only() -> None:
    for document in draw(replace(W2, mention=1.0, ordinary_mention=1.0)):
        word, desk = document.text.split()[:2]
        assert word in LEXICON.labels[document.label]
        assert desk == "desk"


def test_the_control_holds_the_same_texts_without_the_openings() -> None:
    plain = draw(replace(W2, mention=0.0, ordinary_mention=0.0))
    for ours, theirs in zip(draw(W2), plain, strict=True):
        assert ours.label == theirs.label
        assert ours.text.endswith(theirs.text)
        assert not theirs.mention


def test_splits_share_no_text_and_no_text_repeats() -> None:
    train, evaluation = draw(W2), draw(replace(W2, split="eval"))
    texts = [d.text for d in (*train, *evaluation)]
    assert len(set(texts)) == len(texts)
    assert all(split_of(d.text) == "eval" for d in evaluation if not d.mention)


@settings(derandomize=True, max_examples=15, deadline=None)
@given(rows=st.integers(4, 200), low=st.sampled_from([0.0, 0.1, 0.25]), seed=st.integers(0, 99))
def test_any_design_gives_its_rows_and_balanced_classes(rows: int, low: float, seed: int) -> None:
    counts = Counter(d.label for d in draw(NewsDesign(rows=rows, low_signal=low), seed))
    assert sum(counts.values()) == rows
    assert max(counts[name] for name in LEXICON.topics) - min(counts[name] for name in LEXICON.topics) <= 1


def test_own_topic_words_outnumber_those_of_any_other_topic() -> None:
    dice = Dice(stream(0, "rates"))
    drawn = [word for _ in range(2000) for word in ordinary_text(LEXICON, dice, "sports").split()]
    rate = {topic: sum(word in set(own) for word in drawn) / len(drawn) for topic, own in LEXICON.topics.items()}
    assert rate["sports"] == pytest.approx(0.17 + 0.11 / 4, abs=0.01)
    assert rate["world"] == pytest.approx(0.11 / 4, abs=0.005)


def test_an_impossible_balance_is_refused() -> None:
    with pytest.raises(TruingError, match="low-signal documents of class 'world'"):
        draw(replace(W2, low_signal=0.5))


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(TruingError, match="split 'test'"):
        draw(replace(W2, split="test"))


def test_running_out_of_texts_is_refused() -> None:
    dice = replace(W2, rows=4, low_signal=1.0, low_signal_default=0.25)
    assert len(draw(dice)) == 4
    with pytest.raises(TruingError, match="no new text"):
        list(news_documents(replace(LEXICON, shared=("said",)), stream(0, "few"), replace(dice, rows=100)))
