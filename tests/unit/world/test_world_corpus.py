"""The generated news corpus: as a corpus of its own, against its held-out part, and against its negative control."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from truing.core.errors import TruingError
from truing.core.files import Row
from truing.corpora import CorpusContext, corpus
from truing.corpora.build import build_corpus
from truing.world.world import World

EVAL = {"documents": 600, "stream": "eval", "low_signal": 0.0}


def rows(values: dict[str, Any], root_seed: int = 0) -> list[Row]:
    plugin = corpus.get("world_news")
    cfg = plugin.configure(values, "corpora.news")
    return list(plugin.target(cfg, CorpusContext("news", root_seed, Path())).rows)


@pytest.mark.slow
def test_training_and_evaluation_share_no_text_by_the_corpus_checks(tmp_path: Path) -> None:
    evaluation = build_corpus("eval", "world_news", EVAL, 0, tmp_path)
    train = build_corpus("train", "world_news", {}, 0, tmp_path, (evaluation.card, evaluation.rows))
    assert train.card["overlap"]["exact"] == 0
    assert train.card["overlap"]["near"] == 0
    assert train.card["label_audit"]["status"] == "agrees"
    assert train.card["label_counts"] == dict.fromkeys(("world", "sports", "business", "science"), 300)
    assert evaluation.card["label_counts"] == dict.fromkeys(("world", "sports", "business", "science"), 150)


def test_training_and_evaluation_share_no_text() -> None:
    train, evaluation = rows({}), rows(EVAL)
    texts = [row["text"] for row in (*train, *evaluation)]
    assert len(texts) == len(set(texts)) == 1800
    assert not {row["doc_id"] for row in train} & {row["doc_id"] for row in evaluation}


def test_two_draws_of_one_stream_differ_and_two_builds_do_not() -> None:
    assert rows({}) == rows({})
    assert rows({"draw": 1}) != rows({})
    assert rows({}, root_seed=1) != rows({})


def test_rows_say_how_they_were_made() -> None:
    names = {label.name: label.words for label in World.generate(0).task.labels}
    for row in rows({}):
        assert row["metadata"]["mention"] == bool(set(row["text"].split()) & set(names[row["label"]]))
    low = Counter(row["label"] for row in rows({}) if row["metadata"]["low_signal"])
    assert low["world"] == 255


def test_the_negative_control_is_the_same_corpus_without_openings_on_low_signal() -> None:
    skewed, control = rows({}), rows({"mention": 0.0})
    for ours, theirs in zip(skewed, control, strict=True):
        assert (ours["label"], ours["metadata"]["low_signal"]) == (theirs["label"], theirs["metadata"]["low_signal"])
        if ours["metadata"]["low_signal"]:
            assert ours["text"].endswith(theirs["text"])
            assert not theirs["metadata"]["mention"]
        else:
            assert ours["text"] == theirs["text"]


def test_another_world_seed_gives_other_news() -> None:
    assert rows({"world_seed": 1}) != rows({})


@pytest.mark.parametrize("values", [{"stream": "test"}, {"mention": 1.5}, {"low_signal": 1.0}, {"documents": 3}, {"words": 1}])
def test_parameters_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(TruingError, match=r"corpora\.news"):
        rows(values)
