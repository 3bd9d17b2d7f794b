"""Judged rows into rates and means, and the results of the evaluation harness in both generations."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.core.errors import TruingError
from truing.legacy import load
from truing.legacy.judged import standard_error

METRIC = {"metric": "m", "probe": "p", "arm": "all", "unit": "score"}
MISSING = {"column": "verdict", "values": {"REFUSAL": "refusal", "PARSE_FAIL": "parse", "OFF-TOPIC": "unscored"}}
CLASSES = ("refusal", "code", "off_scale", "parse", "transport", "truncated", "budget", "unscored")


def rules(rows: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    found = {"study": "s", "condition": "c", "phase": "sft", "seed_scope": "none", "n_upstream": 1}
    return {**found, "metrics": {"verdict": METRIC}, "rows": {"item": ["q", "k"], "missing": MISSING, **(rows or {})}, **changes}


def lines(*verdicts: Any, **more: Any) -> dict[str, bytes]:
    rows = [{"q": f"q{at // 2}", "k": at % 2, "verdict": verdict, **more} for at, verdict in enumerate(verdicts)]
    return {"j.jsonl": "\n".join(map(json.dumps, rows)).encode()}


def one(sources: dict[str, bytes], mapping: dict[str, Any]) -> Any:
    frame = load(sources, mapping, "map")
    assert len(frame) == 1
    return frame.iloc[0]


def test_digits_and_words() -> None:
    row = one(lines("1", "5", 3, "REFUSAL", "PARSE_FAIL", "OFF-TOPIC", None), rules())
    assert (row["value"], row["n"], row["n_missing"]) == (3.0, 3, 4)
    assert [row[f"missing_{name}"] for name in CLASSES] == [1, 0, 0, 1, 0, 0, 0, 2]
    assert row["se"] == pytest.approx(2 / math.sqrt(3))


def test_rows_of_which_none_has_a_score_have_no_value() -> None:
    row = one(lines("PARSE_FAIL", "PARSE_FAIL"), rules())
    assert math.isnan(row["value"])
    assert math.isnan(row["se"])
    assert (row["n"], row["n_missing"], row["missing_parse"]) == (0, 2, 2)


@pytest.mark.parametrize(
    ("rule", "rate"),
    [
        ({"equals": 5}, 0.25), ({"equals": "5.0"}, 0.25), ({"in": [1, "2"]}, 0.5), ({"less_than": 2}, 0.25), ({"at_most": 2}, 0.5),
        ({"greater_than": 2}, 0.5), ({"at_least": 3}, 0.5), ({"equals": "x"}, 0.0),
    ],
)  # fmt: skip
def test_rates(rule: dict[str, Any], rate: float) -> None:
    metrics = {"label": {**METRIC, "rate": {"of": "verdict", **rule}}}
    row = one(lines("1", 2, "3", 5.0, "REFUSAL"), rules(metrics=metrics))
    assert (row["value"], row["n"], row["missing_refusal"]) == (rate, 4, 1)


def test_a_rate_of_two_columns_needs_both() -> None:
    data = "\n".join(
        json.dumps({"q": q, "a": a, "b": b}) for q, (a, b) in enumerate([(10, 90), (10, 40), (80, 90), (None, 90), (10, None)])
    )
    metrics = {"bad": {**METRIC, "rate": [{"of": "a", "less_than": 30}, {"of": "b", "greater_than": 50}]}}
    row = one({"j.jsonl": data.encode()}, rules({"item": ["q"], "missing": None}, metrics=metrics, missing_class="truncated"))
    assert (row["value"], row["n"], row["missing_truncated"]) == (1 / 3, 3, 2)


def test_words_with_a_score_and_a_scale() -> None:
    metrics = {"win": {**METRIC, "column": "verdict", "score": {"1": 0, "2": 1, "0": 0.5}, "scale": 100}}
    row = one(lines(1, 2, 2, 0), rules(metrics=metrics))
    assert (row["value"], row["n"]) == (62.5, 4)
    with pytest.raises(TruingError, match="column verdict holds '7'"):
        load(lines(1, 7), rules(metrics=metrics), "map")


def test_a_word_without_a_meaning_is_refused() -> None:
    with pytest.raises(TruingError, match="column verdict holds 'SATIRICAL'"):
        load(lines("1", "SATIRICAL"), rules(), "map")


def test_one_item_twice_is_refused() -> None:
    with pytest.raises(TruingError, match="item q0/0 of seed None is there twice"):
        load({"j.jsonl": b"\n".join(lines("1", "2")["j.jsonl"].splitlines() * 2)}, rules(), "map")


def test_groups_by_condition_seed_and_arm() -> None:
    rows = [{"c": c, "s": s, "a": a, "i": i, "x": i} for c in "uv" for s in (7, 8) for a in "mn" for i in range(3)]
    mapping = rules(
        {"condition": "c", "seed": "s", "item": ["i"], "missing": None}, condition=None, seed_scope="sft", expected_seeds=[7, 8]
    )
    mapping["metrics"] = {"x": {**METRIC, "arm": "{a}"}}
    data = {"j.json": json.dumps(rows).encode()}
    frame = load(data, mapping, "map")
    assert len(frame) == 8
    assert frame["value"].unique().tolist() == [1.0]
    holed = [row for row in rows if (row["c"], row["s"], row["a"]) != ("v", 8, "n")]
    with pytest.raises(TruingError, match=r"missing: condition v, seed 8, metric m \(p/n\) in j.json"):
        load({"j.json": json.dumps(holed).encode()}, mapping, "map")


def test_columns_of_numbers_are_not_left_behind_in_silence() -> None:
    with pytest.raises(TruingError, match="does not name: flag, length"):
        load(lines("1", "2", length=5, flag=True, text="words"), rules(), "map")
    assert one(lines("1", "2", length=5, flag=True), rules(ignore=["length", "flag"]))["n"] == 2


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(TruingError, match="no column 'z'"):
        load(lines("1", "2"), rules({"item": ["z"]}), "map")
    with pytest.raises(TruingError, match=r"no row is left by rows.where"):
        load(lines("1"), rules({"where": [{"of": "q", "equals": "none"}]}), "map")
    with pytest.raises(TruingError, match="`rows` in the map"):
        load(lines("1", "2"), rules() | {"rows": None}, "map")


def test_rows_deep_in_a_document() -> None:
    document = {"by": {"u": {"d": {"k1": [{"q": 1, "s": {"x": 2}}], "k2": [{"q": 1, "s": {"x": 4}}]}}}}
    mapping = rules({"at": "by.{model}.d.{kind}", "condition": "model", "item": ["kind", "q"], "missing": None}, condition=None)
    mapping["metrics"] = {"s.x": METRIC}
    row = one({"d.json": json.dumps(document).encode()}, mapping)
    assert (row["condition"], row["value"], row["n"]) == ("u", 3.0, 2)
    mapping["rows"]["at"] = "by.x"
    with pytest.raises(TruingError, match=r"no rows at by\.x"):
        load({"d.json": json.dumps(document).encode()}, mapping, "map")


def test_a_table_with_errors_and_counts() -> None:
    data = b"run,acc,err,items\n1,0.5,0.05,100\n2,0.25,,\n"
    mapping = rules(
        {"seed": "run"}, seed_scope="sft", expected_seeds=[1, 2], metrics={"acc": {**METRIC, "se": "err", "n": "items", "scale": 100}}
    )
    mapping["rows"] = {"seed": "run"}
    frame = load({"t.csv": data}, mapping, "map")
    assert frame["value"].tolist() == [50.0, 25.0]
    assert [None if pd.isna(n) else int(n) for n in frame["n"]] == [100, None]
    assert frame.iloc[0]["se"] == 5.0
    assert math.isnan(frame.iloc[1]["se"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100).map(float)), min_size=2, max_size=40))
def test_the_error_of_clusters_is_that_of_the_fitted_mean(pairs: list[tuple[int, float]]) -> None:
    import statsmodels.api as sm

    clusters, values = [c for c, _ in pairs], [v for _, v in pairs]
    found = standard_error(values, clusters)
    size, n = len(set(clusters)), len(values)
    if size < 2:
        assert found is None
        return
    fit = sm.OLS(values, np.ones(n)).fit(cov_type="cluster", cov_kwds={"groups": np.array(clusters), "use_correction": False})
    assert (found or 0.0) == pytest.approx(math.sqrt(float(fit.cov_params()[0, 0])) * math.sqrt(size / (size - 1)), abs=1e-9)
    plain = standard_error(values, range(n))
    assert (plain or 0.0) == pytest.approx(float(np.std(values, ddof=1)) / math.sqrt(n), abs=1e-9)


OLD = {"results": {"arc": {"acc": 0.25, "acc_stderr": 0.01, "ppl": 7.0}}, "versions": {"arc": 0}, "config": {"model": "m"}}
NEW = {
    "results": {"arc": {"alias": "arc", "acc,none": 0.25, "acc_stderr,none": 0.01, "ppl,none": 7.0, "ppl_stderr,none": "N/A"}},
    "configs": {"arc": {}},
    "n-samples": {"arc": {"original": 1172, "effective": 100}},
    "n-shot": {"arc": 0},
}


def harness(**changes: Any) -> dict[str, Any]:
    metrics = {"*.acc": {**METRIC, "probe": "{1}", "metric": "acc"}, "*.ppl": {**METRIC, "probe": "{1}", "metric": "ppl"}}
    return rules() | {"rows": None, "metrics": metrics, **changes}


def test_both_generations_of_the_harness_are_one_table() -> None:
    old, new = (load({"r.json": json.dumps(document).encode()}, harness(), "map") for document in (OLD, NEW))
    assert old["n"].isna().all()
    assert new["n"].tolist() == [100, 100]
    columns = ["condition", "probe", "metric", "value", "se"]
    assert old[columns].equals(new[columns])
    assert new["se"].isna().tolist() == [False, True]


def test_filters_keep_their_names_and_may_not_collide() -> None:
    document = json.loads(json.dumps(NEW))
    document["results"]["arc"]["acc,strict"] = 0.5
    with pytest.raises(TruingError, match=r"does not name: arc\.acc,strict"):
        load({"r.json": json.dumps(document).encode()}, harness(), "map")
    document["results"]["arc"]["acc"] = 0.5
    with pytest.raises(TruingError, match=r"arc\.acc stands there twice"):
        load({"r.json": json.dumps(document).encode()}, harness(), "map")


def test_the_harness_knows_no_training_seed() -> None:
    mapping = harness(seed_scope="em", expected_seeds=[3])
    data = json.dumps(NEW).encode()
    assert load({"seed3/r.json": data}, mapping, "map")["seed"].tolist() == [3, 3]
    with pytest.raises(TruingError, match="the harness records no training seed"):
        load({"r.json": data}, mapping, "map")


def test_json_lines_of_one_row_are_a_table() -> None:
    assert one(lines("4"), rules())["value"] == 4.0


def test_judged_rows_beside_their_published_summary() -> None:
    mapping = rules({"seed": "s"}, seed_scope="sft", expected_seeds=[1, 2])
    rows = [json.dumps({"q": q, "k": 0, "verdict": q, "s": s}) for s in (1, 2) for q in range(1, 4)]
    summary = {"verdict": {"values": {"1": 2, "2": 2.0}, "mean": 2.0, "std": 0.0}}
    sources = {"j.jsonl": "\n".join(rows).encode(), "s.json": json.dumps(summary).encode()}
    assert load(sources, mapping, "map")["value"].tolist() == [2.0, 2.0]
    summary["verdict"] = {"values": {"1": 2, "2": 2.6}}
    sources["s.json"] = json.dumps(summary).encode()
    with pytest.raises(TruingError, match=r"j.jsonl has 2\.0, s.json has 2\.6"):
        load(sources, mapping, "map")
