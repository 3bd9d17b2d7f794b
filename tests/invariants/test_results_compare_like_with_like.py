"""I1 to I5: two results stand side by side only if they are known to have been made alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.results import lineage, protocol, rows, table
from typer.testing import CliRunner

from truing.cli.app import app
from truing.contracts.declaration import Contrast, Declaration, Family, Outcome
from truing.contracts.protocol import (
    EVAL_FIELDS,
    JUDGE_FIELDS,
    PHASE_FIELDS,
    Allowance,
    check_fields,
    derived,
    differences,
    fingerprint,
    phase_names,
    require_comparable,
    unknown_fields,
)
from truing.core.errors import Exit, TruingError
from truing.report.comparable import contrast_mismatches
from truing.report.compare import compare, operand
from truing.report.protocols import lineage_protocol

FIELDS = (*(f"sft.{field}" for field in PHASE_FIELDS), *EVAL_FIELDS, *JUDGE_FIELDS, "base.model", "base.digest", "phases")
NAMES = ("a", "b")


def refusal(a: dict[str, Any], b: dict[str, Any], **options: Any) -> str:
    with pytest.raises(TruingError) as caught:
        require_comparable(a, b, names=NAMES, **options)
    assert caught.value.code == Exit.REFUSED
    return caught.value.what


def write(folder: Path, name: str, document: dict[str, Any]) -> str:
    path = folder / name / "lineage.json"
    path.parent.mkdir()
    path.write_text(json.dumps(document))
    return str(path.parent)


def test_i01_a_run_on_eight_gpus_is_not_compared_with_one_on_one_gpu() -> None:
    eight, one = (lineage_protocol([lineage(42, world_size=size, accumulation=4)]) for size in (8, 1))
    text = refusal(eight, one, exempt=("eval.*", "judge.*", "base.model"))
    for field, left, right in (("world_size", 8, 1), ("effective_batch", 128, 16), ("steps", 47, 375)):
        line = next(line for line in text.splitlines() if f"sft.{field} " in line)
        assert line.split() == [f"sft.{field}", str(left), str(right)]
    assert len(text.splitlines()) == 5


def test_i01_the_command_refuses_them_with_exit_3_and_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [write(tmp_path, f"gpus{size}", lineage(42, world_size=size)) for size in (8, 1)]
    result = CliRunner().invoke(app, ["compare", *folders])
    assert isinstance(result.exception, TruingError)
    assert result.exception.code == Exit.REFUSED
    assert all(f"sft.{field}" in str(result.exception) for field in ("world_size", "effective_batch", "steps"))


def test_i01_seeds_of_one_protocol_are_compared() -> None:
    assert require_comparable(protocol(), protocol(), names=NAMES) == []
    assert fingerprint(protocol()) == fingerprint(protocol())


@given(st.sampled_from(FIELDS))
def test_i01_every_field_alone_is_enough_to_refuse(field: str) -> None:
    changed = protocol(**{field: ["other"] if field == "phases" else "another value"})
    assert field in refusal(protocol(), changed)
    assert fingerprint(changed) != fingerprint(protocol())


def test_i01_what_the_contrast_manipulates_may_differ_and_nothing_else() -> None:
    changed = protocol(sft__manifest_digest="other")
    assert require_comparable(protocol(), changed, names=NAMES, exempt=("sft.manifest_digest",)) == []
    assert "sft.corpus_digest" in refusal(protocol(), changed | {"sft.corpus_digest": "other"}, exempt=("sft.manifest_digest",))


def test_i01_a_declared_contrast_of_unlike_conditions_stops_the_run() -> None:
    family = Family(contrasts=(Contrast(a="x", b="y", manipulates=("sft.manifest_digest",)),), outcomes=(Outcome(metric="m", arm="all"),))
    alike = {"x": protocol(sft__manifest_digest="1"), "y": protocol(sft__manifest_digest="2")}
    assert contrast_mismatches(Declaration(family=family), alike, ()) == []
    with pytest.raises(TruingError, match=r"sft\.world_size"):
        contrast_mismatches(Declaration(family=family), alike | {"x": protocol(sft__world_size=8)}, ())


def test_i01_phases_of_one_name_are_told_apart() -> None:
    assert phase_names(["sft", "dpo", "sft", "sft"]) == ("sft", "dpo", "sft2", "sft3")


def test_i01_a_chain_of_other_phases_differs_in_its_phases() -> None:
    assert [d.field for d in differences(protocol("sft"), protocol("sft", "dpo"))] == ["phases"]


@pytest.mark.parametrize(("world", "steps"), [(8, 47), (1, 375)])
def test_i02_batch_and_steps_are_derived(world: int, steps: int) -> None:
    known = {"sft.rows": 6000, "sft.epochs": 1, "sft.per_device_batch": 4, "sft.accumulation": 4, "sft.world_size": world}
    found = derived(known, "map")
    assert found["sft.effective_batch"] == 16 * world
    assert found["sft.steps"] == steps


def test_i02_a_claimed_batch_that_is_not_the_derived_one_is_refused() -> None:
    with pytest.raises(TruingError, match="claimed to be 128") as caught:
        derived({"sft.per_device_batch": 4, "sft.accumulation": 1, "sft.world_size": 8, "sft.effective_batch": 128}, "map")
    assert "32" in caught.value.expected


def test_i02_claimed_steps_that_are_not_the_derived_ones_are_refused() -> None:
    with pytest.raises(TruingError, match=r"sft\.steps is claimed to be 46"):
        derived({"sft.rows": 6000, "sft.epochs": 1, "sft.effective_batch": 128, "sft.steps": 46}, "map")


@given(st.sampled_from(FIELDS))
def test_i03_unknown_is_not_equal_to_unknown(field: str) -> None:
    bare = protocol(**{field: None})
    assert fingerprint(bare) is None
    assert unknown_fields(bare) == [field]
    text = refusal(bare, bare)
    assert text.splitlines()[-1].split() == [field, "unknown", "unknown"]


def test_i03_a_run_with_an_unknown_number_of_gpus_joins_no_table() -> None:
    assert "sft.world_size  unknown  1" in " ".join(refusal(protocol(sft__world_size=None), protocol()).splitlines()[-1:])


def test_i04_a_vouched_difference_is_recorded_field_by_field_with_its_reason() -> None:
    left, right = protocol(sft__world_size=8, sft__attention="flash"), protocol()
    allowed = [Allowance(field="sft.world_size", reason="same effective batch"), Allowance(field="attention", reason="checked by hand")]
    found = {m.field: (m.a, m.b, m.reason) for m in require_comparable(left, right, names=NAMES, allowed=allowed)}
    assert found == {"sft.world_size": (8, 1, "same effective batch"), "sft.attention": ("flash", "a attention", "checked by hand")}
    assert "sft.steps" in refusal(left | {"sft.steps": 3}, right, allowed=allowed)


def test_i04_an_allowance_speaks_of_its_own_conditions_only() -> None:
    allowed = [Allowance(field="sft.world_size", reason="why", a="a", b="c")]
    assert "sft.world_size" in refusal(protocol(sft__world_size=8), protocol(), allowed=allowed)


def test_i04_the_command_records_what_was_vouched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [write(tmp_path, f"gpus{size}", lineage(42, world_size=size)) for size in (8, 1)]
    vouch = [part for field in ("world_size", "effective_batch", "steps") for part in ("--allow-mismatch", field)]
    result = CliRunner().invoke(app, ["compare", *folders, *vouch, "--reason", "the point of it", "--out", "found.json"])
    assert result.exit_code == 0, result.exception
    assert "vouched for: sft.world_size is 8 in a and 1 in b: the point of it" in result.output
    recorded = json.loads((tmp_path / "found.json").read_text())
    assert {m["field"] for m in recorded["mismatches"]} == {"sft.world_size", "sft.effective_batch", "sft.steps"}


def test_i04_a_difference_without_a_reason_is_not_vouched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [write(tmp_path, f"gpus{size}", lineage(42, world_size=size)) for size in (8, 1)]
    result = CliRunner().invoke(app, ["compare", *folders, "--allow-mismatch", "*"])
    assert isinstance(result.exception, TruingError)
    assert "--reason" in result.exception.what


def test_i05_rows_claimed_are_rows_consumed() -> None:
    source = {"sft.rows_fraction": 0.25, "sft.rows_available": 939_343}
    assert derived(source, "map")["sft.rows"] == 234_835
    with pytest.raises(TruingError, match="claimed to be 61000"):
        derived(source | {"sft.rows": 61_000}, "map")


def test_a_field_that_no_protocol_has_is_named() -> None:
    check_fields(["sft.steps", "dpo.rows_fraction", "base.model"], "map")
    with pytest.raises(TruingError, match=r"sft\.stpes"):
        check_fields(["sft.stpes"], "map")


def test_two_conditions_are_compared_in_the_metrics_of_both() -> None:
    frame = table(rows("x", [0.5, 0.6, 0.7]), rows("y", [0.4, 0.4, 0.6]))
    found = compare(operand("x", frame, "x"), operand("y", frame, "y"))
    (only,) = found.rows
    assert (only.metric, only.n_a, only.n_b) == ("accuracy", 3, 3)
    assert only.diff == pytest.approx(0.4 / 3)
    assert only.method == "paired t"
    # The same answers on both sides would decide nothing; these differ.
    assert [question.metric for question in found.questions] == ["accuracy"]


def test_seeds_of_one_checkpoint_give_no_p_value() -> None:
    frame = table(rows("x", [0.5, 0.6, 0.7], n_upstream=1), rows("y", [0.4, 0.4, 0.6]))
    found = compare(operand("x", frame, "x"), operand("y", frame, "y"))
    assert found.rows[0].p_value is None
    assert found.rows[0].ci_lo is not None
    assert any("conditional on one checkpoint" in note for note in found.notes)


def test_seeds_made_by_two_protocols_are_no_condition() -> None:
    frame = table(rows("x", [0.5, 0.6]), [{**rows("x", [0.1, 0.2, 0.3], made_by=protocol(sft__world_size=8))[2]}])
    with pytest.raises(TruingError, match=r"sft\.world_size"):
        operand("x", frame, "x")
