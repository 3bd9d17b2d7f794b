"""Headline numbers and the tables behind DVC's plots."""

from __future__ import annotations

import io
import json
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from truing.report import ReportInputs, headline, headline_table, plot_tables


def leaves(value: Any) -> list[Any]:
    return [leaf for inner in value.values() for leaf in leaves(inner)] if isinstance(value, dict) else [value]


def test_headline_holds_scalars_and_no_missing_number(inputs: ReportInputs) -> None:
    summary = headline(inputs.cells, inputs.differences)
    assert all(type(leaf) in (int, float) for leaf in leaves(summary))
    json.dumps(summary, allow_nan=False)
    cell = summary["nullbench"]["skewed-tarp"]["dcb_mean_max"]
    found = inputs.cells.query("condition == 'skewed-tarp' and arm == 'null' and metric == 'dcb_mean_max'")
    assert cell == {"mean": found["mean"].item(), "ci_lo": found["ci_lo"].item(), "ci_hi": found["ci_hi"].item(), "n": 3}
    assert summary["nullbench"]["contrasts"]["skewed-tarp_minus_skewed-shuffled"]["dcb_mean_max"]["diff"] < 0


def test_missing_cells_are_left_out_and_never_zero(inputs: ReportInputs) -> None:
    gone = inputs.cells["condition"] == "base"
    cells = inputs.cells.assign(mean=inputs.cells["mean"].where(~gone))
    assert "base" not in headline(cells, inputs.differences)["nullbench"]


def test_only_the_named_metrics_are_kept(inputs: ReportInputs) -> None:
    summary = headline(inputs.cells, inputs.differences, ["accuracy"])
    assert set(summary["nullbench"]["base"]) == {"accuracy"}
    assert summary["nullbench"]["base"]["accuracy"]["n"] == 0


def test_table_prints_every_condition_and_difference(inputs: ReportInputs) -> None:
    stream = io.StringIO()
    Console(file=stream, width=220).print(headline_table(headline(inputs.cells, inputs.differences)))
    text = stream.getvalue()
    for condition in inputs.cells["condition"].unique():
        assert condition in text
    assert "skewed-tarp \u2212 skewed-uniform" in text


def test_plot_tables(inputs: ReportInputs) -> None:
    tables = plot_tables(inputs.results, inputs.cells)
    assert set(tables) == {"forest.csv", "families.csv", "masking.csv"}
    masking = tables["masking.csv"]
    tarp = masking[masking["condition"] == "skewed-tarp"]
    assert list(tarp["masked_percent"]) == list(range(0, 101, 10))
    assert {"accuracy", "dcb_mean_max"} <= set(masking.columns)
    families = tables["families.csv"]
    hole = families[(families["condition"] == "control-uniform") & (families["family"] == "random_words")]
    assert len(hole) == 1
    assert pd.isna(hole["mean"].item())
    assert not set(families["family"]) & {"null", "masked_000", "shuffled"}
    base = tables["forest.csv"].query("condition == 'base' and metric == 'dcb_mean_max'")
    assert base["mean"].item() == pytest.approx(0.548)
