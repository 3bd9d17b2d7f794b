"""Resampling agrees with copies made one by one, with scipy and with planted variances, and is fast."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats

from truing.core.errors import TruingError
from truing.stats import resampling
from truing.stats.bootstrap import (
    Bootstrap,
    bca,
    bootstrap_probability_of_improvement,
    cluster_bootstrap,
    iqm,
    paired_two_way_bootstrap,
    probability_of_improvement,
    stratified_bootstrap_iqm,
    two_way_bootstrap,
)

TABLE = np.random.default_rng(1).normal(0.5, 0.2, (20, 10))


def generator() -> np.random.Generator:
    return np.random.default_rng(5)


def assert_absent(result: Bootstrap) -> None:
    assert (result.lo, result.hi, result.method) == (None, None, None)
    assert result.reason


def test_count_weights_are_the_copies_that_they_stand_for() -> None:
    table = TABLE.copy()
    table[3, 4] = table[7, 0] = np.nan
    result = two_way_bootstrap(table, rng=generator(), draws=4000)
    draw, means = np.random.default_rng(6), []
    for _ in range(4000):
        copied = table[np.ix_(draw.integers(0, 20, 20), draw.integers(0, 10, 10))]
        means.append(np.nanmean(copied))
    assert result.se == pytest.approx(np.std(means), rel=0.05)
    assert (result.lo, result.hi) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.006)
    assert result.value == pytest.approx(np.nanmean(table))
    assert (result.n_questions, result.n_seeds, result.n_missing, result.unit) == (20, 10, 2, "question x seed")


def test_both_axes_are_drawn() -> None:
    draw = np.random.default_rng(2)
    questions, seeds = draw.normal(0, 1, (40, 1)), draw.normal(0, 0.5, (1, 12))
    by_question = two_way_bootstrap(questions + np.zeros((1, 12)), rng=generator()).se
    by_seed = two_way_bootstrap(np.zeros((40, 1)) + seeds, rng=generator()).se
    both = two_way_bootstrap(questions + seeds, rng=generator()).se
    assert by_question == pytest.approx(questions.std() / math.sqrt(40), rel=0.03)
    assert by_seed == pytest.approx(seeds.std() / math.sqrt(12), rel=0.03)
    assert both == pytest.approx(math.hypot(by_question or 0, by_seed or 0), rel=0.03)


def test_samples_stay_in_their_cell() -> None:
    nested = np.random.default_rng(3).normal(0, 1, (6, 5, 4))
    nested[0, 0, :2] = np.nan
    nested[1, 1, :] = np.nan
    with np.errstate(invalid="ignore"), pytest.warns(RuntimeWarning, match="empty slice"):
        cells = np.nanmean(nested, axis=2)
    one, other = two_way_bootstrap(nested, rng=generator(), draws=500), two_way_bootstrap(cells, rng=generator(), draws=500)
    assert (one.value, one.lo, one.hi) == pytest.approx((other.value, other.lo, other.hi))
    assert one.n_missing == 1


def test_chunks_change_no_draw_of_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = two_way_bootstrap(TABLE, rng=generator(), draws=3000)
    monkeypatch.setattr(resampling, "CHUNK_ELEMENTS", 7000)
    parts = two_way_bootstrap(TABLE, rng=generator(), draws=3000)
    assert parts.n_draws == whole.n_draws == 3000
    assert (parts.se, parts.lo, parts.hi) == pytest.approx((whole.se, whole.lo, whole.hi), rel=0.06)


def test_the_same_generator_gives_the_same_interval() -> None:
    assert two_way_bootstrap(TABLE, rng=generator(), draws=500) == two_way_bootstrap(TABLE, rng=generator(), draws=500)
    assert two_way_bootstrap(TABLE, rng=np.random.default_rng(6), draws=500) != two_way_bootstrap(TABLE, rng=generator(), draws=500)


def test_paired_draws_take_out_what_the_conditions_share() -> None:
    noise = np.random.default_rng(4).normal(0, 0.05, (20, 10))
    other = TABLE - 0.3 + noise
    paired = paired_two_way_bootstrap(TABLE, other, rng=generator(), draws=2000)
    apart = two_way_bootstrap(TABLE, rng=generator(), draws=2000).se
    assert paired.value == pytest.approx((TABLE - other).mean())
    assert (paired.se or 1) < 0.5 * (apart or 0)
    swapped = paired_two_way_bootstrap(other, TABLE, rng=generator(), draws=2000)
    assert (swapped.lo, swapped.hi) == pytest.approx((-(paired.hi or 0), -(paired.lo or 0)))
    with pytest.raises(TruingError, match="same questions"):
        paired_two_way_bootstrap(TABLE, TABLE[:5], rng=generator())


def test_one_seed_one_question_and_no_spread_have_no_interval() -> None:
    for table in (TABLE[:, :1], TABLE[:1], np.full((5, 5), 0.3), np.full((3, 3), np.nan)):
        result = two_way_bootstrap(table, rng=generator(), draws=200)
        assert_absent(result)
        assert result.se is None
    gap = TABLE.copy()
    gap[:, 1:] = np.nan
    assert two_way_bootstrap(gap, rng=generator()).n_seeds == 1, "a seed without values is none"


def test_bca_is_that_of_scipy() -> None:
    skewed = np.random.default_rng(9).exponential(1, 30)
    ours = cluster_bootstrap(skewed, range(30), rng=generator(), draws=20_000, method="bca")
    theirs = stats.bootstrap((skewed,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1))
    interval = theirs.confidence_interval
    assert (ours.lo, ours.hi) == pytest.approx((interval.low, interval.high), abs=0.02)
    plain = cluster_bootstrap(skewed, range(30), rng=generator(), draws=20_000)
    assert (ours.hi or 0) > (plain.hi or 0), "skew moves the limits to the long tail"
    assert (ours.lo or 0) > (plain.lo or 0)


def test_bca_limits_by_the_formula() -> None:
    drawn = np.random.default_rng(10).gamma(4.0, 1.0, 5000)
    left_out = [np.random.default_rng(11).gamma(2.0, 1.0, 12), np.random.default_rng(12).gamma(2.0, 0.5, 9)]
    z0 = stats.norm.ppf(np.mean(drawn < 4.0))
    parts = [(len(x) - 1) / len(x) * (x.mean() - x) for x in left_out]
    a = sum((x**3).sum() for x in parts) / (6 * sum((x**2).sum() for x in parts) ** 1.5)
    z = z0 + stats.norm.ppf([0.05, 0.95])
    expected = np.quantile(drawn, stats.norm.cdf(z0 + z / (1 - a * z)))
    limits = bca(4.0, drawn, left_out, level=0.9)
    assert (limits.lo, limits.hi) == pytest.approx(tuple(expected))


def test_bca_is_refused_and_not_swapped() -> None:
    few = two_way_bootstrap(TABLE[:, :3], rng=generator(), draws=500, method="bca")
    assert_absent(few)
    assert few.value is not None
    assert few.se is not None
    assert "8 clusters" in (few.reason or "")
    rare = np.zeros(30)
    rare[0] = 1.0
    tied = cluster_bootstrap(rare, range(30), rng=generator(), draws=2000, method="bca")
    assert_absent(tied)
    assert "bca" in (tied.reason or "")
    assert bca(0.0, np.ones(100), [np.arange(9.0)]).reason == "bca: all draws lie on one side of the value"
    assert bca(0.5, np.arange(100.0) / 100, [np.ones(9)]).reason == "bca: the jackknife gives no acceleration"
    bounded = np.concatenate([np.zeros(40), np.linspace(0, 1, 60)])
    assert "tied at a bound" in (bca(0.1, bounded, [np.arange(9.0)], level=0.8).reason or "")


def test_clusters_are_kept_whole() -> None:
    clusters = np.repeat(np.arange(10), 50)
    values = np.random.default_rng(13).normal(0, 1, 10)[clusters]
    whole = cluster_bootstrap(values, clusters, rng=generator())
    single = cluster_bootstrap(values, range(500), rng=generator(), draws=2000)
    assert whole.se == pytest.approx(np.std(values) / math.sqrt(10), rel=0.05)
    assert (whole.se or 0) > 5 * (single.se or 0)
    assert (whole.n_questions, whole.n_seeds, whole.unit) == (10, None, "cluster")


def test_clusters_of_unequal_size_and_missing_values() -> None:
    result = cluster_bootstrap([1.0, 2.0, None, 6.0], ["x", "x", "y", "z"], rng=generator(), draws=500)
    assert (result.value, result.n_questions, result.n_missing) == (3.0, 2, 1)
    assert_absent(cluster_bootstrap([1.0, 2.0], ["x", "x"], rng=generator()))
    assert_absent(cluster_bootstrap([None], ["x"], rng=generator()))
    with pytest.raises(TruingError, match="clusters"):
        cluster_bootstrap([1.0], [], rng=generator())


def test_iqm_is_the_trimmed_mean_of_all_scores() -> None:
    scores = np.random.default_rng(14).random((5, 7))
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25, axis=None))
    scores[0, 0] = np.nan
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores[~np.isnan(scores)], 0.25))
    assert iqm([[0.0, 1.0, 2.0, 100.0]]) == 1.5
    assert iqm([[np.nan]]) is None


def test_stratified_draws_stay_within_tasks() -> None:
    tasks = np.array([[0.1, 0.4, 0.6, 0.9]]) + np.random.default_rng(15).normal(0, 0.01, (5, 4))
    result = stratified_bootstrap_iqm(tasks, rng=generator(), draws=2000)
    draw, means = np.random.default_rng(16), []
    for _ in range(2000):
        copied = np.stack([column[draw.integers(0, 5, 5)] for column in tasks.T], axis=1)
        means.append(stats.trim_mean(copied, 0.25, axis=None))
    assert result.se == pytest.approx(np.std(means), rel=0.08)
    assert (result.n_questions, result.n_seeds, result.method) == (4, 5, "percentile")
    assert_absent(stratified_bootstrap_iqm(tasks[:2], rng=generator()))
    assert_absent(stratified_bootstrap_iqm(np.tile([[0.1, 0.9]], (4, 1)), rng=generator()))


def test_probability_of_improvement_is_mann_whitney_per_task() -> None:
    draw = np.random.default_rng(17)
    x, y = np.round(draw.normal(0.5, 1, (6, 3)), 1), np.round(draw.normal(0, 1, (4, 3)), 1)
    expected = np.mean([stats.mannwhitneyu(a, b).statistic / 24 for a, b in zip(x.T, y.T, strict=True)])
    assert probability_of_improvement(x, y) == pytest.approx(expected)
    assert probability_of_improvement(y, x) == pytest.approx(1 - expected)
    assert probability_of_improvement([1.0, 2.0], [0.0, 1.0]) == 0.875
    assert probability_of_improvement([[np.nan]], [[1.0]]) is None
    with pytest.raises(TruingError, match="same tasks"):
        probability_of_improvement(x, y[:, :2])
    result = bootstrap_probability_of_improvement(x, y, rng=generator(), draws=2000)
    copies = [probability_of_improvement(x[draw.integers(0, 6, 6)][:, [0]], y[draw.integers(0, 4, 4)][:, [0]]) for _ in range(1500)]
    one = bootstrap_probability_of_improvement(x[:, 0], y[:, 0], rng=generator(), draws=2000)
    assert one.se == pytest.approx(np.std([c for c in copies if c is not None]), rel=0.08)
    assert result.value == pytest.approx(expected)
    assert result.lo is not None
    assert result.hi is not None
    assert result.lo < expected < result.hi


def test_bad_input_is_refused() -> None:
    with pytest.raises(TruingError, match="bca, percentile"):
        two_way_bootstrap(TABLE, rng=generator(), method="basic")
    with pytest.raises(TruingError, match="level"):
        two_way_bootstrap(TABLE, rng=generator(), level=95)
    with pytest.raises(TruingError, match="shape"):
        two_way_bootstrap(TABLE[0], rng=generator())
    with pytest.raises(TruingError, match="infinity"):
        two_way_bootstrap([[1.0, math.inf]], rng=generator())
    assert "too few" in (two_way_bootstrap(TABLE, rng=generator(), draws=30).reason or "")


def test_fifty_conditions_of_three_metrics_in_five_seconds() -> None:
    tables = np.random.default_rng(18).random((150, 48, 10))
    rng, start = generator(), time.process_time()
    results = [two_way_bootstrap(table, rng=rng, draws=10_000) for table in tables]
    assert time.process_time() - start < 5.0
    assert all(result.lo is not None for result in results)


@pytest.mark.slow
def test_two_way_interval_covers_the_planted_mean() -> None:
    draw, inside, n = np.random.default_rng(19), 0, 300
    for _ in range(n):
        table = draw.normal(0, 0.3, (30, 1)) + draw.normal(0, 0.2, (1, 15)) + draw.normal(0, 0.2, (30, 15))
        result = two_way_bootstrap(table, rng=generator(), draws=1000)
        inside += result.lo is not None and result.hi is not None and result.lo <= 0 <= result.hi
    assert 0.88 < inside / n < 0.99
