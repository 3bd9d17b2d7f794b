"""Estimates from judged items at their limits: few labels, none, impossible probabilities, equal bytes."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from support.judged_items import DIFFERENCE, Z, known, rng, scores, table

from truing.core.errors import TruingError
from truing.stats.dsl import dsl, dsl_regression
from truing.stats.judged import Corrected, Judged, gold_only, judged, naive
from truing.stats.ppi import ppi


def test_no_score_is_a_verdict_of_its_own_to_dsl() -> None:
    data = table()
    judge = np.where(rng(3).random(600) < 0.2, np.nan, data.judge)
    lost = Judged(judge, data.gold, data.pi, data.arm)
    value, se = known(dsl(lost, rng=rng()))
    assert abs(value - 0.4) < 4 * se
    assert dsl(lost, rng=rng()).n == 600
    assert "without a score" in (naive(lost).warning or "")
    assert naive(lost).n == int((~np.isnan(judge)).sum())
    with pytest.raises(TruingError, match="without a score"):
        ppi(lost)


def test_few_labels_take_t_and_say_so() -> None:
    data = table(share=0.1)
    for found in (gold_only(data), ppi(data), dsl(data, rng=rng())):
        value, se = known(found)
        assert "few gold labels: 60" in (found.warning or "")
        assert "t(56)" in (found.method or "")
        assert found.hi is not None
        assert found.hi - value > Z * se * 1.01
    many = table(n=2000)
    assert gold_only(many).warning is None
    assert "normal" in (gold_only(many).method or "")


def test_few_labels_in_one_cell_are_warned_of_though_there_are_many() -> None:
    data = table(n=2000)
    verdict = np.where(np.arange(2000) < 5, 7.0, data.judge)
    found = gold_only(Judged(verdict, data.gold, data.pi, data.arm))
    assert "few gold labels: 600, and" in (found.warning or "")
    assert "t(" in (found.method or "")


def test_no_label_in_an_arm_is_a_reason() -> None:
    data = table()
    gold = np.where(np.array(data.arm) == "b", np.nan, data.gold)
    bare = Judged(data.judge, gold, data.pi, data.arm)
    for found in (gold_only(bare, difference=DIFFERENCE), ppi(bare, difference=DIFFERENCE), dsl(bare, rng=rng(), difference=DIFFERENCE)):
        assert found.value is None
        assert found.lo is None
        assert found.reason == "b has no gold label"


@pytest.mark.parametrize("pi", [0.0, -0.1, 1.5, math.nan])
def test_a_probability_that_is_none_is_refused(pi: float) -> None:
    with pytest.raises(TruingError, match="outside"):
        judged([1, 0, 1], [1, math.nan, math.nan], [0.5, 0.5, pi])


def test_labels_that_were_not_drawn_with_these_probabilities_are_refused() -> None:
    gold = np.full(1000, np.nan)
    gold[:20] = 1
    with pytest.raises(TruingError, match="20 gold labels where"):
        judged(np.ones(1000), gold, np.full(1000, 0.2))
    with pytest.raises(TruingError, match="probability 1"):
        judged([1, 0], [1, math.nan], [0.5, 1.0])


def test_bad_requests_are_refused() -> None:
    data = table()
    with pytest.raises(TruingError, match="unknown arm"):
        naive(data, difference=("a", "c"))
    with pytest.raises(TruingError, match="and itself"):
        naive(data, difference=("a", "a"))
    with pytest.raises(TruingError, match="unknown cluster"):
        naive(data, cluster="run")
    with pytest.raises(TruingError, match="without a seed"):
        naive(data, cluster="seed")
    with pytest.raises(TruingError, match="one length"):
        judged([1, 0], [1], [0.5, 0.5])
    with pytest.raises(TruingError, match="infinite"):
        judged([math.inf, 0], [1, 0], [0.5, 0.5])
    with pytest.raises(TruingError, match="combination"):
        dsl_regression(data, {"x": np.arange(600.0), "y": 2 * np.arange(600.0)}, rng=rng())
    with pytest.raises(TruingError, match="0, 1"):
        dsl_regression(scores(), {}, rng=rng(), family="logit")
    with pytest.raises(TruingError, match="folds"):
        dsl(data, rng=rng(), folds=1)


def test_a_logit_without_a_solution_is_a_reason() -> None:
    gold = np.full(40, np.nan)
    gold[:4] = 1.0
    found = dsl_regression(judged(np.zeros(40), gold, np.full(40, 0.1)), {}, rng=rng(), family="logit").coefficients["intercept"]
    assert found.value is None
    assert "no logit" in (found.reason or "")


def test_the_same_generator_gives_the_same_estimate() -> None:
    data = table()
    assert dsl(data, rng=rng(5)) == dsl(data, rng=rng(5))
    assert {field.name for field in fields(Corrected)} >= {
        "estimator",
        "value",
        "se",
        "lo",
        "hi",
        "level",
        "n",
        "n_gold",
        "method",
        "reason",
    }
