"""Roles and impact weights: conflicts of mean 1, anchors of 1, clipping, tempering on each side alone, and a placebo that keeps roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.contracts.frames import check_frame
from truing.core.errors import TruingError
from truing.core.registry import Params, Plugin
from truing.core.seeds import stream
from truing.strategies import StrategyContext, strategy
from truing.strategies.roles import CONFLICTS
from truing.strategies.trace import TraceParams, clipped, impact_weights
from truing.strategies.weigh import Manifest, weigh

CATEGORIES = ["INVERT", "PUNISH", "AGREE", "NEUTRAL", "ABSTAIN"]
ROLES = ["invert", "punish", "agree", "neutral", "drop"]


def evidence(categories: Sequence[str], impact: Sequence[float | None] | None = None, gold: Sequence[bool] | None = None) -> pd.DataFrame:
    ids = [f"d{i}" for i in range(len(categories))]
    texts = {"guard": "", "rules_chosen": "one,two", "rules_rejected": ""}
    more: dict[str, Any] = {} if impact is None else {"impact": np.array(impact, dtype=float)}
    return pd.DataFrame({"doc_id": ids, "category": list(categories), **texts, **more, **({} if gold is None else {"gold": gold})})


def made(name: str, table: pd.DataFrame, source: pd.DataFrame | None = None, share: float = 0.01, **values: Any) -> Manifest:
    docs = pd.DataFrame({"doc_id": table["doc_id"], "label": None})
    context = StrategyContext(docs, None if source is not None else table, source, [], stream(1, "m"))
    manifest = weigh("m", name, values, context, min_ess_share=share)
    check_frame("manifest_row", manifest.frame, "frame")
    return manifest


def test_triage_gives_each_category_its_role() -> None:
    manifest = made("triage", evidence(CATEGORIES))
    assert manifest.frame["role"].tolist() == ROLES
    assert manifest.frame["weight"].tolist() == [1.25, 1.25, 1.25, 1.25, 0.0]
    assert manifest.frame["why"][0] == "INVERT: chosen breaks one, two: invert"
    # Roles change what is trained, so that equal weights are no sign of a strategy without effect.
    assert made("triage", evidence(CATEGORIES[:4])).meta["warnings"] == []


def test_roles_can_be_replaced_and_gold_rows_are_held_out() -> None:
    manifest = made("triage", evidence(CATEGORIES, gold=[True, False, False, False, False]), roles={"PUNISH": "drop", "AGREE": "train"})
    assert manifest.frame["role"].tolist() == ["gold", "drop", "train", "neutral", "drop"]
    assert manifest.frame["weight"].tolist() == [0.0, 0.0, 2.5, 2.5, 0.0]
    for bad in ({"PUNISH": "gold"}, {"GOSSIP": "drop"}, {"PUNISH": "keep"}):
        with pytest.raises(TruingError):
            made("triage", evidence(CATEGORIES), roles=bad)
    with pytest.raises(TruingError, match="the signal 'triage'"):
        made("triage", evidence(CATEGORIES).drop(columns="guard"))
    with pytest.raises(TruingError, match="GOSSIP"):
        made("triage", evidence(["GOSSIP"]))


def sides(manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    names = manifest.frame["role"].astype(str)
    weights = manifest.frame["weight"].to_numpy()
    return weights[names.isin(CONFLICTS)], weights[names.isin(["agree", "neutral", "train"])]


def test_trace_weighs_conflicts_by_impact_and_anchors_alike() -> None:
    manifest = made("trace", evidence([*CATEGORIES, "INVERT"], [3.0, 1.0, None, None, None, -2.0]), clip=None)
    conflicts, anchors = sides(manifest)
    assert conflicts == pytest.approx(np.array([2.25, 0.75, 0.0]) * 1.2, abs=1e-9)
    assert anchors == pytest.approx(np.array([1.2, 1.2]), abs=1e-9)
    assert manifest.frame["why"][5].endswith("invert, impact -2")
    soft, _ = sides(made("trace", evidence([*CATEGORIES, "INVERT"], [3.0, 1.0, None, None, None, -2.0]), clip=None, negative="softplus"))
    assert 0 < soft[2] < soft[1] < soft[0]


def test_no_impact_no_column_and_a_gap_are_refused() -> None:
    for table, match in (
        (evidence(["INVERT", "AGREE"], [-1.0, None]), "impact above 0"),
        (evidence(["INVERT", "AGREE"]), "column impact"),
        (evidence(["INVERT", "PUNISH"], [1.0, None]), "d1"),
    ):
        with pytest.raises(TruingError, match=match):
            made("trace", table)
    assert made("trace", evidence(["AGREE", "NEUTRAL"])).frame["weight"].tolist() == [1.0, 1.0]


@given(st.lists(st.floats(-5, 0) | st.floats(1e-3, 100), min_size=1, max_size=30), st.floats(1.05, 8), st.floats(0.01, 1e4))
@settings(max_examples=150, deadline=None)
def test_weights_are_of_mean_one_bounded_and_blind_to_the_scale_of_impacts(values: list[float], bound: float, scale: float) -> None:
    impact = np.array(values)
    if impact.max() <= 0:
        return
    weights = impact_weights(impact, TraceParams(clip=bound))
    positive = int((impact > 0).sum())
    assert weights.mean() == pytest.approx(1, rel=1e-9)
    # Fewer positive impacts than the bound needs share the whole.
    assert weights.max() <= max(bound, len(values) / positive) * (1 + 1e-9)
    assert weights == pytest.approx(impact_weights(impact * scale, TraceParams(clip=bound)), rel=1e-6, abs=1e-9)
    assert (weights[impact <= 0] == 0).all()


def test_clipping_has_a_closed_form() -> None:
    assert clipped(np.array([3.2, 0.4, 0.4, 0.0]), 2.0) == pytest.approx([2.0, 1.0, 1.0, 0.0])
    assert clipped(np.array([4.0, 0.0, 0.0, 0.0]), 2.0) == pytest.approx([4.0, 0.0, 0.0, 0.0])


def test_tempering_keeps_the_mean_of_either_side_and_what_is_not_trained_at_zero() -> None:
    table = evidence(["INVERT"] * 10 + ["AGREE"] * 10 + ["ABSTAIN"] * 5, [100.0] + [0.01] * 9 + [None] * 15)
    manifest = made("trace", table, share=0.5, clip=None)
    conflicts, anchors = sides(manifest)
    assert conflicts.mean() == pytest.approx(anchors.mean(), abs=1e-9) == pytest.approx(1.25, abs=1e-9)
    assert conflicts.sum() ** 2 / (conflicts**2).sum() == pytest.approx(5, rel=1e-6)
    assert (anchors == anchors[0]).all()
    assert manifest.frame["weight"][20:].tolist() == [0.0] * 5
    assert 0 < manifest.meta["tempered"] < 1
    assert manifest.frame["weight"].mean() == pytest.approx(1, abs=1e-9)


def test_shuffled_deals_weights_within_each_role() -> None:
    table = evidence(["INVERT"] * 8 + ["PUNISH"] * 8 + ["AGREE"] * 4 + ["ABSTAIN"] * 4, [float(i + 1) for i in range(16)] + [None] * 8)
    source = made("trace", table, clip=None).frame
    dealt = made("shuffled", table, source)
    assert dealt.frame["role"].tolist() == source["role"].tolist()
    for role, rows in source.groupby("role"):
        mine = dealt.frame[dealt.frame["role"] == role]["weight"]
        assert sorted(mine) == pytest.approx(sorted(rows["weight"]), abs=1e-11)
    assert dealt.frame["weight"].tolist() != source["weight"].tolist()
    assert "within class '(unlabelled)' and role 'invert'" in dealt.frame["why"][0]


def test_a_source_without_roles_is_dealt_as_before() -> None:
    table = pd.DataFrame({"doc_id": [f"d{i}" for i in range(6)]})
    plain = pd.DataFrame({"doc_id": table["doc_id"], "weight": [0.5, 1.5, 1.0, 0.25, 1.75, 1.0]})
    frames = [made("shuffled", table, one).frame for one in (plain, plain.assign(role="train"))]
    assert frames[0].equals(frames[1])
    assert set(frames[0]["role"]) == {"train"}
    assert frames[0]["why"][0].endswith("dealt within class '(unlabelled)'")


@pytest.mark.parametrize(("role", "weight"), [("hero", 1.0), ("gold", 1.0)])
def test_a_strategy_cannot_give_an_unknown_role_or_weigh_what_is_held_out(
    monkeypatch: pytest.MonkeyPatch, role: str, weight: float
) -> None:
    def given_roles(cfg: Params, context: StrategyContext) -> pd.DataFrame:
        return pd.DataFrame({"doc_id": context.docs["doc_id"], "weight": weight, "why": "given", "role": role})

    monkeypatch.setitem(strategy._found, "given", Plugin("given", given_roles, Params))
    with pytest.raises(TruingError, match="strategy 'given' gave"):
        made("given", evidence(["AGREE"]))


def test_weights_are_of_mean_one_among_conflicts_that_break_the_same_rules() -> None:
    table = evidence(["INVERT"] * 4 + ["AGREE"], [3.0, 1.0, 0.02, 0.06, None])
    table["rules_chosen"] = ["long", "long", "short", "short", ""]
    apart = made("trace", table, within=["category", "rules_chosen"]).frame["weight"].to_numpy()
    assert apart == pytest.approx([1.5, 0.5, 0.5, 1.5, 1.0])
    together = made("trace", table).frame["weight"].to_numpy()
    assert together[2] < 0.05
    with pytest.raises(TruingError, match="lacks the columns rule"):
        made("trace", table, within=["rule"])


def test_conflicts_of_which_none_helps_weigh_nothing_and_the_others_make_up_for_it() -> None:
    table = evidence(["INVERT"] * 4 + ["AGREE"], [3.0, 1.0, -0.02, 0.0, None])
    table["rules_chosen"] = ["long", "long", "short", "short", ""]
    kept = made("trace", table, within=["rules_chosen"])
    # Mean 1 over the four conflicts, as without the groups.
    assert kept.frame["weight"].to_numpy() == pytest.approx([3.0, 1.0, 0.0, 0.0, 1.0])
    soft = made("trace", table, within=["rules_chosen"], negative="softplus").frame["weight"].to_numpy()
    assert soft[2] > 0
    table["impact"] = [-1.0, -1.0, -1.0, 0.0, None]
    with pytest.raises(TruingError, match="no conflict of 4 has an impact above 0"):
        made("trace", table, within=["rules_chosen"])
