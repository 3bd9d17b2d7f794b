"""Each source's own forms, its labels by name, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.core.errors import Exit, TruingError
from truing.corpora import CorpusContext, CorpusDraft, corpus
from truing.corpora import hub as hub_module
from truing.corpora.hatexplain import majority

COMMIT = "a" * 40


def draft(source: str, values: dict[str, Any], project: Path) -> CorpusDraft:
    plugin = corpus.get(source)
    return plugin.target(plugin.configure(values, "corpora.c"), CorpusContext("c", 7, project))


def pairs(found: CorpusDraft) -> list[tuple[str, str]]:
    return [(row["text"], row["label"]) for row in found.rows]


def news(
    folder: Path, csv: str = '"3","Title","says ""so"""\n"1","War","in a\\land"\n', classes: str = "World\nSports\nBusiness\nSci/Tech\n"
) -> Path:
    (folder / "test.csv").write_text(csv, encoding="utf-8")
    (folder / "classes.txt").write_text(classes, encoding="utf-8")
    return folder


def test_every_source_is_found_by_its_name() -> None:
    assert {"ag_news", "sst2", "hatexplain", "jsonl"} <= set(corpus.names())


def test_ag_news_counts_classes_from_one_and_names_them_from_the_list(tmp_path: Path) -> None:
    found = draft("ag_news", {"source": "test.csv"}, news(tmp_path))
    assert pairs(found) == [('Title says "so"', "Business"), ("War in a\\land", "World")]
    assert found.task is not None
    assert [(label.name, label.answer) for label in found.task.labels] == [
        ("World", "A"),
        ("Sports", "B"),
        ("Business", "C"),
        ("Sci/Tech", "D"),
    ]
    assert "B. Sports\nC. Business" in found.task.template
    assert found.source_revision is not None
    assert found.source_revision.startswith("sha256:")


def test_answers_go_by_name_whatever_the_order_of_the_map(tmp_path: Path) -> None:
    labels = {"Sci/Tech": "science", "Sports": "sports", "World": "world", "Business": "business"}
    found = draft(
        "ag_news", {"source": "test.csv", "labels": labels, "aliases": {"World": ["globe"]}, "template": "{text} ?"}, news(tmp_path)
    )
    assert found.task is not None
    assert {label.name: label.answer for label in found.task.labels} == labels
    assert [label.aliases for label in found.task.labels] == [("globe",), (), (), ()]
    assert found.task.names == ["World", "Sports", "Business", "Sci/Tech"]


@pytest.mark.parametrize(
    "labels",
    [
        {"world": "A", "sports": "B", "business": "C", "sci/tech": "D"},
        {"World": "A", "Sports": "B", "Business": "C"},
        {},
        {"positive": "A"},
    ],
)
def test_another_set_of_names_is_refused_with_both_lists(tmp_path: Path, labels: dict[str, str]) -> None:
    with pytest.raises(TruingError) as caught:
        draft("ag_news", {"source": "test.csv", "labels": labels}, news(tmp_path))
    assert caught.value.code == Exit.REFUSED
    assert ", ".join(labels) in caught.value.what
    assert "World, Sports, Business, Sci/Tech" in caught.value.expected


def test_equal_answers_stray_aliases_and_bad_templates_are_refused(tmp_path: Path) -> None:
    labels = {"World": "A", "Sports": "A", "Business": "C", "Sci/Tech": "D"}
    for values, message in (
        ({"labels": labels}, "share the answer A"),
        ({"aliases": {"world": ["x"]}}, "aliases: world"),
        ({"template": "x"}, "exactly once"),
    ):
        with pytest.raises(TruingError, match=message):
            draft("ag_news", {"source": "test.csv", **values}, news(tmp_path))


@pytest.mark.parametrize("index", ["0", "5", "x", "", "-1"])
def test_a_class_outside_the_list_names_file_line_and_value(tmp_path: Path, index: str) -> None:
    folder = news(tmp_path, f'"1","a","b"\n"{index}","c","d"\n')
    with pytest.raises(TruingError) as caught:
        list(draft("ag_news", {"source": "test.csv"}, folder).rows)
    assert f"test.csv: line 2 (row 2): label {index!r}" in caught.value.what
    assert "1 = World" in caught.value.expected


