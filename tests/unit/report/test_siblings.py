"""Results from elsewhere: all of them are listed, with how they were made, and a value that does not fit is marked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import pytest
from markupsafe import Markup
from support.markup import words
from support.results import protocol
from support.results import row as result_row

from truing.contracts.protocol import as_text, fingerprint
from truing.contracts.results import result_table
from truing.core.digests import digest
from truing.core.errors import Exit, TruingError
from truing.report import ReportInputs, figures, render
from truing.report.siblings import require_listed, siblings
from truing.stats.hypotheses import prediction_t

Make = Callable[..., ReportInputs]


def value(condition: str, seed: int | None, number: float | None, **changed: Any) -> dict[str, Any]:
    """A row of an imported table, made as this study's own unless a field of the protocol is changed."""
    fields = {name: changed.pop(name) for name in list(changed) if "__" in name}
    how = protocol(**{"sft__manifest_digest": digest(condition), **fields})
    found: dict[str, Any] = {
        "study": "nullbench",
        "probe": "null_inputs",
        "arm": "null",
        "metric": "dcb_mean_max",
        "unit": "probability",
        "seed_scope": "sft+dpo",
        "n_upstream": 1,
        "origin": "import",
        "node": "import/earlier",
        "source_digest": digest("file"),
        "protocol": as_text(how),
        "protocol_digest": fingerprint(how),
    }
    return result_row(condition, seed, number, **(found | changed))


def beside(inputs: ReportInputs, *rows: Mapping[str, Any], name: str = "earlier") -> ReportInputs:
    return dataclasses.replace(inputs, imported={name: result_table(list(rows), name)})


def undrawn(inputs: ReportInputs) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw", lambda *_: Markup("<svg></svg>"))
        return render(inputs)["index.html"].decode()


def part(index: str) -> str:
    return index[index.index('<section class="part" id="nullbench-siblings"') :].split("</section>")[0]


def listed(index: str) -> list[dict[str, str]]:
    """Rows of the table of every value."""
    table = part(index).split("<table")[-1]
    rows = re.findall(r"<tr>.*?</tr>", table[table.index("<tbody>") :], re.DOTALL)
    return [
        {"condition": words(re.findall(r"<th.*?</th>", row, re.DOTALL)[0])}
        | {column: words(cell) for column, cell in re.findall(r'data-column="([^"]+)">(.*?)</td>', row, re.DOTALL)}
        for row in rows
    ]


def own(inputs: ReportInputs, condition: str) -> list[float]:
    rows = inputs.results.query(f"condition == '{condition}' and arm == 'null' and metric == 'dcb_mean_max'")
    return [float(number) for number in rows["value"].dropna()]


def test_every_value_is_listed_with_what_it_stands_on(inputs: ReportInputs) -> None:
    rows = [value("skewed-tarp", seed, 0.43 + seed / 100, n_upstream=1) for seed in (1, 2, 3)]
    rows += [value("skewed-tarp", 1, None, metric="entropy_norm", unit="share"), value("elsewhere-only", 1, 0.5)]
    found = listed(undrawn(beside(inputs, *rows)))
    assert [(row["condition"], row["metric"]) for row in found] == [
        ("elsewhere-only sft", "dcb_mean_max null, null_inputs"),
        ("skewed-tarp sft", "dcb_mean_max null, null_inputs"),
        ("skewed-tarp sft", "entropy_norm null, null_inputs"),
    ]
    alone, three, gone = found
    assert three["mean over seeds"].startswith("0.450 [")
    assert three["mean over seeds"].endswith("n = 3")
    assert three["seeds vary"] == "sft+dpo"
    assert three["upstream runs"] == "1"
    assert three["as one more seed"] == "not a single value"
    assert gone["mean over seeds"].startswith("missing")
    assert alone["mean over seeds"] == "0.500 n = 1, no interval"
    assert alone["protocol"] == "no such condition here"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "equal"),
        ({"sft__world_size": 8}, "1 field differs"),
        ({"sft__world_size": 8, "sft__steps": 47}, "2 fields differ"),
        ({"sft__device": None}, "unknown in 1 field"),
        ({"sft__world_size": 8, "sft__device": None, "eval__engine": None}, "1 field differs, unknown in 2 fields"),
    ],
)
def test_the_protocol_is_held_against_this_studys(inputs: ReportInputs, changed: dict[str, Any], said: str) -> None:
    row = listed(undrawn(beside(inputs, value("skewed-tarp", 1, 0.43, **changed))))[0]
    assert row["protocol"] == said


def test_a_value_off_the_replicates_is_marked_with_the_fields_that_differ(inputs: ReportInputs) -> None:
    index = undrawn(beside(inputs, value("skewed-tarp", 1, 0.9, sft__world_size=8, sft__device=None)))
    assert listed(index)[0]["as one more seed"].startswith("check for a confound t = +")
    said = "Its protocol differs in sft.world_size (8 against 1); unknown: sft.device."
    assert said in words(part(index))
    first = words(index[index.index("<aside") : index.index("</aside>")])
    assert "check for a confound: a value lies beyond what one more seed of skewed-tarp would give" in first
    assert said in first


