"""Contrasts against scipy's Welch test, and 2 x 2 designs whose interaction is planted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from truing.core.errors import TruingError
from truing.stats.factorial import contrast, factorial, interaction, paired_contrast
from truing.stats.intervals import paired_p_value, paired_t_interval

VALUES = {"a": [0.9, 1.1, 1.4, 0.7], "b": [0.5, 0.45, 0.6], "c": [0.3, 0.8, 0.1, 0.6, 0.2], "d": [0.4, 0.5]}


def cells(a: object, b: object, c: object, d: object) -> dict[str, dict[str, list[float]]]:
    return {"evil": {"wrong": a, "right": b}, "good": {"wrong": c, "right": d}}  # type: ignore[dict-item]


def drawn(means: tuple[float, float, float, float], n: int, sd: float, seed: int = 0) -> dict[str, dict[str, list[float]]]:
    rng = np.random.default_rng(seed)
    # Residuals with mean exactly zero: the planted contrast is the estimate.
    runs = [mean + sd * stats.zscore(rng.normal(size=n), ddof=1) for mean in means]
    return cells(*(values.tolist() for values in runs))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 8), m=st.integers(2, 8), sd=st.floats(0.05, 20))
def test_two_groups_are_welch_s_test(seed: int, n: int, m: int, sd: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(0.3, sd, size=m)
    found, expected = contrast({"a": a.tolist(), "b": b.tolist()}, {"a": 1, "b": -1}), stats.ttest_ind(a, b, equal_var=False)
    assert found.df == pytest.approx(expected.df)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.lo, found.hi) == pytest.approx(tuple(expected.confidence_interval()))


def test_the_interaction_has_the_closed_form() -> None:
    found = interaction(cells(*VALUES.values()))
    parts = [np.var(values, ddof=1) / len(values) for values in VALUES.values()]
    means = [np.mean(values) for values in VALUES.values()]
    df = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, VALUES.values(), strict=True))
    half = stats.t.ppf(0.975, df) * math.sqrt(sum(parts))
    assert found.value == pytest.approx((means[0] - means[1]) - (means[2] - means[3]))
    assert found.df == pytest.approx(df)
    assert (found.lo, found.hi) == pytest.approx((found.value - half, found.value + half))
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs((means[0] - means[1]) - (means[2] - means[3])) / math.sqrt(sum(parts)), df))
    assert found.direction == "(evil/wrong - evil/right) - (good/wrong - good/right)"


def test_order_names_the_direction() -> None:
    found, turned = interaction(cells(*VALUES.values())), interaction(dict(reversed(cells(*VALUES.values()).items())))
    assert found.value is not None
    assert turned.value == pytest.approx(-found.value)
    assert turned.p_value == pytest.approx(found.p_value)
    assert turned.direction == "(good/wrong - good/right) - (evil/wrong - evil/right)"
    # The second row may list its columns in another order: they are matched by name.
    mixed = {"evil": {"wrong": VALUES["a"], "right": VALUES["b"]}, "good": {"right": VALUES["d"], "wrong": VALUES["c"]}}
    assert interaction(mixed) == found


def test_equal_spreads_and_sizes_have_the_pooled_degrees_of_freedom() -> None:
    found = interaction(drawn((1, 2, 3, 5), 10, 0.5))
    assert found.df == pytest.approx(4 * 9)
    assert found.value == pytest.approx((1 - 2) - (3 - 5))
    assert found.se == pytest.approx(0.5 * math.sqrt(4 / 10))


def test_a_contrast_of_three_groups_skips_what_has_no_weight() -> None:
    found = contrast(VALUES, {"a": 1, "b": -0.5, "c": -0.5, "d": 0})
    assert found.direction == "a - 0.5 b - 0.5 c"
    assert dict(found.n) == {"a": 4, "b": 3, "c": 5}
    assert found.value == pytest.approx(np.mean(VALUES["a"]) - np.mean(VALUES["b"]) / 2 - np.mean(VALUES["c"]) / 2)


def test_missing_values_are_left_out_and_counted() -> None:
    found = contrast({"a": [1.0, None, 3.0], "b": [0.0, math.nan, 1.0]}, {"a": 1, "b": -1})
    assert found == contrast({"a": [1.0, 3.0], "b": [0.0, 1.0]}, {"a": 1, "b": -1}).__class__(**{**vars(found), "n_missing": 2})
    assert found.n_missing == 2
    assert found.value == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("b", "value", "reason"),
    [([], None, "no value in b"), ([2.0], -1.0, "one value in b"), ([3.0, 3.0], -2.0, "equal")],
)
def test_what_has_no_spread_has_no_error_and_says_why(b: list[float], value: float | None, reason: str) -> None:
    found = contrast({"a": [1.0, 1.0], "b": b}, {"a": 1, "b": -1})
    assert (found.value, found.se, found.df, found.p_value, found.lo, found.method) == (value, None, None, None, None, None)
    assert found.reason is not None
    assert reason in found.reason


@pytest.mark.parametrize(
    "coefficients", [{"a": 1, "b": 1}, {"a": 0, "b": 0}, {}, {"a": 1, "z": -1}, {"a": math.nan, "b": -1}, {"a": math.inf, "b": -math.inf}]
)
def test_weights_that_are_no_contrast_are_refused(coefficients: dict[str, float]) -> None:
    with pytest.raises(TruingError):
        contrast(VALUES, coefficients)


def test_infinite_values_and_levels_in_percent_are_refused() -> None:
    with pytest.raises(TruingError, match="infinity"):
        contrast({"a": [1.0, 2.0], "b": [1.0, math.inf]}, {"a": 1, "b": -1})
    with pytest.raises(TruingError, match="level of 95"):
        contrast(VALUES, {"a": 1, "b": -1}, level=95)


def by_seed(values: list[float]) -> dict[int, float | None]:
    return dict(enumerate(values))


def test_cells_by_seed_are_paired() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 5, 6)
    a, b, c, d = ((shared + rng.normal(0, 0.1, 6)).tolist() for _ in range(4))
    found = interaction({"x": {"p": by_seed(a), "q": by_seed(b)}, "y": {"p": by_seed(c), "q": by_seed(d)}})
    expected = stats.ttest_1samp(np.array(a) - b - c + d, 0)
    assert (found.value, found.p_value, found.df) == pytest.approx(((np.array(a) - b - c + d).mean(), expected.pvalue, 5))
    alone = interaction(cells(a, b, c, d))
    assert found.se is not None
    assert alone.se is not None
    assert found.se < alone.se / 10


def test_a_paired_contrast_of_two_is_the_paired_t_test() -> None:
    a, b = {0: 1.0, 1: 2.5, 2: 2.0, 3: None}, {0: 0.5, 1: 1.0, 2: 1.9, 4: 3.0}
    found, expected = paired_contrast({"a": a, "b": b}, {"a": 1, "b": -1}), paired_t_interval(a, b)
    assert (found.value, found.lo, found.hi) == pytest.approx((expected.value, expected.lo, expected.hi))
    assert found.p_value == pytest.approx(paired_p_value(a, b))
    assert (found.n["a"], found.n_missing) == (3, 2)
    assert paired_contrast({"a": {0: 1.0}, "b": {0: 0.0}}, {"a": 1, "b": -1}).reason


def test_paired_and_independent_cells_do_not_mix() -> None:
    with pytest.raises(TruingError, match="one kind"):
        interaction({"x": {"p": {0: 1.0}, "q": {0: 1.0}}, "y": {"p": [1.0], "q": [1.0]}})


def test_a_crossing_interaction_hides_main_effects() -> None:
    # Both main effects are exactly zero, and every simple effect is large.
    found = factorial(drawn((1, 0, 0, 1), 8, 0.2), margin=0.1, factors=("persona", "pairing"))
    assert found.significant
    assert not found.negligible
    assert [effect.contrast.value for effect in found.main] == pytest.approx([0, 0], abs=1e-12)
    assert not any(effect.interpretable for effect in found.main)
    assert "is significant" in str(found.main[0].caution)
    assert [effect.value for effect in found.simple] == pytest.approx([1, -1])


def test_additive_cells_with_a_proven_margin_stand_alone() -> None:
    found = factorial(drawn((3, 2, 1, 0), 10, 0.1), margin=0.5, factors=("persona", "pairing"))
    assert (found.significant, found.negligible) == (False, True)
    assert [effect.interpretable for effect in found.main] == [True, True]
    assert [effect.factor for effect in found.main] == ["persona", "pairing"]
    assert [effect.contrast.value for effect in found.main] == pytest.approx([2, 1])
    assert found.main[0].contrast.direction == "0.5 evil/wrong + 0.5 evil/right - 0.5 good/wrong - 0.5 good/right"
    assert found.main[1].contrast.direction == "0.5 evil/wrong - 0.5 evil/right + 0.5 good/wrong - 0.5 good/right"


def test_an_insignificant_interaction_is_no_proof_of_none() -> None:
    wide = drawn((3, 2, 1, 0), 3, 1.0)
    assert "no margin" in str(factorial(wide).main[0].caution)
    found = factorial(wide, margin=0.5)
    assert (found.significant, found.negligible) == (False, False)
    assert "not proven" in str(found.main[0].caution)


def test_significant_and_within_the_margin_is_still_not_alone() -> None:
    found = factorial(drawn((3.2, 2, 1, 0), 40, 0.1), margin=1.0)
    assert (found.significant, found.negligible) == (True, True)
    assert not found.main[0].interpretable


def test_equivalence_is_the_interval_of_twice_alpha_inside_the_margin() -> None:
    design = drawn((3, 2, 1, 0.1), 6, 0.3)
    narrow = interaction(design, level=0.9)
    assert narrow.hi is not None
    for factor in (0.999, 1.001):
        assert factorial(design, margin=narrow.hi * factor).negligible == (factor > 1)


def test_an_interaction_without_error_leaves_main_effects_open() -> None:
    found = factorial(cells([1.0], [2.0, 3.0], [1.0, 2.0], [0.0, 1.0]), margin=1.0)
    assert found.equivalence_p is None
    assert "cannot be estimated" in str(found.main[0].caution)


def test_the_table_reads_the_interaction_first() -> None:
    rows = factorial(drawn((1, 0, 0, 1), 8, 0.2), factors=("persona", "pairing")).rows()
    assert [row["term"] for row in rows] == [
        "interaction",
        "main effect of persona",
        "main effect of pairing",
        "simple effect",
        "simple effect",
    ]
    assert rows[0]["caution"] is None
    assert "not interpretable alone" in rows[1]["caution"]
    assert rows[3]["direction"] == "evil/wrong - evil/right"
    assert rows[0]["n"] == 32


def test_what_is_no_two_by_two_is_refused() -> None:
    for design in ({}, {"x": {"p": [1.0], "q": [1.0]}}, {"x": {"p": [1.0], "q": [1.0]}, "y": {"p": [1.0], "r": [1.0]}}):
        with pytest.raises(TruingError, match="same two columns"):
            interaction(design)
    for options in ({"alpha": 0.0}, {"alpha": 0.6}, {"margin": 0.0}, {"margin": math.nan}):
        with pytest.raises(TruingError):
            factorial(drawn((1, 0, 0, 1), 3, 0.2), **options)  # type: ignore[arg-type]
