"""Golden properties of the rendered pages."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.markup import words

from truing.core import numbers
from truing.core.errors import TruingError
from truing.report import ReportInputs, StudyPage, render


class Page(HTMLParser):
    """Ids, links and text of a page."""

    def __init__(self, source: bytes) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(source.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("href", "xlink:href") and value:
                self.links.append(value)
            if name in ("src", "srcset", "action", "data") and value:
                self.loads.append(value)


@pytest.fixture(scope="module")
def index(pages: dict[str, bytes]) -> str:
    return pages["index.html"].decode()


def test_two_renders_are_equal_byte_for_byte(inputs: ReportInputs, pages: dict[str, bytes]) -> None:
    assert render(inputs) == pages


def test_row_order_of_the_tables_changes_nothing(inputs: ReportInputs, pages: dict[str, bytes]) -> None:
    shuffled = {name: getattr(inputs, name).sample(frac=1, random_state=3) for name in ("results", "cells", "differences")}
    assert render(dataclasses.replace(inputs, **shuffled)) == pages


def test_no_python_value_leaks_into_the_pages(pages: dict[str, bytes]) -> None:
    for name, source in pages.items():
        assert not re.findall(r"\b(?:nan|None|NaN|inf|NaT|<NA>)\b", source.decode()), name


def test_every_link_leads_somewhere(pages: dict[str, bytes]) -> None:
    found = {name: Page(source) for name, source in pages.items()}
    for name, page in found.items():
        assert len(page.ids) == len(set(page.ids)), f"ids of {name} are unique"
        for link in page.links:
            if link.startswith("data:"):
                continue
            target, _, place = link.partition("#")
            assert (target or name) in found, link
            assert not place or place in found[target or name].ids, link


def test_pages_load_nothing(pages: dict[str, bytes]) -> None:
    for source in pages.values():
        assert Page(source).loads == []
        text = source.decode()
        assert "http" not in re.sub(r"http://www.w3.org/\S+", "", text)
        assert "@import" not in text
        assert "<script" not in text


def test_every_node_of_the_plan_has_an_entry(inputs: ReportInputs, pages: dict[str, bytes]) -> None:
    ids = set(Page(pages["nodes.html"]).ids)
    planned = {f"{verb}-{key}" for verb, nodes in inputs.plan.items() if verb != "environment" for key in nodes}
    assert planned <= ids


def test_intervals_are_those_of_scipy(results: pd.DataFrame, index: str) -> None:
    rows = results[(results["condition"] == "skewed-tarp") & (results["arm"] == "null") & (results["metric"] == "dcb_mean_max")]
    values = rows["value"].astype(float)
    lo, hi = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    assert numbers.estimate(float(values.mean()), float(lo), float(hi)) in index


def test_differences_are_named_and_signed(results: pd.DataFrame, index: str) -> None:
    rows = results[(results["arm"] == "null") & (results["metric"] == "dcb_mean_max")]
    wide = rows.pivot(index="seed", columns="condition", values="value")
    a, b = wide["skewed-tarp"].dropna().astype(float), wide["skewed-shuffled"].dropna().astype(float)
    difference = a - b
    lo, hi = stats.t.interval(0.95, len(difference) - 1, loc=difference.mean(), scale=stats.sem(difference))
    text = words(index)
    assert numbers.estimate(float(np.mean(difference)), float(lo), float(hi), signed=True) in text
    assert "skewed-tarp \u2212 skewed-shuffled" in text


def test_a_missing_cell_shows_as_missing(inputs: ReportInputs, index: str) -> None:
    families = index[index.index('id="nullbench-families"') : index.index('id="nullbench-masking"')]
    row = re.search(r'<th scope="row">random_words</th>.*?</tr>', families, re.DOTALL)
    assert row is not None
    cells = re.findall(r"<td class=\"(\w+)\" data-column=\"([\w-]+)\">(.*?)</td>", row.group(), re.DOTALL)
    by_condition = {column: (kind, html) for kind, column, html in cells}
    kind, html = by_condition["control-uniform"]
    assert kind == "missing"
    assert "missing" in html
    assert by_condition["control-tarp"][0] == "number"
    assert "missing" in words(families)


def test_a_hole_in_the_table_of_conditions_is_a_warning(index: str) -> None:
    assert "control-shuffled lacks values of 1 of its seeds" in words(index)
    assert "n = 2 of 3, 1 missing" in index


def test_a_manifests_warning_stands_at_the_top(index: str) -> None:
    top = index[: index.index('id="nullbench"')]
    assert "all weights are equal to within 0.001" in top
    assert 'href="nodes.html#manifest-news-control-tarp"' in top


def test_a_single_seed_says_so(inputs: ReportInputs, make: Callable[..., ReportInputs]) -> None:
    results = inputs.results[inputs.results["seed"].isna() | (inputs.results["seed"] == 42)]
    page = render(make(results.assign(n_upstream=1)))["index.html"].decode()
    text = words(page)
    assert "n = 1, no interval" in text
    assert "has a single seed" in text
    assert "interval excludes zero" not in text
    assert not re.search(r"\bnan\b|\bNone\b", page)


def test_conclusions_follow_the_intervals(inputs: ReportInputs, index: str) -> None:
    assert "less lean; the interval excludes zero" in words(index)
    flat = inputs.differences.assign(diff=0.01, ci_lo=-0.1, ci_hi=0.12)
    after = words(render(dataclasses.replace(inputs, differences=flat, tests={}))["index.html"].decode())
    assert "excludes zero" not in after
    assert "the interval holds zero" in after


def test_text_from_documents_is_escaped(inputs: ReportInputs) -> None:
    metas = {**inputs.metas, "corpus/news-eval": {**inputs.metas["corpus/news-eval"], "licence": "<script>x</script>"}}
    pages = render(dataclasses.replace(inputs, metas=metas, warnings=("<b>bold</b>",), title="A & B"))
    for source in pages.values():
        assert b"<script" not in source
        assert b"<b>bold" not in source
    assert b"A &amp; B" in pages["index.html"]


def test_missing_documents_and_unplanned_nodes_do_not_break_the_pages(inputs: ReportInputs) -> None:
    pages = render(dataclasses.replace(inputs, metas={}, plan={}))
    text = words(pages["index.html"].decode())
    assert "is not in the plan" in text
    assert b"Its document is missing" in pages["nodes.html"]


def test_no_base_is_said_and_not_invented(inputs: ReportInputs, make: Callable[..., ReportInputs]) -> None:
    results = inputs.results[inputs.results["condition"] != "base"]
    page = render(make(results))["index.html"].decode()
    assert "of the untuned model is missing" in words(page)


def test_an_unknown_study_lists_the_known_sections(inputs: ReportInputs) -> None:
    with pytest.raises(TruingError, match="nullbench"):
        render(dataclasses.replace(inputs, studies=(StudyPage("nulbench", "Typo"),)))


def test_two_probes_with_one_metric_are_refused(inputs: ReportInputs) -> None:
    twice = pd.concat([inputs.cells, inputs.cells.assign(probe="other")])
    with pytest.raises(TruingError, match="by the probes"):
        render(dataclasses.replace(inputs, cells=twice))
