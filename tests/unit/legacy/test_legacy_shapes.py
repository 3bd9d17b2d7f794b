"""One set of numbers in every shape and layout is one table, and a hole in it is named."""

from __future__ import annotations

import copy
import gzip
import json
import statistics
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.legacy_shapes import (
    ROWS,
    SEEDS,
    VALUES,
    WRITERS,
    Values,
    by_seed,
    changes_for,
    detail,
    encode,
    flat,
    mapping,
    nested,
    per_seed,
    same,
    wide,
)

from truing.contracts.frames import check_frame
from truing.contracts.protocol import from_text
from truing.contracts.results import result_table
from truing.core.digests import digest_bytes
from truing.core.errors import TruingError
from truing.legacy import load
from truing.legacy.layouts import LAYOUTS
from truing.legacy.shapes import shape


@pytest.mark.parametrize("name", WRITERS)
def test_every_shape_gives_one_table(name: str) -> None:
    expected = load(flat(VALUES), mapping(), "map")
    found = load(WRITERS[name](VALUES), mapping(**changes_for(name)), "map")
    pd.testing.assert_frame_equal(same(found), same(expected), check_exact=True)
    assert len(found) == len(VALUES) * len(SEEDS)
    assert found["node"].unique().tolist() == ["import/coupling-good_wrong"]


def test_the_row_is_what_was_written() -> None:
    sources = by_seed(VALUES)
    frame = load(sources, mapping(), "map")
    row = frame[(frame["metric"] == "arc_c") & (frame["seed"] == 137)].iloc[0]
    assert row["value"] == 50.94
    assert (row["origin"], row["n_upstream"], row["seed_scope"], row["unit"]) == ("import", 1, "em", "points")
    assert row["source_digest"] == digest_bytes(sources["r.json"])
    assert from_text(row["protocol"])["em.effective_batch"] == 16
    unknown = [
        "protocol_digest",
        "declaration_digest",
        "code_digest",
        "environment_digest",
        "base_digest",
        "se",
        "ci_lo",
        "ci_hi",
        "ci_level",
    ]
    assert frame[unknown].isna().all(axis=None)
    assert frame.sort_values(["study", "condition", "phase", "probe", "arm", "metric", "seed"], ignore_index=True).equals(frame)
    check_frame("result", frame, "again")
    rows = [{str(key): None if pd.isna(cell) else cell for key, cell in row.items()} for row in frame.to_dict("records")]
    again = result_table(rows, "again")
    pd.testing.assert_frame_equal(again.dropna(axis="columns"), frame.dropna(axis="columns"))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_random_tables_in_every_shape(data: st.DataObject) -> None:
    seeds = data.draw(st.lists(st.integers(0, 9999), min_size=1, max_size=6, unique=True))
    numbers = st.none() | st.integers(-(10**7), 10**7).map(lambda whole: whole / 10**4) | st.integers(-100, 100).map(float)
    values: Values = {name: {seed: data.draw(numbers) for seed in seeds} for name in VALUES}
    rules = mapping(expected_seeds=seeds)
    expected = load(flat(values), rules, "map")
    cells: dict[Any, float] = expected.set_index(["metric", "seed"])["value"].to_dict()
    for name, of in values.items():
        for seed, value in of.items():
            assert bool(np.isnan(cells[name, seed])) if value is None else cells[name, seed] == value
    for name in data.draw(st.lists(st.sampled_from(sorted(WRITERS)), min_size=3, max_size=3, unique=True)):
        found = load(WRITERS[name](values), mapping(expected_seeds=seeds, **changes_for(name)), "map")
        pd.testing.assert_frame_equal(same(found), same(expected), check_exact=True)


