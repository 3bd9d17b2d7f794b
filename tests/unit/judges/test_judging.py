"""A verdict is a word of a closed vocabulary or a failure class, and stands beside the answer it is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from truing.core.errors import TruingError
from truing.judges import judge
from truing.judges.exact_match import ExactMatchParams, exact_match
from truing.judges.run import judgements
from truing.planning.artifacts import write_judgements

ITEM: dict[str, Any] = {"item_id": "q1", "arm": "a", "text": "2 + 2", "prompt": "2 + 2", "reference": "four", "metadata": {}}


def _answer(completion: str | None, finish: str = "stop", item: str = "q1", sample: int = 0) -> dict[str, Any]:
    return {"item_id": item, "arm": "a", "seed": 1, "sample": sample, "completion": completion, "finish_reason": finish}


@pytest.mark.parametrize(
    ("completion", "finish", "verdict", "failure"),
    [
        (" Four.", "stop", "match", None),
        ("fourteen", "stop", "differs", None),
        ("four", "length", None, "truncated"),
        (None, "stop", None, "parse"),
    ],
)
def test_exact_match(completion: str | None, finish: str, verdict: str | None, failure: str | None) -> None:
    found = exact_match(ExactMatchParams(), ITEM, _answer(completion, finish))
    assert (found.verdict, found.failure) == (verdict, failure)
    assert (found.score is None) == (verdict is None)


def test_case_can_matter() -> None:
    assert exact_match(ExactMatchParams(ignore_case=False), ITEM, _answer("Four")).verdict == "differs"


def test_judgements_are_written_with_their_failures_counted(tmp_path: Path) -> None:
    answers = [_answer("four"), _answer("four", "length", sample=1)]
    rows = judgements(judge.get("exact_match"), {}, [ITEM], answers, "here")
    write_judgements(tmp_path / "j", rows, {"key": "j", "judge": "exact_match", "params": {}, "inputs": {}})
    meta = json.loads((tmp_path / "j" / "meta.json").read_text())
    assert (meta["rows"], meta["failures"]) == (2, {"truncated": 1})
    lines = [json.loads(line) for line in (tmp_path / "j" / "judgements.jsonl").read_text().splitlines()]
    assert [line["score"] for line in lines] == [1.0, None]


def test_an_answer_to_an_unknown_item_is_refused() -> None:
    with pytest.raises(TruingError, match="'q2'"):
        list(judgements(judge.get("exact_match"), {}, [ITEM], [_answer("four", item="q2")], "here"))
