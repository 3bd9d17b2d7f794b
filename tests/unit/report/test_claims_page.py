"""Claims on the pages: retractions on every one of them, whole histories, adjusted p-values, vouched differences."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pandas as pd
import pytest
from support.claims_page import Make, between, captions, undrawn
from support.markup import words

from truing.contracts.declaration import Declaration
from truing.core import numbers
from truing.core.digests import digest
from truing.core.errors import TruingError
from truing.report import ReportInputs, StudyPage, headline, render
from truing.stats.claims.labels import RULES
from truing.stats.claims.verdicts import fresh, retraction
from truing.stats.claims.wording import RESERVED

Row = dict[str, Any]


REASON = "the corpora were swapped"


CLAIM = "tarp-lessens-lean"


MISMATCH: Row = {
    "a": "skewed-tarp",
    "b": "skewed-uniform",
    "field": "sft.libraries",
    "value_a": {"torch": "2.13.0", "trl": "1.16.0"},
    "value_b": {"torch": "2.12.0", "trl": "1.16.0"},
    "reason": "the release changes no number",
}


def entry(pages: dict[str, bytes], claim: str) -> str:
    return between(pages["claims.html"].decode(), f'<article id="claim-nullbench-{claim}"', "</article>")


def first(source: str) -> str:
    """What stands under "Read first"; nothing without warnings."""
    return words(between(source, "<aside", "</aside>")) if "<aside" in source else ""


def retracted(inputs: ReportInputs, claim: str = CLAIM) -> ReportInputs:
    log = [dict(row) for row in inputs.log]
    return dataclasses.replace(inputs, log=[*log, retraction(log, claim, REASON)])


def test_every_claim_has_its_sentence_label_status_and_tests(inputs: ReportInputs, pages: dict[str, bytes]) -> None:
    assert len(inputs.claims) == 3
    for row in inputs.claims:
        shown = entry(pages, row["claim"])
        text = words(shown)
        assert row["sentence"] in text
        assert f'class="badge label-{row["label"].lower()}">{row["label"]}<' in shown
        assert f'class="badge status-{row["status"]}">{row["status"]}<' in shown
        assert f"kind {row['kind']}" in text
        assert f'href="#label-{row["label"].lower()}"' in shown
        assert "no. 1" in text or "no. 2" in text or "no. 3" in text
        assert row["evidence_digest"][:12] in text
        assert row["declaration_digest"][:12] in text


def test_a_claim_links_to_the_tests_it_stands_on_and_to_no_other(pages: dict[str, bytes]) -> None:
    shown = entry(pages, "tarp-keeps-accuracy")
    stands = words(between(shown, "<b>stands on</b>", "</p>"))
    names = [f"skewed-tarp \u2212 {other} in accuracy (masked_000)" for other in ("skewed-shuffled", "skewed-uniform")]
    assert stands == "stands on " + " \u00b7 ".join(names)
    assert 'href="nodes.html#respond-tiny-news-skewed-tarp-sft-null-inputs"' in between(shown, "<b>stands on</b>", "</p>")


def test_the_rules_of_the_labels_are_printed_once(pages: dict[str, bytes]) -> None:
    text = words(pages["claims.html"].decode())
    for rule in RULES.values():
        assert text.count(rule) == 1


def test_a_study_begins_with_its_claims(inputs: ReportInputs, pages: dict[str, bytes]) -> None:
    index = pages["index.html"].decode()
    opening = between(index, '<section id="nullbench">', '<div class="lead">')
    for row in inputs.claims:
        assert row["sentence"] in words(opening)
        assert f'href="claims.html#claim-nullbench-{row["claim"]}"' in opening


def test_without_surprises_nothing_is_said_first_about_claims(pages: dict[str, bytes]) -> None:
    assert "verdict log" not in first(pages["index.html"].decode())
    assert "retracted" not in words(pages["index.html"].decode())
    assert first(pages["claims.html"].decode()) == ""


def test_a_retraction_stands_on_every_page_that_uses_the_claim(inputs: ReportInputs) -> None:
    pages = undrawn(retracted(inputs))
    sentence = next(row["sentence"] for row in inputs.claims if row["claim"] == CLAIM)
    for name in ("index.html", "claims.html"):
        source = pages[name].decode()
        assert f"{CLAIM} is retracted: {REASON}" in first(source), name
        assert f"<del>{sentence}</del>" in source, name
    shown = entry(pages, CLAIM)
    assert words(shown[shown.index("</h3>") :]).startswith(f"RETRACTED {REASON} {sentence}")
    assert "status-holds" not in shown
    assert "<del>" not in entry(pages, "tarp-keeps-accuracy")


def test_a_retraction_reaches_just_the_nodes_of_its_evidence(inputs: ReportInputs) -> None:
    nodes = undrawn(retracted(inputs))["nodes.html"].decode()
    for condition, concerned in (("skewed-tarp", True), ("skewed-uniform", True), ("control-tarp", False)):
        article = between(nodes, f'<article id="respond-tiny-news-{condition}-sft-null-inputs"', "</article>")
        assert (f"evidence of the retracted claim {CLAIM} : {REASON}" in words(article)) is concerned
        assert (f'href="claims.html#claim-nullbench-{CLAIM}"' in article) is concerned


@pytest.mark.parametrize("key", ["evidence_digest", "declaration_digest"])
def test_a_retraction_of_other_evidence_or_rules_leaves_the_claim_standing(inputs: ReportInputs, key: str) -> None:
    later = [{**row, key: digest("new")} if row["claim"] == CLAIM else row for row in inputs.claims]
    pages = undrawn(dataclasses.replace(retracted(inputs), claims=later))
    assert "<del>" not in entry(pages, CLAIM)
    assert f"Retracted before, as no. 4: {REASON}" in words(entry(pages, CLAIM))
    assert f"{CLAIM} differs from what the verdict log last says of it (no. 4: retracted" in first(pages["index.html"].decode())


def test_a_changed_declaration_is_said_plainly(inputs: ReportInputs) -> None:
    before = [{**row, "declaration_digest": digest("earlier rules")} for row in inputs.claims]
    log = fresh([], before)
    pages = undrawn(dataclasses.replace(inputs, log=[*log, *fresh(log, [dict(row) for row in inputs.claims])]))
    said = "Declared anew after earlier evidence: the study's declaration changed after verdict no. 1."
    assert said in words(entry(pages, CLAIM)).replace("&#39;", "'")
    rows = re.findall(r"<tr>.*?</tr>", entry(pages, CLAIM), re.DOTALL)
    assert [("declared anew" in row) for row in rows[1:]] == [False, True]
    assert "no. 1" in words(rows[2])
    assert "Declared anew" in words(pages["index.html"].decode())


def test_a_claim_that_is_no_longer_declared_keeps_its_history(make: Make, inputs: ReportInputs) -> None:
    declaration = inputs.studies[0].declaration
    assert declaration is not None
    fewer = Declaration(family=declaration.family, claims=declaration.claims[1:])
    log = [dict(row) for row in inputs.log]
    kept = make(inputs.results, declaration=fewer)
    pages = undrawn(dataclasses.replace(kept, log=[*log, *fresh(log, [dict(row) for row in kept.claims])]))
    shown = words(entry(pages, CLAIM))
    assert "No longer declared" in shown
    assert "History: 1 verdict" in shown
    assert inputs.claims[0]["sentence"] in shown
    assert "no longer declared" not in words(entry(pages, "tarp-keeps-accuracy")).lower()


def test_a_study_that_only_the_log_knows_is_listed(inputs: ReportInputs) -> None:
    log = [dict(row) for row in inputs.log]
    stray = [{**inputs.claims[0], "study": "older", "claim": "forgotten"}]
    pages = undrawn(dataclasses.replace(inputs, log=[*log, *fresh(log, stray)]))
    source = pages["claims.html"].decode()
    assert "No longer declared" in words(between(source, '<section id="older">', "</section>"))


@pytest.mark.parametrize("key", ["label", "sentence", "status"])
def test_a_verdict_that_the_log_does_not_have_is_read_first(inputs: ReportInputs, key: str) -> None:
    other = {"label": "STRONG", "sentence": "Another sentence.", "status": "fails"}[key]
    assert inputs.claims[0][key] != other
    claims = [{**row, key: other} if row["claim"] == CLAIM else row for row in inputs.claims]
    pages = undrawn(dataclasses.replace(inputs, claims=claims))
    said = f"The claim {CLAIM} differs from what the verdict log last says of it (no. 1: holds, {inputs.claims[0]['label']}) in: {key}."
    assert said in first(pages["index.html"].decode())
    assert said in first(pages["claims.html"].decode())
    assert "tarp-keeps-accuracy differs" not in first(pages["index.html"].decode())


def test_a_claim_without_a_log_says_so(inputs: ReportInputs) -> None:
    pages = undrawn(dataclasses.replace(inputs, log=[]))
    assert f"The claim {CLAIM} is not in the verdict log yet" in first(pages["index.html"].decode())


def test_an_edited_log_is_refused(inputs: ReportInputs) -> None:
    log = [{**row, "sentence": "Nicer words."} if row["seq"] == 1 else row for row in inputs.log]
    with pytest.raises(TruingError, match="does not follow"):
        undrawn(dataclasses.replace(inputs, log=log))


def family(source: str) -> list[dict[str, str]]:
    part = between(source, 'id="nullbench-family"', "</section>")
    rows = re.findall(r"<tr>.*?</tr>", part[part.index("<tbody>") :], re.DOTALL)
    return [
        {"test": words(between(row, '<th scope="row">', "</th>"))}
        | {column: words(cell) for column, cell in re.findall(r'data-column="([^"]+)">(.*?)</td>', row, re.DOTALL)}
        for row in rows
    ]


def test_the_family_shows_every_test_under_every_correction(inputs: ReportInputs, pages: dict[str, bytes]) -> None:
    source = pages["claims.html"].decode()
    found, tests = family(source), inputs.tests["nullbench"]
    assert len(found) == len(tests) == 8
    for row, test in zip(found, tests, strict=True):
        assert row["test"] == f"{test.a} \u2212 {test.b} {test.metric}, {test.arm}, {test.phase}"
        assert row["difference"].startswith(numbers.estimate(test.diff, test.ci_lo, test.ci_hi, signed=True))
        assert test.detectable is not None
        assert row["difference"].endswith(f"detectable {numbers.fixed(test.detectable)}")
        assert (row["n"], row["runs"]) == (str(test.n), str(test.n_upstream))
        for column, key in (("p", "none"), ("Bonferroni", "bonferroni"), ("Holm", "holm"), ("Benjamini-Hochberg", "bh")):
            p = test.adjusted[key]
            assert p is not None
            shown = row[column].replace("&lt;", "<")
            assert numbers.p_value(p) in (f"p = {shown}", f"p {shown}"), column
        assert "margin \u00b10.020" in row["equivalence"]
    caption = words(between(source, "The declared family", "</caption>"))
    assert "8 tests" in caption
    assert "error rate of 5 %" in caption
    assert "5 % / 8 = 0.00625" in caption
    assert re.search(r"Holm<small>p, declared</small>", source)


def test_a_finding_that_depends_on_the_correction_says_so(inputs: ReportInputs) -> None:
    one, *rest = inputs.tests["nullbench"]
    assert not one.depends_on_correction
    torn = dataclasses.replace(one, adjusted={"none": 0.01, "bonferroni": 0.08, "holm": 0.06, "bh": 0.02})
    rows = family(undrawn(dataclasses.replace(inputs, tests={"nullbench": [torn, *rest]}))["claims.html"].decode())
    assert rows[0]["finding"] == "no difference found depends on the correction"
    assert rows[1]["finding"].endswith("under every correction")


@pytest.fixture(scope="module")
def conditional(results: pd.DataFrame, make: Make) -> dict[str, bytes]:
    return undrawn(make(results.assign(n_upstream=1)))


def test_one_checkpoint_has_no_p_and_no_words_of_an_effect(conditional: dict[str, bytes]) -> None:
    claims, index = (conditional[name].decode() for name in ("claims.html", "index.html"))
    for row in family(claims):
        assert row["finding"] == "conditional on one checkpoint"
        assert {row[column] for column in ("p", "Bonferroni", "Holm", "Benjamini-Hochberg")} == {"no test"}
        assert row["equivalence"].startswith("no test")
        assert "detectable" not in row["difference"]
    table = between(index, 'id="nullbench-differences"', 'id="nullbench-forest"')
    assert not re.search(r"p [=<]|p &lt;", words(table))
    cells = re.findall(r'<td class="number".*?</td>', table, re.DOTALL)
    assert len(cells) == 16
    assert all("conditional on one checkpoint" in cell for cell in cells)
    assert "no conclusion about the condition" in words(index)
    assert "interval excludes zero" not in words(index)
    for source in (claims, index):
        assert not RESERVED.search(words(source[source.index('<main id="main"') :]))


def test_differences_show_the_adjusted_p_and_mark_what_is_outside(inputs: ReportInputs, pages: dict[str, bytes]) -> None:
    part = between(pages["index.html"].decode(), 'id="nullbench-differences"', 'id="nullbench-forest"')
    test = inputs.tests["nullbench"][0]
    row = next(row for row in re.findall(r"<tr>.*?</tr>", part, re.DOTALL) if "skewed-shuffled" in row)
    cells = dict(re.findall(r'data-column="([^"]+)">(.*?)</td>', row, re.DOTALL))
    assert test.adjusted["holm"] != test.p_value
    assert f"n = 3, {numbers.p_value(test.adjusted['holm'])} (Holm)" in words(cells["default-class bias (DCB)"])
    assert "outside the declared family, unadjusted" in words(cells["macro F1"])
    assert "outside" not in words(cells["accuracy"])
    assert "adjusted by Holm for the 8 tests of the declared family" in words(part)


def test_a_difference_that_an_adjustment_takes_away_is_not_called_one(inputs: ReportInputs) -> None:
    one, *rest = inputs.tests["nullbench"]
    index = undrawn(inputs)["index.html"].decode()
    assert words(index).count("less lean; the interval excludes zero") == 2
    gone = dataclasses.replace(one, adjusted={**one.adjusted, "holm": 0.2})
    after = words(undrawn(dataclasses.replace(inputs, tests={"nullbench": [gone, *rest]}))["index.html"].decode())
    assert after.count("less lean; the interval excludes zero") == 1
    assert "the interval excludes zero, but adjusted for the declared family no difference is found" in after


@pytest.fixture(scope="module")
def vouched(results: pd.DataFrame, make: Make) -> dict[str, bytes]:
    return undrawn(make(results, mismatches=[MISMATCH]))


def test_a_vouched_difference_is_read_first_with_both_values(vouched: dict[str, bytes]) -> None:
    text = first(vouched["index.html"].decode()).replace("&#34;", '"')
    assert (
        "skewed-tarp \u2212 skewed-uniform compares results that were made differently: sft.libraries is "
        '{"torch": "2.13.0"} against {"torch": "2.12.0"}; vouched for: the release changes no number'
    ) in text


def test_a_vouched_difference_is_a_footnote_of_what_shows_its_conditions(pages: dict[str, bytes], vouched: dict[str, bytes]) -> None:
    parts = {"conditions", "differences", "forest", "families", "masking", "leaderboard"}
    index = vouched["index.html"].decode()
    for part in ("conditions", "differences", "forest", "families", "masking", "leaderboard", "manifests", "corpora"):
        source = index[index.index(f'<section class="part" id="nullbench-{part}"') :].split("</section>")[0]
        for caption in captions(source):
            other = "<i>control" in caption
            noted = "sft.libraries" in caption and MISMATCH["reason"] in caption
            assert noted is (part in parts and not other), (part, caption)
    claims = vouched["claims.html"].decode()
    assert MISMATCH["reason"] in captions(between(claims, 'id="nullbench-family"', "</section>"))[0]
    assert "footnote" not in "".join(captions(pages["index.html"].decode()))


def test_a_claim_names_the_vouched_differences_that_it_stands_on(vouched: dict[str, bytes]) -> None:
    shown = entry(vouched, CLAIM)
    assert "label-preliminary" in shown
    assert MISMATCH["reason"] in between(shown, '<ul class="mismatches">', "</ul>")


def test_long_values_that_would_be_cut_alike_are_told_apart(results: pd.DataFrame, make: Make) -> None:
    long = [f"{'x' * 70}{end}" for end in "ab"]
    page = undrawn(make(results, mismatches=[{**MISMATCH, "value_a": long[0], "value_b": long[1]}]))["index.html"].decode()
    assert all(value in page for value in long)


def test_the_headline_has_the_adjusted_p_and_counts_of_labels(inputs: ReportInputs) -> None:
    summary = headline(inputs.cells, inputs.differences, None, inputs.tests, inputs.claims)["nullbench"]
    test = inputs.tests["nullbench"][0]
    leaf = summary["contrasts"][f"{test.a}_minus_{test.b}"]
    assert leaf["dcb_mean_max"]["p_adjusted"] == test.adjusted["holm"]
    assert "p_adjusted" not in leaf["macro_f1"]
    labels = [row["label"] for row in inputs.claims]
    assert summary["claims"] == {label: labels.count(label) for label in set(labels)}


def test_pages_are_equal_byte_for_byte_and_link_to_each_other(inputs: ReportInputs) -> None:
    full = dataclasses.replace(retracted(inputs), mismatches=[MISMATCH])
    pages = render(full)
    assert render(full) == pages
    assert set(pages) == {"index.html", "claims.html", "nodes.html"}
    for name, source in pages.items():
        for other in set(pages) - {name}:
            assert f'href="{other}"' in source.decode(), (name, other)


def test_a_report_without_declarations_has_a_claims_page(inputs: ReportInputs) -> None:
    bare = dataclasses.replace(inputs, tests={}, claims=(), log=(), studies=(StudyPage("nullbench", "", inputs.studies[0].contrasts),))
    pages = undrawn(bare)
    assert "No claim is declared." in words(pages["claims.html"].decode())
    assert "outside the declared family, unadjusted" in words(pages["index.html"].decode())