def test_the_order_of_the_files_and_seeds_plays_no_part() -> None:
    sources = detail(LAYOUTS[0])(VALUES)
    back = {name: dict(reversed(of.items())) for name, of in VALUES.items()}
    expected = load(sources, mapping(), "map")
    pd.testing.assert_frame_equal(load(dict(reversed(sources.items())), mapping(), "map"), expected)
    pd.testing.assert_frame_equal(same(load(flat(back), mapping(), "map")), same(expected))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_lost_file_is_named(layout: str) -> None:
    sources = detail(layout)(VALUES)
    del sources[f"good_wrong/{layout.replace('<N>', '256')}"]
    with pytest.raises(
        TruingError, match=r"missing: condition good_wrong, seed 256, metric alignment \(probe/all\) in good_wrong/"
    ) as caught:
        load(sources, mapping(), "map")
    assert "all 12 of condition x seed x metric" in caught.value.expected


@pytest.mark.parametrize("name", WRITERS)
def test_a_lost_seed_is_named(name: str) -> None:
    less = {metric: {seed: value for seed, value in of.items() if seed != 512} for metric, of in VALUES.items()}
    with pytest.raises(TruingError, match="missing: condition good_wrong, seed 512, metric alignment"):
        load(WRITERS[name](less), mapping(**changes_for(name)), "map")


@pytest.mark.parametrize("name", WRITERS)
def test_a_lost_metric_is_named(name: str) -> None:
    less = {metric: of for metric, of in VALUES.items() if metric != "coherence"}
    with pytest.raises(TruingError, match="no file has the metric coherence"):
        load(WRITERS[name](less), mapping(**changes_for(name)), "map")


def test_a_metric_that_one_seed_lacks_is_named() -> None:
    document = json.loads(per_seed(VALUES)["r.json"])
    del document["per_seed"][1]["coherence"], document["summary"]["coherence"]
    with pytest.raises(TruingError, match=r"missing: condition good_wrong, seed 137, metric coherence \(probe/all\) in r.json"):
        load({"r.json": encode(document)}, mapping(), "map")


def test_a_lost_condition_is_named() -> None:
    rules = mapping(condition={"*evil/*": "evil", "*good/*": "good"})
    sources = {"runs/good/r.json": by_seed(VALUES)["r.json"]}
    with pytest.raises(TruingError, match=r"no file fits \*evil/\*"):
        load(sources, rules, "map")
    with pytest.raises(TruingError, match=r"missing: condition evil, seed 42, metric alignment.*in no file"):
        load(sources, mapping(condition="good", expected_conditions=["evil", "good"]), "map")


def test_a_seed_that_nobody_declared_is_refused() -> None:
    with pytest.raises(TruingError, match="not expected: condition good_wrong, seed 512"):
        load(by_seed(VALUES), mapping(expected_seeds=SEEDS[:3]), "map")


def test_the_seeds_of_one_condition_may_be_fewer() -> None:
    fewer = {name: {42: of[42]} for name, of in VALUES.items()}
    sources = {"a/r.json": by_seed(VALUES)["r.json"], "b/r.json": by_seed(fewer)["r.json"]}
    frame = load(sources, mapping(condition={"*/r.json": "{1}"}, expected_seeds={"a": SEEDS, "b": [42]}), "map")
    assert frame.groupby("condition")["seed"].nunique().to_dict() == {"a": 4, "b": 1}
    with pytest.raises(TruingError, match="missing: condition z, seed 42, metric alignment"):
        load({"a/r.json": sources["a/r.json"]}, mapping(condition={"*/r.json": "{1}"}, expected_seeds={"a": SEEDS, "z": [42]}), "map")


def test_seeds_of_a_list_come_from_the_map_or_the_file_and_agree() -> None:
    document = json.loads(flat(VALUES)["results.json"])
    del document["seeds"]
    bare = {"results.json": encode(document)}
    with pytest.raises(TruingError, match="the values are a list and no seeds are listed"):
        load(bare, mapping(), "map")
    found = load(bare, mapping(seeds=SEEDS), "map")
    pd.testing.assert_frame_equal(same(found), same(load(flat(VALUES), mapping(), "map")))
    with pytest.raises(TruingError, match="lists the seeds"):
        load(flat(VALUES), mapping(seeds=SEEDS[::-1]), "map")
    with pytest.raises(TruingError, match="arc_c has 4 values for 3 seeds"):
        load(bare, mapping(seeds=SEEDS[:3]), "map")


