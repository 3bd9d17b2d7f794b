"""The published files themselves: counts, labels, and an audit that agrees with them and flags their permutations."""

from __future__ import annotations

import json
import time
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from truing.contracts.task import Task
from truing.core.errors import TruingError
from truing.corpora.audit import label_audit
from truing.corpora.build import BuiltCorpus, build_corpus
from truing.corpora.content import question
from truing.corpora.hatexplain import AUDIT_WORDS

DATA = Path(__file__).parents[4] / "shared" / "data" / "classification"
NEWS, REVIEWS, POSTS = DATA / "ag_news" / "ag_news_test_0_5600.csv", DATA / "sst2", DATA / "hatexplain"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data is not at {DATA}")


def build(source: str, path: Path, heldout: Any = None, **values: Any) -> BuiltCorpus:
    return build_corpus(path.stem.replace("_", "-"), source, {"source": str(path), **values}, 7, DATA, heldout)


def test_ag_news_agrees_with_its_classes() -> None:
    import great_expectations  # noqa: F401  (its import is not what is timed)

    started = time.perf_counter()
    built = build("ag_news", NEWS)
    assert time.perf_counter() - started < 30
    assert built.card["label_counts"] == {"World": 1413, "Sports": 1398, "Business": 1378, "Sci/Tech": 1411}
    assert built.rows[0]["label"] == "Business"
    assert built.rows[0]["text"].startswith("Fears for T N pension after talks Unions representing workers")
    assert built.card["label_audit"]["status"] == "agrees"
    assert built.card["redistribution"] is False


@pytest.mark.parametrize(
    "order", [order for order in permutations(("World", "Sports", "Business", "Sci/Tech")) if order[0] in ("World", "Sports")][1::4]
)
def test_ag_news_with_permuted_names_is_flagged(tmp_path: Path, order: tuple[str, ...]) -> None:
    (tmp_path / NEWS.name).write_bytes(NEWS.read_bytes())
    (tmp_path / "classes.txt").write_text("\n".join(order) + "\n", encoding="utf-8")
    with pytest.raises(TruingError, match="fits the text better") as caught:
        build("ag_news", tmp_path / NEWS.name, max_rows=2000)
    true = ("World", "Sports", "Business", "Sci/Tech")
    assert all(
        f"rows labelled {name!r} speak of {fit!r}" in caught.value.what for name, fit in zip(order, true, strict=True) if name != fit
    )


@pytest.mark.slow
def test_near_copies_across_a_cut_of_ag_news_are_dropped() -> None:
    halves = {"train": 0.7, "eval": 0.3}
    held = build("ag_news", NEWS, split={"name": "eval", "of": halves})
    with pytest.raises(TruingError, match="among the held-out items"):
        build("ag_news", NEWS, (held.card, held.rows), split={"name": "train", "of": halves})
    train = build("ag_news", NEWS, (held.card, held.rows), split={"name": "train", "of": halves}, on_overlap="drop")
    overlap = train.card["overlap"]
    assert overlap["exact"] == 0
    assert overlap["near"] == overlap["dropped"] > 0
    assert train.card["rows"] + held.card["rows"] + overlap["dropped"] == 5600


def test_half_of_the_csv_is_refused(tmp_path: Path) -> None:
    data = NEWS.read_bytes()
    (tmp_path / "classes.txt").write_bytes((DATA / "ag_news" / "classes.txt").read_bytes())
    (tmp_path / "half.csv").write_bytes(data[: len(data) // 2])
    with pytest.raises(TruingError, match=r"half\.csv: .*row \d+"):
        build("ag_news", tmp_path / "half.csv")


def test_sst2_agrees_and_is_flagged_when_swapped(tmp_path: Path) -> None:
    built = build("sst2", REVIEWS / "dev.tsv")
    assert built.card["label_counts"] == {"negative": 428, "positive": 444}
    assert (built.rows[0]["text"], built.rows[0]["label"]) == ("one long string of cliches", "negative")
    assert built.card["label_audit"]["status"] == "agrees"
    lines = (REVIEWS / "dev.tsv").read_text(encoding="utf-8").strip().split("\n")
    (tmp_path / "dev.tsv").write_text("".join(f"{line[:-1]}{1 - int(line[-1])}\n" for line in lines), encoding="utf-8")
    with pytest.raises(TruingError, match="rows labelled 'negative' speak of 'positive'"):
        build("sst2", tmp_path / "dev.tsv")


def test_half_of_the_tsv_is_refused(tmp_path: Path) -> None:
    data = (REVIEWS / "dev.tsv").read_bytes()
    (tmp_path / "half.tsv").write_bytes(data[: len(data) // 2])
    with pytest.raises(TruingError, match=r"half\.tsv: line \d+ .*1 columns instead of 2"):
        build("sst2", tmp_path / "half.tsv")


def test_hatexplain_has_three_classes_and_its_head_is_refused() -> None:
    built = build("hatexplain", POSTS / "val.json")
    assert built.card["label_counts"] == {"hatespeech": 593, "normal": 781, "offensive": 548}
    assert built.card["label_audit"]["status"] == "agrees"
    with pytest.raises(TruingError, match="all 300 rows have the label 'normal'") as caught:
        build("hatexplain", POSTS / "val.json", rows=[0, 300])
    assert "sorted by class" in caught.value.fix
    assert set(build("hatexplain", POSTS / "val.json", max_rows=300).card["label_counts"].values()) == {93, 122, 85}
    task = Task.model_validate(built.card["task"])
    for order in list(permutations(task.names))[1:]:
        moved = dict(zip(task.names, order, strict=True))
        labels = [moved[row["label"]] for row in built.rows]
        assert label_audit([question(row) for row in built.rows], labels, task, AUDIT_WORDS, 7, "k")["status"] == "flagged"


def test_half_of_the_json_is_refused(tmp_path: Path) -> None:
    data = (POSTS / "val.json").read_bytes()
    (tmp_path / "half.json").write_bytes(data[: len(data) // 2])
    with pytest.raises(TruingError, match=r"half\.json: line \d+, column \d+: not JSON"):
        build("hatexplain", tmp_path / "half.json")


def test_instruction_data_is_read_as_plain_lines() -> None:
    path = DATA.parent / "instruct" / "gsm8k" / "train_0_3000.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    built = build("jsonl", path, text="question", metadata=["answer"], max_rows=500, licence="MIT", redistribution=True)
    assert built.card["rows"] == 500
    assert built.card["task"] is None
    assert json.dumps(built.card)
