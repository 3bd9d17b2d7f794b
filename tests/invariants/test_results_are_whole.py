"""I10 to I18: no hole, no stand-in number, no value without its sources, and one value of every cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.results import protocol, row, rows, table

from truing.contracts.results import FAILURES, dictionary, missing_columns, result_table
from truing.contracts.schemas import schema
from truing.core.digests import digest
from truing.core.errors import Exit, TruingError
from truing.core.registry import Params, Plugin
from truing.core.tables import read_parquet, write_csv, write_parquet
from truing.planning.nodes import Cell
from truing.probes import Measure, Probe
from truing.report.collect import Answered, collect
from truing.report.comparable import agree, require_agreement, require_planned
from truing.report.protocols import Made

SEEDS = (1, 2, 3)


def score(cfg: Any, items: pd.DataFrame, answers: pd.DataFrame, labels: list[str]) -> list[Measure]:
    """Mean of the completions' lengths, and a second metric that the planted hole leaves out."""
    lengths = [len(text) for text in answers["completion"]]
    measures = [Measure("all", "length", float(np.mean(lengths)), "characters", len(lengths), 2, missing={"refusal": 2})]
    return measures if "hole" in labels else [*measures, Measure("all", "most", None, "characters", 0, len(lengths))]


def answered(condition: str, seeds: tuple[int, ...] = SEEDS, labels: tuple[str, ...] = (), **changed: Any) -> Answered:
    answers = pd.DataFrame([{"item_id": f"{n}", "seed": seed, "completion": "x" * n} for seed in seeds for n in range(1, 5)])
    made: dict[int | None, Made] = {s: Made(protocol(), (("sft", f"{condition} {s}", s),), digest("environment")) for s in SEEDS}
    meta = {
        "adapters": {str(seed): {"adapter_digest": digest(seed)} for seed in SEEDS},
        "labels": list(labels),
        **{f"{name}_digest": digest(name) for name in ("base", "items", "answers")},
    }
    one = Answered(
        cell=Cell(study="study", condition=condition, phase="sft", responses=condition),
        seeds=SEEDS,
        plugin=Plugin("fake", Probe(lambda cfg, context: [], score, "choices"), Params),
        cfg=None,
        meta=meta,
        items=pd.DataFrame(),
        answers=answers,
        made=made,
        scope="sft",
        n_upstream=3,
        judged=(),
        declaration=digest("declaration"),
    )
    return replace(one, **changed)


def refused(*cells: Answered) -> str:
    with pytest.raises(TruingError) as caught:
        collect(cells, "results")
    assert caught.value.code == Exit.REFUSED
    return str(caught.value)


def test_i15_the_grid_of_condition_seed_and_metric_is_filled() -> None:
    frame = collect([answered("x"), answered("y")], "results")
    assert len(frame) == 2 * len(SEEDS) * 2
    assert set(frame["metric"]) == {"length", "most"}
    assert frame[frame["metric"] == "most"]["value"].isna().all()


def test_i15_a_condition_without_one_metric_is_a_hole_with_a_name() -> None:
    text = refused(answered("x"), answered("y", labels=("hole",)))
    assert "condition y" in text
    assert "most" in text


@pytest.mark.parametrize("seeds", [(1, 2), (1, 2, 3, 4)], ids=["missing", "undeclared"])
def test_i15_answers_of_other_seeds_than_the_planned_ones_are_refused(seeds: tuple[int, ...]) -> None:
    assert f"seeds {', '.join(map(str, seeds))}" in refused(answered("x", seeds))


def test_i15_seeds_of_two_protocols_are_no_condition() -> None:
    made = answered("x").made
    other = {**made, 3: Made(protocol(sft__world_size=8), (("sft", "adapter", 3),), digest("environment"))}
    text = refused(answered("x", made=other))
    assert "x, seed 1 and x, seed 3" in text
    assert "sft.world_size" in text


def test_a_row_whose_node_is_not_in_the_plan_is_refused() -> None:
    frame = table(rows("x", [0.1, 0.2]))
    require_planned(frame, {"respond": {"x": {}}})
    with pytest.raises(TruingError, match="respond/x"):
        require_planned(frame, {"respond": {"y": {}}})