def test_a_seed_twice_is_named() -> None:
    document = json.loads(flat(VALUES)["results.json"])
    document["seeds"][1] = 42
    with pytest.raises(TruingError, match=r"results.json: seeds: duplicate seed 42"):
        load({"results.json": encode(document)}, mapping(), "map")
    records = json.loads(per_seed(VALUES)["r.json"])
    records["per_seed"][1]["seed"] = 42
    with pytest.raises(TruingError, match=r"r.json: per_seed: duplicate seed 42"):
        load({"r.json": encode(records)}, mapping(), "map")
    with pytest.raises(TruingError, match=r"r.json: duplicate key '42'"):
        load({"r.json": by_seed(VALUES)["r.json"].replace(b'"137"', b'"42"')}, mapping(), "map")
    with pytest.raises(TruingError, match=r"r.json: arc_c: duplicate seed 42"):
        load({"r.json": by_seed(VALUES)["r.json"].replace(b'"137"', b'"seed_42"')}, mapping(), "map")
    with pytest.raises(TruingError, match="duplicate seed 42, twice in one file"):
        load({"t.csv": wide(VALUES)["table.csv"].replace(b"137,", b"42,")}, mapping(rows=ROWS["wide"]), "map")


def test_one_seed_in_two_layouts_is_a_duplicate() -> None:
    sources = detail(LAYOUTS[0])(VALUES)
    sources["good_wrong/seed42/x.json"] = sources["good_wrong/eval_seed42/x.json"]
    with pytest.raises(TruingError, match=r"duplicate seed 42, also in good_wrong/eval_seed42/x.json: one seed in two layouts"):
        load(sources, mapping(), "map")


def test_seeds_that_disagree_are_named() -> None:
    with pytest.raises(TruingError, match="seed42, eval_seed43"):
        load({"seed42/eval_seed43/x.json": b'{"arc_c": 1}'}, mapping(), "map")
    with pytest.raises(TruingError, match="path states seed 42, its content seed 43"):
        load({"seed42/x.json": b'{"arc_c": 1, "seed": 43}'}, mapping(), "map")
    with pytest.raises(TruingError, match=r"x.json: no seed in the path or in the document"):
        load({"x.json": b'{"arc_c": 1}'}, mapping(), "map")


def test_mixed_layouts_are_read_together() -> None:
    sources: dict[str, bytes] = {}
    for seed, layout in zip(SEEDS, LAYOUTS, strict=True):
        sources[f"a/{layout.replace('<N>', str(seed))}"] = encode({name: of[seed] for name, of in VALUES.items()})
    pd.testing.assert_frame_equal(same(load(sources, mapping(), "map")), same(load(flat(VALUES), mapping(), "map")))


def test_a_summary_that_is_not_that_of_its_values() -> None:
    for key, wrong, shown in (("mean", 51.98, "50.9825"), ("std", 1.1, "0.99647294"), ("n", 5, "4")):
        document = json.loads(flat(VALUES)["results.json"])
        document["arc_c"][key] = wrong
        with pytest.raises(TruingError, match=f"results.json: arc_c: {key} is stated as {wrong}, its 4 values give {shown}"):
            load({"results.json": encode(document)}, mapping(), "map")
        records = json.loads(per_seed(VALUES)["r.json"])
        records["summary"]["arc_c"][key] = wrong
        with pytest.raises(TruingError, match=f"r.json: arc_c: {key} is stated as {wrong}"):
            load({"r.json": encode(records)}, mapping(), "map")


def test_a_population_deviation_is_refused_by_name() -> None:
    document = json.loads(flat(VALUES)["results.json"])
    document["arc_c"]["std"] = statistics.pstdev(document["arc_c"]["values"])
    with pytest.raises(TruingError, match="is the population standard deviation of its values"):
        load({"results.json": encode(document)}, mapping(), "map")


