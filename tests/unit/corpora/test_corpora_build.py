"""A corpus is built with a card that says what was checked, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from truing.core.digests import canonical_json, digest_bytes
from truing.core.errors import Exit, TruingError
from truing.corpora import Answered
from truing.corpora.build import BuiltCorpus, build_corpus
from truing.corpora.expectations import data_docs
from truing.corpora.overlap import keep_out

BASE = {
    "source": "d.jsonl",
    "text": "text",
    "label": "label",
    "label_names": ["left", "right"],
    "doc_id": "id",
    "audit_words": {"left": ["port"]},
}


def rows_for(count: int, mention: float = 0.5, share: float = 0.5) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    found = []
    for index in range(count):
        label = "left" if index < count * share else "right"
        word = {"left": "port", "right": "right"}[label] if rng.random() < mention else "nothing"
        found.append({"id": f"d{index}", "text": f"document {index} says {word} {rng.integers(10**9)}", "label": label})
    return found


def build(folder: Path, rows: list[dict[str, Any]], heldout: Any = None, **values: Any) -> BuiltCorpus:
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return build_corpus("c", "jsonl", {**BASE, **values}, 7, folder, heldout)


def test_the_card_says_what_the_corpus_is(tmp_path: Path) -> None:
    built = build(tmp_path, rows_for(200))
    card = built.card
    assert (card["key"], card["source"], card["rows"], card["label_counts"]) == ("c", "jsonl", 200, {"left": 100, "right": 100})
    assert card["digest"] == digest_bytes(b"".join(canonical_json(row) + b"\n" for row in built.rows))
    assert card["label_audit"]["status"] == "agrees"
    assert card["overlap"] is None
    assert [row["doc_id"] for row in built.rows] == [f"d{i}" for i in range(200)]
    assert build(tmp_path, rows_for(200)) == built


def test_the_verdicts_hold_no_identifiers_and_name_every_expectation(tmp_path: Path) -> None:
    checks = build(tmp_path, rows_for(60)).card["checks"]
    assert all(set(one) == {"expectation", "arguments", "success", "unexpected_count"} and one["success"] for one in checks)
    assert "batch_id" not in canonical_json(checks).decode()
    kinds = {one["expectation"] for one in checks}
    assert {"expect_column_values_to_be_unique", "expect_column_value_lengths_to_be_between", "expect_column_values_to_be_in_set"} <= kinds
    assert checks == sorted(checks, key=lambda one: (one["expectation"], canonical_json(one["arguments"])))


def broken(index: int, **change: Any) -> list[dict[str, Any]]:
    found = rows_for(60)
    found[index] = found[index] | change
    return found


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (rows_for(60, share=1.0), "all 60 rows have the label 'left'"),
        (broken(4, label=None), r"no label in row 5 \(d4\)"),
        (broken(4, text=" \n"), r"empty text in row 5 \(d4\): text"),
        (broken(4, id="d2"), "row 5: duplicate doc_id d2"),
        (rows_for(400, share=0.99), r"1 of 15 expectations fail:\s+expect_column_values_to_not_be_in_set"),
        ([], "no row is left"),
    ],
)
def test_content_that_would_mislead_is_refused(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(TruingError, match=message) as caught:
        build(tmp_path, rows)
    assert caught.value.code == Exit.REFUSED
    assert "corpora.c" in str(caught.value)


def test_examples_in_errors_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match=r"and 55 more") as caught:
        build(tmp_path, [row | {"text": ""} for row in rows_for(60)])
    assert len(str(caught.value)) < 600


def test_an_uneven_corpus_is_built_when_it_is_meant_to_be(tmp_path: Path) -> None:
    assert build(tmp_path, rows_for(400, share=0.99), class_share=[0.0, 1.0]).card["label_counts"] == {"left": 396, "right": 4}


def test_a_flagged_map_fails_or_warns(tmp_path: Path) -> None:
    swapped = [row | {"label": "left" if row["label"] == "right" else "right"} for row in rows_for(300)]
    with pytest.raises(TruingError, match="fits the text better") as caught:
        build(tmp_path, swapped)
    assert caught.value.code == Exit.REFUSED
    card = build(tmp_path, swapped, audit="warn").card
    assert card["label_audit"]["status"] == "flagged"
    assert any("flagged" in note for note in card["notes"])


def test_overlap_with_the_held_out_items_fails_or_is_dropped(tmp_path: Path) -> None:
    train, held = rows_for(200), [*rows_for(200)[50:52], {"id": "own", "text": "a text of its own", "label": "left"}]
    evaluation = build(tmp_path, [held[0], held[1], held[2], {"id": "r", "text": "something right here", "label": "right"}])
    with pytest.raises(TruingError, match="2 of 200 rows are among the held-out items of c"):
        build(tmp_path, train, (evaluation.card, evaluation.rows))
    built = build(tmp_path, train, (evaluation.card, iter(evaluation.rows)), on_overlap="drop")
    assert built.card["rows"] == 198
    assert (built.card["overlap"]["exact"], built.card["overlap"]["dropped"]) == (2, 2)
    assert built.card["overlap"]["heldout_digest"] == evaluation.card["digest"]


def test_parts_of_one_cut_do_not_overlap(tmp_path: Path) -> None:
    rows = [*rows_for(300), *({"id": f"again{row['id']}", "text": row["text"].upper(), "label": row["label"]} for row in rows_for(50))]
    halves = {"train": 0.6, "eval": 0.4}
    held = build(tmp_path, rows, split={"name": "eval", "of": halves})
    train = build(tmp_path, rows, (held.card, held.rows), split={"name": "train", "of": halves}, near_threshold=1.0)
    assert train.card["overlap"]["dropped"] == 0
    assert train.card["rows"] + held.card["rows"] == 350


def test_repeated_and_disputed_texts_are_noted(tmp_path: Path) -> None:
    rows = [*rows_for(60), {"id": "x", "text": "Same words", "label": "left"}, {"id": "y", "text": "same  words", "label": "right"}]
    assert build(tmp_path, rows).card["notes"] == ["1 rows repeat the text of an earlier row", "1 texts occur under different labels"]


def test_pairs_and_chats_are_built_without_a_task(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"p": "q", "c": "good", "r": "bad"}\n{"p": "q2", "c": "good", "r": "bad"}\n', encoding="utf-8")
    pairs = build_corpus("p", "jsonl", {"source": "p.jsonl", "prompt": "p", "chosen": "c", "rejected": "r"}, 7, tmp_path)
    assert (pairs.card["task"], pairs.card["label_audit"], pairs.card["label_counts"]) == (None, None, {})
    chat = {"m": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}
    (tmp_path / "m.jsonl").write_text(json.dumps(chat) + "\n", encoding="utf-8")
    with pytest.raises(TruingError, match=r"empty text in row 1 \(m-0\): messages/1"):
        build_corpus("m", "jsonl", {"source": "m.jsonl", "messages": "m"}, 7, tmp_path)
    (tmp_path / "m.jsonl").write_text(json.dumps({"m": [{"role": "robot", "content": "a"}]}) + "\n", encoding="utf-8")
    with pytest.raises(TruingError, match="'robot' is not one of"):
        build_corpus("m", "jsonl", {"source": "m.jsonl", "messages": "m"}, 7, tmp_path)
    (tmp_path / "m.jsonl").write_text(json.dumps({"m": [{"role": "user"}]}) + "\n", encoding="utf-8")
    with pytest.raises(TruingError, match="'content' is a required property"):
        build_corpus("m", "jsonl", {"source": "m.jsonl", "messages": "m"}, 7, tmp_path)


def test_unknown_sources_and_keys_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match="unknown corpus 'nowhere'") as caught:
        build_corpus("c", "nowhere", {}, 7, tmp_path)
    assert "ag_news" in caught.value.expected
    with pytest.raises(TruingError, match="spilt") as caught:
        build(tmp_path, rows_for(10), spilt=1)
    assert caught.value.code == Exit.USAGE


def test_pages_are_built_on_demand(tmp_path: Path) -> None:
    built = build(tmp_path, rows_for(60))
    index = data_docs(built.card, built.rows, tmp_path / "docs")
    assert index == tmp_path / "docs" / "index.html"
    pages = list((tmp_path / "docs").rglob("*.html"))
    assert any("validations" in page.parts for page in pages)
    assert "doc_id" in next(page for page in pages if "validations" in page.parts).read_text(encoding="utf-8")


@pytest.mark.slow
def test_nothing_is_printed_and_nothing_heavy_is_imported_early(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_for(60)), encoding="utf-8")
    script = (
        "import sys\nfrom pathlib import Path\nfrom truing.corpora import corpus\nimport truing.corpora.build as b\ncorpus.names()\n"
        "heavy = {'great_expectations', 'datasets', 'pandas', 'scipy', 'torch'} & set(sys.modules)\nassert not heavy, heavy\n"
        f"b.build_corpus('c', 'jsonl', {BASE!r}, 7, Path({str(tmp_path)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_held_out_rows_may_be_none() -> None:
    from truing.corpora import CommonParams, CorpusContext

    row: dict[str, Any] = {"doc_id": "a", "source": "s", "text": "alpha beta gamma", "label": None, "metadata": {}}
    kept, account = keep_out([row], ({"key": "e", "digest": "0" * 64}, []), CommonParams(), CorpusContext("c", 7, Path()))
    assert (kept, account["dropped"]) == ([row], 0)


def test_the_card_names_whose_answers_the_corpus_is_made_of(tmp_path: Path) -> None:
    assert build(tmp_path, rows_for(60)).card["distiller"] is None
    answered = Answered([], [], "tiny", "0" * 64, {"42": "1" * 64})
    built = build_corpus("c", "jsonl", BASE, 7, tmp_path, None, answered)
    assert built.card["distiller"] == {"base": "tiny", "base_digest": "0" * 64, "adapters": {"42": "1" * 64}}
    assert built.card["restricted"] is None