def test_i12_missing_items_have_classes_and_the_classes_add_up() -> None:
    frame = collect([answered("x")], "results")
    assert set(frame["n_missing"]) == {2, 4}
    assert frame[[f"missing_{name}" for name in FAILURES]].sum(axis=1).eq(frame["n_missing"]).all()
    assert missing_columns(5, {"parse": 3})["missing_unscored"] == 2
    with pytest.raises(TruingError, match="adding up"):
        missing_columns(1, {"parse": 2})
    with pytest.raises(TruingError, match="classes"):
        missing_columns(1, {"lost": 1})


def test_i12_a_row_whose_classes_do_not_add_up_is_refused() -> None:
    bad = row("x", 1, None, n_missing=3) | {"missing_parse": 1}
    with pytest.raises(TruingError, match="add up to 4"):
        result_table([bad], "results")


def test_i12_a_condition_of_which_every_answer_failed_has_no_value() -> None:
    lost = row("x", 1, None, n=0, n_missing=100, missing={"parse": 100})
    frame = result_table([lost], "results")
    assert frame["value"].isna().all()
    assert frame["missing_parse"].eq(100).all()


@pytest.mark.parametrize(
    "name", ["items_digest", "answers_digest", "code_digest", "environment_digest", "declaration_digest", "base_digest"]
)
def test_i14_a_planned_value_without_one_of_its_digests_is_refused(name: str) -> None:
    with pytest.raises(TruingError, match=name):
        result_table([row("x", 1, 0.5, **{name: None})], "results")


def test_i14_an_imported_value_names_the_file_it_was_read_from() -> None:
    bare = dict.fromkeys(("items_digest", "answers_digest", "code_digest", "environment_digest", "declaration_digest"))
    with pytest.raises(TruingError, match="source_digest"):
        result_table([row("x", 1, 0.5, origin="import", **bare)], "results")
    assert len(result_table([row("x", 1, 0.5, origin="import", source_digest=digest("file"), **bare)], "results")) == 1


def test_i20_an_interval_says_how_it_was_made() -> None:
    half = {"ci_lo": 0.4, "ci_hi": 0.6, "ci_level": 0.95}
    with pytest.raises(TruingError, match="ci_method, ci_unit"):
        result_table([row("x", 1, 0.5, **half)], "results")
    whole = half | {"ci_method": "t", "ci_unit": "item", "ci_distribution": "t", "ci_df": 9.0}
    assert len(result_table([row("x", 1, 0.5, **whole)], "results")) == 1


@pytest.mark.parametrize(
    ("here", "there", "same"), [(0.84321, 0.843, True), (0.84321, 0.842, False), (None, None, True), (None, 0.0, False)]
)
def test_i18_two_sources_of_a_cell_agree_to_the_printed_digits(here: float | None, there: float | None, same: bool) -> None:
    assert agree(here, there) is same


def test_i18_two_sources_that_disagree_stop_the_run_and_both_values_are_shown() -> None:
    mine, other = table(rows("x", [0.5, 0.61])), table(rows("x", [0.5, 0.6]))
    require_agreement(mine, {"earlier": mine})
    with pytest.raises(TruingError, match="earlier") as caught:
        require_agreement(mine, {"earlier": other})
    assert "0.61 here, 0.6 in earlier" in caught.value.what


def test_the_table_is_plain_parquet_and_plain_csv(tmp_path: Any) -> None:
    import pyarrow.parquet as pq

    frame = table(rows("x", [0.1 + 0.2, None]), rows("y", [1e-300, 0.5]))
    write_parquet(tmp_path / "results.parquet", frame)
    write_csv(tmp_path / "results.csv", frame)
    stored = pq.read_schema(tmp_path / "results.parquet")
    assert stored.metadata is None
    assert {str(field.type) for field in stored} <= {"int64", "double", "string", "large_string", "null"}
    read = pd.read_csv(tmp_path / "results.csv")
    assert list(read.columns) == stored.names == list(schema("result")["properties"])
    assert list(read["value"].dropna()) == list(read_parquet(tmp_path / "results.parquet")["value"].dropna())


def test_every_column_has_a_meaning_in_the_dictionary() -> None:
    text = dictionary()
    for name, rule in schema("result")["properties"].items():
        assert f"| `{name}` |" in text
        assert rule["description"] in text