def test_summaries_agree_up_to_their_printed_digits() -> None:
    document = json.loads(flat(VALUES)["results.json"])
    text = json.dumps(document["arc_c"])
    document["arc_c"] |= {"mean": 51.0, "std": 1.0}
    rounded = {"results.json": encode(document)}
    load(rounded, mapping(), "map")
    with pytest.raises(TruingError, match=r"mean is stated as 51.0"):
        load(rounded, mapping(decimals=2), "map")
    document["arc_c"] = json.loads(text) | {"mean": 50.9831}
    with pytest.raises(TruingError, match=r"mean is stated as 50.9831"):
        load({"results.json": encode(document)}, mapping(), "map")
    load({"results.json": encode(document)}, mapping(value_decimals=2), "map")


def test_a_null_is_missing_and_never_zero() -> None:
    values: Values = copy.deepcopy(VALUES)
    values["alignment"][137] = None
    rules = mapping(missing_class="budget")
    rules["metrics"]["alignment"]["n"] = 80
    frames = [load(WRITERS[name](values), {**rules, **changes_for(name)}, "map") for name in WRITERS]
    bare = b'{"per_seed": [{"seed": 1, "arc_c": NaN}]}'
    frames.append(load({"r.json": bare}, mapping(expected_seeds=[1], metrics={"arc_c": rules["metrics"]["arc_c"]}), "map"))
    for frame in frames[:-1]:
        row = frame[(frame["metric"] == "alignment") & (frame["seed"] == 137)].iloc[0]
        assert pd.isna(row["value"])
        assert (row["n"], row["n_missing"], row["missing_budget"]) == (0, 80, 80)
        assert frame["value"].isna().sum() == 1
        assert (frame.loc[(frame["metric"] == "alignment") & frame["value"].notna(), "n"] == 80).all()
    assert frames[-1].iloc[0][["n", "n_missing", "missing_unscored"]].tolist() == [0, 1, 1]


@pytest.mark.parametrize(("raw", "what"), [("Infinity", "inf"), ('"high"', "'high'"), ("true", "True"), ("1e999", "beyond what a double")])
def test_what_is_no_number_is_refused(raw: str, what: str) -> None:
    text = by_seed(VALUES)["r.json"].decode().replace("61.5", raw)
    text = text.replace('"mean"', '"was"').replace('"std"', '"were"')
    with pytest.raises(TruingError, match=what):
        load({"r.json": text.encode()}, mapping(), "map")


@pytest.mark.parametrize(
    "data", [b'{"a": "b"}', b"[1, 2]", b'"text"', b"{}", b'{"rows": [{"a": 1}], "name": "x"}', b"just words", b"a,b\n", b'{"metrics": {}}']
)
def test_an_unknown_shape_lists_the_known_ones(data: bytes) -> None:
    with pytest.raises(TruingError, match=r"x.json: is of no known shape: ") as caught:
        load({"x.json": data}, mapping(), "map")
    assert all(f"{name}: " in caught.value.expected for name in ("by_seed", "detail", "flat", "harness", "nested", "per_seed", "rows"))


def test_no_document_has_two_shapes() -> None:
    shapes = {name: shape.get(name).target for name in shape.names()}
    for name, writer in WRITERS.items():
        for data in writer(VALUES).values():
            text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            if text[:1] == b"{" and name != "long":
                found = [one for one, plugin in shapes.items() if plugin.recognises(json.loads(text))]
                assert len(found) == 1, (name, found)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b" \n\n", r"the file is empty \(3 bytes\)"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (b'{"a": 1', "x.json: cannot be read"),
        (b'{"a": 1}\n{"a": 2', "x.json, line 2: cannot be read"),
        (b"\xff\xfe\x00", "x.json: cannot be read"),
        (b"\x1f\x8b\x08\x00", "x.json: cannot be read"),
        (b"a,b\n1,2,3\n", "x.json, line 2: 3 cells"),
        (b"a,a\n1,2\n", "two columns of one name"),
    ],
)
def test_a_damaged_file_says_so(data: bytes, what: str) -> None:
    with pytest.raises(TruingError, match=what):
        load({"x.json": data}, mapping(rows=ROWS["wide"]), "map")


