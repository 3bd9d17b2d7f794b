"""Curves over label noise and over the number of pairs: planted plans say which arms are on one line, and which are not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import pytest
from support.realign_page import context_of, documents, facts, inputs_of, made_up_plan, measured, said

from truing.report.blocks import Figures, Table
from truing.report.realign_curves import curve_blocks, made
from truing.report.realign_tables import Weighed
from truing.report.sections import Context

WEIGHTS = [1.0] * 8


def context(*, spoilt: int = 0, kept: int = 8, swapped: int = 0, strategy: str = "trace", shift: int = 0) -> Context:
    """The arm `trace` as it is, and the arm `shuffled` made like it but for what is asked."""
    plan, metas = made_up_plan()
    plan["signal"] = {key: {"corpus": "pairs", "deps": {}} for key in ("triage", "other")}
    metas["signal/other"] = {"facts": {**facts(), "planted": {"category": spoilt}}}
    for name, key in (("trace", "triage"), ("shuffled", "other")):
        plan["manifest"][name] = {"config": "trace", "corpus": "pairs", "deps": {"evidence": f"data/signals/{key}.parquet"}}
    plan["manifest"]["shuffled"]["config"] = strategy
    for entry in plan["train"].values():
        entry["config"] = "hybrid"
    other: pd.DataFrame = documents(WEIGHTS).iloc[:kept].copy()
    other["swapped"] = [place < swapped for place in range(kept)]
    other["doc_id"] = [f"pair-{place + shift}" for place in range(kept)]
    weighed = {
        "manifest/trace": Weighed("corpus/pairs", "signal/triage", documents(WEIGHTS)),
        "manifest/shuffled": Weighed("corpus/pairs", "signal/other", other),
    }
    return context_of(dataclasses.replace(inputs_of(measured()), plan=plan, metas=metas, weighed=weighed))


def drawn(found: Context) -> list[str]:
    blocks = curve_blocks(found)
    return [panel.key for block in blocks if isinstance(block, Figures) for panel in block.panels]


def test_what_an_arm_was_made_of_is_read_off_its_records() -> None:
    first, second = (made(context(spoilt=2, kept=6, swapped=3), name) for name in ("trace", "shuffled"))
    assert first is not None
    assert second is not None
    assert (first.pairs, first.swapped, first.misjudged) == (7, 0.0, 0.0)
    assert (second.pairs, second.swapped, second.misjudged) == (5, 0.5, 0.25)
    assert first.way == second.way
    assert made(context(), "old") is None


@pytest.mark.parametrize(
    ("changed", "key"), [({"spoilt": 2}, "curve-misjudged"), ({"swapped": 2}, "curve-swapped"), ({"kept": 4}, "curve-pairs")]
)
def test_arms_that_differ_in_one_value_are_on_one_line(changed: dict[str, Any], key: str) -> None:
    assert drawn(context(**changed)) == [key]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"spoilt": 2, "swapped": 2},
        {"spoilt": 2, "strategy": "triage"},
        {"spoilt": 2, "kept": 4},
        {"kept": 4, "shift": 2, "strategy": "triage"},
        {"kept": 4, "shift": 20},
    ],
)
def test_arms_that_differ_in_more_are_on_none(changed: dict[str, Any]) -> None:
    assert curve_blocks(context(**changed)) == []


def test_the_table_has_every_arm_with_its_values() -> None:
    blocks = [block for block in curve_blocks(context(spoilt=2)) if isinstance(block, Table)]
    rows = said(blocks)
    assert sum("25.0 %" in row or "25 %" in row for row in rows) == 1
    assert any(row.startswith("trace") for row in rows)
    assert any(row.startswith("shuffled") for row in rows)
