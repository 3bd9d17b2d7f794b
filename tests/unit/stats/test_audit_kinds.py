"""Every kind of claim on a table whose truth is known, once with each verdict, and both readings of the half widths.

Samples are drawn, their summaries computed exactly and printed rounded. A claim that the exact summaries bear out can
then never be refuted by the printed table, whatever its decimals.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.weightstats import ttost_ind
from support.multiplicity import Method, adjusted_by_statsmodels

from truing.core.seeds import stream
from truing.stats.audit import Answer, Verdict, answers_json, audit
from truing.stats.audit.kinds import kind

REPRODUCED, UNDECIDABLE, NOT = "reproduced", "undecidable", "not_reproduced"
MEANS = {"one": 0.62, "two": 0.71, "three": 0.66, "four": 0.68}
N = {"one": 10, "two": 8, "three": 12, "four": 9}
ALL = tuple(MEANS)


def _draw() -> dict[str, np.ndarray]:
    rng = stream(7, "audit")
    return {name: rng.normal(mean, 0.04, N[name]) for name, mean in MEANS.items()}


RAW = _draw()
M = {name: float(values.mean()) for name, values in RAW.items()}
SD = {name: float(values.std(ddof=1)) for name, values in RAW.items()}


def table(column: str = "sd", level: float = 0.95, by: str = "t", digits: int = 3) -> str:
    rows = [f"condition,metric,n,mean,{column}"]
    for name in ALL:
        q = stats.t.ppf((1 + level) / 2, N[name] - 1) if by == "t" else stats.norm.ppf((1 + level) / 2)
        width = SD[name] if column == "sd" else q * SD[name] / math.sqrt(N[name])
        rows.append(f"{name},acc,{N[name]},{M[name]:.{digits}f},{width:.{digits}f}")
    return "\n".join(rows) + "\n"


def ask(claims: list[dict[str, object]], text: str | None = None, interval: str | None = None) -> list[Answer]:
    head = f"interval: {{level: 0.95, distribution: {interval}}}\n" if interval else ""
    body = "".join(f"- {json.dumps(claim)}\n" for claim in claims)
    return audit(text or table(), f"{head}claims:\n{body}", "t.csv", "c.yaml")


def one(text: str | None = None, interval: str | None = None, /, **claim: object) -> Answer:
    return ask([{"id": "c", **claim}], text, interval)[0]


def welch(a: str, b: str) -> float:
    return float(stats.ttest_ind(RAW[a], RAW[b], equal_var=False).pvalue)


def pooled(*names: str) -> float:
    weights = [N[name] - 1 for name in names]
    return math.sqrt(float(np.average([SD[name] ** 2 for name in names], weights=weights)))


def satterthwaite(*names: str) -> tuple[float, float]:
    variances = np.array([SD[name] ** 2 / N[name] for name in names])
    freedom = np.array([N[name] - 1 for name in names])
    return math.sqrt(variances.sum()), float(variances.sum() ** 2 / (variances**2 / freedom).sum())


def interaction_p() -> float:
    se, df = satterthwaite(*ALL)
    return float(2 * stats.t.sf(abs((M["one"] - M["two"]) - (M["three"] - M["four"])) / se, df))


def prediction_t(observed: float) -> float:
    return (observed - M["one"]) / (SD["one"] * math.sqrt(1 + 1 / N["one"]))


PAIRS = list(itertools.combinations(ALL, 2))
RAW_P = [welch(a, b) for a, b in PAIRS]
D = (M["two"] - M["one"]) / pooled("one", "two")
P12, P34 = welch("one", "two"), welch("three", "four")
OBSERVED = 0.75
T = prediction_t(OBSERVED)
P_OBSERVED = float(2 * stats.t.sf(abs(T), N["one"] - 1))
P_INTERACTION = interaction_p()
P_TOST = float(ttost_ind(RAW["three"], RAW["four"], -0.06, 0.06, usevar="unequal")[0])
RANGE = (max(M.values()) - min(M.values())) / float(np.median(list(SD.values())))
POWER = float(TTestIndPower().power(0.5, 64, 0.05))
EFFECT = float(TTestIndPower().solve_power(nobs1=10, alpha=0.005, power=0.8))


@dataclass(frozen=True)
class Case:
    """A claim with the verdict that its construction gives it, and the decisive number of the raw data."""

    kind: str
    verdict: str
    claim: dict[str, object]
    truth: float | None = None

    @property
    def label(self) -> str:
        return f"{self.kind}-{self.verdict}-{'-'.join(key for key in self.claim if key not in ('a', 'b', 'metric'))}"


def values(name: str, claim: dict[str, object], truth: float, coarse: int) -> list[Case]:
    """A value with decimals that the table bears, the same with more than it bears, and another value."""
    return [
        Case(name, REPRODUCED, {**claim, "value": f"{truth:.{coarse}f}"}, truth),
        Case(name, UNDECIDABLE, {**claim, "value": f"{truth:.7f}"}, truth),
        Case(name, NOT, {**claim, "value": f"{truth + 4 * 10.0**-coarse:.{coarse}f}"}, truth),
    ]


def levels(name: str, claim: dict[str, object], p: float) -> list[Case]:
    """A level far above the p-value of the raw data, one far below, and that p-value itself."""
    return [
        Case(name, REPRODUCED, {**claim, "alpha": min(0.999, 2 * p)}, p),
        Case(name, UNDECIDABLE, {**claim, "alpha": p}, p),
        Case(name, NOT, {**claim, "alpha": p / 2}, p),
        Case(name, NOT, {**claim, "alpha": min(0.999, 2 * p), "expected": False}, p),
        Case(name, REPRODUCED, {**claim, "alpha": p / 2, "expected": False}, p),
    ]


def families() -> list[Case]:
    """The significant pairs by the raw data at a level between two adjusted p-values, and at one of them."""
    cases = []
    methods: dict[str, Method | None] = {"bonferroni": "bonferroni", "holm": "holm", "bh": "fdr_bh", "none": None}
    for correction, method in methods.items():
        found = list(RAW_P) if method is None else adjusted_by_statsmodels(RAW_P, method)
        order = sorted(set(found))
        # The widest gap between neighbours leaves the most room for rounding.
        low, high = max(itertools.pairwise(order), key=lambda pair: pair[1] / pair[0])
        alpha = math.sqrt(low * high)
        listed = [list(pair) for pair, p in zip(PAIRS, found, strict=True) if p <= alpha]
        claim: dict[str, object] = {"metric": "acc", "correction": correction, "pairs": listed}
        cases += [
            Case("only_significant", REPRODUCED, {**claim, "alpha": alpha}),
            Case("only_significant", UNDECIDABLE, {**claim, "alpha": low}, low),
            Case("only_significant", NOT, {**claim, "alpha": alpha, "pairs": listed[1:]}),
            Case("only_significant", NOT, {**claim, "alpha": alpha, "pairs": []}),
        ]
    return cases


PAIR: dict[str, object] = {"metric": "acc", "a": "two", "b": "one"}
GREATER: dict[str, object] = {"metric": "acc", "conditions": ["two", "four"], "than": "one"}
WORST = max(welch("two", "one"), welch("four", "one"))
CASES = [
    *values("cohen_d", PAIR, D, 0),
    *values("difference", PAIR, M["two"] - M["one"], 2),
    *values("welch_p", PAIR, P12, 1),
    *levels("significant", PAIR, P12),
    *levels("significant", {**PAIR, "a": "three", "b": "four"}, P34),
    *families(),
    Case("each_greater", REPRODUCED, GREATER),
    Case("each_greater", NOT, {**GREATER, "conditions": ["two", "one"], "than": "four"}),
    Case("each_greater", REPRODUCED, {**GREATER, "alpha": 2 * WORST}, WORST),
    Case("each_greater", UNDECIDABLE, {**GREATER, "alpha": WORST}, WORST),
    Case("each_greater", NOT, {**GREATER, "alpha": WORST / 3}, WORST),
    Case("each_greater", NOT, {**GREATER, "conditions": ["one"], "than": "two", "alpha": 0.9}),
    *values("range_over_sd", {"metric": "acc", "sd": "median"}, RANGE, 0),
    *values("prediction", {"metric": "acc", "condition": "one", "observed": "0.750"}, T, 0),
    *levels("prediction", {"metric": "acc", "condition": "one", "observed": "0.750"}, P_OBSERVED),
    *levels("interaction", {"metric": "acc", "cells": [["one", "two"], ["three", "four"]]}, P_INTERACTION),
    *levels("equivalence", {"metric": "acc", "a": "three", "b": "four", "margin": 0.06}, P_TOST),
    Case("power", REPRODUCED, {"n": 64, "d": 0.5, "alpha": 0.05, "value": f"{POWER:.2f}"}, POWER),
    Case("power", NOT, {"n": 64, "d": 0.5, "alpha": 0.01, "value": f"{POWER:.2f}"}),
    Case("power", UNDECIDABLE, {"n": 1, "d": 0.5, "alpha": 0.05, "value": "0.80"}),
    Case("detectable_effect", REPRODUCED, {"n": 10, "alpha": 0.005, "power": 0.8, "value": f"{EFFECT:.2f}"}, EFFECT),
    Case("detectable_effect", REPRODUCED, {"n": 10, "alpha": 0.05, "m": 10, "power": 0.8, "value": f"{EFFECT:.2f}"}, EFFECT),
    Case("detectable_effect", NOT, {"n": 10, "alpha": 0.05, "power": 0.8, "value": f"{EFFECT:.2f}"}),
    Case("detectable_effect", UNDECIDABLE, {"n": 1, "alpha": 0.05, "power": 0.8, "value": "1.32"}),
]


@pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
def test_a_claim_gets_the_verdict_that_it_was_made_for(case: Case) -> None:
    answer = one(kind=case.kind, **case.claim)
    assert answer.verdict == case.verdict, answer
    assert answer.note
    if case.truth is not None:
        assert answer.low is not None
        assert answer.high is not None
        assert answer.low * (1 - 1e-6) - 1e-9 <= case.truth <= answer.high * (1 + 1e-6) + 1e-9, answer


def test_means_that_print_alike_are_not_ordered() -> None:
    text = "condition,metric,n,mean,sd\na,acc,5,0.50,0.10\nb,acc,5,0.50,0.10\nc,acc,5,0.51,0.10\n"
    answer = one(text, kind="each_greater", metric="acc", conditions=["a"], than="b")
    assert answer.verdict is Verdict.UNDECIDABLE
    assert [answer.computed, answer.low, answer.high] == pytest.approx([0.0, -0.01, 0.01])
    # 0.505 prints as either: the two may be equal, and equal is not greater.
    assert one(text, kind="each_greater", metric="acc", conditions=["c"], than="b").verdict is Verdict.UNDECIDABLE
    assert one(text, kind="each_greater", metric="acc", conditions=["b"], than="c").verdict is Verdict.NOT_REPRODUCED


def test_every_kind_has_a_case_of_every_verdict() -> None:
    covered = {(case.kind, case.verdict) for case in CASES} | {("each_greater", UNDECIDABLE)}
    assert covered == set(itertools.product(kind.names(), (REPRODUCED, UNDECIDABLE, NOT)))


def test_computed_is_the_number_of_the_printed_table() -> None:
    text = "condition,metric,n,mean,sd\na,acc,10,0.840,0.012\nb,acc,8,0.815,0.020\n"
    d = (0.840 - 0.815) / math.sqrt((9 * 0.012**2 + 7 * 0.020**2) / 16)
    p = stats.ttest_ind_from_stats(0.840, 0.012, 10, 0.815, 0.020, 8, equal_var=False).pvalue
    pair: dict[str, object] = {"metric": "acc", "a": "a", "b": "b"}
    answers = ask(
        [
            {"id": "d", "kind": "cohen_d", "value": "1.6", **pair},
            {"id": "p", "kind": "welch_p", "value": "0.010", **pair},
            {"id": "m", "kind": "welch_p", "value": "0.05", "m": 5, **pair},
            {"id": "mean", "kind": "range_over_sd", "metric": "acc", "sd": "mean", "value": "1.6"},
            {"id": "pooled", "kind": "range_over_sd", "metric": "acc", "sd": "pooled", "value": "1.6"},
        ],
        text,
    )
    assert [answer.computed for answer in answers] == pytest.approx([d, p, 5 * p, 0.025 / 0.016, d])
    # Vertices by hand: the least difference over the greatest spread, and the other way round.
    low = 0.024 / math.sqrt((9 * 0.0125**2 + 7 * 0.0205**2) / 16)
    high = 0.026 / math.sqrt((9 * 0.0115**2 + 7 * 0.0195**2) / 16)
    assert [answers[0].low, answers[0].high] == pytest.approx([low, high])


def test_the_direction_is_a_minus_b() -> None:
    right = one(kind="cohen_d", metric="acc", a="one", b="two", value=f"{-D:.0f}")
    wrong = one(kind="cohen_d", metric="acc", a="one", b="two", value=f"{D:.0f}")
    assert (right.verdict, wrong.verdict) == (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED)
    assert "the size agrees and the sign does not" in wrong.note
    assert one(kind="each_greater", metric="acc", conditions=["one"], than="two", alpha=0.9).verdict is Verdict.NOT_REPRODUCED


def test_a_tolerance_takes_the_place_of_the_last_digit() -> None:
    claim = {"kind": "cohen_d", "metric": "acc", "a": "two", "b": "one", "value": f"{D:.7f}"}
    assert one(**claim).verdict is Verdict.UNDECIDABLE
    assert one(**claim, tolerance="0.5").verdict is Verdict.REPRODUCED


def test_bonferroni_multiplies_the_p_value() -> None:
    plain, corrected = (one(kind="significant", metric="acc", a="two", b="one", alpha=0.05, m=m) for m in (1, 10))
    assert plain.computed is not None
    assert corrected.computed == pytest.approx(min(1.0, 10 * plain.computed))
    assert one(kind="significant", metric="acc", a="two", b="one", alpha=3 * P12, m=10).verdict is Verdict.NOT_REPRODUCED


def test_the_family_can_be_named_and_changes_the_verdict() -> None:
    claim: dict[str, object] = {"kind": "only_significant", "metric": "acc", "pairs": [["two", "one"]], "correction": "bonferroni"}
    alpha = 2 * P12
    alone = one(**claim, alpha=alpha, among=[["one", "two"]])
    assert alone.verdict is Verdict.REPRODUCED
    assert alone.computed == pytest.approx(P12, rel=0.3)
    assert one(**claim, alpha=alpha, among=[["one", "two"]], m=6).verdict is Verdict.NOT_REPRODUCED
    family = one(**claim, alpha=alpha)
    assert family.verdict is Verdict.NOT_REPRODUCED
    assert "two - one (listed)" in family.note
    assert "6 pairs, bonferroni" in family.note


def test_a_verdict_that_hangs_on_the_correction_says_so() -> None:
    answer = one(
        kind="only_significant",
        metric="acc",
        pairs=[["two", "one"]],
        among=[list(pair) for pair in PAIRS],
        alpha=2 * P12,
        correction="none",
    )
    assert "under other corrections: bonferroni not_reproduced" in answer.note


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("one,acc,,0.62,0.04", "n of one / acc is missing"),
        ("one,acc,10,,0.04", "mean of one / acc is missing"),
        ("one,acc,10,0.62,", "sd of one / acc is missing"),
        ("one,acc,1,0.62,0.04", "n of one / acc is 1"),
        ("one,acc,10,0.62,0.00", "sd of one / acc is printed as 0.00 and may be 0"),
    ],
)
def test_what_is_missing_decides_nothing(row: str, reason: str) -> None:
    text = f"condition,metric,n,mean,sd\n{row}\ntwo,acc,8,0.71,0.04\nthree,acc,8,0.72,0.04\nfour,acc,8,0.52,0.04\n"
    pair: dict[str, object] = {"metric": "acc", "a": "one", "b": "two"}
    claims: list[dict[str, object]] = [
        {"kind": "cohen_d", "value": "2.2", **pair},
        {"kind": "welch_p", "value": "0.001", **pair},
        {"kind": "significant", "alpha": 0.05, **pair},
        {"kind": "equivalence", "alpha": 0.05, "margin": 0.01, **pair},
        {"kind": "range_over_sd", "metric": "acc", "sd": "mean", "value": "2"},
        {"kind": "prediction", "metric": "acc", "condition": "one", "observed": "0.7"},
        {"kind": "interaction", "metric": "acc", "alpha": 0.05, "cells": [["one", "two"], ["three", "four"]]},
        {"kind": "each_greater", "metric": "acc", "conditions": ["two"], "than": "one", "alpha": 0.05},
        {
            "kind": "only_significant",
            "metric": "acc",
            "pairs": [["one", "two"]],
            "among": [["one", "two"]],
            "alpha": 0.05,
            "correction": "holm",
        },
    ]
    for i, answer in enumerate(ask([{"id": f"c{i}", **claim} for i, claim in enumerate(claims)], text)):
        assert (answer.verdict, answer.computed, answer.low, answer.high) == (UNDECIDABLE, None, None, None), (i, answer)
        assert reason in answer.note, (i, answer)


def test_means_alone_need_no_spread() -> None:
    text = "condition,metric,n,mean,sd\na,acc,,0.62,\nb,acc,,0.71,0.0\n"
    assert one(text, kind="difference", metric="acc", a="a", b="b", value="-0.1").verdict is Verdict.REPRODUCED
    assert one(text, kind="each_greater", metric="acc", conditions=["b"], than="a").verdict is Verdict.REPRODUCED


def test_a_pair_that_refutes_needs_no_other_pair() -> None:
    text = table().replace("four,acc,9", "four,acc,")
    answer = one(text, kind="only_significant", metric="acc", pairs=[], alpha=0.05, correction="none")
    assert answer.verdict is Verdict.NOT_REPRODUCED
    assert one(text, kind="only_significant", metric="acc", pairs=[], alpha=1e-12, correction="holm").verdict is Verdict.UNDECIDABLE


def test_the_limiting_cell_is_named() -> None:
    text = "condition,metric,n,mean,sd\na,acc,10,0.84000,0.1\nb,acc,10,0.71000,0.13000\n"
    answer = one(text, kind="cohen_d", metric="acc", a="a", b="b", value="1.14")
    assert answer.verdict is Verdict.UNDECIDABLE
    assert "limited most by the rounding of sd of a (0.1)" in answer.note


def test_t_and_z_half_widths_give_the_spread_back() -> None:
    claim: dict[str, object] = {"kind": "cohen_d", "metric": "acc", "a": "two", "b": "one", "value": f"{D:.2f}", "tolerance": "0.02"}
    for by, other in (("t", "z"), ("z", "t")):
        text = table("half_width", by=by, digits=6)
        right = one(text, by, **claim)
        assert right.verdict is Verdict.REPRODUCED
        assert right.computed == pytest.approx(D, rel=1e-3)
        assert f"sd from half_width by {by}" in right.note
        assert one(text, other, **claim).verdict is Verdict.NOT_REPRODUCED


def readings(d: str, p: float, by: str = "z") -> list[Answer]:
    """Three claims on half widths of unknown distribution: an effect, one that needs no spread, and a test."""
    claims: list[dict[str, object]] = [
        {"id": "d", "kind": "cohen_d", "metric": "acc", "a": "two", "b": "one", "value": d, "tolerance": "0.02"},
        {"id": "difference", "kind": "difference", "metric": "acc", "a": "two", "b": "one", "value": f"{M['two'] - M['one']:.2f}"},
        {"id": "p", "kind": "significant", "metric": "acc", "a": "two", "b": "one", "alpha": p},
    ]
    return ask(claims, table("half_width", by=by, digits=6), "unknown")


@pytest.mark.parametrize("by", ["t", "z"])
def test_the_only_consistent_distribution_decides(by: str) -> None:
    effect, difference, test = readings(f"{D:.2f}", 0.9, by)
    assert (effect.verdict, test.verdict, difference.verdict) == (REPRODUCED, REPRODUCED, REPRODUCED)
    assert f"only {by} is consistent with the claims" in effect.note
    assert effect.computed == pytest.approx(D, rel=1e-3)
    assert "consistent" not in difference.note


def test_a_claim_that_is_refuted_either_way_says_nothing_about_the_distribution() -> None:
    effect, difference, test = readings(f"{D:.2f}", 1e-9)
    assert (effect.verdict, difference.verdict, test.verdict) == (REPRODUCED, REPRODUCED, NOT)
    assert "only z is consistent with the claims" in effect.note


def test_neither_distribution_consistent_leaves_what_differs_undecided() -> None:
    text = table("half_width", by="z", digits=6)
    claim: dict[str, object] = {"kind": "cohen_d", "metric": "acc", "a": "two", "b": "one"}
    by = {reading: one(text, reading, **claim, value="1").computed or 0.0 for reading in ("t", "z")}
    # One value that t alone gives and one that z alone gives.
    first, second = ask([{"id": reading, **claim, "value": f"{by[reading]:.2f}"} for reading in ("t", "z")], text, "unknown")
    assert (first.verdict, second.verdict) == (UNDECIDABLE, UNDECIDABLE)
    assert "neither t nor z is consistent with the claims" in first.note
    # The range holds what either reading gives.
    assert first.low is not None
    assert first.high is not None
    assert first.low < min(by.values()) < max(by.values()) < first.high


def test_both_distributions_consistent_leaves_what_differs_undecided() -> None:
    text = table("half_width", by="z", digits=6)
    claim: dict[str, object] = {"kind": "significant", "metric": "acc", "a": "two", "b": "one"}
    by_z = one(text, "z", **claim, alpha=0.5)
    assert by_z.computed is not None
    # At the p-value of z the claim is undecidable by z; t, with its smaller spreads, bears it out.
    answer = one(text, "unknown", **claim, alpha=by_z.computed)
    assert (one(text, "t", **claim, alpha=by_z.computed).verdict, answer.verdict) == (REPRODUCED, UNDECIDABLE)
    assert "t and z are both consistent with the claims" in answer.note


def test_rows_of_all_cases_are_strict_json() -> None:
    rows = answers_json(ask([{"id": case.label + str(i), "kind": case.kind, **case.claim} for i, case in enumerate(CASES)]))
    back = json.loads(json.dumps(rows, allow_nan=False))
    assert back == rows
    assert all(list(row) == ["id", "verdict", "computed", "low", "high", "note"] for row in rows)
    assert all(row["low"] <= row["computed"] <= row["high"] for row in back if row["low"] is not None)
