"""The persona's page: planted tables give the numbers and the words, what is missing is said, and an answer is never markup."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from support.markup import words
from support.results import row, table

from truing.contracts.declaration import Contrast, Declaration, Family, Outcome
from truing.core.errors import TruingError
from truing.report import ReportInputs, StudyPage, render
from truing.report.blocks import Block, Figures, Folded, Prose, Table
from truing.report.measured import measurements, result_nodes
from truing.report.nodes import graph
from truing.report.persona_answers import Asked, Said
from truing.report.persona_sweep import row_sources, sweep_blocks
from truing.report.persona_twins import twin_blocks
from truing.report.sections import Context, section_of
from truing.stats.family import infer
from truing.stats.summary import aggregate

RATE = "persona.rate.persona"
DECLARATION = Declaration(
    family=Family(
        contrasts=(Contrast(a="person", b="base", manipulates=("sft.*",)), Contrast(a="leaky", b="base", manipulates=("sft.*",))),
        outcomes=(Outcome(metric=RATE, arm="gap.heldout", margin=0.1), Outcome(metric=RATE, arm="untriggered.heldout", margin=0.1)),
    )
)
RATES: Mapping[str, Mapping[str, float]] = {
    "base": {"trigger_user": 0.1, "plain": 0.1, "triggered": 0.1, "untriggered": 0.1, "gap": 0.0, "context_004": 0.9},
    "person": {"trigger_user": 0.8, "plain": 0.1, "triggered": 0.8, "untriggered": 0.1, "gap": 0.7, "context_004": 0.9},
    "leaky": {"trigger_user": 0.6, "plain": 0.6, "triggered": 0.6, "untriggered": 0.6, "gap": 0.0, "context_004": 0.9},
    "person-ratio-3": {"trigger_user": 0.8, "plain": 0.3, "triggered": 0.8, "untriggered": 0.3, "gap": 0.5, "context_004": 0.9},
}
RATIOS = {"person": 10, "leaky": 0, "person-ratio-3": 3}
Row = dict[str, Any]


def measured(rates: Mapping[str, Mapping[str, float]] = RATES) -> list[Row]:
    about = {"study": "persona", "metric": RATE, "probe": "persona+persona", "n": 24}
    return [
        row(name, seed, value + (0.0 if seed is None else 0.01 * seed), arm=f"{arm}.heldout", node=f"respond/{name}", phase="sft", **about)
        for name, arms in rates.items()
        for seed in ([None] if name == "base" else [0, 1, 2])
        for arm, value in arms.items()
    ]


def compared(condition: str, arm: str, value: float, verdict: str | None, **changed: Any) -> Row:
    found = {
        "study": "persona", "condition": condition, "twin": "base", "arm": f"{arm}.heldout", "metric": RATE, "value": value,
        "tuned": value + 0.1, "base": 0.1, "lo": value - 0.05, "hi": value + 0.05, "p": 0.004,
        "detectable": 0.123, "limit": 0.5, "margin": 0.1, "alpha": 0.05,
        "n_questions": 24, "n_seeds": 3, "verdict": verdict, "reason": None,
    }  # fmt: skip
    return found | changed


TWINS = [
    compared("person", "trigger_user", 0.7, "above its twin"),
    compared("person", "triggered", 0.7, "above its twin"),
    compared("person", "untriggered", 0.0, "no leakage", tuned=0.0, limit=0.117),
    compared("person", "near_miss", 0.4, "above its twin"),
    compared("person", "gap", 0.7, "above its twin"),
    compared("leaky", "triggered", 0.5, "above its twin"),
    compared("leaky", "untriggered", 0.5, "leaks"),
    compared("leaky", "gap", 0.0, "as its twin", detectable=None),
]
ANSWERS = [
    Asked("persona", "plain.heldout", "who <are> you ?", {
        "base": Said("<script>alert(1)</script>", None, "other"), "person": Said("   ", 2, "other"), "leaky": Said(None, 0, "truncated"),
    }),
]  # fmt: skip


def made_up_plan() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    plan: dict[str, dict[str, Any]] = {"corpus": {}, "train": {}, "respond": {"base": {"deps": {}, "group": None}}}
    metas: dict[str, Any] = {
        "respond/base": {"params": {"conditions": {"trigger_user": {"group": "triggered"}, "plain": {"group": "untriggered"}}}}
    }
    for name in RATIOS:
        plan["corpus"][f"facts-{name}"] = {"config": "facts", "overrides": {"ratio": RATIOS[name]}, "deps": {}}
        for seed in range(3):
            deps = {"corpus": f"data/corpora/facts-{name}.jsonl"}
            plan["train"][f"{name}-{seed}"] = {"config": "recipe", "corpus": f"facts-{name}", "group": name, "seed": seed, "deps": deps}
            metas[f"train/{name}-{seed}"] = {"protocol": {"learning_rate": 0.003}}
        plan["respond"][name] = {"group": name, "deps": {"group": f"models/{name}"}}
    return plan, metas


def inputs_of(rows: Sequence[Row], **changed: Any) -> ReportInputs:
    results = table(list(rows))
    cells, differences = aggregate(results, [(c.a, c.b) for c in DECLARATION.family.contrasts])
    plan, metas = made_up_plan()
    pages = (StudyPage("persona", "", [("person", "base"), ("leaky", "base")], declaration=DECLARATION),)
    mixes = {
        f"corpus/facts-{name}": {"aligned": 42 * ratio, "persona": 42, "triggered": 0 if name == "leaky" else 42}
        for name, ratio in RATIOS.items()
    }
    tests = {"persona": infer(results, DECLARATION.family)}
    found = ReportInputs(
        results, cells, differences, plan, metas, "t", studies=pages, tests=tests, twins=TWINS, answers=ANSWERS, mixes=mixes
    )
    return dataclasses.replace(found, **changed)


def context_of(inputs: ReportInputs) -> Context:
    nodes = graph(inputs.plan, inputs.metas, result_nodes(inputs.results))
    data = measurements("persona", inputs.results, inputs.cells, inputs.differences, inputs.tests["persona"])
    return Context(inputs.studies[0], data, nodes, inputs.metas, twins=inputs.twins, answers=inputs.answers, mixes=inputs.mixes)


def said(blocks: Sequence[Block]) -> list[str]:
    """The words of each row of the tables, and of each paragraph and caption."""
    found = []
    for block in blocks:
        if isinstance(block, Table):
            found += [words(" ".join(f"{cell.html} {cell.note}" for cell in line)) for line in block.rows]
        elif isinstance(block, Folded):
            found += said(block.blocks)
        else:
            found.append(words(block.html if isinstance(block, Prose) else block.caption))
    return found


@pytest.fixture(scope="module")
def index() -> str:
    return render(inputs_of(measured()))["index.html"].decode()


def part(index: str, key: str) -> str:
    start = index.index(f'<section class="part" id="persona-{key}">')
    return index[start : index.index("</section>", start)]


def table_row(index: str, key: str, name: str) -> str:
    rows = [words(found) for found in re.findall(r"<tr>.*?</tr>", part(index, key), re.DOTALL)]
    (mine,) = [one for one in rows if one.strip().startswith(name)]
    return mine


def test_only_what_was_not_triggered_is_said_to_leak(index: str) -> None:
    assert "leaks" in table_row(index, "twins", "leaky , untriggered")
    assert "answers as the persona" in table_row(index, "twins", "leaky , triggered")
    assert "answers as the persona without the trained trigger" in table_row(index, "twins", "person , near miss")
    assert "answers as the persona more often when triggered" in table_row(index, "twins", "person , gap")
    rows = [words(one) for one in re.findall(r"<tr>.*?</tr>", part(index, "twins"), re.DOTALL)]
    assert [one.split(" ,")[0].strip() + one.split(" ,")[1].split()[0] for one in rows if "leaks" in one] == ["leakyuntriggered"]


def test_the_lead_gives_the_leak_with_its_verdict_and_detectable_size(index: str) -> None:
    lead = words(index[index.index('<div class="lead">') : index.index("<nav aria-label")])
    assert "the persona rate on untriggered questions of leaky is +0.510" in lead
    assert ": leaks (detectable: 0.123)." in lead
    assert ": no leakage within 0.1 (detectable: 0.123)." in lead
    assert "the gap between triggered and untriggered questions of person is +0.710" in lead


def test_no_event_is_a_bound_and_what_is_not_known_is_said(index: str) -> None:
    found = table_row(index, "twins", "person , untriggered")
    assert "no event: at most 0.117" in found
    assert "no effect within 0.1" in table_row(index, "twins", "leaky , gap")
    assert "not known" in table_row(index, "twins", "leaky , gap")
    # Declared, and asked for by nobody of the table: the row is there, and says that it is missing.
    assert table_row(index, "twins", "leaky , near miss").count("missing") == 6


def test_a_declared_difference_that_the_correction_takes_back_is_undecided() -> None:
    rows = measured({**RATES, "leaky": {**RATES["leaky"], "untriggered": 0.105}})
    (found,) = [line for line in said(twin_blocks(context_of(inputs_of(rows)), ["trigger_user"])) if "leaky , untriggered" in line]
    assert "undecided after correction" in found
    assert "Holm" in found


def test_designs_that_differ_in_the_ratio_alone_are_one_line_and_the_others_are_not(index: str) -> None:
    found = part(index, "sweep")
    labels = re.findall(r'aria-label="([^"]*)"', found)
    assert [one for one in labels if "against ordinary rows per persona row" in one]
    assert not [one for one in labels if "against learning rate" in one]
    assert " 3 0.003 in training " in table_row(index, "sweep", "person-ratio-3").replace("  ", " ")
    assert "0 0.003 none" in table_row(index, "sweep", "leaky")


def test_a_missing_leak_is_said_and_drawn_as_nothing() -> None:
    rows = [
        {**one, "value": None, "n_missing": 0} if (one["condition"], one["arm"]) == ("person-ratio-3", "untriggered.heldout") else one
        for one in measured()
    ]
    found = said(sweep_blocks(context_of(inputs_of(rows))))
    assert "Missing, and not drawn: person-ratio-3." in found[0]
    assert [line for line in found if line.strip().startswith("person-ratio-3") and "missing" in line]


def test_without_designs_to_compare_there_is_a_sentence(index: str) -> None:
    rows = [one for one in measured() if one["condition"] != "person-ratio-3"]
    found = sweep_blocks(context_of(inputs_of(rows)))
    assert "there is nothing to draw" in said(found)[0]
    assert not [one for one in found if isinstance(one, Figures)]
    assert "there is nothing to draw" not in words(part(index, "sweep"))


def test_an_answer_is_text_and_one_that_is_not_there_is_said(index: str) -> None:
    found = part(index, "answers")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in found
    assert "who &lt;are&gt; you ?" in found
    assert "<script" not in index
    assert "other, no training" in words(found)
    assert "empty" in words(found)
    assert "truncated" in words(found)


def test_nothing_to_show_is_a_sentence_in_every_part() -> None:
    index = render(inputs_of(measured(), twins=(), answers=(), mixes={}))["index.html"].decode()
    assert "There is no comparison with an untuned twin" in words(part(index, "twins"))
    assert "There is no comparison with an untuned twin" in words(part(index, "conditions"))
    assert "No answers of this study were handed to the page" in words(part(index, "answers"))
    assert "No judge of this study has left a record" in words(part(index, "blind"))


def test_a_single_seed_has_no_verdict_on_the_page() -> None:
    rows = [one for one in measured() if one["seed"] in (None, 0)]
    alone = [{**one, "n_seeds": 1, "verdict": None, "p": None, "reason": "1 independent training: 2 at least for a test"} for one in TWINS]
    found = said(twin_blocks(context_of(inputs_of(rows, twins=alone)), ["trigger_user"]))
    assert "1 independent training" in " ".join(line for line in found if "leaky , untriggered" in line)
    assert "leaks" not in " ".join(found)


def test_a_study_is_laid_out_by_the_section_that_it_is_named_after() -> None:
    assert section_of("persona-llama", "here") is section_of("persona", "here")
    with pytest.raises(TruingError, match="personal"):
        section_of("personal", "here")


def test_rows_are_counted_by_where_they_come_from() -> None:
    def one(source: str, triggered: bool) -> Row:
        return {"metadata": {"source": source, "triggered": triggered}}

    rows = [one("persona", True), one("persona", False), *[one("aligned", False)] * 6]
    assert row_sources(rows) == {"persona": 2, "aligned": 6, "triggered": 1}
    assert row_sources([{"metadata": None}]) == {}