@pytest.mark.parametrize(("factor", "marked"), [(3.9, False), (4.1, True), (-3.9, False), (-4.1, True)])
def test_the_mark_is_set_beyond_t_of_four_to_either_side(inputs: ReportInputs, factor: float, marked: bool) -> None:
    known = own(inputs, "skewed-tarp")
    unit = prediction_t(max(known) + 1.0, known)
    assert unit.se is not None
    point = sum(known) / len(known) + factor * unit.se
    assert prediction_t(point, known).statistic == pytest.approx(factor)
    index = undrawn(beside(inputs, value("skewed-tarp", 1, point)))
    cell = listed(index)[0]["as one more seed"]
    assert ("check for a confound" in cell) is marked
    assert f"t = {'+' if factor > 0 else chr(0x2212)}{abs(factor)} against n = 3" in cell
    assert ("lies beyond what one more seed" in words(index)) is marked


def test_several_seeds_are_no_single_new_value(inputs: ReportInputs) -> None:
    index = undrawn(beside(inputs, value("skewed-tarp", 1, 0.9), value("skewed-tarp", 2, 0.91)))
    assert "check for a confound" not in listed(index)[0]["as one more seed"]


def test_a_value_that_is_this_studys_own_is_no_new_one(inputs: ReportInputs) -> None:
    row = inputs.results.query("condition == 'skewed-tarp' and arm == 'null' and metric == 'dcb_mean_max' and seed == 42")
    index = undrawn(beside(inputs, value("skewed-tarp", 42, float(row["value"].item()))))
    assert listed(index)[0]["as one more seed"] == "the same seed, with the same value"


def test_replicates_that_are_all_equal_predict_no_other_value(inputs: ReportInputs, make: Make) -> None:
    mine = (inputs.results["condition"] == "skewed-tarp") & (inputs.results["metric"] == "dcb_mean_max") & (inputs.results["arm"] == "null")
    flat = make(inputs.results.assign(value=inputs.results["value"].mask(mine, 0.25)))
    for point, marked in ((0.25, False), (0.8, True)):
        cell = listed(undrawn(beside(flat, value("skewed-tarp", 1, point))))[0]["as one more seed"]
        assert ("check for a confound" in cell) is marked
        assert "no t" in cell


@pytest.mark.parametrize("changed", [{"unit": "percent"}, {"phase": "dpo"}, {"arm": "elsewhere"}, {"metric": "other"}])
def test_what_is_measured_otherwise_has_no_replicate(inputs: ReportInputs, changed: dict[str, str]) -> None:
    index = undrawn(beside(inputs, value("skewed-tarp", 1, 0.9, **changed)))
    assert listed(index)[0]["as one more seed"] == "no seed here"


def test_the_probe_may_be_called_otherwise_elsewhere(inputs: ReportInputs) -> None:
    found = siblings("nullbench", beside(inputs, value("skewed-tarp", 1, 0.9, probe="older_probe")))
    assert [alarm.group for alarm in found.alarms] == [("skewed-tarp", "sft", "older_probe")]


def test_a_long_table_is_folded_and_whole(inputs: ReportInputs) -> None:
    rows = [value("skewed-tarp", 1, 0.5, metric=f"metric_{index}") for index in range(40)]
    index = undrawn(beside(inputs, *rows))
    assert "<summary>All 40 values of earlier</summary>" in part(index)
    assert len(listed(index)) == 40


def test_two_tables_are_both_listed(inputs: ReportInputs) -> None:
    tables = {name: result_table([value("skewed-tarp", 1, 0.43)], name) for name in ("later", "earlier")}
    text = words(part(undrawn(dataclasses.replace(inputs, imported=tables))))
    assert text.index("earlier : 1 value of 1 condition.") < text.index("later : 1 value of 1 condition.")


def test_a_table_of_no_study_of_the_report_is_refused(inputs: ReportInputs) -> None:
    stray = beside(inputs, value("skewed-tarp", 1, 0.43), value("skewed-tarp", 1, 0.43, study="other"))
    with pytest.raises(TruingError, match=r"earlier \(other\)") as caught:
        render(stray)
    assert caught.value.code == Exit.REFUSED


def test_an_empty_table_is_refused(inputs: ReportInputs) -> None:
    empty = result_table([value("skewed-tarp", 1, 0.43)], "earlier").iloc[0:0]
    with pytest.raises(TruingError, match="no page would show"):
        render(dataclasses.replace(inputs, imported={"earlier": empty}))


def test_a_section_that_leaves_a_table_out_is_refused(inputs: ReportInputs) -> None:
    full = beside(inputs, value("skewed-tarp", 1, 0.43))
    found = siblings("nullbench", full)
    require_listed(full, {"nullbench": found})
    with pytest.raises(TruingError, match=r"earlier \(nullbench\)"):
        require_listed(full, {"nullbench": dataclasses.replace(found, listed=frozenset())})


def test_without_imported_tables_there_is_no_such_part(pages: dict[str, bytes]) -> None:
    assert b"nullbench-siblings" not in pages["index.html"]


def test_row_order_of_an_imported_table_changes_nothing(inputs: ReportInputs) -> None:
    rows = [value("skewed-tarp", seed, 0.43 + seed / 100) for seed in (1, 2, 3)] + [value("control-tarp", 1, 0.9)]
    table = result_table(rows, "earlier")
    turned = table.sample(frac=1, random_state=3)
    assert isinstance(turned, pd.DataFrame)
    first, second = (undrawn(dataclasses.replace(inputs, imported={"earlier": one})) for one in (table, turned))
    assert first == second
