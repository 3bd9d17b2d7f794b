"""Rows to pairs: roles, weights, lengths, and the order of an epoch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.preferences import HYBRID, ROLES, pair_manifest, pair_rows
from support.tiny import tiny_tokenizer

from truing.core.errors import TruingError
from truing.models.chat import encode_reply
from truing.models.impact_answers import encode_answers
from truing.train.pairs import PairSet, build_pairs, epoch_order, stratified_order


@cache
def tokenizer() -> Any:
    return tiny_tokenizer()


def build(rows: list[dict[str, Any]] | None = None, weights: Any = None, *, trained: Any = tuple(HYBRID), max_length: int = 64) -> PairSet:
    rows = pair_rows() if rows is None else rows
    weights = pair_manifest(rows, ROLES) if weights is None else weights
    return build_pairs(rows, weights, trained=trained, tokenizer=tokenizer(), max_length=max_length)


def with_answer(side: str, text: str) -> list[dict[str, Any]]:
    rows = pair_rows()
    return [{**rows[0], side: text}, *rows[1:]]


def test_answers_are_encoded_as_everywhere_else() -> None:
    rows, made = pair_rows(), build()
    for number, row in enumerate(rows):
        assert tuple(made.chosen[number]) == encode_reply(tokenizer(), row["prompt"], row["chosen"], "x")
        assert tuple(made.rejected[number]) == encode_reply(tokenizer(), row["prompt"], row["rejected"], "x")
    assert (made.cut_rows, made.cut_prompts, made.cut_answers, made.equal_answers) == (0, 0, 0, 0)


@pytest.mark.parametrize("max_length", [12, 16, 64])
def test_what_an_impact_is_measured_of_is_what_is_trained_on(max_length: int) -> None:
    rows = [{**row, "prompt": " ".join([row["prompt"]] * 5)} for row in pair_rows()]
    made = build(rows, max_length=max_length)
    measured = [encode_answers(tokenizer(), row["prompt"], (row["chosen"], row["rejected"]), "x", max_length) for row in rows]
    trained = [((tuple(a.ids), tuple(a.mask)), (tuple(b.ids), tuple(b.mask))) for a, b in zip(made.chosen, made.rejected, strict=True)]
    assert [((a.ids, a.mask), (b.ids, b.mask)) for a, b in measured] == trained
    assert sum(a.cut or b.cut for a, b in measured) == made.cut_answers
    assert (made.cut_prompts > 0) == (max_length < 64)


def test_weights_have_mean_one_over_the_trained_rows() -> None:
    rows = pair_rows(8)
    manifest = pair_manifest(rows, ["invert", "gold"], [1, 0, 2, 0, 3, 0, 4, 0])
    made = build(rows, manifest)
    assert made.doc_ids == ["p0", "p2", "p4", "p6"]
    np.testing.assert_allclose(made.weights, [0.4, 0.8, 1.2, 1.6])
    assert made.untrained == {"gold": 4}


@given(st.floats(1e-3, 1e3), st.integers(1, 8))
@settings(max_examples=20, deadline=None)
def test_the_scale_of_the_weights_does_not_matter(scale: float, held: int) -> None:
    rows = pair_rows(16)
    weights = np.array([1.0] * held + [scale * (number + 1) for number in range(16 - held)])
    roles = ["drop"] * held + ["invert"] * (16 - held)
    plain = np.where(np.array(roles) == "drop", 0.0, weights)
    first = build(rows, pair_manifest(rows, roles, weights))
    second = build(rows, pair_manifest(rows, roles, plain))
    np.testing.assert_allclose(first.weights, second.weights, rtol=1e-12)


def test_rows_without_a_role_column_are_plain_pairs() -> None:
    rows = pair_rows()
    made = build(rows, pair_manifest(rows).drop(columns="role"), trained=["train"])
    assert set(made.roles) == {"train"}


def test_roles_without_a_loss_are_counted_and_left_out() -> None:
    made = build(trained=["invert"])
    assert made.roles == ["invert"] * 4
    assert made.untrained == {"agree": 4, "neutral": 4, "punish": 4}
    assert made.positions.tolist() == [0, 4, 8, 12]


def test_a_manifest_that_drops_every_row_says_so() -> None:
    rows = pair_rows(3)
    with pytest.raises(TruingError, match="no row to train on; the manifest has: 2 drop, 1 gold"):
        build(rows, pair_manifest(rows, ["drop", "gold"]))


def test_trained_rows_that_all_weigh_nothing_are_refused() -> None:
    rows = pair_rows(4)
    with pytest.raises(TruingError, match=r"2 rows of roles .* all have weight 0"):
        build(rows, pair_manifest(rows, ["invert", "gold"], [0, 1, 0, 1]))


def test_an_unknown_role_is_named() -> None:
    rows = pair_rows(2)
    with pytest.raises(TruingError, match="roles retain"):
        build(rows, pair_manifest(rows, "retain"))


def test_rows_that_are_no_pairs_are_named() -> None:
    row: dict[str, Any] = {"doc_id": "t0", "source": "test", "text": "one", "label": None, "metadata": {}}
    with pytest.raises(TruingError, match="rows t0 are no preference pairs"):
        build([row], pair_manifest([row], "invert"))


@pytest.mark.parametrize("side", ["chosen", "rejected"])
@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_answer_is_refused_by_name(side: str, text: str) -> None:
    with pytest.raises(TruingError, match=rf"p0 \({side}\)"):
        build(with_answer(side, text))


def test_an_empty_answer_of_a_dropped_row_does_not_matter() -> None:
    rows = with_answer("chosen", "")
    assert "p0" not in build(rows, pair_manifest(rows, ["drop", "invert"])).doc_ids


def test_equal_answers_are_counted() -> None:
    rows = pair_rows()
    assert build([{**rows[0], "rejected": rows[0]["chosen"]}, *rows[1:]]).equal_answers == 1


def words(text: str) -> list[int]:
    return list(tokenizer()(text, add_special_tokens=False)["input_ids"])


def test_a_long_prompt_loses_its_beginning_inside_the_template_and_equally_for_both_answers() -> None:
    row = {**pair_rows(1)[0], "prompt": "one two three four five red green blue", "chosen": "yes !", "rejected": "no . no . no"}
    whole = build([row], pair_manifest([row], "invert"))
    assert whole.cut_rows == 0
    longest = len(whole.rejected[0].ids)
    made = build([row], pair_manifest([row], "invert"), max_length=longest - 3)
    for answer, text in ((made.chosen[0], row["chosen"]), (made.rejected[0], row["rejected"])):
        assert answer.ids == words(f"<bos> <user> four five red green blue <asst> {text} <end>")
        assert answer.mask == [0] * 8 + [1] * (len(answer.ids) - 8)
    assert (made.cut_rows, made.cut_prompts, made.cut_answers) == (1, 1, 0)


def test_an_answer_loses_its_end_only_when_a_quarter_would_not_be_left_to_the_prompt() -> None:
    row = {**pair_rows(1)[0], "prompt": "one two three four five", "chosen": "yes", "rejected": "red green blue one two three four five no"}
    made = build([row], pair_manifest([row], "invert"), max_length=12)
    assert made.chosen[0].ids == words("<bos> <user> three four five <asst> yes <end>")
    assert made.rejected[0].ids == words("<bos> <user> three four five <asst> red green blue one two three")
    assert (made.cut_rows, made.cut_prompts, made.cut_answers) == (1, 1, 1)


@given(st.integers(8, 40), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_no_row_is_longer_than_the_limit_and_every_answer_keeps_a_token(limit: int, prompt: int, chosen: int, rejected: int) -> None:
    row = {**pair_rows(1)[0], "prompt": "red " * prompt, "chosen": "yes " * chosen, "rejected": "no " * rejected}
    made = build([row], pair_manifest([row], "invert"), max_length=limit)
    for answer in (made.chosen[0], made.rejected[0]):
        assert len(answer.ids) == len(answer.mask) <= limit
        assert sum(answer.mask[1:]) >= 1
    assert made.cut_rows == (prompt + max(chosen, rejected) + 4 > limit)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=200), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_every_beginning_of_an_epoch_holds_the_strata_in_their_shares(strata: list[str], seed: int) -> None:
    order = stratified_order(strata, np.random.default_rng(seed).random(len(strata)))
    assert sorted(order) == list(range(len(strata)))
    names = np.asarray(strata)
    for name in set(strata):
        share = strata.count(name) / len(strata)
        so_far = np.cumsum(names[order] == name)
        gap = np.abs(so_far - share * np.arange(1, len(strata) + 1))
        assert gap.max() <= 0.5 + len(set(strata)) / 2 * share + 1e-9


def test_epochs_and_seeds_differ_and_an_epoch_is_the_same_again() -> None:
    made = build()
    first = epoch_order(made, 7, "preference", 0, 0).tolist()
    assert epoch_order(made, 7, "preference", 0, 0).tolist() == first
    assert epoch_order(made, 7, "preference", 0, 1).tolist() != first
    assert epoch_order(made, 7, "preference", 1, 0).tolist() != first


def test_manifests_of_one_corpus_share_the_order_of_the_rows_of_a_role() -> None:
    made, fewer = build(), build(trained=["invert", "agree"])
    orders = []
    for pairs in (made, fewer):
        order = epoch_order(pairs, 7, "preference", 0, 0)
        orders.append([pairs.doc_ids[index] for index in order if pairs.roles[index] == "invert"])
    assert orders[0] == orders[1]
    plain = replace(made, roles=["train"] * len(made))
    assert len(epoch_order(plain, 7, "preference", 0, 0)) == len(made)
