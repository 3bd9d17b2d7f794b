"""A verdict is a word of a closed vocabulary or a failure class, and stands beside the answer it is about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from truing.core.errors import TruingError
from truing.judges import JudgeContext, judge
from truing.judges.exact_match import ExactMatchParams, exact_match
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


def judged(items: list[dict[str, Any]], answers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    context = JudgeContext("here", 0, lambda: iter(items), lambda: iter(answers))
    return judge.get("exact_match").target.judgements(ExactMatchParams(), context)


def test_judgements_are_written_with_their_failures_counted(tmp_path: Path) -> None:
    answers = [_answer("four"), _answer("four", "length", sample=1)]
    facts = judge.get("exact_match").target.facts(ExactMatchParams())
    write_judgements(tmp_path / "j", judged([ITEM], answers), {"key": "j", "judge": "exact", "params": {}, "inputs": {}, **facts})
    meta = json.loads((tmp_path / "j" / "meta.json").read_text())
    assert (meta["rows"], meta["failures"]) == (2, {"truncated": 1})
    lines = [json.loads(line) for line in (tmp_path / "j" / "judgements.jsonl").read_text().splitlines()]
    assert [line["score"] for line in lines] == [1.0, None]


def test_an_answer_to_an_unknown_item_is_refused() -> None:
    with pytest.raises(TruingError, match="'q2'"):
        list(judged([ITEM], [_answer("four", item="q2")]))
