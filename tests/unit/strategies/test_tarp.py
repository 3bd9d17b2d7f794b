from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.core.errors import TruingError
from truing.core.registry import Params
from truing.core.seeds import stream
from truing.strategies import StrategyContext
from truing.strategies.tarp import TarpParams, sensitivity, tarp, trace
from truing.strategies.weigh import vacuous, weigh

LABELS = ["world", "sports", "science"]

Counts = Sequence[Sequence[int]]


def context(
    mentions: Counts, contexts: Counts | None = None, gold: Sequence[str | None] | None = None, default: str | None = "world"
) -> StrategyContext:
    ids = [f"d{i}" for i in range(len(mentions))]
    around = contexts or [[0] * len(LABELS)] * len(mentions)
    evidence = pd.DataFrame({"doc_id": ids})
    for at, label in enumerate(LABELS):
        evidence[f"mentions.{label}"] = [row[at] for row in mentions]
        evidence[f"contexts.{label}"] = [row[at] for row in around]
    if default is not None:
        evidence["default_label"] = default
    labels = gold or [LABELS[i % 3] for i in range(len(mentions))]
    docs = pd.DataFrame({"doc_id": ids, "label": labels})
    return StrategyContext(docs=docs, evidence=evidence, source=None, labels=LABELS, rng=stream(0, "m"))


def raw(given_context: StrategyContext, **values: Any) -> list[float]:
    return [float(weight) for weight in tarp(TarpParams(**values), given_context)["weight"]]


def planted(docs: int = 300) -> StrategyContext:
    """A corpus in which one document in five talks of the default label in varying degree, and two in five of nothing."""
    rng = np.random.default_rng(5)
    kind = rng.integers(0, 5, docs)
    mentions = [[int(rng.integers(1, 5)), int(rng.integers(0, 3)), 0] if k == 0 else [0, 0, 0] if k < 3 else [0, 1, 1] for k in kind]
    return context(mentions)


def test_bias_and_weight_follow_their_formulas() -> None:
    given_context = context([[2, 0, 0], [1, 1, 0], [0, 2, 0], [0, 0, 0]], contexts=[[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]])
    rate = 0.5  # 3 of the 6 mentions
    bias = [(4 + 0.1 * rate) / 4.1, (1 + 0.1 * rate) / (2 + 2 + 0.1), 0.1 * rate / 2.1, rate]
    assert trace(TarpParams(), given_context).bias.tolist() == pytest.approx(bias)
    linear = 0.05 + 0.95 * (1 - bias[0]) / 0.5
    assert raw(given_context) == pytest.approx([linear, 1.0, 1.0, 1.0])
    assert raw(given_context, power=2.0, ceiling=2.0, floor=0.5) == pytest.approx([0.5 + 1.5 * ((1 - bias[0]) / 0.5) ** 2, 2.0, 2.0, 2.0])
    assert raw(given_context, tau=0.2)[1] == pytest.approx(0.05 + 0.95 * (1 - bias[1]) / 0.8)


def test_planted_skew_gives_graded_weights_that_move_with_tau() -> None:
    at = {tau: raw(planted(), tau=tau) for tau in (0.3, 0.5, 0.7)}
    assert all(len(set(np.round(weights, 9))) > 2 for weights in at.values())
    assert len({tuple(weights) for weights in at.values()}) == 3
    # A lower threshold can only take weight away.
    assert all(low <= high for low, high in zip(at[0.3], at[0.7], strict=True))
    assert sum(at[0.3]) < sum(at[0.7])


def test_documents_without_mentions_keep_the_ceiling_even_if_the_corpus_is_skewed() -> None:
    given_context = context([[3, 0, 0]] * 9 + [[0, 0, 0]] * 3)
    assert trace(TarpParams(), given_context).bias[-1] > 0.9
    weights = raw(given_context, ceiling=1.5)
    assert weights[-3:] == [1.5] * 3
    assert max(weights[:9]) < 0.1


def test_nothing_is_weighed_down_when_no_document_names_a_label() -> None:
    manifest = weigh("m", "tarp", {}, context([[0, 0, 0]] * 4))
    assert manifest.frame["weight"].tolist() == [1.0] * 4
    assert any("all weights equal" in warning for warning in manifest.meta["warnings"])
    assert "tau 0.3, 0.5 and 0.7 give the same weights" in manifest.meta["warnings"]


def test_why_tells_the_evidence() -> None:
    reasons = tarp(TarpParams(), context([[2, 0, 0], [0, 0, 0], [1, 1, 0]], contexts=[[1, 0, 0], [0, 0, 0], [0, 0, 0]]))["why"].tolist()
    assert reasons[0] == "default label 'world' has 2 of 2 mentions, 1 in a telling context (bias 0.99 > tau 0.50): weight 0.06"
    assert reasons[1] == "no label is mentioned: weight 1.00"
    assert reasons[2].startswith("default label 'world' has 1 of 2 mentions (bias 0.5")


def test_default_label_comes_from_the_evidence_or_from_the_parameters() -> None:
    mentions = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert np.argmin(raw(context(mentions, default="sports"))) == 1
    assert np.argmin(raw(context(mentions, default="sports"), default_label="science")) == 2
    assert np.argmin(raw(context(mentions, default=None), default_label="world")) == 0


