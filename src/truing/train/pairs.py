"""Preference rows, their weights and their roles as pairs of token sequences, and the order in which they are trained on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from truing.core.errors import TruingError, some
from truing.core.seeds import stream
from truing.models.chat import PairTokens, Tokens, encode_pair
from truing.train.examples import align

if TYPE_CHECKING:
    import pandas as pd

Role = Literal["train", "invert", "punish", "agree", "neutral"]
# Roles that a recipe can train on, and those that it never does.
TRAINABLE: tuple[Role, ...] = ("train", "invert", "punish", "agree", "neutral")
HELD_OUT = ("gold", "drop")
_SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class PairSet:
    """The pairs that are trained on, in corpus order.

    Attributes:
        doc_ids: Their documents.
        positions: Place of each in the corpus, counting the rows that are not trained on.
        corpus_rows: Rows of the corpus.
        roles: Role of each.
        weights: Weight of each [n], mean 1 over these pairs.
        chosen: Prompt with the chosen answer.
        rejected: Prompt with the rejected answer.
        untrained: Rows that are not trained on, by role.
        cut_rows: Rows that were longer than the limit.
        cut_prompts: Rows whose prompt lost its beginning.
        cut_answers: Rows of which an answer lost its end.
        equal_answers: Rows whose answers are the same tokens: a loss of their margin has no gradient there.
    """

    doc_ids: list[str]
    positions: np.ndarray
    corpus_rows: int
    roles: list[Role]
    weights: np.ndarray
    chosen: list[Tokens]
    rejected: list[Tokens]
    untrained: dict[str, int]
    cut_rows: int
    cut_prompts: int
    cut_answers: int
    equal_answers: int

    def __len__(self) -> int:
        return len(self.doc_ids)


def build_pairs(
    rows: Sequence[Mapping[str, Any]], weights: pd.DataFrame, *, trained: Collection[str], tokenizer: Any, max_length: int
) -> PairSet:
    """Tokenise the rows of the trained roles and bring their weights to mean 1 over them.

    Manifests hold weights of mean 1 over all documents, held-out ones included; only ratios between trained rows matter here. A table
    without roles makes every row `train`. `encode_pair` says what a row longer than `max_length` loses.

    Args:
        rows: Corpus rows.
        weights: Columns doc_id, weight, and role if rows are not all `train`.
        trained: Roles that have a loss.
        tokenizer: The base's.
        max_length: Tokens of a prompt with one answer, at most.

    Raises:
        TruingError: for rows that are no pairs, weights or roles that do not fit, an answer without text, no row or no weight left.
    """
    aligned, roles = align(rows, weights), _roles(rows, weights)
    kept = [index for index, role in enumerate(roles) if role in trained]
    _check(rows, roles, kept, trained)
    total = float(aligned[kept].sum())
    if not total:
        raise TruingError(
            f"manifest: the {len(kept)} rows of roles {', '.join(sorted(set(trained)))} all have weight 0",
            "weight on some row that is trained on",
            "rebuild the manifest, or give the roles that carry weight a loss in method.losses",
        )
    made = [_encode(tokenizer, rows[index], max_length) for index in kept]
    held = [role for role in roles if role not in trained]
    return PairSet(
        doc_ids=[str(rows[index]["doc_id"]) for index in kept],
        positions=np.array(kept, dtype=np.int64),
        corpus_rows=len(rows),
        roles=[roles[index] for index in kept],  # type: ignore[misc]
        weights=aligned[kept] * (len(kept) / total),
        chosen=[pair.answers[0] for pair in made],
        rejected=[pair.answers[1] for pair in made],
        untrained={role: held.count(role) for role in sorted(set(held))},
        cut_rows=sum(pair.cut_prompt or any(pair.cut_answers) for pair in made),
        cut_prompts=sum(pair.cut_prompt for pair in made),
        cut_answers=sum(any(pair.cut_answers) for pair in made),
        equal_answers=sum(pair.answers[0] == pair.answers[1] for pair in made),
    )


def _roles(rows: Sequence[Mapping[str, Any]], weights: pd.DataFrame) -> list[str]:
    if "role" not in weights:
        return ["train"] * len(rows)
    by_id = dict(zip(weights["doc_id"].astype(str), weights["role"].astype(str), strict=True))
    found = [by_id[str(row["doc_id"])] for row in rows]
    strange = sorted(set(found) - {*TRAINABLE, *HELD_OUT})
    if strange:
        raise TruingError(
            f"manifest: roles {some(strange)}", f"one of: {', '.join((*TRAINABLE, *HELD_OUT))}", "correct the strategy that wrote them"
        )
    return found


def _check(rows: Sequence[Mapping[str, Any]], roles: Sequence[str], kept: Sequence[int], trained: Collection[str]) -> None:
    if not kept:
        counts = ", ".join(f"{roles.count(role)} {role}" for role in sorted(set(roles))) or "none"
        raise TruingError(
            f"no row to train on; the manifest has: {counts}",
            f"rows of a role with a loss: {', '.join(sorted(trained))}",
            "give the roles of this manifest a loss in method.losses, or check why the strategy dropped every row",
        )
    others = [rows[index]["doc_id"] for index in kept if "chosen" not in rows[index]]
    if others:
        raise TruingError(f"rows {some(others)} are no preference pairs", "rows with prompt, chosen and rejected", "use the recipe sft")
    empty = [f"{rows[index]['doc_id']} ({side})" for index in kept for side in _SIDES if not rows[index][side].strip()]
    if empty:
        raise TruingError(
            f"answers without text: {some(empty)}", "text in both answers", "give these rows the role drop, or mend the corpus"
        )


def _encode(tokenizer: Any, row: Mapping[str, Any], max_length: int) -> PairTokens:
    return encode_pair(tokenizer, row["prompt"], (row["chosen"], row["rejected"]), str(row["doc_id"]), max_length)


def stratified_order(strata: Sequence[str], luck: np.ndarray) -> np.ndarray:
    """An order of rows in which every stretch holds the strata in their shares: indices [n].

    Within a stratum, rows come by their luck. The k-th of a stratum of c rows is due at (k + 1/2) / c of the way, so the first m rows hold
    m c / n of it, to within 1/2 + (strata / 2) (c / n).

    Args:
        strata: Stratum of each row.
        luck: A number of each row [n].
    """
    due = np.empty(len(strata))
    names = np.asarray(strata)
    for name in sorted(set(strata)):
        members = np.flatnonzero(names == name)
        ranks = np.argsort(np.argsort(luck[members], kind="stable"), kind="stable")
        due[members] = (ranks + 0.5) / len(members)
    return np.lexsort((names, due))


def epoch_order(pairs: PairSet, root_seed: int, phase: str, seed: int, epoch: int) -> np.ndarray:
    """The order of one epoch: indices into `pairs` [n].

    Luck is dealt to every row of the corpus, whether or not it is trained on: two manifests of one corpus have the rows of a role that they
    share in the same order.
    """
    luck = stream(root_seed, phase, seed, "order", epoch).random(pairs.corpus_rows)
    return stratified_order(pairs.roles, luck[pairs.positions])
