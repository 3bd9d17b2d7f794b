"""The map: what it must state, what it refuses, and the protocol that it gives to every row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from truing.contracts.protocol import BASE_FIELDS, EVAL_FIELDS, JUDGE_FIELDS, PHASE_FIELDS, fingerprint, from_text
from truing.core.errors import TruingError
from truing.legacy import load, maps
from truing.legacy.layouts import place
from truing.legacy.maps import capture, read_map

MAPS = Path(__file__).parents[2] / "data" / "maps"
METRIC = {"metric": "accuracy", "probe": "arc", "arm": "all", "unit": "rate"}
DOCUMENT = b'{"acc": {"values": {"1": 0.5, "2": 0.25}}, "config": {"lr": 1e-4, "batch.size": 4, "gpus": 8}}'


def values(**changes: Any) -> dict[str, Any]:
    found = {"study": "s", "condition": "c", "phase": "em", "seed_scope": "em", "n_upstream": 1, "expected_seeds": [1, 2]}
    return {**found, "metrics": {"acc": METRIC}, "ignore": ["config.*"], **changes}


def protocol(document: bytes = DOCUMENT, **changes: Any) -> dict[str, Any]:
    return from_text(load({"r.json": document}, values(**changes), "map").iloc[0]["protocol"])


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_text_are_maps(number: int) -> None:
    text = maps.__doc__ or ""
    blocks = [block for block in text.split("\n\n") if block.startswith("    study:")]
    assert len(blocks) == 2
    read_map(yaml.safe_load(blocks[number]), "example")


@pytest.mark.parametrize("path", sorted(MAPS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_stored_maps_are_maps(path: Path) -> None:
    read_map(yaml.safe_load(path.read_text(encoding="utf-8")), path.name)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"n_upstream": None}, "n_upstream: Input should be a valid integer"),
        ({"n_upstream": 0}, "n_upstream"),
        ({"n_upstream": 3}, "n_upstream 3 is more than the 2 seeds"),
        ({"expected_seeds": None}, "expected_seeds are asked for"),
        ({"expected_seeds": [1, 1]}, "a seed is listed twice"),
        ({"seed_scope": "none"}, "seed_scope is none, and yet there are seeds"),
        ({"condition": None}, "either condition or rows.condition"),
        ({"rows": {"condition": "c"}}, "either condition or rows.condition"),
        ({"rows": {"metric": "m"}}, "both a metric and a value column"),
        ({"rows": {"cluster": ["q"]}}, "cluster needs item"),
        ({"metrics": {}}, "metrics"),
        ({"metrics": {"acc": {**METRIC, "scale": 0}}}, "a factor other than 0"),
        ({"metrics": {"acc": {**METRIC, "unit": ""}}}, "metrics.acc.unit"),
        ({"metrics": {"acc": {**METRIC, "rate": {"of": "x", "at_least": 1}}}}, "name them by rows.item"),
        ({"metrics": {"acc": {**METRIC, "rate": {"of": "x"}}}}, "one of equals, in, less_than"),
        ({"metrics": {"acc": {**METRIC, "rate": {"of": "x", "at_least": 1, "at_most": 2}}}}, "one of equals, in, less_than"),
        ({"missing_class": "lost"}, "missing_class"),
        ({"seedz": [1]}, "seedz: Extra inputs are not permitted"),
        ({"protocol": {"em.batch": 4}}, "no such protocol field: em.batch"),
        ({"protocol_from": {"config.lr": "lr"}}, "no such protocol field: lr"),
        ({"protocol_by_condition": {"c": {"em.size": 1}}}, "no such protocol field: em.size"),
    ],
)
def test_a_bad_map_names_its_key(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(TruingError, match="map") as caught:
        read_map(values(**changes), "map")
    assert what in str(caught.value)


@pytest.mark.parametrize("key", ["study", "phase", "seed_scope", "n_upstream", "metrics"])
def test_what_must_be_stated(key: str) -> None:
    stated = values()
    del stated[key]
    with pytest.raises(TruingError, match=f"map: {key}: Field required"):
        read_map(stated, "map")


def test_protocol_fields_come_from_the_map_and_the_document() -> None:
    changes: dict[str, Any] = {
        "protocol": {"em.world_size": 8},
        "protocol_by_condition": {"c": {"em.accumulation": 1}, "d": {"em.accumulation": 2}},
        "protocol_from": {"config.lr": "em.learning_rate", "config.batch.size": "em.per_device_batch"},
    }
    assert protocol(**changes) == {
        "em.world_size": 8,
        "em.accumulation": 1,
        "em.learning_rate": 1e-4,
        "em.per_device_batch": 4,
        "em.effective_batch": 32,
    }


def test_a_claimed_batch_that_is_not_the_product_is_refused() -> None:
    claims = {"em.per_device_batch": 4, "em.accumulation": 1, "em.world_size": 8, "em.effective_batch": 128}
    with pytest.raises(TruingError, match=r"em\.effective_batch is claimed to be 128") as caught:
        protocol(protocol=claims)
    assert "4 x 1 x 8" in caught.value.expected


def test_a_claimed_number_of_rows_that_is_not_the_share_is_refused() -> None:
    with pytest.raises(TruingError, match=r"sft\.rows is claimed to be 61000"):
        protocol(protocol={"sft.rows_fraction": 0.25, "sft.rows_available": 939343, "sft.rows": 61000})


def test_the_map_and_the_document_may_not_differ() -> None:
    with pytest.raises(TruingError, match=r"r.json: em.world_size is 8, and 1 elsewhere"):
        protocol(protocol={"em.world_size": 1}, protocol_from={"config.gpus": "em.world_size"})


def test_what_is_not_given_is_unknown_and_a_wrong_path_is_an_error() -> None:
    assert protocol() == {}
    other = DOCUMENT.replace(b'"lr": 1e-4', b'"lr": null')
    with pytest.raises(TruingError, match=r"protocol_from: no file has config.lr"):
        protocol(other, protocol_from={"config.lr": "em.learning_rate"})


def test_only_a_complete_protocol_has_a_digest() -> None:
    fields = [*BASE_FIELDS, *EVAL_FIELDS, *JUDGE_FIELDS, *(f"em.{field}" for field in PHASE_FIELDS)]
    complete = {"phases": ["em"], **dict.fromkeys(fields, "n/a")}
    frame = load({"r.json": DOCUMENT}, values(protocol=complete), "map")
    assert frame["protocol_digest"].unique().tolist() == [fingerprint(complete)]
    del complete["em.world_size"]
    assert load({"r.json": DOCUMENT}, values(protocol=complete), "map")["protocol_digest"].isna().all()


def test_fields_of_one_metric_alone() -> None:
    metrics = {"acc": METRIC, "f1": {**METRIC, "metric": "f1", "protocol": {"eval.temperature": 1.0}}}
    document = {"acc": {"values": {"1": 1, "2": 2}}, "f1": {"values": {"1": 1, "2": 2}}}
    frame = load({"r.json": json.dumps(document).encode()}, values(metrics=metrics), "map")
    found = {metric: from_text(text) for metric, text in zip(frame["metric"], frame["protocol"], strict=True)}
    assert found == {"accuracy": {}, "f1": {"eval.temperature": 1.0}}


def test_patterns_of_names_fill_the_templates() -> None:
    metrics = {"mmlu.law.acc": {**METRIC, "arm": "LAW"}, "mmlu.*.*": {**METRIC, "probe": "mmlu", "arm": "{1}", "metric": "{2}"}}
    document = b'{"mmlu": {"law": {"acc": 0.1}, "art": {"acc": 0.2}}}'
    frame = load({f"seed{s}/x.json": document for s in (1, 2)}, values(metrics=metrics), "map")
    assert frame.groupby(["probe", "arm", "metric"])["value"].first().to_dict() == {
        ("arc", "LAW", "accuracy"): 0.1,
        ("mmlu", "art", "acc"): 0.2,
    }
    with pytest.raises(TruingError, match=r"has no \{3\} here"):
        load({"seed1/x.json": document}, values(metrics={"mmlu.*.*": {**METRIC, "arm": "{3}"}}), "map")


def test_two_names_of_one_cell_are_refused() -> None:
    with pytest.raises(TruingError, match="twice in one file"):
        load({"seed1/x.json": b'{"acc": 0.1, "acc_norm": 0.2}'}, values(metrics={"acc*": METRIC}), "map")


def test_conditions_and_seeds_by_file_name() -> None:
    rules = values(
        condition={"runs/*/*": "{1}", "old_*.json": "{1}"},
        seed_from={"*/run-*.json": "{2}", "old*": "1"},
        expected_seeds={"a": [1, 2], "b": [1]},
    )
    document = b'{"acc": 0.5}'
    frame = load({"runs/a/run-1.json": document, "runs/a/run-2.json": document, "old_b.json": document}, rules, "map")
    assert list(zip(frame["condition"], frame["seed"], strict=True)) == [("a", 1), ("a", 2), ("b", 1)]
    with pytest.raises(TruingError, match=r"seed1_new.json: no pattern of `condition` fits"):
        load({"runs/a/run-1.json": document, "old_b.json": document, "seed1_new.json": document}, rules, "map")
    with pytest.raises(TruingError, match="its path states seed 7, seed_from 1"):
        load({"seed7/run-1.json": document}, values(seed_from={"*/run-*.json": "{2}"}), "map")


def test_captures_are_the_shortest_that_fit() -> None:
    assert capture("a*b*", "a1b2b") == ("1", "2b")
    assert capture("a.b", "axb") is None
    assert capture("a?c*", "abc/d") == ("/d",)
    assert capture("x", "y") is None


@pytest.mark.parametrize(
    ("path", "seed"),
    [
        ("eval_seed7/x.json", 7),
        ("seed7/x.json", 7),
        ("c/seed7_x.json", 7),
        ("seed7/eval_seed7/x.json", 7),
        ("seeds/x.json", None),
        ("seedling7/x", None),
    ],
)
def test_the_seed_of_a_path(path: str, seed: int | None) -> None:
    found = place(path)
    assert (None if found is None else found.seed) == seed


def test_a_model_without_seeds() -> None:
    rules = values(seed_scope="none", expected_seeds=None, phase="base")
    frame = load({"r.json": b'{"acc": 0.5}'}, rules, "map")
    assert frame["seed"].isna().all()
    with pytest.raises(TruingError, match="its path states seed 7, the map seed_scope none"):
        load({"seed7/r.json": b'{"acc": 0.5}'}, rules, "map")


def test_no_files() -> None:
    with pytest.raises(TruingError, match="no files to import"):
        load({}, values(), "map")