def test_minority_bonus_goes_by_gold_class() -> None:
    gold = ["world", "world", "world", "sports", "science", None]
    weights = raw(context([[0, 0, 0]] * 6, gold=gold), minority_bonus=0.5)
    # A third of six documents is two: sports and science have fewer, documents without a label are no class.
    assert weights == [1.0, 1.0, 1.0, 1.5, 1.5, 1.0]


def test_class_mix_can_be_preserved() -> None:
    given_context = planted()
    before = weigh("m", "tarp", {"tau": 0.3}, given_context).meta
    kept = weigh("m", "tarp", {"tau": 0.3, "preserve_class_mix": True}, given_context).meta
    assert kept["class_mix_after"] == pytest.approx(kept["class_mix_before"], abs=1e-9)
    assert before["class_mix_after"] != pytest.approx(before["class_mix_before"], abs=1e-3)
    assert kept["distinct_weights"] > 2


def test_thresholds_without_effect_are_named() -> None:
    all_or_nothing = context([[50, 0, 0], [0, 50, 0]] * 3)
    cfg = TarpParams(smoothing=1e-12, floor=0.0, power=1.0)
    assert sensitivity(trace(cfg, all_or_nothing), cfg, (0.3, 0.5, 0.7)) == ["tau 0.3, 0.5 and 0.7 give the same weights"]
    graded = TarpParams()
    assert sensitivity(trace(graded, planted()), graded, (0.3, 0.5, 0.7)) == []
    assert sensitivity(trace(graded, planted()), graded, (0.5, 1.0, 1.5)) == ["tau 1 and 1.5 give the same weights"]


def test_vacuous_settings_are_known_without_data() -> None:
    assert "tau 1" in str(vacuous(TarpParams(tau=1.0)))
    assert "0.5" in str(vacuous(TarpParams(floor=0.5, ceiling=0.5)))
    assert vacuous(TarpParams()) is None
    assert vacuous(Params()) is None
    manifest = weigh("m", "tarp", {"tau": 1}, planted())
    assert manifest.meta["distinct_weights"] == 1
    assert any("tau 1 is never exceeded" in warning for warning in manifest.meta["warnings"])


def test_missing_evidence_names_the_signal_that_yields_it() -> None:
    full = context([[1, 0, 0]] * 3)
    assert full.evidence is not None
    bare = full.evidence[["doc_id", "default_label"]]
    gap = full.evidence.assign(**{"contexts.sports": [0.0, np.nan, 0.0]})
    cases = [
        (None, "null_prior"),
        (bare, "label_mentions"),
        (gap, "no value for the documents d1"),
        (full.evidence.iloc[1:], "lacks the documents d0"),
    ]
    for evidence, told in cases:
        given_context = StrategyContext(full.docs, evidence, None, LABELS, stream(0))
        with pytest.raises(TruingError, match=told):
            tarp(TarpParams(), given_context)
    with pytest.raises(TruingError, match="label set"):
        tarp(TarpParams(), StrategyContext(full.docs, full.evidence, None, [], stream(0)))


@pytest.mark.parametrize("default", ["politics", ["world", "sports", "world"]])
def test_a_default_label_that_is_none_is_refused(default: Any) -> None:
    with pytest.raises(TruingError, match="default label"):
        tarp(TarpParams(), context([[1, 0, 0]] * 3, default=default))


@pytest.mark.parametrize("values", [{"floor": 2.0}, {"minority_bonus": 0.1, "preserve_class_mix": True}, {"smoothing": 0.0}, {"Tau": 0.5}])
def test_contradictory_parameters_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(TruingError, match="manifest m"):
        weigh("m", "tarp", values, planted(6))


counts_strategy = st.lists(st.tuples(*[st.integers(0, 4)] * 6), min_size=2, max_size=12)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(counts_strategy, st.floats(0, 1), st.floats(0, 1), st.booleans(), st.randoms(use_true_random=False))
def test_weights_are_of_mean_one_and_go_with_the_document(
    counts: list[tuple[int, ...]], tau: float, floor: float, keep: bool, random: Any
) -> None:
    given_context = context([row[:3] for row in counts], [row[3:] for row in counts])
    values = {"tau": tau, "floor": floor, "preserve_class_mix": keep}
    plain = weigh("m", "tarp", values, given_context, min_ess_share=0.3)
    assert (plain.frame["weight"] >= 0).all()
    assert plain.frame["weight"].mean() == pytest.approx(1.0, abs=1e-9)
    assert plain.meta["ess"] >= 0.3 * len(counts) * (1 - 1e-6)
    order = random.sample(range(len(counts)), len(counts))
    docs = given_context.docs.iloc[order].reset_index(drop=True)
    moved = weigh("m", "tarp", values, StrategyContext(docs, given_context.evidence, None, LABELS, stream(0)), min_ess_share=0.3)
    back = moved.frame.set_index("doc_id").loc[plain.frame["doc_id"]].reset_index()
    pd.testing.assert_frame_equal(plain.frame, back, check_exact=True)
