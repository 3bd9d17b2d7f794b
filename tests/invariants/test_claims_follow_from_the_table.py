"""I19 to I28: a sentence says what the tests say, by the rules that were declared beforehand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.results import rows, table

from truing.contracts.declaration import Claim, Contrast, Declaration, Family, Outcome
from truing.contracts.schemas import check_rows
from truing.core.errors import Exit, TruingError
from truing.core.seeds import stream
from truing.stats.claims.evidence import Evidence
from truing.stats.claims.labels import Label
from truing.stats.claims.verdicts import Verdict, check, current, fresh, history, retraction, verdicts
from truing.stats.family import family_frame, infer

ACCURACY = {"metric": "accuracy", "arm": "all"}
NAMES = ("a", "b", "c", "d")


def noisy(mean: float, name: str, n: int = 6, spread: float = 0.01) -> list[float | None]:
    return [mean + float(x) for x in stream(3, name).normal(0, spread, n)]


def declare(claims: list[Claim], *, control: str = "z", names: tuple[str, ...] = NAMES, **options: Any) -> Declaration:
    contrasts = tuple(Contrast(a=name, b=control) for name in names)
    outcomes = options.pop("outcomes", (Outcome(**ACCURACY, margin=0.05),))
    return Declaration(family=Family(contrasts=contrasts, outcomes=outcomes, **options), claims=tuple(claims))


def judge(declaration: Declaration, groups: list[list[dict[str, Any]]], mismatches: tuple[dict[str, Any], ...] = ()) -> list[Verdict]:
    frame = table(*groups)
    records = [{str(k): (None if v != v else v) for k, v in row.items()} for row in frame.astype(object).to_dict("records")]
    return verdicts(declaration, Evidence("study", declaration.family, infer(frame, declaration.family), records), mismatches)


def four(means: dict[str, float], **changed: Any) -> list[list[dict[str, Any]]]:
    return [rows(name, noisy(mean, name), **changed) for name, mean in {**means, "z": 0.5}.items()]


def each_greater(names: tuple[str, ...] = NAMES) -> Claim:
    return Claim(id="all-above", kind="each_greater", params={**ACCURACY, "pairs": [(name, "z") for name in names]})


def test_i22_k_of_m_is_counted_and_never_typed() -> None:
    (found,) = judge(declare([each_greater()]), four({"a": 0.6, "b": 0.62, "c": 0.61, "d": 0.502}))
    assert found.finding.sentence.startswith("3 of 4 differences of accuracy lie above zero at 5 % over 4 tests (Holm")
    # d lies within the margin of the control: the claim of all four is not open, it fails.
    assert found.status == "fails"


def test_i22_a_claim_of_all_is_undecided_where_one_test_finds_nothing_and_shows_no_absence() -> None:
    groups = four({"a": 0.6, "b": 0.62, "c": 0.61})
    groups.append(rows("d", noisy(0.52, "wide", spread=0.2)))
    (found,) = judge(declare([each_greater()]), groups)
    assert "3 of 4" in found.finding.sentence
    assert (found.status, found.label) == ("undecided", Label.UNDECIDABLE)


def test_i25_a_drop_is_found_as_readily_as_a_rise() -> None:
    claims = [each_greater(("a",)), Claim(id="below", kind="each_less", params={**ACCURACY, "pairs": [("a", "z")]})]
    up, down = judge(declare(claims, names=("a",)), four({"a": 0.4}))
    assert (up.status, down.status) == ("fails", "holds")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.2, 0.8), min_size=4, max_size=8, unique=True), st.lists(st.floats(0.2, 0.8), min_size=8, max_size=8))
def test_i19_a_difference_is_a_minus_b_and_swapping_flips_its_sign_alone(a: list[float], b: list[float]) -> None:
    frame = table(rows("a", a), rows("z", b[: len(a)]))
    forward = infer(frame, Family(contrasts=(Contrast(a="a", b="z"),), outcomes=(Outcome(**ACCURACY),)))[0]
    back = infer(frame, Family(contrasts=(Contrast(a="z", b="a"),), outcomes=(Outcome(**ACCURACY),)))[0]
    assert back.flipped().diff == pytest.approx(forward.diff, abs=1e-12)
    assert back.p_value == pytest.approx(forward.p_value)
    assert forward.diff == pytest.approx((forward.mean_a or 0) - (forward.mean_b or 0))


def test_i21_the_family_is_printed_whole_with_every_p_value_under_every_correction() -> None:
    declaration = declare([], correction="bh")
    frame = table(*four({"a": 0.6, "b": 0.505, "c": 0.51, "d": 0.5}))
    tests = infer(frame, declaration.family)
    flat = family_frame("study", tests, declaration.digest)
    assert list(flat["family_size"]) == [4] * 4
    assert flat[["p_value", "p_bonferroni", "p_holm", "p_bh"]].notna().all().all()
    assert (flat["p_bonferroni"] >= flat["p_holm"]).all()
    assert (flat["p_holm"] >= flat["p_bh"] - 1e-15).all()
    assert (flat["p_bh"] >= flat["p_value"]).all()


def test_i21_a_test_that_does_not_exist_still_counts_in_the_family() -> None:
    groups = [rows("a", noisy(0.6, "a")), rows("b", [0.5] * 6), rows("z", [0.5] * 6)]
    first, second = infer(table(*groups), declare([], names=("a", "b")).family)
    assert second.p_value is None
    assert second.reason == "the differences are all equal"
    assert first.adjusted["bonferroni"] == pytest.approx(2 * (first.p_value or 0))


def test_i21_a_verdict_that_depends_on_the_correction_is_labelled_so() -> None:
    # Chosen so that Benjamini-Hochberg finds every difference and Bonferroni does not.
    means = {"a": 0.5128, "b": 0.5129, "c": 0.5127, "d": 0.5126}
    groups = [rows(name, [0.5 + (mean - 0.5) + 0.012 * s for s in (-1, 1, -0.5, 0.5, 0.8, -0.8)]) for name, mean in means.items()]
    groups.append(rows("z", [0.5] * 6))
    (found,) = judge(declare([each_greater()], correction="bh"), groups)
    tests = found.finding.tests
    assert all(test.rejects("bh") for test in tests)
    assert not any(test.rejects("bonferroni") for test in tests)
    assert (found.status, found.label) == ("holds", Label.PRELIMINARY)


def test_i23_no_effect_needs_a_margin() -> None:
    declaration = declare([Claim(id="none", kind="no_effect", params={**ACCURACY, "pairs": [("a", "z")]})], outcomes=(Outcome(**ACCURACY),))
    with pytest.raises(TruingError, match="without a margin"):
        judge(declaration, four(dict.fromkeys(NAMES, 0.5)))


def test_i23_a_large_p_value_is_no_evidence_of_no_effect() -> None:
    claim = Claim(id="none", kind="no_effect", params={**ACCURACY, "pairs": [("a", "z")]})
    wide = [rows("a", noisy(0.5, "wide", spread=0.2)), rows("z", noisy(0.5, "z"))]
    narrow = [rows("a", noisy(0.5, "narrow", spread=0.01)), rows("z", noisy(0.5, "z"))]
    (open_,), (shown,) = (judge(declare([claim], names=("a",)), groups) for groups in (wide, narrow))
    assert (open_.finding.tests[0].p_value or 0) > 0.05
    assert (open_.status, open_.label) == ("undecided", Label.UNDECIDABLE)
    assert (shown.status, shown.label) == ("holds", Label.NULL)
    assert "detectable" in open_.finding.sentence


def test_i23_the_detectable_effect_is_that_of_the_alpha_in_use() -> None:
    frame = table(*four(dict.fromkeys(NAMES, 0.5)))
    one = infer(frame, declare([], names=("a",)).family)[0]
    of_four = infer(frame, declare([]).family)[0]
    assert of_four.detectable is not None
    assert one.detectable is not None
    assert of_four.detectable > 1.2 * one.detectable


def test_i26_the_interaction_is_tested_itself_and_not_read_off_two_main_effects() -> None:
    contrasts = (Contrast(a="a", b="b"), Contrast(a="c", b="d"))
    claim = Claim(id="more", kind="interaction", params={**ACCURACY, "cells": [["a", "b"], ["c", "d"]], "direction": "greater"})
    declaration = Declaration(family=Family(contrasts=contrasts, outcomes=(Outcome(**ACCURACY),)), claims=(claim,))
    base = noisy(0.5, "base")

    def shifted(by: float, name: str) -> list[float | None]:
        return [(x or 0) + by + (y or 0) for x, y in zip(base, noisy(0, name, spread=0.004), strict=True)]

    groups = [rows("a", shifted(0.2, "1")), rows("b", shifted(0, "2")), rows("c", shifted(0.02, "3")), rows("d", shifted(0, "4"))]
    (found,) = judge(declaration, groups)
    assert found.status == "holds"
    # One main effect found and the other one not would not show it.
    level = [rows("a", shifted(0.02, "1")), rows("b", shifted(0, "2")), rows("c", shifted(0.02, "3")), rows("d", shifted(0, "4"))]
    assert judge(declaration, level)[0].status == "undecided"


def test_i27_the_rules_have_a_digest_and_changing_them_changes_it() -> None:
    first = declare([each_greater()])
    assert first.digest == declare([each_greater()]).digest
    others = [declare([each_greater()], alpha=0.01), declare([each_greater()], correction="bh"), declare([each_greater(("a",))])]
    assert len({first.digest, *(one.digest for one in others)}) == 4


def test_a_claim_may_not_look_outside_its_family() -> None:
    stray = Claim(id="stray", kind="each_less", params={**ACCURACY, "pairs": [("a", "b")]})
    with pytest.raises(TruingError, match="a - b"):
        judge(declare([stray]), four(dict.fromkeys(NAMES, 0.5)))


def test_a_vouched_mismatch_makes_a_claim_preliminary() -> None:
    mismatch = {"a": "a", "b": "z", "field": "sft.device", "value_a": "cpu", "value_b": "cuda", "reason": "checked"}
    (plain,) = judge(declare([each_greater(("a",))], names=("a",)), four({"a": 0.6}))
    (vouched,) = judge(declare([each_greater(("a",))], names=("a",)), four({"a": 0.6}), (mismatch,))
    assert (plain.label, vouched.label) == (Label.MODERATE, Label.PRELIMINARY)
    assert vouched.row("0" * 64)["mismatches"] == [mismatch]


def test_one_metric_is_moderate_and_a_second_one_that_agrees_is_strong() -> None:
    second = {"metric": "recall", "arm": "all"}
    claims = [each_greater(("a",)), Claim(id="also", kind="each_greater", params={**second, "pairs": [("a", "z")]})]
    groups = four({"a": 0.6}) + [[{**row, "metric": "recall"} for row in group] for group in four({"a": 0.6})]
    outcomes = (Outcome(**ACCURACY), Outcome(**second))
    assert [v.label for v in judge(declare(claims, names=("a",), outcomes=outcomes), groups)] == [Label.STRONG, Label.STRONG]


def test_a_rate_is_below_a_bound_by_its_exact_upper_limit_also_without_an_event() -> None:
    claim = Claim(id="rare", kind="rate_below", params={**ACCURACY, "condition": "a", "bound": 0.05})
    none = [rows("a", [0.0] * 3, n=100), rows("z", noisy(0.5, "z", 3))]
    few = [rows("a", [0.0] * 3, n=20), rows("z", noisy(0.5, "z", 3))]
    assert judge(declare([claim], names=("a",)), none)[0].status == "holds"
    assert judge(declare([claim], names=("a",)), few)[0].status == "undecided"


def log_of(values: dict[str, float]) -> list[dict[str, Any]]:
    declaration = declare([each_greater(("a",))], names=("a",))
    return [verdict.row(declaration.digest) for verdict in judge(declaration, four(values))]


def test_the_log_is_only_appended_to_and_the_same_verdict_adds_nothing() -> None:
    first = fresh([], log_of({"a": 0.6}))
    assert fresh(first, log_of({"a": 0.6})) == []
    second = [*first, *fresh(first, log_of({"a": 0.4}))]
    assert [row["status"] for row in second] == ["holds", "fails"]
    assert second[1]["supersedes"] == second[0]["seq"]
    assert history(second, "study", "all-above") == second
    assert list(check_rows("verdict", second, "log")) == second


def test_a_retraction_is_an_entry_and_the_same_evidence_does_not_undo_it() -> None:
    log = fresh([], log_of({"a": 0.6}))
    log = [*log, retraction(log, "all-above", "the control was trained twice as long")]
    assert current(log)["study", "all-above"]["status"] == "retracted"
    assert fresh(log, log_of({"a": 0.6})) == []
    again = [{**row, "evidence_digest": "0" * 64} for row in log_of({"a": 0.6})]
    assert [row["status"] for row in fresh(log, again)] == ["holds"]
    with pytest.raises(TruingError, match="retracted"):
        retraction(log, "all-above", "twice")
    with pytest.raises(TruingError, match="unknown claim"):
        retraction(log, "another", "why")
    with pytest.raises(TruingError, match="without a reason"):
        retraction(fresh([], log_of({"a": 0.6})), "study/all-above", "  ")


@pytest.mark.parametrize("damage", ["edited", "removed", "moved"])
def test_a_log_that_was_rewritten_is_refused(damage: str) -> None:
    log = fresh([], log_of({"a": 0.6}))
    log += [*fresh(log, log_of({"a": 0.4}))]
    log += [*fresh(log, log_of({"a": 0.6}))]
    bad = json.loads(json.dumps(log))
    if damage == "edited":
        bad[0]["label"] = "STRONG"
    elif damage == "removed":
        del bad[1]
    else:
        bad[0], bad[1] = bad[1], bad[0]
    check(log)
    with pytest.raises(TruingError) as caught:
        check(bad)
    assert caught.value.code == Exit.REFUSED
