"""The page on re-alignment: planted tables give the numbers and the words, and what is missing is a sentence and never a 0."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from support.markup import words
from support.realign_page import (
    COMPLIES,
    DECLARATION,
    KEPT,
    PAIRS,
    WEIGHED,
    context_of,
    documents,
    inputs_of,
    lead,
    made_up_plan,
    measured,
    part,
    plain,
    rows_of,
    said,
)
from support.results import table

from truing.contracts.declaration import Family
from truing.report import ReportInputs, StudyPage, headline, render
from truing.report.blocks import Figures
from truing.report.realign_layout import lineages, manifest_of, order
from truing.report.realign_measures import capability_blocks
from truing.report.realign_pairs import weight_blocks
from truing.report.realign_tables import Spent, Weighed
from truing.report.realign_training import cost_blocks
from truing.report.sections.realign import placebo
from truing.stats.family import infer
from truing.stats.summary import aggregate


@pytest.fixture(scope="module")
def index() -> str:
    return render(plain())["index.html"].decode()


def test_conditions_stand_in_the_order_of_the_study() -> None:
    context = context_of(plain())
    assert order(context) == ["base", "old", "trace", "shuffled"]


def test_a_condition_is_traced_to_its_own_training_and_not_to_what_it_went_on_from() -> None:
    context = context_of(plain())
    assert manifest_of(context, "trace") == "manifest/trace"
    assert set(lineages(context, "trace")) == {"train/trace-0", "train/trace-1", "train/trace-2"}
    assert manifest_of(context, "base") is None
    assert lineages(context, "base") == {}


def test_the_lead_says_what_became_of_labels_agreement_and_capability(index: str) -> None:
    found = lead(index)
    assert "Of 8 old labels, the new policy turns round 3, voids 1, confirms 2, leaves undecided 2." in found
    assert "the model in use keeps the new policy in 0.210 [0.19, 0.23] of its answers." in found
    assert "trace keeps it in 0.810" in found
    assert "trace \u2212 old = +0.600" in found
    assert "Capability of trace against the model in use: facts 0.000 (no loss of 0.05 or more); sums 0.000 (no loss" in found
    assert "Capability of shuffled against the model in use: facts \u22120.300 (a loss of 0.05 or more is not excluded); sums" in found


def test_labels_are_told_by_category_and_by_rule(index: str) -> None:
    found = rows_of(part(index, "labels"))
    assert "INVERT 3 38 % the chosen answer breaks the policy, the rejected one keeps it: the label is turned round" in found
    assert "keep-address 3 0 3 0 0 0 0" in found
    text = words(part(index, "labels"))
    assert "Of the 5 labels that the policy is for or against, it is against 60 %." in text
    assert "Refused as answers to promote: empty, 1. Answers without a decision: none." in text


def test_arms_with_the_same_roles_share_a_flow_whose_numbers_are_told(index: str) -> None:
    found = rows_of(part(index, "flow"))
    assert "trace, shuffled address INVERT invert 2" in found
    assert "trace, shuffled address INVERT gold 1" in found
    assert "trace, shuffled price PUNISH punish 1" in found
    assert part(index, "flow").count("<svg") == 1


def test_the_weights_of_a_role_are_those_of_its_pairs(index: str) -> None:
    found = rows_of(part(index, "weights"))
    # (3 + 1)^2 / (9 + 1) of two pairs; half of all weight.
    assert "trace, shuffled invert 2 50 % 1.00 to 3.00 2 80 %" in found
    assert "trace, shuffled gold 1 not trained on not trained on not trained on" in found
    assert "INVERT 2 \u22120.25 50 %" in found
    assert "against 0 missing missing" in found
    assert "address, invert 2.00 2 pairs 2.00 2 pairs" in found


def test_arms_with_other_weights_have_a_panel_of_their_own() -> None:
    other = WEIGHED | {"manifest/shuffled": Weighed("corpus/pairs", "signal/impact", documents([2.0, 2.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.5]))}
    blocks = weight_blocks(context_of(dataclasses.replace(plain(), weighed=other)))
    (figure,) = [block for block in blocks if isinstance(block, Figures)]
    assert [panel.title for panel in figure.panels] == ["trace", "shuffled"]
    assert "shuffled invert 2 50 % 2.00 to 2.00 2 100 %" in said(blocks)


def test_broken_rules_are_shown_and_those_never_broken_are_counted(index: str) -> None:
    found = rows_of(part(index, "rules"))
    assert found == [
        "condition keep-address address",
        "base 0.400 [0.30, 0.50] no training, 45 questions",
        "old missing not measured",
        "trace 0.125 n = 1, no interval",
        "shuffled missing not measured",
    ]
    assert "In 1 of 2 pairs of a rule and a kind of request no condition ever breaks the rule." in words(part(index, "rules"))


def test_attacks_show_violations_and_their_lift(index: str) -> None:
    found = rows_of(part(index, "attacks"))
    assert "old 0.690 [0.67, 0.71] n = 3 0.690 [0.67, 0.71] n = 3" in found
    assert "base 0.125 no training, no interval" in found
    assert found[0] == "condition plain less is better world nesting less is better"


def test_a_capability_is_lost_kept_or_without_a_test(index: str) -> None:
    def verdicts(found: Sequence[str]) -> list[str]:
        return [one.rpartition("0.050 ")[2] for one in found if "plain.facts, accuracy" in one]

    assert verdicts(rows_of(part(index, "capability"))) == ["p = 0.007 0.098 no such loss", "p = 1.00 0.098 a loss is not excluded"]
    flat = [{**one, "value": 0.9} if one["metric"] == "accuracy" else one for one in measured()]
    found = verdicts(said(capability_blocks(context_of(inputs_of(flat)))))
    assert len(found) == 2
    assert all("no such loss" not in one and one.startswith("no test not known no test") for one in found)


def test_training_is_averaged_over_seeds_and_what_was_not_measured_is_said(index: str) -> None:
    found = rows_of(part(index, "training"))
    (mine,) = [one for one in found if one.startswith("trace") and " invert 3 75 % " in one]
    assert "0.100 0.000 to 0.200" in mine
    assert "\u22123.750" in mine
    (bare,) = [one for one in found if one.startswith("trace") and " agree 2 25 % " in one]
    assert bare.count("missing not measured") == 4


def test_cost_counts_what_the_study_used_and_no_other_judge(index: str) -> None:
    found = rows_of(part(index, "cost"))
    assert any(one.startswith("trace") and one.endswith("3 100 16 3,003") for one in found)
    assert "world_policy 540 200 $1.50 20 without a price" in found
    rule = context_of(dataclasses.replace(plain(), spent={"judge/old": Spent(270, 0, None, 0)}))
    assert "world_policy 270 0 none: a rule, no model was asked" in said(cost_blocks(rule))
    unknown = context_of(dataclasses.replace(plain(), spent={"judge/old": Spent(270, 5, None, 5)}))
    assert "world_policy 270 5 not known no price" in said(cost_blocks(unknown))


def test_an_answer_is_text_and_plain_questions_come_first(index: str) -> None:
    found = part(index, "answers")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in found
    assert "<script" not in index
    assert found.index("plain, address") < found.index("world nesting, address")
    assert "malformed, seed 1" in words(found)


def told(kept: Mapping[str, tuple[float, float]] = KEPT, seeds: Sequence[int] = (0, 1, 2)) -> str:
    rows = [one for one in measured(kept, seeds) if one["arm"] in ("plain.policy", "plain.facts", "plain.sums")]
    (found,) = placebo(context_of(inputs_of(rows)))
    return words(found)


def test_impact_weights_are_said_to_win_to_lose_or_neither() -> None:
    won = told({**KEPT, "shuffled": (0.3, 0.6)})
    assert "Weighing pairs by their impact beats the same weights dealt out anew." in won
    assert "It is not shown" not in won
    assert "does worse than the same weights dealt out anew" in told({**KEPT, "trace": (0.3, 0.6)})
    neither = told({**KEPT, "shuffled": KEPT["trace"]})
    assert "It is not shown that weighing pairs by their impact beats the same weights dealt out anew." in neither
    assert "would be found with power 80 %" in neither
    assert "Nothing can be said" in told(seeds=(0,))
    # The interval [0.01, 0.09] excludes zero; the adjusted p of 0.11 does not.
    (only,) = placebo(context_of(plain()))
    assert "It is not shown" in words(only)


def without_shuffling(plugin: str, **changed: Any) -> list[str]:
    inputs = plain()
    plan = {verb: dict(nodes) for verb, nodes in inputs.plan.items()}
    plan["manifest"]["shuffled"] = {**plan["manifest"]["shuffled"], "source": None, "plugin": plugin}
    plan["train"] = {key: entry | (changed if entry["group"] == "g-shuffled" else {}) for key, entry in plan["train"].items()}
    return [words(one) for one in placebo(context_of(dataclasses.replace(inputs, plan=plan)))]


def test_without_a_placebo_that_is_what_is_said() -> None:
    (found,) = without_shuffling("uniform")
    assert "was not tested" in found


def test_equal_weights_are_a_control_where_nothing_else_differs() -> None:
    first, second = without_shuffling("triage")
    assert first.startswith("Against equal weights: trace \u2212 shuffled = +0.050")
    assert "was not tested" in second
    (found,) = without_shuffling("triage", config="another")
    assert "was not tested" in found


def test_nothing_to_show_is_a_sentence_in_every_part() -> None:
    unjudged = [one for one in measured() if one["metric"] == "accuracy"]
    family = Family(contrasts=DECLARATION.family.contrasts, outcomes=DECLARATION.family.outcomes[1:])
    results = table(unjudged)
    cells, differences = aggregate(results, PAIRS)
    plan, _ = made_up_plan()
    bare = ReportInputs(
        results, cells, differences, plan, {}, "t",
        studies=(StudyPage("realign", "", PAIRS, declaration=DECLARATION),), tests={"realign": infer(results, family)},
    )  # fmt: skip
    index = render(bare)["index.html"].decode()
    for key, sentence in {
        "labels": "is not known",
        "flow": "No manifest of this study gives its pairs roles",
        "weights": "No manifest of this study gives its pairs roles",
        "agreement": "No judge has held the answers",
        "verdicts": "No judge has held the answers",
        "rules": "No judge of this study says anything of single rules",
        "attacks": "No attack was tried",
        "training": "No training of this study has left a record",
        "cost": "No judge of this study has left verdicts",
        "answers": "No answers of this study were handed to the page",
    }.items():
        assert sentence in words(part(index, key)), key
    assert "is missing, so nothing here is a before and after" in lead(index)


def test_the_summary_tells_arms_of_one_metric_apart() -> None:
    inputs = plain()
    found = headline(inputs.cells, inputs.differences, ["accuracy", COMPLIES], inputs.tests)["realign"]
    assert set(found["trace"]) == {"accuracy@plain.facts", "accuracy@plain.sums", COMPLIES}
    assert found["trace"][COMPLIES]["mean"] == pytest.approx(0.81)
    assert found["contrasts"]["shuffled_minus_old"]["accuracy@plain.facts"]["diff"] == pytest.approx(-0.3)
