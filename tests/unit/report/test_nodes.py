"""The plan as a graph."""

from __future__ import annotations

import json

from truing.report import ReportInputs
from truing.report.nodes import anchor, digests, graph, pretty


def test_edges_are_found_by_field_and_by_path(inputs: ReportInputs) -> None:
    nodes = graph(inputs.plan, inputs.metas, [])
    assert nodes.upstream["manifest/news-skewed-shuffled"] == ("corpus/news-skewed", "manifest/news-skewed-tarp")
    assert nodes.upstream["respond/tiny-null-inputs"] == ("base/tiny", "corpus/news-eval")
    tuned = nodes.upstream["respond/tiny-news-skewed-tarp-sft-null-inputs"]
    assert {f"train/tiny-news-skewed-tarp-sft-{seed}" for seed in (42, 137, 256)} <= set(tuned)
    assert nodes.downstream["signal/news-skewed-mentions"] == ("manifest/news-skewed-tarp",)
    assert nodes.upstream["report/site"] == ("collect/all",)
    assert len(nodes.upstream["collect/all"]) == 7


def test_ancestors_reach_the_base_and_not_a_sister(inputs: ReportInputs) -> None:
    found = graph(inputs.plan, {}, []).ancestors(["respond/tiny-news-skewed-tarp-sft-null-inputs"])
    assert {"base/tiny", "signal/news-skewed-mentions", "corpus/news-eval"} <= found
    assert not any("control" in node for node in found)


def test_unplanned_nodes_are_kept_without_an_entry() -> None:
    nodes = graph({}, {"corpus/x": {}}, ["respond/y"])
    assert dict(nodes.entries) == {"corpus/x": None, "respond/y": None}


def test_anchor_and_digests_and_json() -> None:
    assert anchor("train/a-b-42") == "train-a-b-42"
    value = {"b": "0" * 64, "a": {"inner": ["f" * 64]}, "c": "0" * 63}
    assert digests(value) == [("a / inner 0", "f" * 64), ("b", "0" * 64)]
    text = pretty({"trace": [1.5, 2.5], "deep": [{"x": 1}]})
    assert '"trace": [1.5, 2.5]' in text
    assert json.loads(text) == {"trace": [1.5, 2.5], "deep": [{"x": 1}]}
