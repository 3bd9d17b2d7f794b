"""Means from judged items: closed forms, clusters against statsmodels."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.regression.linear_model import OLS, WLS
from support.judged_items import DIFFERENCE, clustered, known, rng, scores, table, unequal

from truing.stats.dsl import cross_fits, dsl, pseudo_outcome
from truing.stats.judged import Judged, contrast, gold_only, judged, naive
from truing.stats.ppi import ppi, tuning


def test_naive_is_the_mean_of_the_scores_and_says_that_it_is_biased() -> None:
    data = table()
    value, se = known(naive(data))
    assert value == pytest.approx(data.judge.mean())
    assert se == pytest.approx(data.judge.std(ddof=1) / math.sqrt(len(data.judge)))
    assert (naive(data).method or "").startswith("biased")


def test_gold_only_of_equal_probabilities_is_the_mean_of_the_labels() -> None:
    data = table()
    gold = data.gold[data.labelled]
    value, se = known(gold_only(data))
    assert value == pytest.approx(gold.mean())
    assert se == pytest.approx(gold.std(ddof=1) / math.sqrt(len(gold)))


def test_hajek_and_horvitz_thompson_weight_by_the_inverse_probability() -> None:
    gold = np.array([1.0, 0.0, 1.0, np.nan, np.nan, np.nan])
    pi = np.array([0.5, 0.25, 0.8, 0.5, 0.25, 0.8])
    data = judged(np.zeros(6), gold, pi)
    weights = 1 / pi[:3]
    assert gold_only(data).value == pytest.approx((weights * gold[:3]).sum() / weights.sum())
    assert gold_only(data, weighting="horvitz-thompson").value == pytest.approx((weights * gold[:3]).sum() / 6)


def test_a_difference_of_independent_items_is_that_of_the_two_means() -> None:
    data = table()
    arm = np.array(data.arm)
    a, b = (data.judge[arm == name] for name in DIFFERENCE)
    value, se = known(naive(data, difference=DIFFERENCE))
    assert value == pytest.approx(a.mean() - b.mean())
    exact = math.sqrt(a.var() / len(a) + b.var() / len(b)) * math.sqrt(len(arm) / (len(arm) - 2))
    assert se == pytest.approx(exact)
    turned = naive(data, difference=("b", "a"))
    assert turned.value == pytest.approx(-value)
    assert (turned.a, turned.b) == ("b", "a")


@pytest.mark.parametrize("estimate", [gold_only, ppi, lambda data, **given: dsl(data, rng=rng(), **given)], ids=["gold", "ppi", "dsl"])
@pytest.mark.parametrize("difference", [None, DIFFERENCE])
def test_with_every_item_labelled_all_are_the_plain_estimate(estimate: Any, difference: tuple[str, str] | None) -> None:
    some = table(share=0.5)
    gold = rng(9).integers(0, 2, len(some.judge)).astype(float)
    data = judged(some.judge, gold, np.ones(len(gold)), arm=some.arm)
    plain = naive(judged(gold, gold, np.ones(len(gold)), arm=some.arm), difference=difference)
    found = estimate(data, difference=difference)
    assert found.value == pytest.approx(plain.value)
    assert found.se == pytest.approx(plain.se)


def test_plain_ppi_is_the_mean_of_the_scores_less_their_error() -> None:
    data = scores()
    rows = data.labelled
    value, se = known(ppi(data, power=1.0))
    assert value == pytest.approx(data.judge.mean() + (data.gold - data.judge)[rows].mean())
    # As two independent samples, the unlabelled with lambda (N - n) / N.
    scale, n, rest = (~rows).mean(), rows.sum(), (~rows).sum()
    variance = (scale * data.judge[~rows]).var() / rest + (data.gold - scale * data.judge)[rows].var() / n
    assert se == pytest.approx(math.sqrt(variance), rel=0.01)
    assert ppi(data, power=0.0).value == pytest.approx(gold_only(data).value)


def test_lambda_is_the_covariance_over_the_variance() -> None:
    data = scores()
    rows = data.labelled
    exact = np.cov(data.gold[rows], data.judge[rows], ddof=0)[0, 1] / data.judge.var()
    assert tuning(data, np.ones((len(rows), 1)), np.ones(len(rows), dtype=bool), None) == pytest.approx(exact)


def test_lambda_with_unequal_probabilities_weights_items_by_what_their_label_adds() -> None:
    data = unequal(1, True)
    rows, spare = data.labelled, 1 / data.pi - 1
    weights = rows / data.pi
    label = np.nan_to_num(data.gold) - (weights * np.nan_to_num(data.gold)).sum() / weights.sum()
    score = data.judge - data.judge.mean()
    exact = (weights * spare * label * score).sum() / (spare * score**2).sum()
    assert 0 < exact < 1
    assert tuning(data, np.ones((len(rows), 1)), np.ones(len(rows), dtype=bool), None) == pytest.approx(exact)


def test_the_tuned_lambda_gives_no_more_variance_than_others() -> None:
    data = scores(3)
    tuned = known(ppi(data))[1]
    assert all(tuned <= 1.01 * known(ppi(data, power=power))[1] for power in np.linspace(0, 1, 11))


def test_cross_fitting_never_learns_from_the_fold_that_it_predicts() -> None:
    # A single labelled item of its cell cannot be predicted by itself: it takes the mean of its verdict elsewhere.
    verdict = np.array([1.0] * 20 + [0.0] * 20)
    gold = np.where(np.arange(40) % 2 == 0, verdict, np.nan)
    gold[0] = 0.0
    stratum = ["alone"] + ["other"] * 39
    data = judged(verdict, gold, np.full(40, 0.5), stratum=stratum)
    for split in cross_fits(data, contrast(data, None), "linear", rng(), 5, 4):
        assert split.predicted[0] == 1.0
        assert split.predicted[20:] == pytest.approx(0.0)
        assert split.fit.values[0] == pytest.approx(pseudo_outcome(data, split.predicted).mean())


def test_dsl_of_one_split_has_the_error_of_its_pseudo_outcomes() -> None:
    data = table()
    (split,) = cross_fits(data, contrast(data, None), "linear", rng(1), 5, 1)
    outcome = pseudo_outcome(data, split.predicted)
    value, se = known(dsl(data, rng=rng(1), splits=1))
    assert value == pytest.approx(outcome.mean())
    assert se == pytest.approx(outcome.std(ddof=1) / math.sqrt(len(outcome)))


def test_splits_are_aggregated_by_the_median_with_their_scatter() -> None:
    data = table()
    found = list(cross_fits(data, contrast(data, None), "linear", rng(2), 5, 7))
    each = np.array([split.fit.values[0] for split in found])
    errors = np.array([pseudo_outcome(data, split.predicted).std(ddof=1) / math.sqrt(len(data.pi)) for split in found])
    value, se = known(dsl(data, rng=rng(2), splits=7))
    assert value == pytest.approx(np.median(each))
    assert se == pytest.approx(math.sqrt(np.median(errors**2 + (each - value) ** 2)))
    assert np.ptp(each) > 0


@settings(max_examples=30, deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 10), st.integers(0, 20))
def test_estimates_move_with_the_scale_of_the_label(shift: float, scale: float, seed: int) -> None:
    data = table(seed, n=200)
    moved = judged(shift + scale * data.judge, shift + scale * data.gold, data.pi, arm=data.arm)
    for estimate in (naive, gold_only, ppi, lambda one: dsl(one, rng=rng(), splits=2)):
        before, after = known(estimate(data)), known(estimate(moved))
        assert after[0] == pytest.approx(shift + scale * before[0], abs=1e-9)
        assert after[1] == pytest.approx(scale * before[1])


def test_one_way_clusters_are_those_of_statsmodels() -> None:
    data = clustered()
    x = contrast(data, DIFFERENCE).x
    fit = OLS(data.judge, x).fit(cov_type="cluster", cov_kwds={"groups": data.seed, "use_correction": False})
    found = naive(data, difference=DIFFERENCE, cluster="seed")
    assert found.value == pytest.approx(fit.params[1])
    assert found.se == pytest.approx(fit.bse[1] * math.sqrt(6 / 5))
    assert "t(5) over seed" in (found.method or "")


def test_weighted_clusters_are_those_of_statsmodels() -> None:
    data = clustered()
    pi = np.where(np.arange(len(data.pi)) % 3 == 0, 0.45, 0.225)
    data = Judged(data.judge, data.gold, pi, data.arm, seed=data.seed)
    rows = data.labelled
    x = contrast(data, DIFFERENCE).x[rows]
    assert data.seed is not None
    fit = WLS(data.gold[rows], x, weights=1 / pi[rows]).fit(
        cov_type="cluster", cov_kwds={"groups": data.seed[rows], "use_correction": False}
    )
    found = gold_only(data, difference=DIFFERENCE, cluster="seed")
    assert found.value == pytest.approx(fit.params[1])
    assert found.se == pytest.approx(fit.bse[1] * math.sqrt(6 / 5))


def test_two_way_variance_is_each_way_less_their_crossing() -> None:
    data = clustered()
    residual = data.judge - data.judge.mean()

    def variance(labels: NDArray[np.int64]) -> float:
        sums = np.array([residual[labels == one].sum() for one in np.unique(labels)])
        return float((sums**2).sum()) / len(residual) ** 2 * len(sums) / (len(sums) - 1)

    assert data.seed is not None
    assert data.question is not None
    exact = variance(data.seed) + variance(data.question) - variance(data.seed * 50 + data.question)
    if exact <= 0:
        exact = max(variance(data.seed), variance(data.question))
    found = naive(data, cluster="seed x question")
    assert found.se == pytest.approx(math.sqrt(exact))
    assert "t(5) over seed x question" in (found.method or "")


def test_seeds_of_two_arms_that_are_not_paired_lose_a_degree_of_freedom_each() -> None:
    # Three seeds in each arm, each a cluster with one mean: Welch's error of equal groups.
    arm = np.repeat(["a", "b"], 150)
    seed = np.repeat(np.arange(6), 50)
    judge = np.repeat(rng(1).normal(size=6), 50)
    data = judged(judge, np.where(np.arange(300) % 2, judge, np.nan), np.full(300, 0.5), arm=arm.tolist(), seed=seed.tolist())
    found = naive(data, difference=DIFFERENCE, cluster="seed")
    means = judge[::50]
    exact = math.sqrt(means[:3].var(ddof=1) / 3 + means[3:].var(ddof=1) / 3)
    assert found.se == pytest.approx(exact)
    assert "t(4)" in (found.method or "")


def test_one_seed_gives_a_value_and_no_interval() -> None:
    data = Judged(**{**vars(table()), "seed": np.zeros(600, dtype=np.int64)})
    estimates = (naive, gold_only, ppi, partial(dsl, rng=rng()))
    for found in (estimate(data, cluster="seed") for estimate in estimates):
        assert found.value is not None
        assert (found.se, found.lo, found.hi) == (None, None, None)
        assert "too few seed clusters" in (found.reason or "")
