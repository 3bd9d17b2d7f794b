from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from truing.contracts.task import Label, Task
from truing.core.errors import TruingError
from truing.signals import ResponsesTable, SignalContext
from truing.signals.compute import compute

LABELS = ("world", "sports", "science")


def answer(item: str, arm: str, probabilities: list[float] | None) -> dict[str, Any]:
    logs = None if probabilities is None else [math.log(p) if p else -math.inf for p in probabilities]
    return {"item_id": item, "arm": arm, "seed": None, "sample": 0, "label_logprobs": logs}


def run(
    answers: list[dict[str, Any]], labels: tuple[str, ...] = LABELS, task: Task | None = None, **values: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    responses = ResponsesTable(items=pd.DataFrame(), answers=pd.DataFrame(answers), meta={"labels": list(labels)})
    rows = [{"doc_id": f"d{i}", "text": ""} for i in range(3)]
    context = SignalContext(key="p", root_seed=0, card={}, task=task, rows=lambda: rows, responses=responses)
    frames, facts = compute("null_prior", values, context)
    return pd.concat(list(frames), ignore_index=True), facts()


def test_families_weigh_the_same_however_many_items_they_have() -> None:
    answers = [answer("e", "empty", [0.8, 0.1, 0.1])]
    answers += [answer(f"r{i}", "random_words", p) for i, p in enumerate(([0.1, 0.7, 0.2], [0.1, 0.5, 0.4], [0.1, 0.6, 0.3]))]
    table, facts = run(answers)
    assert [facts["prior"][label] for label in LABELS] == pytest.approx([0.45, 0.35, 0.2])
    assert (facts["default_label"], facts["runner_up"]) == ("world", "sports")
    assert facts["margin"] == pytest.approx(0.1)
    assert table["doc_id"].tolist() == ["d0", "d1", "d2"]
    assert table["default_label"].tolist() == ["world"] * 3
    assert table["null_prior.sports"].tolist() == pytest.approx([0.35] * 3)


def test_inputs_that_still_tell_of_the_text_stay_out_unless_asked_for() -> None:
    answers = [
        answer("e", "empty", [0.6, 0.2, 0.2]),
        answer("s", "shuffled", [0.1, 0.8, 0.1]),
        answer("m", "masked_050", [0.1, 0.8, 0.1]),
    ]
    assert run(answers)[1]["default_label"] == "world"
    assert run(answers, arms=["shuffled"])[1]["default_label"] == "sports"
    assert set(run([*answers, answer("x", "masked_100", [0.4, 0.3, 0.3])])[1]["arms"]) == {"empty"}


def test_label_mass_does_not_matter() -> None:
    thin = run([answer("e", "empty", [0.06, 0.02, 0.02])])[1]
    assert [thin["prior"][label] for label in LABELS] == pytest.approx([0.6, 0.2, 0.2])


def test_equal_labels_go_to_the_first_in_task_order() -> None:
    facts = run([answer("e", "empty", [0.2, 0.4, 0.4])])[1]
    assert (facts["default_label"], facts["runner_up"], facts["margin"]) == ("sports", "science", 0.0)


@pytest.mark.parametrize("probabilities", [None, [0.5, 0.5], [0.5, 0.5, 0.0]])
def test_missing_or_misshapen_answers_are_refused(probabilities: list[float] | None) -> None:
    with pytest.raises(TruingError, match="e1"):
        run([answer("e0", "empty", [0.2, 0.4, 0.4]), answer("e1", "empty", probabilities)])


def test_absent_arms_responses_and_foreign_labels_are_refused() -> None:
    answers = [answer("e", "empty", [0.2, 0.4, 0.4])]
    with pytest.raises(TruingError, match="fog"):
        run(answers, arms=["empty", "fog"])
    with pytest.raises(TruingError, match="placeholder"):
        run([answer("s", "shuffled", [0.2, 0.4, 0.4])])
    other = Task(name="t", template="{text}", labels=(Label(name="yes", answer="A"), Label(name="no", answer="B")))
    with pytest.raises(TruingError, match="labels"):
        run(answers, task=other)
    with pytest.raises(TruingError, match="no responses"):
        compute("null_prior", {}, SignalContext(key="p", root_seed=0, card={}, task=None, rows=list))
