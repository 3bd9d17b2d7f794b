"""Closed forms of the null measures, and intervals with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.probes import metrics as m


def _eye(classes: int) -> np.ndarray:
    return np.eye(classes)


def test_probabilities_are_renormalised_over_the_labels() -> None:
    logs = np.log([[0.2, 0.1, 0.1]])
    assert np.allclose(m.renormalised(logs), [[0.5, 0.25, 0.25]])
    assert np.allclose(m.renormalised(logs - 800), [[0.5, 0.25, 0.25]])


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_normalised_measures_are_comparable_over_numbers_of_classes(classes: int) -> None:
    even, sure = np.full((5, classes), 1 / classes), np.tile(_eye(classes)[0], (5, 1))
    assert m.above_chance(float(even.max()), classes) == pytest.approx(0)
    assert m.above_chance(float(sure.max()), classes) == pytest.approx(1)
    assert m.entropies(even) / math.log(classes) == pytest.approx(1)
    assert m.entropies(sure) == pytest.approx(0)
    assert m.null_robustness(1.0, 1.0, 0.0) == 1.0
    assert m.null_robustness(0.0, 0.0, 1.0) == 0.0


def test_the_legacy_score_of_a_published_row() -> None:
    # entropy 0.722, no abstention, DCB 0.480, K = 4: a score of 0.492.
    assert m.null_robustness_legacy(0.722, 0.0, 0.480, 4) == pytest.approx(0.492, abs=1e-3)


def test_wilson_has_the_textbook_values() -> None:
    interval = m.wilson(8, 10, 0.95)
    assert (interval.lo, interval.hi) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    zero = m.wilson(0, 10, 0.95)
    assert zero.lo == 0.0
    assert zero.hi == pytest.approx(0.2775328, abs=1e-6)
    assert m.wilson(0, 0, 0.95) == m.Interval(None)


@settings(derandomize=True, max_examples=50)
@given(n=st.integers(1, 200), share=st.floats(0, 1))
def test_wilson_agrees_with_statsmodels(n: int, share: float) -> None:
    from statsmodels.stats.proportion import proportion_confint

    hits = round(n * share)
    ours = m.wilson(hits, n, 0.9)
    assert (ours.lo, ours.hi) == pytest.approx(proportion_confint(hits, n, alpha=0.1, method="wilson"), abs=1e-12)


def test_means_have_students_interval_or_none() -> None:
    interval = m.mean_interval(np.array([1.0, 2.0, 3.0, 4.0]), 0.95)
    assert (interval.value, interval.se) == pytest.approx((2.5, 0.6454972))
    assert (interval.lo, interval.hi) == pytest.approx((0.4457397, 4.5542603))
    for values in ([], [0.3], [0.3, 0.3]):
        assert m.mean_interval(np.array(values), 0.95).lo is None
    assert m.mean_interval(np.array([]), 0.95).value is None


def test_strata_weigh_the_same_whatever_their_size() -> None:
    strata = [np.array([1.0]), np.array([0.0, 0.2]), np.array([0.4, 0.6] * 20)]
    interval = m.stratified_interval(strata, [True, False, False], 0.95)
    assert interval.value == pytest.approx((1.0 + 0.1 + 0.5) / 3)
    variance = (strata[1].var(ddof=1) / 2 + strata[2].var(ddof=1) / 40) / 9
    assert interval.se == pytest.approx(math.sqrt(variance))


def test_one_stratum_that_varies_has_students_interval() -> None:
    values = np.array([0.1, 0.4, 0.3, 0.8])
    pooled, alone = m.stratified_interval([values], [False], 0.95), m.mean_interval(values, 0.95)
    assert (pooled.value, pooled.lo, pooled.hi) == pytest.approx((alone.value, alone.lo, alone.hi))


def test_strata_without_values_or_spread_are_not_made_up() -> None:
    assert m.stratified_interval([np.zeros(0), np.ones(3)], [False, False], 0.95).value is None
    assert m.stratified_interval([np.ones(1), np.arange(3.0)], [False, False], 0.95).lo is None
    assert m.stratified_interval([np.ones(1), np.ones(3)], [True, False], 0.95).lo is None


def test_classification_measures_of_a_known_table() -> None:
    gold = np.array([0, 0, 0, 1, 1, 2])
    answers = np.array([0, 0, 1, 1, 1, 0])
    table = m.confusion(gold, answers, 3)
    assert table.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert m.macro_f1(table) == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)
    assert m.matthews(table) == pytest.approx((4 * 6 - 3 * 3 - 2 * 3) / math.sqrt((36 - 18) * (36 - 14)))
    assert m.matthews(m.confusion(gold, np.zeros(6, dtype=np.int64), 3)) is None


def test_absent_classes_do_not_enter_macro_f1() -> None:
    assert m.macro_f1(m.confusion(np.array([0, 1]), np.array([0, 1]), 4)) == 1.0
    assert m.macro_f1(np.zeros((3, 3), dtype=np.int64)) is None


def test_a_swapped_label_map_shows_in_the_best_permutation() -> None:
    gold = np.array([0, 1, 2, 3] * 5)
    swapped = np.array([0, 3, 2, 1])[gold]
    table = m.confusion(gold, swapped, 4)
    assert np.trace(table) / table.sum() == 0.5
    assert m.best_permutation_accuracy(table) == 1.0
    assert m.best_permutation_accuracy(np.zeros((2, 2), dtype=np.int64)) is None


def test_brier_and_calibration_error() -> None:
    p, gold = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), np.array([0, 0, 0])
    assert m.brier(p, gold).tolist() == [0.0, 0.5, 2.0]
    # Bins: {0.5} hits 1 of 1, gap 0.5; {1.0, 1.0} hits 1 of 2 at confidence 1, gap 1.
    assert m.calibration_error(p, gold, 10) == pytest.approx((0.5 + 1.0) / 3)
    assert m.calibration_error(np.zeros((0, 2)), np.zeros(0, dtype=np.int64), 10) is None
