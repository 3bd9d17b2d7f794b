"""Figures: a single seed has no interval, so it is drawn in none of them and named under each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest
from markupsafe import Markup
from support.claims_page import Make, between, captions, undrawn
from support.markup import words

from truing.report import render
from truing.report.sections import nullbench


def drawn_without(results: pd.DataFrame, lone: Sequence[str], arms: str = "") -> pd.DataFrame:
    """The results with all but one seed of the conditions missing, in the arms that start like that."""
    gone = results["condition"].isin(lone) & results["seed"].isin((137, 256)) & results["arm"].str.startswith(arms)
    return results.assign(value=results["value"].mask(gone))


def test_a_single_seed_is_in_no_figure_and_named_under_each(results: pd.DataFrame, make: Make, pages: dict[str, bytes]) -> None:
    inputs = make(drawn_without(results, ["skewed-uniform"]))
    index, before = render(inputs)["index.html"].decode(), pages["index.html"].decode()
    url = 'href="nodes.html#respond-tiny-news-skewed-uniform-sft-null-inputs"'
    for part in ("forest", "families", "leaderboard"):
        start = f'id="nullbench-{part}"'
        drawn, usual = ("".join(re.findall(r"<svg.*?</svg>", between(page, start, "</section>"), re.DOTALL)) for page in (index, before))
        assert url in usual, part
        assert url not in drawn, part
    for part in ("forest", "families", "masking", "leaderboard"):
        caption = words(captions(between(index, f'id="nullbench-{part}"', "</section>"))[0])
        assert "Not drawn, with a single seed (n = 1, no interval): skewed-uniform." in caption
        assert "Not drawn" not in words(captions(between(before, f'id="nullbench-{part}"', "</section>"))[0])
    table = between(index, 'id="nullbench-conditions"', "</section>")
    row = next(row for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL) if "skewed-uniform" in row)
    assert "no interval" in words(row)


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What the curves and the forest plots of a render are drawn from, as they are asked for."""
    found: dict[str, list[Any]] = {"curves": [], "forest": []}

    def recorded(name: str) -> Callable[..., Markup]:
        return lambda key, label, data, *_: found[name].append(data) or Markup("<svg></svg>")  # type: ignore[func-returns-value]

    for name in found:
        monkeypatch.setattr(nullbench, name, recorded(name))
    return found


def test_a_single_seed_is_no_curve_and_no_row(results: pd.DataFrame, make: Make, panels: dict[str, list[Any]]) -> None:
    index = undrawn(make(drawn_without(results, ["skewed-uniform"])))["index.html"].decode()
    curves = [[line.label for line in lines] for lines in panels["curves"]]
    assert curves == [["base", "shuffled", "tarp"]] * 2 + [["base", "uniform", "shuffled", "tarp"]] * 2
    assert [len(rows) for rows in panels["forest"]] == [5, 5]
    assert all(mark.label != "skewed-uniform" for rows in panels["forest"] for mark in rows)
    part = between(index, 'id="nullbench-masking"', "</section>")
    cells = dict(re.findall(r'data-column="([^"]+)">(.*?)</td>', part, re.DOTALL))
    assert "n = 1, no interval" in cells["skewed-uniform"]
    assert "n = 1" not in cells["skewed-tarp"]


def test_a_single_value_breaks_its_curve(results: pd.DataFrame, make: Make, panels: dict[str, list[Any]]) -> None:
    undrawn(make(drawn_without(results, ["skewed-uniform"], "masked_050")))
    line = next(line for line in panels["curves"][0] if line.label == "uniform")
    assert [x for x, y in zip(line.x, line.y, strict=True) if y is None] == [50.0]


def test_a_single_value_of_a_replicated_condition_leaves_only_its_own_place(results: pd.DataFrame, make: Make) -> None:
    index = render(make(drawn_without(results, ["skewed-uniform"], "stopwords")))["index.html"].decode()
    part = between(index, 'id="nullbench-families"', "</section>")
    assert "skewed-uniform in stopwords." in words(captions(part)[0])
    svg = "".join(re.findall(r"<svg.*?</svg>", part, re.DOTALL))
    assert svg.count('href="nodes.html#respond-tiny-news-skewed-uniform-sft-null-inputs"') == 6
