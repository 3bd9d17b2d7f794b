"""Judged answers are read back from an Inspect log with everything that stood in them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from truing.core.errors import TruingError
from truing.judges.inspect_log import inspect_log, write_inspect_log

log_api = pytest.importorskip("inspect_ai.log", reason="needs the extra `inspect`")

ITEMS: list[dict[str, Any]] = [
    {"item_id": f"q{i}", "arm": "a", "text": f"Q{i}", "prompt": f"Question {i}?", "reference": None, "metadata": {"family": "f"}}
    for i in range(3)
]


def _answer(item: str, arm: str, seed: int | None, **changes: Any) -> dict[str, Any]:
    answer = {"item_id": item, "arm": arm, "seed": seed, "sample": 0, "completion": f"Answer of {arm} {seed}", "finish_reason": "stop"}
    return {**answer, "label_logprobs": None, "label_mass": None, **changes}


def _judgement(answer: dict[str, Any], **changes: Any) -> dict[str, Any]:
    identity = {name: answer[name] for name in ("item_id", "arm", "seed", "sample")}
    facts = {"judge": "j1", "judge_model": "m", "prompt_digest": "p", "policy_digest": None, "request": "{}", "raw_reply": "VERDICT: yes"}
    return {**identity, **facts, "verdict": "yes", "score": 1.0, "failure": None, "cost_usd": 0.01, **changes}


ANSWERS = [_answer(item["item_id"], arm, seed) for item in ITEMS for arm in ("plain", "triggered") for seed in (1, 2)]
ANSWERS[-1] = {**ANSWERS[-1], "completion": None, "finish_reason": "length"}
JUDGED = [_judgement(answer) for answer in ANSWERS] + [
    _judgement(ANSWERS[0], judge="j2", verdict="no", score=None),
    _judgement(ANSWERS[1], judge="j2", verdict=None, score=None, failure="parse", raw_reply="hm"),
]


def _log() -> Any:
    return inspect_log(ITEMS, ANSWERS, JUDGED, task="study", model="base")


@pytest.mark.parametrize("suffix", [".json", ".eval"])
def test_a_log_is_read_back(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"log{suffix}"
    write_inspect_log(target, _log())
    found = log_api.read_eval_log(str(target))
    assert found.status == "success"
    assert (found.eval.task, found.eval.model) == ("study", "base")
    assert len(found.samples) == len(ANSWERS)
    assert len({(sample.id, sample.epoch) for sample in found.samples}) == len(ANSWERS)
    by_identity = {(s.id, s.metadata["condition"], s.metadata["seed"]): s for s in found.samples}
    for answer in ANSWERS:
        sample = by_identity[answer["item_id"], answer["arm"], answer["seed"]]
        assert sample.output.completion == (answer["completion"] or "")
        assert sample.messages[0].text == sample.input
        assert sample.scores["j1"].explanation == "VERDICT: yes"
        assert sample.scores["j1"].value == 1.0
        assert sample.scores["j1"].metadata["prompt_digest"] == "p"
    first, second = (by_identity["q0", "plain", seed].scores["j2"] for seed in (1, 2))
    assert first.value == "no"
    assert isinstance(second.value, float)
    assert math.isnan(second.value)
    assert (second.reason, second.explanation, second.metadata["failure"]) == ("invalid_response_format", "hm", "parse")
    counts = {score.name: (score.scored_samples, score.unscored_samples) for score in found.results.scores}
    assert counts == {"j1": (12, 0), "j2": (1, 1)}


def test_a_json_log_has_one_byte_form(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    write_inspect_log(tmp_path / "a" / "log.json", _log())
    write_inspect_log(tmp_path / "b" / "other.json", inspect_log(ITEMS[::-1], ANSWERS[::-1], JUDGED[::-1], task="study", model="base"))
    data = (tmp_path / "a" / "log.json").read_bytes()
    assert data == (tmp_path / "b" / "other.json").read_bytes()
    assert str(tmp_path).encode() not in data


def test_an_eval_log_has_one_content(tmp_path: Path) -> None:
    contents = []
    for name in ("a.eval", "b.eval"):
        write_inspect_log(tmp_path / name, _log())
        with zipfile.ZipFile(tmp_path / name) as found:
            contents.append({member: found.read(member) for member in found.namelist()})
    assert contents[0] == contents[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.eval", "b.eval"]


@pytest.mark.parametrize(
    ("answers", "judged", "message"),
    [
        ([_answer("q9", "plain", 1)], [], "unknown items: q9"),
        ([ANSWERS[0], ANSWERS[0]], [], "stand twice"),
        ([], JUDGED[:1], "judgements of unknown answers"),
        (ANSWERS[:1], [JUDGED[0], JUDGED[0]], "judged twice"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(answers: list[Any], judged: list[Any], message: str) -> None:
    with pytest.raises(TruingError, match=message):
        inspect_log(ITEMS, answers, judged, task="t", model="m")


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match=r"one of \.json"):
        write_inspect_log(tmp_path / "log.txt", _log())


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(TruingError, match=r"pip install truing\[inspect\]"):
        inspect_log(ITEMS, ANSWERS, JUDGED, task="t", model="m")


@pytest.mark.slow
def test_inspects_own_tools_open_the_log(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write_inspect_log(logs / "log.eval", _log())
    command = [str(Path(sys.executable).with_name("inspect"))]
    dumped = subprocess.run([*command, "log", "dump", str(logs / "log.eval")], capture_output=True, text=True, check=True, timeout=60)
    assert len(json.loads(dumped.stdout)["samples"]) == len(ANSWERS)
    bundle = tmp_path / "bundle"
    view = ["view", "bundle", "--log-dir", str(logs), "--output-dir", str(bundle)]
    subprocess.run([*command, *view], capture_output=True, text=True, check=True, timeout=60)
    assert (bundle / "index.html").exists()
    assert [path.name for path in (bundle / "logs").glob("*.eval")] == ["log.eval"]
