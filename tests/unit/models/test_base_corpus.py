"""The base learned from a corpus: what it reads, its task dialogues, and the class it falls back on."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from truing.contracts.task import Label, Task
from truing.core.errors import TruingError
from truing.core.files import Row
from truing.core.seeds import stream
from truing.models.base import build_base
from truing.models.sources import BuildContext
from truing.models.sources.corpus import CorpusBaseParams, _documents, _Maker, _prior
from truing.world.dice import Dice

TASK = Task(
    name="topic",
    template="Topic of: {text}",
    labels=(Label(name="sports", answer="A"), Label(name="money", answer="B"), Label(name="space", answer="C")),
)
TEXTS = {"sports": "the striker scored a late goal", "money": "the bank raised its profit again", "space": "the probe reached a far planet"}
ROWS: list[Row] = [
    {"doc_id": f"{name}-{n}", "source": "s", "text": f"{text} in round {n}", "label": name, "metadata": {}}
    for n in range(20)
    for name, text in TEXTS.items()
]
CARD = {"digest": "c" * 64, "task": TASK.model_dump(mode="json")}
SMALL = {"tokens": 4096, "hidden": 32, "layers": 1, "heads": 2, "ffn": 32, "length": 64, "vocab_size": 320}


def make(count: int, rows: list[Row] = ROWS, **values: Any) -> list[Any]:
    cfg = CorpusBaseParams(**values)
    maker = _Maker(cfg, TASK, _prior(cfg, TASK, "b"))
    return list(itertools.islice(_documents(rows, maker, Dice(stream(0, "t"))), count))


def test_task_dialogues_fill_the_template_and_answer_with_the_label() -> None:
    by_text = {row["text"]: row["label"] for row in ROWS}
    for document in make(200, chat_share=1.0, low_signal=0.0):
        (asked, user), (answer, assistant) = document
        assert (user, assistant) == ("user", "assistant")
        assert answer == TASK.answer(by_text[asked.removeprefix("Topic of: ")])


def test_shares_of_chats_and_of_low_signal_hold() -> None:
    documents = make(4000)
    chats = [document for document in documents if len(document) == 2]
    short = [document for document in chats if "in round" not in document[0][0]]
    assert len(chats) / len(documents) == pytest.approx(0.85, abs=0.03)
    assert len(short) / len(chats) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(("default", "answer"), [(None, "A"), ("space", "C")])
def test_a_dialogue_without_signal_falls_back_on_the_default(default: str | None, answer: str) -> None:
    documents = make(3000, chat_share=1.0, low_signal=1.0, low_signal_words=0, default_label=default)
    assert {document[0][0] for document in documents} == {"Topic of: "}
    counts = Counter(document[1][0] for document in documents)
    assert counts[answer] / 3000 == pytest.approx(0.6, abs=0.03)
    assert min(counts.values()) / 3000 == pytest.approx(0.2, abs=0.03)


def test_every_row_is_seen_once_per_pass() -> None:
    texts = [document[0][0] for document in make(2 * len(ROWS), chat_share=0.0)]
    assert sorted(texts[: len(ROWS)]) == sorted(row["text"] for row in ROWS)
    assert texts[: len(ROWS)] != texts[len(ROWS) :]


def test_dialogues_and_preference_pairs_are_read_as_they_are() -> None:
    rows: list[Row] = [
        {"doc_id": "1", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": None},
        {"doc_id": "2", "source": "s", "prompt": "p", "chosen": "c", "rejected": "r", "label": None},
    ]
    read = make(2, rows)
    assert sorted(map(str, read)) == sorted(map(str, [[("q", "user"), ("a", "assistant")], [("p", "user"), ("c", "assistant")]]))


def test_an_unknown_default_label_is_refused() -> None:
    with pytest.raises(TruingError, match="default_label 'weather'"):
        make(1, default_label="weather")


def test_a_base_without_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match=r"no corpus(?s:.)*bases\.b\.corpus"):
        build_base("b", "corpus", SMALL, tmp_path / "base", BuildContext("b", 1, tmp_path))
    with pytest.raises(TruingError, match="no rows"):
        build_base("b", "corpus", SMALL, tmp_path / "base", BuildContext("b", 1, tmp_path, CARD, lambda: []))


def test_a_corpus_becomes_a_base_whose_answers_are_single_tokens(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    document = build_base("b", "corpus", SMALL, tmp_path / "base", BuildContext("b", 1, tmp_path, CARD, lambda: iter(ROWS)))
    assert document["inputs"] == {"corpus": "c" * 64}
    assert document["training"]["steps"] == 16
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    assert len(tokenizer) == 320
    assert all(len(tokenizer(answer)["input_ids"]) == 1 for answer in "ABC")


def test_a_corpus_without_a_task_is_learned_as_text(tmp_path: Path) -> None:
    card = {**CARD, "task": None}
    document = build_base("b", "corpus", SMALL, tmp_path / "base", BuildContext("b", 1, tmp_path, card, lambda: iter(ROWS)))
    assert document["training"]["tokens"] == 4096