def test_ag_news_needs_its_list_of_classes(tmp_path: Path) -> None:
    (news(tmp_path) / "classes.txt").unlink()
    with pytest.raises(TruingError, match=r"classes.txt: no such file"):
        draft("ag_news", {"source": "test.csv"}, tmp_path)


def test_sst2_is_negative_at_zero(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_text('sentence\tlabel\nso "bad \t0\nso good\t1', encoding="utf-8")
    found = draft("sst2", {"source": "dev.tsv"}, tmp_path)
    assert pairs(found) == [('so "bad', "negative"), ("so good", "positive")]
    (tmp_path / "dev.tsv").write_text("hidden\t-1\n", encoding="utf-8")
    with pytest.raises(TruingError, match="label '-1'") as caught:
        list(draft("sst2", {"source": "dev.tsv"}, tmp_path).rows)
    assert "without labels" in caught.value.fix


def hate_posts(*votes: list[Any], nested: bool = True) -> list[dict[str, Any]]:
    return [
        {"post_tokens": ["post", str(i)], "annotators": [{"label": v, "target": []} for v in vote] if nested else {"label": vote}}
        for i, vote in enumerate(votes)
    ]


@pytest.mark.parametrize(
    ("document", "expected", "left_out"),
    [
        ([["a", "normal"], ["b", "hatespeech"]], [("a", "normal"), ("b", "hatespeech")], 0),
        (hate_posts([0, 0, 1], [2, 1, 2], [0, 1, 2], nested=False), [("post 0", "hatespeech"), ("post 1", "offensive")], 1),
        (hate_posts(["normal", "normal", "offensive"]), [("post 0", "normal")], 0),
        ({"id1": hate_posts([1, 1, 0])[0], "id2": hate_posts([0, 1])[0]}, [("post 0", "normal")], 1),
    ],
)
def test_hatexplain_reads_every_form_and_votes_by_name(
    tmp_path: Path, document: Any, expected: list[tuple[str, str]], left_out: int
) -> None:
    (tmp_path / "d.json").write_text(json.dumps(document), encoding="utf-8")
    found = draft("hatexplain", {"source": "d.json"}, tmp_path)
    assert pairs(found) == expected
    assert any(f"left out {left_out} of" in note for note in found.notes) == (left_out > 0)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([["a", "normal"], ["b", "hate"]], "row 2: label 'hate'"),
        ([["a", "normal"], ["b"]], "row 2"),
        (hate_posts([0, 0, 3]), "row 1: label 3"),
        (hate_posts(["hate"]), "row 1: label 'hate'"),
        (hate_posts([True, True]), "row 1: label True"),
        ([{"post_tokens": ["a"], "annotators": []}], "row 1: annotators"),
        ([{"text": "a"}], "row 1"),
    ],
)
def test_hatexplain_refuses_unknown_labels_and_shapes(tmp_path: Path, document: Any, message: str) -> None:
    (tmp_path / "d.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(TruingError, match=message):
        list(draft("hatexplain", {"source": "d.json"}, tmp_path).rows)


@settings(derandomize=True, max_examples=50)
@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=6), st.randoms(use_true_random=False))
def test_majority_depends_on_no_order_and_needs_a_strict_lead(votes: list[str], random: Any) -> None:
    shuffled = list(votes)
    random.shuffle(shuffled)
    won = majority(votes)
    assert won == majority(shuffled)
    counts = {name: votes.count(name) for name in "abc"}
    leaders = [name for name, count in counts.items() if count and count == max(counts.values())]
    assert won == (leaders[0] if len(leaders) == 1 else None)


