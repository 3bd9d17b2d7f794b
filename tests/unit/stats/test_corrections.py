"""Corrections agree with statsmodels, count what was asked, and hold the family-wise error."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.multiplicity import Method, adjusted_by_statsmodels

from truing.core.errors import TruingError
from truing.stats.corrections import (
    adjust,
    benjamini_hochberg,
    bonferroni,
    dunnett,
    holm,
    max_t,
    verdict_depends_on_correction,
)
from truing.stats.hypotheses import t_p_value

p_values = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0])), min_size=1, max_size=12)
properties = settings(derandomize=True, max_examples=80, deadline=None)


def generator() -> np.random.Generator:
    return np.random.default_rng(11)


@properties
@given(p_values)
def test_adjusted_values_are_those_of_statsmodels(p: list[float]) -> None:
    adjustments: list[tuple[Callable[[list[float]], list[float | None]], Method]]
    adjustments = [(bonferroni, "bonferroni"), (holm, "holm"), (benjamini_hochberg, "fdr_bh")]
    for ours, name in adjustments:
        assert ours(p) == pytest.approx(adjusted_by_statsmodels(p, name), rel=1e-12)


def test_a_missing_p_stays_missing_and_counts() -> None:
    p = [0.01, None, 0.03, float("nan")]
    assert bonferroni(p) == [pytest.approx(0.04), None, pytest.approx(0.12), None]
    assert holm(p) == [pytest.approx(0.04), None, pytest.approx(0.09), None]
    assert benjamini_hochberg(p) == [pytest.approx(0.04), None, pytest.approx(0.06), None]
    assert adjust(p, "none") == [0.01, None, 0.03, None]
    assert holm([]) == []
    assert holm([None]) == [None]


def test_corrections_go_by_name_and_unknown_ones_list_the_known() -> None:
    assert adjust([0.01, 0.02], "bonferroni") == pytest.approx([0.02, 0.04])
    with pytest.raises(TruingError, match="bh, bonferroni, holm, none"):
        adjust([0.1], "sidak")
    with pytest.raises(TruingError, match=r"p-values of 1\.5"):
        holm([1.5])


def test_verdicts_say_where_the_correction_decides() -> None:
    first, second, third, fourth = verdict_depends_on_correction([0.001, 0.02, None, 0.9], 0.05)
    assert not first.depends
    assert all(first.rejects.values())
    assert second.rejects == {"none": True, "bonferroni": False, "holm": False, "bh": True}
    assert second.depends
    assert set(third.rejects.values()) == {None}
    assert (third.depends, fourth.depends) == (False, False)


def test_max_t_of_one_contrast_is_the_sign_flip_test() -> None:
    d = np.array([0.3, 0.5, -0.1, 0.4, 0.2])
    flips = [abs(np.dot(signs, d)) for signs in itertools.product((1, -1), repeat=5)]
    (test,) = max_t(d[:, None], rng=generator())
    assert test.p_value == pytest.approx(np.mean(np.array(flips) >= abs(d.sum()) - 1e-12))
    assert test.statistic == pytest.approx(stats.ttest_1samp(d, 0).statistic)
    assert "exact, 32" in test.method


def brute_force(table: np.ndarray) -> list[float]:
    """Step-down by the definition, one relabelling and one contrast at a time."""

    def sizes(x: np.ndarray) -> np.ndarray:
        return np.abs(x.mean(axis=0) / (x.std(axis=0, ddof=1) / math.sqrt(len(x))))

    seen, order = sizes(table), np.argsort(-sizes(table))
    all_sizes = [sizes(table * np.array(signs)[:, None]) for signs in itertools.product((1, -1), repeat=len(table))]
    p, last = np.zeros(table.shape[1]), 0.0
    for rank, column in enumerate(order):
        share = np.mean([relabelled[order[rank:]].max() >= seen[column] - 1e-9 for relabelled in all_sizes])
        last = max(last, float(share))
        p[column] = last
    return p.tolist()


def test_max_t_steps_down_as_defined_and_lies_between_raw_and_bonferroni() -> None:
    table = np.random.default_rng(2).normal([0.9, 0.3, 1.4, 0.0], 1.0, (7, 4))
    tests = max_t(table, rng=generator())
    assert [test.p_value for test in tests] == pytest.approx(brute_force(table))
    for column, test in zip(table.T, tests, strict=True):
        (alone,) = max_t(column[:, None], rng=generator())
        assert alone.p_value is not None
        assert test.p_value is not None
        assert alone.p_value <= test.p_value <= 4 * alone.p_value + 1e-12


def test_max_t_flips_with_the_sign_and_keeps_p() -> None:
    table = np.random.default_rng(4).normal(0.5, 1.0, (6, 3))
    for one, other in zip(max_t(table, rng=generator()), max_t(-table, rng=generator()), strict=True):
        assert one.p_value == other.p_value
        assert one.statistic == pytest.approx(-(other.statistic or 0))


def test_max_t_by_labels_of_runs() -> None:
    draw = np.random.default_rng(5)
    a, b = draw.normal([3.0, 0.0], 1.0, (4, 2)), draw.normal(0.0, 1.0, (4, 2))
    mixed, groups = np.concatenate([b[:2], a, b[2:]]), [False, False, True, True, True, True, False, False]
    tests = max_t(mixed, rng=generator(), groups=groups)
    for test, x, y in zip(tests, a.T, b.T, strict=True):
        assert test.statistic == pytest.approx(stats.ttest_ind(x, y).statistic)
        assert test.diff == pytest.approx(x.mean() - y.mean())
    assert "exact, 70" in tests[0].method
    assert tests[0].p_floor == pytest.approx(2 / 70)
    with pytest.raises(TruingError, match="labels"):
        max_t(mixed, rng=generator(), groups=groups[:-1])


def test_max_t_leaves_out_what_cannot_be_tested() -> None:
    table = np.array([[1.0, 0.0, np.nan, 0.5], [1.0, 0.0, np.nan, 0.4], [1.0, 0.0, 2.0, np.nan], [1.0, 0.0, np.nan, 0.6]])
    equal, zero, single, gap = max_t(table, rng=generator())
    assert (zero.p_value, single.p_value) == (None, None)
    assert zero.reason
    assert single.reason
    assert equal.p_value == pytest.approx(2 / 16), "equal differences have no t, and their signs still can flip"
    assert equal.statistic is None
    assert (gap.n, gap.n_missing) == (3, 1)
    assert gap.diff == pytest.approx(0.5)
    with pytest.raises(TruingError, match="shape"):
        max_t([1.0, 2.0], rng=generator())


@pytest.mark.slow
def test_max_t_holds_the_family_wise_error() -> None:
    draw, wrong, trials = np.random.default_rng(8), 0, 600
    for _ in range(trials):
        table = draw.normal(0, 1, (7, 1)) * 0.7 + draw.normal(0, 1, (7, 6))
        wrong += min(test.p_value or 1.0 for test in max_t(table, rng=generator())) <= 0.05
    assert wrong / trials < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_dunnett_of_one_treatment_is_the_pooled_t_test() -> None:
    draw = np.random.default_rng(6)
    treated, control = draw.normal(1, 1, 6), draw.normal(0, 1, 7)
    test = dunnett({"x": treated}, control, rng=generator())["x"]
    theirs = stats.ttest_ind(treated, control)
    assert (test.statistic, test.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-3)
    assert test.diff == pytest.approx(treated.mean() - control.mean())


def test_dunnett_is_seeded_bounded_and_never_zero() -> None:
    draw = np.random.default_rng(9)
    groups: dict[str, list[float | None]] = {"far": [*draw.normal(40, 1, 6)], "near": [*draw.normal(0.5, 1, 6)], "none": [None]}
    control = draw.normal(0, 1, 6)
    tests, again = dunnett(groups, control, rng=generator()), dunnett(groups, control, rng=generator())
    assert tests == again
    assert tests["none"].reason
    for name in ("far", "near"):
        test = tests[name]
        alone = t_p_value(test.statistic or 0.0, test.df or 1.0)
        assert test.p_value is not None
        assert 0 < alone <= test.p_value <= 2 * alone
    flat = dunnett({"x": [1.0, 1.0]}, [2.0, 2.0], rng=generator())["x"]
    assert (flat.p_value, flat.diff) == (None, -1.0)
    assert dunnett({}, [1.0], rng=generator()) == {}
