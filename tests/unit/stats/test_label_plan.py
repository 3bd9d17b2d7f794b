"""How many labels are needed, and the simulation of the benchmark."""

from __future__ import annotations

import math

import pytest
from support.benchmarks import benchmark
from support.judged_items import DIFFERENCE, clustered, rng, table, unequal

from truing.core.errors import TruingError
from truing.stats.dsl import dsl
from truing.stats.label_plan import labels_needed


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


@pytest.mark.slow
def test_the_acceptance_simulation_holds_at_a_fifth_of_its_length() -> None:
    _, _, checks = benchmark("judge_correction").run(0.2, root_seed=1)
    assert len(checks) == 11
    assert not [f"{one.name}: {one.figure}" for one in checks if not one.holds(slack=3)]


def test_a_figure_out_of_range_does_not_hold() -> None:
    check = benchmark("judge_correction").Check
    assert not check("x", 0.92, 0.93, 0.97).holds()
    assert check("x", 0.92, 0.93, 0.97, 0.005).holds(slack=3)
