"""Figures: deterministic, linked, and honest about what is missing."""

from __future__ import annotations

import re

import matplotlib

from truing.report import ReportInputs
from truing.report.figures import Line, Mark, curves, forest, heat_map, leaderboard

URL = "nodes.html#respond-x"
COLUMNS = [("", "base", "base"), ("skewed", "tarp", "skewed-tarp")]


def heat(values: dict[tuple[str, str], Mark]) -> str:
    return str(heat_map("h", "what it shows", ["empty", "noise"], COLUMNS, values, (0.25, 1.0), "DCB"))


def marks(value: float | None = 0.5) -> list[Mark]:
    return [Mark("a", value, 0.4, 0.6, (0.45, 0.55), url=URL), Mark("b", 0.3, url=URL), Mark("c", None)]


def test_every_value_of_a_heat_map_links_and_a_missing_one_is_hatched() -> None:
    full = {(row, key): Mark(key, 0.5, url=URL) for row in ("empty", "noise") for _, _, key in COLUMNS}
    assert heat(full).count(f'href="{URL}"') == 4
    assert "<pattern" not in heat(full)
    holed = {key: mark for key, mark in full.items() if key != ("noise", "base")} | {("empty", "base"): Mark("base", None)}
    assert heat(holed).count(f'href="{URL}"') == 2
    assert "<pattern" in heat(holed)


def test_zero_is_a_value_and_not_a_hole() -> None:
    zero = {("empty", "base"): Mark("base", 0.0, url=URL)}
    assert heat(zero).count(f'href="{URL}"') == 1


def test_a_users_matplotlib_settings_change_nothing() -> None:
    before = forest("k", "label", marks(), Mark("base", 0.5, 0.45, 0.55), 0.25, "DCB")
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "none", "svg.hashsalt": "other"}):
        assert forest("k", "label", marks(), Mark("base", 0.5, 0.45, 0.55), 0.25, "DCB") == before


def test_figures_have_no_text_that_needs_a_font_and_no_date() -> None:
    line = Line("a", (0.0, 50.0, 100.0), (0.8, None, 0.3), (0.7, None, 0.2), (0.9, None, 0.4), "#1f5a8c")
    drawn = [
        forest("f", "l", marks(), None, None, "x"),
        curves("c", "l", [line], "x", "y", (0.0, 1.0), 0.25),
        leaderboard("b", "l", ["a", "b", "c"], [("t", marks())]),
    ]
    for svg in drawn:
        assert "<text" not in svg
        assert "<metadata" not in svg
        assert not re.search(r"\b(?:nan|inf)\b", svg)
        assert svg.startswith('<svg class="plot" role="img" aria-label="l"')


def test_figures_with_nothing_to_show_are_still_drawn() -> None:
    nothing = [Mark("a", None), Mark("b", None)]
    assert "<pattern" in forest("f", "l", nothing, None, None, "x")
    assert "<pattern" in leaderboard("b", "l", ["a", "b"], [("t", nothing)])
    assert heat({}).count("<a ") == 0


def test_ids_of_two_figures_never_meet() -> None:
    first, second = (set(re.findall(r' id="([^"]+)"', forest(key, "l", marks(), None, None, "x"))) for key in ("one", "two"))
    assert first
    assert not first & second


def test_labels_are_escaped() -> None:
    assert 'aria-label="&lt;b&gt; &#34;q&#34;"' in forest("f", '<b> "q"', marks(), None, None, "x")


def test_figures_are_compact(pages: dict[str, bytes]) -> None:
    page = pages["index.html"].decode()
    sizes = [len(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(sizes) == 8
    assert max(sizes) < 80_000
    assert len(page) < 500_000


def test_the_leaderboard_is_sorted_once(inputs: ReportInputs, pages: dict[str, bytes]) -> None:
    page = pages["index.html"].decode()
    part = page[page.index('id="nullbench-leaderboard"') : page.index('id="nullbench-manifests"')]
    names = re.findall(r'<th scope="row">([\w-]+)</th>', part)
    cells = inputs.cells.query("arm == 'null' and metric == 'dcb_mean_max'").sort_values("mean")
    assert names == list(cells["condition"])
