"""The ledger counts, refuses and shows every change; Thresholdout keeps an adaptive analyst honest."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from truing.core.errors import Exit, TruingError
from truing.core.seeds import stream
from truing.stats.holdout import START, Ledger, Thresholdout, open_seal, sealed_split, verify

SET, OTHER = "a" * 64, "b" * 64


def asked(questions: int, budget: int = 10) -> Ledger:
    ledger = Ledger(budget)
    for number in range(questions):
        ledger = ledger.query(SET, f"metric {number}", ["placebo", "reweighted"], "report")
    return ledger


def test_each_question_is_recorded_and_paid_for() -> None:
    empty = Ledger(3)
    one = empty.query(SET, "gap", ["reweighted", "uniform"], "report")
    two = one.query(SET, "gap", ["placebo", "uniform"], "report").query(OTHER, "gap", ["placebo"], "report")
    assert (empty.spent(SET), one.spent(SET), two.spent(SET), two.spent(OTHER)) == (0, 1, 2, 1)
    assert empty.entries == ()
    assert two.rows()[0] == one.rows()[0]
    assert [row["previous"] for row in two.rows()] == [START, *(row["digest"] for row in two.rows()[:-1])]


def test_the_budget_is_per_set_and_refuses_with_its_own_exit_code() -> None:
    ledger = asked(2, budget=2)
    with pytest.raises(TruingError, match="question 3") as refused:
        ledger.query(SET, "another", ["placebo"], "report")
    assert int(refused.value.code) == 4
    assert ledger.query(OTHER, "another", ["placebo"], "report").spent(OTHER) == 1


def test_a_repeat_is_free_also_when_the_budget_is_out() -> None:
    ledger = asked(2, budget=2)
    assert ledger.query(SET, "metric 0", ["placebo", "reweighted"], "report") is ledger
    assert ledger.query(SET, "metric 0", ["reweighted", "placebo"], "report") is ledger
    for changed in ((OTHER, "metric 0", ["placebo", "reweighted"], "report"), (SET, "metric 0", ["placebo"], "report")):
        assert Ledger(9, ledger.entries).query(*changed) != Ledger(9, ledger.entries)
    with pytest.raises(TruingError):
        ledger.query(SET, "metric 0", ["placebo", "reweighted"], "select")


def test_rows_survive_json_and_continue_the_chain() -> None:
    ledger = asked(3)
    rows = [json.loads(json.dumps(row)) for row in ledger.rows()]
    again = Ledger.from_rows(rows, 10, head=ledger.head)
    assert again == ledger
    assert again.query(SET, "more", ["placebo"], "report") == ledger.query(SET, "more", ["placebo"], "report")
    assert Ledger.from_rows([], 10, head=START).entries == ()


def edited(rows: list[dict[str, Any]], where: int, field: str) -> list[dict[str, Any]]:
    old = rows[where][field]
    if isinstance(old, str):
        new: object = old[:-1] + ("0" if old[-1] != "0" else "1")
    else:
        new = old + 1 if isinstance(old, int) else [*old, "x"]
    return [row | {field: new} if number == where else row for number, row in enumerate(rows)]


@settings(max_examples=60, deadline=None)
@given(where=st.integers(0, 4), data=st.data())
def test_an_edit_of_any_field_of_any_line_is_seen(where: int, data: st.DataObject) -> None:
    rows = asked(5).rows()
    field = data.draw(st.sampled_from(sorted(rows[0])))
    with pytest.raises(TruingError, match=f"entry {where} ") as broken:
        verify(edited(rows, where, field))
    assert broken.value.code == Exit.REFUSED


@pytest.mark.parametrize("where", range(5))
def test_a_removed_line_is_seen(where: int) -> None:
    ledger = asked(5)
    rows = [row for number, row in enumerate(ledger.rows()) if number != where]
    with pytest.raises(TruingError):
        verify(rows, head=ledger.head)
    if where == 4:  # the chain alone can't show that its end was cut off; the head can
        assert len(verify(rows)) == 4
    else:
        with pytest.raises(TruingError, match=f"entry {where} "):
            verify(rows)


def test_a_line_that_was_swapped_for_a_consistent_one_breaks_the_chain_after_it() -> None:
    # A forged line with its own digest right is seen by the line that follows it.
    forged = asked(1).query(SET, "forged", ["placebo"], "report").rows()
    with pytest.raises(TruingError, match=r"entry 2 .*previous"):
        verify([*forged, *asked(4).rows()[2:]])


def test_moved_added_and_malformed_lines_are_seen() -> None:
    rows = asked(4).rows()
    field = {"note": "added"}
    for broken in (
        [rows[1], rows[0], *rows[2:]],
        [*rows, rows[-1]],
        [rows[0] | field, *rows[1:]],
        [{name: value for name, value in rows[0].items() if name != "arms"}, *rows[1:]],
        [rows[0] | {"budget": None}, *rows[1:]],
    ):
        with pytest.raises(TruingError) as refused:
            verify(broken)
        assert refused.value.code == Exit.REFUSED


def test_a_raised_budget_stays_visible() -> None:
    ledger = asked(2, budget=2)
    raised = Ledger(5, ledger.entries).query(SET, "more", ["placebo"], "report")
    assert [row["budget"] for row in raised.rows()] == [2, 2, 5]


@pytest.mark.parametrize(
    "question", [("", "m", ["a"], "k"), (SET, "", ["a"], "k"), (SET, "m", [], "k"), (SET, "m", [""], "k"), (SET, "m", "ab", "k")]
)
def test_nameless_questions_are_refused(question: tuple[str, str, list[str], str]) -> None:
    with pytest.raises(TruingError):
        Ledger(3).query(*question)


def test_budgets_below_one_are_refused() -> None:
    with pytest.raises(TruingError):
        Ledger(0)
    for threshold, sigma, budget in ((0.0, 0.01, 1), (0.04, math.nan, 1), (0.04, 0.01, 0)):
        with pytest.raises(TruingError):
            Thresholdout(threshold, sigma, budget, stream(0))


IDS = [f"item-{number}" for number in range(2000)]


@settings(max_examples=30, deadline=None)
@given(st.permutations(IDS[:40]), st.integers(10, 40))
def test_a_seal_depends_on_no_order_and_on_no_other_item(order: list[str], size: int) -> None:
    whole, part = sealed_split(IDS, 0.5, 7, "final"), sealed_split(order[:size], 0.5, 7, "final")
    assert set(part.sealed) == set(whole.sealed) & set(order[:size])
    assert part == sealed_split(reversed(order[:size]), 0.5, 7, "final")
    assert sorted((*part.open, *part.sealed)) == sorted(order[:size])


def test_about_the_share_is_sealed_and_purposes_seal_apart() -> None:
    first, second, third = sealed_split(IDS, 0.3, 7, "final"), sealed_split(IDS, 0.3, 7, "pilot"), sealed_split(IDS, 0.3, 8, "final")
    for split in (first, second, third):
        assert len(split.sealed) / len(IDS) == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / 2000))
    for other in (second, third):
        assert len(set(first.sealed) & set(other.sealed)) / len(IDS) == pytest.approx(0.09, abs=4 * math.sqrt(0.09 * 0.91 / 2000))
        assert first.sealed_digest != other.sealed_digest
    # A larger share keeps what was sealed.
    assert set(first.sealed) < set(sealed_split(IDS, 0.4, 7, "final").sealed)


@pytest.mark.parametrize(("ids", "share"), [(["a", "b", "a"], 0.5), (IDS, 0.0), (IDS, 1.0), (["a"], 0.5), ([], 0.5)])
def test_splits_that_seal_nothing_or_twice_are_refused(ids: list[str], share: float) -> None:
    with pytest.raises(TruingError):
        sealed_split(ids, share, 7, "final")


def test_a_seal_is_opened_once() -> None:
    ledger = open_seal(asked(2), OTHER, ["gap", "accuracy"], ["reweighted", "uniform"])
    assert (ledger.spent(OTHER), ledger.rows()[-1]["kind"]) == (1, "opening")
    assert open_seal(ledger, OTHER, ["accuracy", "gap"], ["uniform", "reweighted"]) is ledger
    with pytest.raises(TruingError, match="another look") as refused:
        open_seal(ledger, OTHER, ["gap"], ["reweighted"])
    assert refused.value.code == Exit.REFUSED
    with pytest.raises(TruingError, match="another look"):
        ledger.query(OTHER, "gap", ["reweighted"], "report")
    with pytest.raises(TruingError, match="answered 2 question"):
        open_seal(ledger, SET, ["gap"], ["reweighted"])
    with pytest.raises(TruingError, match="opening"):
        ledger.query("c" * 64, "gap", ["reweighted"], "opening")


def test_thresholdout_answers_from_the_set_that_the_rule_names() -> None:
    mechanism = Thresholdout(0.04, 1e-6, 2, stream(0, "noise"))
    assert mechanism.query(0.60, 0.61).value == 0.60
    first, second = mechanism.query(0.60, 0.50), mechanism.query(0.50, 0.60)
    assert (first.source, first.budget_left, second.source, second.budget_left) == ("holdout", 1, "holdout", 0)
    assert first.value == pytest.approx(0.50, abs=1e-4)
    assert first.value != 0.50
    with pytest.raises(TruingError) as refused:
        mechanism.query(0.60, 0.60)
    assert refused.value.code == Exit.BUDGET
    with pytest.raises(TruingError, match="finite"):
        Thresholdout(0.04, 0.01, 2, stream(0)).query(math.nan, 0.5)


def test_the_noise_has_the_scales_of_the_algorithm() -> None:
    # Over the threshold with certainty: the answer is the hold-out plus Laplace noise of scale sigma, sd sqrt(2) sigma.
    mechanism = Thresholdout(0.04, 0.001, 20_000, stream(1, "noise"))
    answers = np.array([mechanism.query(1.0, 0.0).value for _ in range(20_000)])
    assert answers.std() == pytest.approx(math.sqrt(2) * 0.001, rel=0.05)
    # At the threshold the chance is one half by symmetry; one sd of the comparison above it, it is that of the sum of
    # Laplace noises of scales 2 sigma and 4 sigma.
    rng = stream(2, "noise")
    noise = rng.laplace(scale=0.002, size=20_000) + rng.laplace(scale=0.004, size=20_000)
    above = np.mean([Thresholdout(0.04, 0.001, 1, rng).query(0.045, 0.0).source == "holdout" for _ in range(20_000)])
    assert above == pytest.approx(np.mean(noise < 0.005), abs=0.02)


N = D = 10_000
CHOSEN = 500
BLOCK = 500


def features(part: str, block: int) -> NDArray[np.float32]:
    """[N, BLOCK] standard normal features that know nothing of the labels, drawn again whenever they are needed."""
    return stream(11, "no signal", part, block).standard_normal((N, BLOCK), dtype=np.float32)


def labels(part: str) -> NDArray[np.float32]:
    return np.where(stream(11, "labels", part).random(N) < 0.5, -1, 1).astype(np.float32)


def accuracy(part: str, weights: NDArray[np.float32]) -> float:
    score = sum(features(part, block) @ weights[block * BLOCK : (block + 1) * BLOCK] for block in range(D // BLOCK))
    return float(np.mean(np.sign(score) == labels(part)))


def best(train: NDArray[np.float64], holdout: NDArray[np.float64]) -> NDArray[np.float32]:
    """Weights +-1 for the features that both sets hold for predictive, the strongest in training first."""
    agree = (train * holdout > 0) & (np.minimum(np.abs(train), np.abs(holdout)) >= 1 / math.sqrt(N))
    order = np.argsort(-np.abs(train) * agree)[:CHOSEN]
    weights = np.zeros(D, dtype=np.float32)
    weights[order] = np.sign(train[order]) * agree[order]
    return weights


@pytest.mark.slow
def test_thresholdout_does_not_report_a_signal_that_is_none() -> None:
    """n = d = 10,000 without any signal: the truth is one half, whatever is chosen (Dwork et al., 2015, section 4)."""
    train, holdout = (
        np.concatenate([features(part, block).T @ labels(part) / N for block in range(D // BLOCK)]).astype(np.float64)
        for part in ("train", "holdout")
    )
    plain = best(train, holdout)
    assert accuracy("holdout", plain) - 0.5 > 0.10
    # Two budgets: the features ask 10,000 questions, the classifier one.
    mechanism = Thresholdout(0.04, 0.0025, D, stream(11, "noise"))
    answers = np.array([mechanism.query(a, b).value for a, b in zip(train, holdout, strict=True)])
    guarded = best(train, answers)
    reported = mechanism.query(accuracy("train", guarded), accuracy("holdout", guarded))
    assert reported.source == "holdout"
    assert abs(reported.value - 0.5) < 0.04