def write_jsonl(path: Path, *rows: Any) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_jsonl_reads_documents_chats_and_pairs(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "d.jsonl", {"t": "x", "y": 1, "id": 9, "m": "kept"}, {"t": "z", "y": 0, "id": 8, "m": None})
    values = {
        "source": "d.jsonl",
        "text": "t",
        "label": "y",
        "label_names": {"0": "no", "1": "yes"},
        "doc_id": "id",
        "metadata": ["m"],
        "licence": "MIT",
    }
    found = draft("jsonl", values, tmp_path)
    assert list(found.rows) == [
        {"doc_id": "9", "source": "d", "text": "x", "label": "yes", "metadata": {"m": "kept"}},
        {"doc_id": "8", "source": "d", "text": "z", "label": "no", "metadata": {"m": None}},
    ]
    assert found.task is not None
    assert found.task.names == ["no", "yes"]
    write_jsonl(tmp_path / "p.jsonl", {"q": "a", "c": "b", "r": "d"})
    pair = draft("jsonl", {"source": "p.jsonl", "prompt": "q", "chosen": "c", "rejected": "r", "name": "mine"}, tmp_path)
    assert list(pair.rows) == [
        {"doc_id": "mine-0", "source": "mine", "prompt": "a", "chosen": "b", "rejected": "d", "label": None, "metadata": {}}
    ]
    assert pair.task is None
    write_jsonl(tmp_path / "m.jsonl", {"messages": [{"role": "user", "content": "a"}]})
    assert "messages" in next(iter(draft("jsonl", {"source": "m.jsonl", "messages": "messages"}, tmp_path).rows))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"t": "x", "y": "odd"}', "row 2: label 'odd'"),
        ('{"t": "x", "y": true}', "row 2: label True"),
        ('{"y": "a"}', "row 2: no field 't'"),
        ('{"t": 3, "y": "a"}', "row 2: field 't' holds int"),
        ('{"t": "x", "y": ', "line 2 is not JSON"),
    ],
)
def test_jsonl_names_file_row_and_value(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "d.jsonl").write_text('{"t": "x", "y": "a"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(TruingError, match=message) as caught:
        list(draft("jsonl", {"source": "d.jsonl", "text": "t", "label": "y", "label_names": ["a", "b"]}, tmp_path).rows)
    assert "d.jsonl" in caught.value.what


@pytest.mark.parametrize(
    "values", [{}, {"text": "t", "messages": "m"}, {"prompt": "p"}, {"text": "t", "label": "y"}, {"text": "t", "label_names": ["a"]}]
)
def test_jsonl_refuses_unclear_parameters(values: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TruingError, match=r"name exactly one of|go together"):
        draft("jsonl", {"source": "d.jsonl", **values}, tmp_path)


class FakeDataset:
    """The part of a `datasets.Dataset` that the sources read."""

    def __init__(self, rows: list[dict[str, Any]], names: list[str] | None, commit: str = COMMIT) -> None:
        self.rows = rows
        self.column_names = list(rows[0])
        self.features = {"label": SimpleNamespace(names=names)}
        self.cache_files = [{"filename": f"/cache/x/default/0.0.0/{commit}/x-train.arrow"}]

    def __iter__(self) -> Any:
        return iter(self.rows)


def serve(monkeypatch: pytest.MonkeyPatch, dataset: FakeDataset) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def load(*arguments: Any) -> FakeDataset:
        calls.append(arguments)
        return dataset

    monkeypatch.setattr(hub_module, "_load_hub", load)
    return calls


def test_the_hub_is_asked_for_the_pinned_commit_and_its_names_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = serve(monkeypatch, FakeDataset([{"text": "a", "label": 1}, {"text": "b", "label": 0}], ["Sports", "World"]))
    found = draft("ag_news", {"revision": COMMIT, "hub_split": "test", "repo": "me/news"}, tmp_path)
    assert calls == [("me/news", COMMIT, "test")]
    assert pairs(found) == [("a", "World"), ("b", "Sports")]
    assert found.source_revision == COMMIT


def test_another_commit_from_the_cache_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(monkeypatch, FakeDataset([{"text": "a", "label": 1}], ["x", "y"], commit="b" * 40))
    with pytest.raises(TruingError, match=f"gave commit {'b' * 40} instead of {COMMIT}"):
        draft("ag_news", {"revision": COMMIT}, tmp_path)


def test_missing_columns_names_and_loader_failures_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(monkeypatch, FakeDataset([{"text": "a"}], ["x", "y"]))
    with pytest.raises(TruingError, match="no column label"):
        draft("ag_news", {"revision": COMMIT}, tmp_path)
    serve(monkeypatch, FakeDataset([{"text": "a", "label": 0}], None))
    with pytest.raises(TruingError, match="without class names"):
        draft("ag_news", {"revision": COMMIT}, tmp_path)

    def fail(*_: Any) -> None:
        raise ConnectionError("no route\nmore")

    monkeypatch.setattr(hub_module, "_load_hub", fail)
    with pytest.raises(TruingError, match="ConnectionError: no route") as caught:
        draft("sst2", {"revision": COMMIT}, tmp_path)
    assert "source" in caught.value.fix
