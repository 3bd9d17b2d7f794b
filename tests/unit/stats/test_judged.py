"""Estimates from judged items: closed forms, planted biases, ppi_py, statsmodels, and the simulation of the benchmark."""

from __future__ import annotations

import math
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.regression.linear_model import OLS, WLS
from support.benchmarks import benchmark

from truing.core.errors import TruingError
from truing.stats.dsl import cross_fits, dsl, dsl_regression, pseudo_outcome
from truing.stats.judged import Corrected, Judged, contrast, gold_only, judged, naive
from truing.stats.label_plan import labels_needed
from truing.stats.misclassification import error_rates, rogan_gladen, rogan_gladen_judged
from truing.stats.ppi import ppi, ppi_regression, tuning

Floats = NDArray[np.float64]
DIFFERENCE = ("a", "b")
Z = 1.959963984540054


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def table(stream: int = 0, n: int = 600, share: float = 0.3, **labels: Any) -> Judged:
    """Two arms at 50 and 30 %, whose judge misses a fifth of the positives of arm a."""
    draws = rng(stream)
    arm = np.array(["a", "b"] * (n // 2))
    truth = draws.random(n) < np.where(arm == "a", 0.5, 0.3)
    verdict = truth & ~((arm == "a") & (draws.random(n) < 0.2))
    gold = np.full(n, np.nan)
    drawn = draws.choice(n, round(share * n), replace=False)
    gold[drawn] = truth[drawn]
    return judged(verdict, gold, np.full(n, share), arm=arm.tolist(), **labels)


def scores(seed: int = 0, n: int = 400, n_gold: int = 100) -> Judged:
    """One condition on a continuous scale."""
    draws = rng(seed)
    truth = draws.normal(1.0, 1.0, n)
    gold = np.full(n, np.nan)
    drawn = draws.choice(n, n_gold, replace=False)
    gold[drawn] = truth[drawn]
    return judged(truth + draws.normal(0.4, 0.7, n), gold, np.full(n, n_gold / n))


def known(found: Corrected) -> tuple[float, float]:
    assert found.value is not None
    assert found.se is not None
    return found.value, found.se


# Closed forms


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


# Clusters


def clustered(seed: int = 0) -> Judged:
    return table(seed, seed=np.repeat(np.arange(6), 100).tolist(), question=np.tile(np.arange(50), 12).tolist())


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


# Other implementations


@pytest.mark.slow  # compiles
def test_ppi_is_that_of_ppi_py() -> None:
    other = pytest.importorskip("ppi_py")
    data = scores(5)
    rows = data.labelled
    given = (data.gold[rows], data.judge[rows], data.judge[~rows])
    found = ppi(data)
    tuned = float(np.ravel(other.ppi_mean_pointestimate(*given))[0])
    assert found.value == pytest.approx(tuned, abs=2e-4 * known(found)[1] + 1e-4)
    # The same lambda, of the unlabelled alone: exactly the same point, and the same error up to centring.
    power = 0.6
    found = ppi(data, power=power)
    scale = power * float((~rows).mean())
    assert found.value == pytest.approx(float(np.ravel(other.ppi_mean_pointestimate(*given, lam=scale))[0]))
    lo, hi = (float(np.ravel(end)[0]) for end in other.ppi_mean_ci(*given, alpha=0.05, lam=scale))
    assert known(found)[1] == pytest.approx((hi - lo) / 2 / Z, rel=0.01)


@pytest.mark.slow  # compiles
def test_ppi_regression_is_that_of_ppi_py_up_to_a_small_part_of_the_error() -> None:
    other = pytest.importorskip("ppi_py")
    draws = rng(6)
    n, n_gold = 4000, 1000
    x = draws.normal(size=n)
    truth = 0.5 + 0.8 * x + draws.normal(size=n)
    judge = truth + 0.3 + draws.normal(0, 0.5, n)
    gold = np.where(np.arange(n) < n_gold, truth, np.nan)
    data = judged(judge, gold, np.full(n, n_gold / n))
    columns = np.column_stack([np.ones(n), x])
    rows = data.labelled
    given = (columns[rows], gold[rows], judge[rows], columns[~rows], judge[~rows])
    scale = 0.9
    point = other.ppi_ols_pointestimate(*given, lam=scale * 0.75)
    lo, hi = other.ppi_ols_ci(*given, alpha=0.05, lam=scale * 0.75)
    found = ppi_regression(data, {"x": x}, power=scale).coefficients
    for at, name in enumerate(("intercept", "x")):
        value, se = known(found[name])
        assert se == pytest.approx((hi[at] - lo[at]) / 2 / Z, rel=0.03)
        assert abs(value - point[at]) < 0.1 * se
    tuned = ppi_regression(data, {"x": x}).coefficients
    assert known(tuned["x"])[1] <= 1.001 * known(found["x"])[1]


def test_the_error_of_a_ppi_regression_is_its_spread_when_the_judge_distorts_the_slope() -> None:
    draws = rng(10)
    found = []
    for _ in range(400):
        x = draws.normal(size=500)
        truth = 0.8 * x + draws.normal(size=500)
        gold = np.where(draws.random(500) < 0.3, truth, np.nan)
        data = judged(1.5 * truth - x + draws.normal(0, 0.4, 500), gold, np.full(500, 0.3))
        found.append(known(ppi_regression(data, {"x": x}).coefficients["x"]))
    values, errors = np.array(found).T
    assert abs(values.mean() - 0.8) < 4 * values.std() / 20
    assert errors.mean() == pytest.approx(values.std(), rel=0.12)


def test_a_fully_labelled_logit_is_that_of_statsmodels() -> None:
    draws = rng(7)
    x = draws.normal(size=800)
    y = (draws.random(800) < 1 / (1 + np.exp(-(0.3 + x)))).astype(float)
    data = judged(draws.integers(0, 2, 800), y, np.ones(800))
    fit = GLM(y, np.column_stack([np.ones(800), x]), family=Binomial()).fit(cov_type="HC0")
    found = dsl_regression(data, {"x": x}, rng=rng(), family="logit", splits=2).coefficients
    for at, name in enumerate(("intercept", "x")):
        assert found[name].value == pytest.approx(fit.params[at], abs=1e-7)
        assert found[name].se == pytest.approx(fit.bse[at] * math.sqrt(800 / 798), rel=1e-6)


def test_a_regression_on_an_arm_is_the_difference() -> None:
    data = table()
    x = [float(name == "a") for name in data.arm or ()]
    found = dsl_regression(data, {"a": x}, rng=rng(4)).coefficients["a"]
    exact = dsl(data, rng=rng(4), difference=DIFFERENCE)
    assert known(found) == pytest.approx(known(exact))
    assert ppi_regression(data, {"a": x}, power=0.8).coefficients["a"].value == pytest.approx(
        ppi(data, power=0.8, difference=DIFFERENCE).value
    )


# Planted truths


def unequal(seed: int, by_scale: bool) -> Judged:
    """Positives verdicts are labelled six times as often; the judge is wrong, on a scale or in 0/1, in one direction."""
    draws = rng(seed)
    n = 1500
    truth = (draws.random(n) < 0.4).astype(float)
    verdict = np.where(truth == 1, draws.random(n) < 0.7, False).astype(float)
    pi = np.where(verdict == 1, 0.6, 0.1)
    gold = np.where(draws.random(n) < pi, truth, np.nan)
    return judged(verdict + draws.normal(0, 0.2, n) if by_scale else verdict, gold, pi)


@pytest.mark.parametrize("by_scale", [False, True])
def test_unequal_probabilities_leave_no_bias(by_scale: bool) -> None:
    every = [unequal(seed, by_scale) for seed in range(150)]
    found = {
        "gold": [gold_only(data).value for data in every],
        "ppi": [ppi(data).value for data in every],
        "dsl": [dsl(data, rng=rng(), splits=2).value for data in every],
    }
    for values in found.values():
        each = np.array(values, dtype=np.float64)
        assert abs(each.mean() - 0.4) < 4 * each.std(ddof=1) / math.sqrt(len(each))
    unweighted = np.mean([data.gold[data.labelled].mean() for data in every])
    assert abs(unweighted - 0.4) > 0.1


def test_the_logit_recovers_a_coefficient_that_the_judge_distorts() -> None:
    draws = rng(8)
    n, values, covered = 2500, [], 0
    for _ in range(60):
        x = draws.normal(size=n)
        y = (draws.random(n) < 1 / (1 + np.exp(-x))).astype(float)
        judge = np.where(draws.random(n) < 0.3 * (x > 0), 0.0, y)
        gold = np.where(draws.random(n) < 0.2, y, np.nan)
        one = dsl_regression(judged(judge, gold, np.full(n, 0.2)), {"x": x}, rng=draws, family="logit", splits=2).coefficients["x"]
        assert one.lo is not None
        assert one.hi is not None
        values.append(known(one)[0])
        covered += one.lo <= 1.0 <= one.hi
    assert abs(np.mean(values) - 1.0) < 4 * np.std(values, ddof=1) / math.sqrt(60) + 0.01
    assert covered >= 51


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


# Few labels, refusals


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


# Rogan and Gladen


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


# How many labels


def test_the_plan_predicts_the_present_error_at_the_present_number() -> None:
    for cluster, data in (("item", table(2)), ("question", clustered(2))):
        plan = labels_needed(data, 0.01, rng=rng(3), difference=DIFFERENCE, cluster=cluster)
        assert plan.se_now == pytest.approx(dsl(data, rng=rng(3), difference=DIFFERENCE, cluster=cluster).se)


def test_the_least_number_of_labels_is_the_least() -> None:
    data = table(2, n=2000)
    plan = labels_needed(data, 0.03, rng=rng(3), difference=DIFFERENCE)
    assert plan.needed is not None
    around = labels_needed(data, 0.03, rng=rng(3), difference=DIFFERENCE, budgets=[plan.needed - 1, plan.needed]).budgets
    assert around[0].se > 0.03 >= around[1].se
    errors = [one.se for one in plan.budgets]
    assert errors == sorted(errors, reverse=True)
    assert plan.budgets[-1].labels == 2000


def test_with_all_labelled_the_error_is_that_of_the_labels() -> None:
    data = table(2, n=4000, share=0.5)
    plan = labels_needed(data, 1e-4, rng=rng(3))
    assert plan.needed is None
    assert "still" in (plan.reason or "")
    assert plan.se_all == pytest.approx(math.sqrt(0.4 * 0.6 / 4000), rel=0.05)


def test_budgets_keep_the_proportions_of_the_pilot_up_to_certainty() -> None:
    plan = labels_needed(unequal(1, False), 0.02, rng=rng(), budgets=[200, 1000, 1500])
    assert plan.budgets[1].se > plan.budgets[2].se
    with pytest.raises(TruingError, match="budgets"):
        labels_needed(table(), 0.02, rng=rng(), budgets=[601])
    with pytest.raises(TruingError, match="target"):
        labels_needed(table(), 0.0, rng=rng())


# The benchmark


@pytest.mark.slow
def test_the_acceptance_simulation_holds_at_a_fifth_of_its_length() -> None:
    _, _, checks = benchmark("judge_correction").run(0.2, root_seed=1)
    assert len(checks) == 11
    assert not [f"{one.name}: {one.figure}" for one in checks if not one.holds(slack=3)]


def test_a_figure_out_of_range_does_not_hold() -> None:
    check = benchmark("judge_correction").Check
    assert not check("x", 0.92, 0.93, 0.97).holds()
    assert check("x", 0.92, 0.93, 0.97, 0.005).holds(slack=3)
