"""Regressions on judged items, against ppi_py and statsmodels, with a judge whose errors are planted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from support.judged_items import DIFFERENCE, Z, known, rng, scores, table, unequal

from truing.stats.dsl import dsl, dsl_regression
from truing.stats.judged import gold_only, judged
from truing.stats.ppi import ppi, ppi_regression


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