@pytest.mark.parametrize("name", WRITERS)
def test_a_number_that_the_map_does_not_name(name: str) -> None:
    more = {**VALUES, "extra": VALUES["arc_c"]}
    with pytest.raises(TruingError, match="numbers that map does not name: extra"):
        load(WRITERS[name](more), mapping(**changes_for(name)), "map")
    rules = mapping(**changes_for(name))
    rules["ignore"] = ["extr?", *rules.get("ignore", [])]
    pd.testing.assert_frame_equal(same(load(WRITERS[name](more), rules, "map")), same(load(flat(VALUES), mapping(), "map")))


def test_a_number_beside_the_metrics_is_not_dropped_in_silence() -> None:
    document = json.loads(flat(VALUES)["results.json"]) | {"mmlu": 0.7}
    with pytest.raises(TruingError, match="does not name: mmlu"):
        load({"results.json": encode(document)}, mapping(), "map")
    rules = mapping()
    rules["metrics"]["mmlu"] = rules["metrics"]["arc_c"] | {"metric": "mmlu"}
    with pytest.raises(TruingError, match="mmlu has no values by seed"):
        load({"results.json": encode(document)}, rules, "map")
    document["mmlu"] = {"mean": 0.7}
    with pytest.raises(TruingError, match="mmlu has a summary and no values"):
        load({"results.json": encode(document)}, rules, "map")


def test_a_scale_is_exact() -> None:
    rules = mapping()
    rules["metrics"]["arc_c"] |= {"scale": 0.01, "unit": "rate"}
    frame = load(flat(VALUES), rules, "map")
    assert frame.loc[frame["metric"] == "arc_c", "value"].tolist() == [0.5128, 0.5094, 0.5205, 0.4966]
    rules = mapping(expected_seeds=[1], metrics={"arc_c": rules["metrics"]["arc_c"] | {"scale": 100}})
    assert load({"seed1/x.json": b'{"arc_c": 0.57}'}, rules, "map")["value"].tolist() == [57.0]  # 0.57 * 100 is less in binary


def test_two_sources_of_one_cell() -> None:
    exact = {"exact.json": by_seed(VALUES)["r.json"]}
    short: Values = {name: {seed: round(value or 0.0, 1) for seed, value in of.items()} for name, of in VALUES.items()}
    frame = load({**exact, "short.json": by_seed(short)["r.json"]}, mapping(), "map")
    pd.testing.assert_frame_equal(frame, load(exact, mapping(), "map"))
    short["arc_c"][256] = 52.2
    with pytest.raises(TruingError, match=r"seed 256, metric arc_c.*: exact.json has 52.05, short.json has 52.2"):
        load({**exact, "short.json": by_seed(short)["r.json"]}, mapping(), "map")
    short["arc_c"][256] = None
    with pytest.raises(TruingError, match=r"exact.json has 52.05, short.json has None"):
        load({**exact, "short.json": by_seed(short)["r.json"]}, mapping(), "map")


def test_details_beside_their_summary_are_checked_against_it() -> None:
    details = detail(LAYOUTS[1])(VALUES)
    load({**details, **flat(VALUES)}, mapping(), "map")
    details["good_wrong/seed42/x.json"] = details["good_wrong/seed42/x.json"].replace(b"51.28", b"51.82")
    with pytest.raises(TruingError, match=r"good_wrong/seed42/x.json has 51.82, results.json has 51.28"):
        load({**details, **flat(VALUES)}, mapping(), "map")


def test_sources_of_one_cell_may_not_tell_of_two_protocols() -> None:
    rules = mapping(ignore=["training_config*"], protocol={}, protocol_from={"training_config.gpus": "em.world_size"})
    one = nested(VALUES)["r.json"]
    frame = load({"a.json": one, "b.json": by_seed(VALUES)["r.json"]}, rules, "map")
    assert frame["protocol"].unique().tolist() == ['{"em.world_size":1}']
    with pytest.raises(TruingError, match=r"a\.json: em\.world_size is 8, and 1 elsewhere"):
        load({"a.json": one, "b.json": one.replace(b'"gpus": 1', b'"gpus": 8')}, rules, "map")
