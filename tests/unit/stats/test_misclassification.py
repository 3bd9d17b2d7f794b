"""Rogan and Gladen: rates corrected by the error rates of a judge."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.judged_items import DIFFERENCE, known, table

from truing.stats.judged import judged, naive
from truing.stats.misclassification import error_rates, rogan_gladen, rogan_gladen_judged


def test_rogan_gladen_by_hand() -> None:
    found = rogan_gladen(0.3, 0.8, 0.9, 50, 150, n=1000)
    value = (0.3 + 0.9 - 1) / 0.7
    variance = (0.3 * 0.7 / 1000 + value**2 * 0.8 * 0.2 / 50 + (1 - value) ** 2 * 0.9 * 0.1 / 150) / 0.7**2
    assert found.value == pytest.approx(value)
    assert found.se == pytest.approx(math.sqrt(variance))
    assert found.n_gold == 200


def test_rogan_gladen_refuses_a_judge_that_tells_nothing() -> None:
    for pair in ((0.5, 0.5), (0.52, 0.53), (0.3, 0.4), (0.6, 0.55)):
        found = rogan_gladen(0.3, *pair, 30, 30, n=500)
        assert found.value is None
        assert "near 1" in (found.reason or "")


def test_rogan_gladen_with_error_rates_of_each_arm_and_not_shared_ones() -> None:
    data = table(1, n=4000)
    rates = {one.condition: one for one in error_rates(data, DIFFERENCE)}
    assert rates["a"].sensitivity == pytest.approx(0.8, abs=0.06)
    assert rates["b"].sensitivity == 1.0
    found = rogan_gladen_judged(data, difference=DIFFERENCE)
    value, se = known(found)
    assert abs(value - 0.2) < 3 * se
    assert abs((naive(data, difference=DIFFERENCE).value or 0) - 0.1) < 0.05
    # A sensitivity of exactly one has an error all the same.
    one = rates["b"]
    assert known(rogan_gladen(one.p, 1.0, 1.0, one.n_se, one.n_sp, n=one.n))[1] > math.sqrt(one.p * (1 - one.p) / one.n)
    whole = rogan_gladen_judged(data)
    assert whole.n_gold == int(data.labelled.sum())


def test_rogan_gladen_without_a_positive_label_is_a_reason() -> None:
    gold = np.array([0.0, 0.0] + [np.nan] * 8)
    found = rogan_gladen_judged(judged([1, 0] * 5, gold, np.full(10, 0.2)))
    assert found.value is None
    assert "no truly positive" in (found.reason or "")
