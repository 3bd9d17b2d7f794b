"""Variance components against planted truths and ANOVA tables, clustered errors against statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.anova import anova_lm

from truing.core.errors import TruingError
from truing.stats.variance import (
    Component,
    VarianceSplit,
    buy_next,
    clustered_interval,
    clustered_se,
    crossed_interval,
    design_effect,
    effective_n,
    icc,
    variance_split,
)

TRUTH = {"question": 4.0, "seed": 1.0, "interaction": 0.5, "sample": 2.0}


def draw(rng: np.random.Generator, q: int, s: int, k: int) -> NDArray[np.float64]:
    sd = {name: math.sqrt(value) for name, value in TRUTH.items()}
    by_question, by_seed = rng.normal(0, sd["question"], (q, 1, 1)), rng.normal(0, sd["seed"], (1, s, 1))
    return by_question + by_seed + rng.normal(0, sd["interaction"], (q, s, 1)) + rng.normal(0, sd["sample"], (q, s, k))


def components(split: VarianceSplit) -> dict[str, float]:
    assert split.sample is not None
    return {name: getattr(split, name).raw for name in TRUTH}


def test_components_are_those_of_the_anova_table() -> None:
    values = draw(np.random.default_rng(0), 5, 4, 3)
    rows = [{"q": q, "s": s, "y": values[q, s, k]} for q, s, k in np.ndindex(5, 4, 3)]
    squares = anova_lm(ols("y ~ C(q) * C(s)", pd.DataFrame(rows)).fit())["mean_sq"]
    found = components(variance_split(values))
    assert found["sample"] == pytest.approx(squares["Residual"])
    assert found["interaction"] == pytest.approx((squares["C(q):C(s)"] - squares["Residual"]) / 3)
    assert found["question"] == pytest.approx((squares["C(q)"] - squares["C(q):C(s)"]) / (4 * 3))
    assert found["seed"] == pytest.approx((squares["C(s)"] - squares["C(q):C(s)"]) / (5 * 3))


@pytest.mark.parametrize("share_missing", [0.0, 0.3])
def test_components_are_unbiased_also_when_samples_are_missing(share_missing: float) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(1500):
        values = draw(rng, 6, 5, 4)
        values[:, :, 1:][rng.random((6, 5, 3)) < share_missing] = np.nan
        found.append(list(components(variance_split(values)).values()))
    se = np.std(found, axis=0, ddof=1) / math.sqrt(len(found))
    assert np.all(np.abs(np.mean(found, axis=0) - list(TRUTH.values())) < 4 * se)


def test_the_predicted_variance_of_the_mean_is_the_one_of_repeated_experiments() -> None:
    rng = np.random.default_rng(2)
    splits = [variance_split(draw(rng, 6, 5, 2)) for _ in range(3000)]
    observed = np.var([split.mean for split in splits], ddof=1)
    unbiased = np.mean([list(components(split).values()) for split in splits], axis=0)
    assert unbiased @ [1 / 6, 1 / 5, 1 / 30, 1 / 60] == pytest.approx(observed, rel=0.12)
    exact = 4 / 6 + 1 / 5 + 0.5 / 30 + 2 / 60
    assert observed == pytest.approx(exact, rel=4 * math.sqrt(2 / 3000))


def test_one_sample_a_cell_leaves_samples_inside_the_interaction() -> None:
    values = draw(np.random.default_rng(3), 5, 4, 1)
    split = variance_split(values[:, :, 0])
    assert split == variance_split(values)
    assert split.sample is None
    assert split.reason is not None
    assert "sample" in split.reason
    with pytest.raises(TruingError, match="prediction for 2"):
        split.variance_of_mean(samples=2)
    # The interaction's mean square is that of the additive fit's residuals.
    residual = values[:, :, 0] - values.mean(axis=(1, 2))[:, None] - values.mean(axis=(0, 2))[None] + values.mean()
    assert split.interaction.raw == pytest.approx((residual**2).sum() / 12)


def test_a_negative_estimate_is_zero_with_a_flag_and_its_raw_value() -> None:
    # Cell means that are all equal, samples that are not: question, seed and interaction can only be negative or zero.
    values = np.tile([-1.0, 1.0], (3, 4, 1))
    split = variance_split(values)
    assert (split.interaction.value, split.interaction.negative) == (0.0, True)
    assert split.interaction.raw == pytest.approx(-(24 / 12) / 2)
    assert split.variance_of_mean() == pytest.approx(2 / 24)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_components_scale_with_the_square_and_swap_with_the_axes(seed: int, scale: float, shift: float) -> None:
    values = draw(np.random.default_rng(seed), 4, 3, 2)
    one, scaled = components(variance_split(values)), components(variance_split(scale * values + shift))
    assert scaled == pytest.approx({name: scale**2 * value for name, value in one.items()}, rel=1e-6, abs=1e-6 * scale**2)
    swapped = components(variance_split(values.swapaxes(0, 1)))
    assert swapped == pytest.approx(one | {"question": one["seed"], "seed": one["question"]})


def test_missing_samples_are_counted_and_an_empty_cell_is_refused() -> None:
    values = draw(np.random.default_rng(4), 4, 3, 2)
    values[1, 2, 0] = np.nan
    split = variance_split(values)
    assert (split.n_missing, split.balanced) == (1, False)
    assert split.samples == pytest.approx(12 / (11 / 2 + 1))
    values[1, 2, 1] = np.nan
    with pytest.raises(TruingError, match=r"\[1, 2\]"):
        variance_split(values)


@pytest.mark.parametrize("shape", [(5,), (1, 4), (4, 1), (2, 2, 2, 2)])
def test_what_is_no_crossed_design_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TruingError):
        variance_split(np.zeros(shape))


def test_an_infinity_is_refused() -> None:
    with pytest.raises(TruingError, match="infinity"):
        variance_split([[1.0, math.inf], [0.0, 1.0]])
    with pytest.raises(TruingError, match="infinity"):
        clustered_se([1.0, math.inf], ["a", "b"])


def test_the_crossed_interval_covers_new_questions_and_new_seeds() -> None:
    rng = np.random.default_rng(8)
    found = [crossed_interval(draw(rng, 12, 4, 1)) for _ in range(1500)]
    covered = [estimate.lo <= 0 <= estimate.hi for estimate in found if estimate.lo is not None and estimate.hi is not None]
    assert len(covered) == 1500
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_the_crossed_interval_is_student_s_when_one_axis_does_nothing() -> None:
    # Questions differ, seeds don't: the interval is that of the question means.
    by_question = np.array([0.1, 0.5, 0.2, 0.9])
    wiggle = 1e-3 * np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]])
    found, expected = crossed_interval(by_question[:, None] + wiggle), stats.t.interval(0.95, 3, by_question.mean(), stats.sem(by_question))
    assert (found.lo, found.hi) == pytest.approx(expected)
    assert found.se == pytest.approx(variance_split(by_question[:, None] + wiggle).se)
    assert crossed_interval(np.full((3, 3), 0.3)).lo is None


def planted(question: float, seed: float, interaction: float, sample: float) -> VarianceSplit:
    q, s, qs, e = (Component.of(value) for value in (question, seed, interaction, sample))
    return VarianceSplit(0.5, q, s, qs, e, questions=8, seeds=4, samples=5.0, n_missing=0, balanced=True, reason=None)


def test_the_next_purchase_is_the_one_that_dominates() -> None:
    equal = {"question": 1.0, "seed": 1.0, "sample": 1.0}
    assert buy_next(planted(9, 0.1, 0.1, 0.1), equal).best == "question"
    assert buy_next(planted(0.1, 9, 0.1, 0.1), equal).best == "seed"
    assert buy_next(planted(0, 0, 0, 9), equal).best == "seed"  # 1/4 falls faster than 1/8 or 1/5
    assert buy_next(planted(0, 0, 0, 9), equal | {"seed": 100.0, "question": 100.0}).best == "sample"
    assert buy_next(planted(0, 9, 0, 0), equal | {"seed": 1e9}).best == "seed"  # nothing else helps at all
    assert buy_next(planted(0, 0, 0, 0), equal).best is None


def test_options_carry_the_predicted_error_and_the_gain_for_the_price() -> None:
    split = planted(0.4, 0.2, 0.1, 0.3)
    found = buy_next(split, {"question": 2.0, "seed": 50.0})
    now = 0.4 / 8 + 0.2 / 4 + 0.1 / 32 + 0.3 / 160
    question = 0.4 / 9 + 0.2 / 4 + 0.1 / 36 + 0.3 / 180
    assert found.se_now == pytest.approx(math.sqrt(now))
    assert [option.name for option in found.options] == ["question", "seed"]
    assert found.options[0].se == pytest.approx(math.sqrt(question))
    assert found.options[0].gain_per_cost == pytest.approx((now - question) / 2)


def test_samples_that_cannot_be_told_from_the_interaction_are_not_predicted() -> None:
    split = variance_split(draw(np.random.default_rng(5), 5, 4, 1))
    found = buy_next(split, {"question": 1.0, "sample": 1.0})
    assert [option.name for option in found.options] == ["question"]
    assert set(found.unpredicted) == {"sample"}


@pytest.mark.parametrize("costs", [{}, {"gpu": 1.0}, {"seed": 0.0}, {"seed": math.nan}])
def test_prices_that_make_no_sense_are_refused(costs: dict[str, float]) -> None:
    with pytest.raises(TruingError):
        buy_next(planted(1, 1, 1, 1), costs)


def test_design_effect_and_effective_n() -> None:
    assert design_effect(1, 0.7) == 1.0
    assert design_effect(10, 0.1) == pytest.approx(1.9)
    assert design_effect(5, -0.25) == 0.0
    assert effective_n(190, 1.9) == pytest.approx(100)
    for m, rho in ((0.5, 0.1), (5, -0.3), (5, 1.1), (5, math.nan)):
        with pytest.raises(TruingError):
            design_effect(m, rho)
    with pytest.raises(TruingError):
        effective_n(10, 0.0)


def test_icc_of_equal_clusters_is_the_ratio_of_mean_squares() -> None:
    values = np.random.default_rng(6).normal(size=(6, 4)) + np.arange(6)[:, None]
    within = values.var(axis=1, ddof=1).mean()
    between = within * stats.f_oneway(*values).statistic
    assert icc(values).value == pytest.approx((between - within) / (between + 3 * within))
    assert icc([[0.0, 1.0]] * 5).value == pytest.approx(-1.0)


def test_icc_of_unequal_clusters_uses_the_adjusted_size() -> None:
    # Sizes 3, 2, 2: n 7, m0 = (7 - 17/7) / 2 = 16/7; means 2, 4, 6, grand 26/7; within 2 on 4 df.
    values = [[1.0, 2.0, 3.0], [4.0, 4.0, math.nan], [6.0, 6.0, math.nan]]
    between = (3 * (2 - 26 / 7) ** 2 + 2 * (4 - 26 / 7) ** 2 + 2 * (6 - 26 / 7) ** 2) / 2
    found = icc(values)
    assert found.members == pytest.approx(16 / 7)
    assert found.value == pytest.approx((between - 0.5) / (between + (16 / 7 - 1) * 0.5))


def test_icc_recovers_a_planted_correlation_from_unequal_clusters() -> None:
    rng = np.random.default_rng(7)
    values = math.sqrt(0.3) * rng.normal(size=(3000, 1)) + math.sqrt(0.7) * rng.normal(size=(3000, 6))
    values[:, 2:][rng.random((3000, 4)) < 0.5] = np.nan
    found = icc(values)
    assert found.value == pytest.approx(0.3, abs=0.04)
    assert found.n_missing == int(np.isnan(values).sum())
    assert 2 < found.members < 6


@pytest.mark.parametrize("values", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 1.0], [1.0, 1.0]], [[math.nan, math.nan], [1.0, 2.0]]])
def test_icc_is_absent_with_a_reason_where_it_is_not_defined(values: list[list[float]]) -> None:
    found = icc(values)
    assert found.value is None
    assert found.reason


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), groups=st.integers(2, 8))
def test_clustered_errors_are_those_of_statsmodels(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    clusters = np.concatenate([np.arange(groups), rng.integers(0, groups, 20)])
    values = rng.normal(size=groups)[clusters] + rng.normal(size=len(clusters))
    model = OLS(values, np.ones(len(values)))
    found, interval = clustered_se(values, list(clusters)), clustered_interval(values, list(clusters))
    plain = model.fit(cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False})
    assert found.se == pytest.approx(plain.bse[0])
    corrected = model.fit(cov_type="cluster", cov_kwds={"groups": clusters, "df_correction": True}, use_t=True)
    assert (interval.lo, interval.hi) == pytest.approx(tuple(corrected.conf_int()[0]))


def test_clusters_of_one_are_independent_observations() -> None:
    values = [0.2, 0.5, 0.9, 0.4]
    found = clustered_se(values, ["a", "b", "c", "d"])
    assert found.naive_se == pytest.approx(stats.sem(values))
    assert found.se == pytest.approx(stats.sem(values, ddof=0))
    assert found.design_effect == pytest.approx(3 / 4)


def test_few_clusters_are_named_and_many_are_not() -> None:
    few = clustered_se([0.0, 1.0] * 8, [number // 2 for number in range(16)])
    assert few.note is not None
    assert "8 clusters are few" in few.note
    assert clustered_se(np.arange(30.0), list(range(30))).note is None


def test_missing_values_leave_their_cluster_and_are_counted() -> None:
    found = clustered_se([0.2, None, 0.4, math.nan], ["a", "b", "c", "a"])
    assert (found.n, found.clusters, found.n_missing) == (2, 2, 2)
    assert found.mean == pytest.approx(0.3)


def test_equal_values_have_no_interval_of_zero_width() -> None:
    # 0.1 + 0.2 is not 0.3 in binary; the difference is no spread.
    found = clustered_interval([0.3, 0.1 + 0.2, 0.3], ["a", "b", "c"])
    assert (found.se, found.lo) == (None, None)
    assert clustered_interval([0.1, 0.3, 0.2, 0.1 + 0.1], ["a", "a", "b", "b"]).lo is None
    assert icc([[0.3, 0.1 + 0.2], [0.3, 0.3]]).value is None


def test_one_cluster_has_a_mean_and_no_error() -> None:
    found, interval = clustered_se([0.2, 0.4], ["a", "a"]), clustered_interval([0.2, 0.4], ["a", "a"])
    assert (found.se, found.design_effect, interval.se, interval.lo, interval.method) == (None, None, None, None, None)
    assert interval.value == pytest.approx(0.3)
    for values, clusters in (([], []), ([None], ["a"]), ([1.0], [])):
        with pytest.raises(TruingError):
            clustered_se(values, clusters)
    with pytest.raises(TruingError):
        clustered_interval([1.0, 2.0], ["a", "b"], level=95)
