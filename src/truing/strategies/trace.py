"""Conflicts weighed by how much they move the model toward the new policy, anchors all alike.

The weights of conflicts are mean 1 over them, so that what is weighed is which conflict counts and not how much all of them do:
with any other scale a comparison with equal weights would compare the strength of two losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from truing.core.errors import Exit, TruingError, some
from truing.strategies import StrategyContext, strategy
from truing.strategies.roles import CONFLICTS, UNTRAINED
from truing.strategies.tables import Floats, aligned, exact_sum
from truing.strategies.triage import TriageParams, triaged


class TraceParams(TriageParams):
    """How an impact becomes a weight.

    Attributes:
        negative: What an impact below 0 weighs: "zero" clamps it there; "softplus" lets it fade,
            s log(1 + exp(impact / s)) with s the median size of the impacts.
        clip: Largest weight, in multiples of the mean over the conflicts; None for no bound.
        within: Columns of the evidence, such as `category` and `rules_chosen`: weights are of mean 1 over the conflicts that are equal
            in them. An impact is an inner product and grows with what an answer holds: left alone, a rule that is broken in three
            words weighs next to nothing beside one that is broken in a sentence. Where no impact of a group is above 0, all of it
            weighs nothing, and the others are scaled up to a mean of 1 over all conflicts.
    """

    negative: Literal["zero", "softplus"] = "zero"
    clip: float | None = Field(5.0, gt=1)
    within: tuple[str, ...] = ()


@strategy("trace", TraceParams)
def trace(cfg: TraceParams, context: StrategyContext) -> pd.DataFrame:
    """Impact weights of mean 1 over the conflicts, weight 1 for anchors, 0 for what is dropped or held out.

    Raises:
        TruingError: without the columns of the signals `triage` and `impact`, a conflict without an impact, or no conflict
            of which a step on it helps.
    """
    roles, said = triaged(cfg, context)
    names = roles.astype(str)
    conflicts = np.isin(names, sorted(CONFLICTS))
    weights = np.where(np.isin(names, sorted(UNTRAINED)), 0.0, 1.0)
    if conflicts.any():
        impact = _impact(context, conflicts)
        weights[conflicts] = grouped_weights(impact, list(_groups(context, conflicts, cfg.within)), cfg)
        shown = dict(zip(np.flatnonzero(conflicts).tolist(), impact.tolist(), strict=True))
        said = [f"{why}, impact {shown[row]:.3g}" if row in shown else why for row, why in enumerate(said)]
    return pd.DataFrame({"doc_id": context.docs["doc_id"].to_numpy(), "weight": weights, "role": roles, "why": said})


def _groups(context: StrategyContext, conflicts: np.ndarray, within: tuple[str, ...]) -> Iterator[np.ndarray]:
    """Places among the conflicts of those that are weighed against each other."""
    if not within or context.evidence is None:
        yield np.arange(int(conflicts.sum()))
        return
    absent = [name for name in within if name not in context.evidence.columns]
    if absent:
        raise TruingError(
            f"within: the evidence lacks the columns {some(absent)}",
            f"some of its columns: {some(map(str, context.evidence.columns), 20)}",
            "correct `within` of the strategy in params.yaml",
        )
    table = aligned(context.evidence, context.docs, "the evidence")[conflicts].reset_index(drop=True)
    yield from (rows.index.to_numpy() for _, rows in table.groupby(list(within), sort=True, dropna=False))


def grouped_weights(impact: Floats, groups: Sequence[np.ndarray], cfg: TraceParams) -> Floats:
    """Weights of mean 1 over all conflicts: `impact_weights` of each group that has an impact above 0, and 0 in the others.

    Args:
        impact: Of every conflict [n].
        groups: Places of the conflicts that are weighed against each other, each place once.
        cfg: How an impact becomes a weight.

    Raises:
        TruingError: no impact is above 0.
    """
    helping = [group for group in groups if cfg.negative == "softplus" or impact[group].max() > 0]
    weights = np.zeros(len(impact))
    for group in helping or [np.arange(len(impact))]:
        weights[group] = impact_weights(impact[group], cfg)
    kept = sum(len(group) for group in helping)
    return weights if kept == len(impact) else weights * (len(impact) / kept)


def impact_weights(impact: Floats, cfg: TraceParams) -> Floats:
    """Weights of mean 1 from impacts, none above `clip`.

    Raises:
        TruingError: no impact is above 0.
    """
    raw = np.maximum(impact, 0.0) if cfg.negative == "zero" else _softplus(impact)
    total = exact_sum(raw)
    if total <= 0:
        raise TruingError(
            f"no conflict of {len(impact)} has an impact above 0",
            "conflicts that move the model toward the policy",
            "look at the gold set, or set negative: softplus",
            Exit.REFUSED,
        )
    return clipped(raw * (len(raw) / total), cfg.clip)


def _softplus(impact: Floats) -> Floats:
    scale = float(np.median(np.abs(impact)))
    if scale == 0:
        scale = float(np.max(np.abs(impact))) or 1.0
    soft: Floats = scale * np.logaddexp(0.0, impact / scale)
    return soft


def clipped(weights: Floats, bound: float | None) -> Floats:
    """Weights of mean 1, cut at the bound, and the rest scaled up so that the mean is 1 again: min(bound, c w) with the one such c.

    Where too few weights are above 0 to reach the mean under the bound, these share what there is.
    """
    if bound is None or weights.max() <= bound:
        return weights
    order = np.argsort(-weights, kind="stable")
    ranked = weights[order]
    count = len(ranked)
    for cut in range(1, count):
        rest = exact_sum(ranked[cut:])
        if rest <= 0:
            break
        factor = (count - bound * cut) / rest
        # The first cut at which nothing below it exceeds the bound is the one.
        if factor > 0 and ranked[cut] * factor <= bound:
            result: Floats = np.empty(count)
            result[order] = np.concatenate([np.full(cut, bound), ranked[cut:] * factor])
            return result
    above = weights > 0
    return np.where(above, count / int(above.sum()), 0.0)


def _impact(context: StrategyContext, conflicts: np.ndarray) -> Floats:
    if context.evidence is None or "impact" not in context.evidence.columns:
        raise TruingError(
            "the evidence lacks the column impact",
            "the columns of the signal 'impact'",
            "add 'impact' after 'triage' to the evidence of this condition in params.yaml",
        )
    table = aligned(context.evidence, context.docs, "the evidence")[conflicts]
    found: Floats = table["impact"].to_numpy(dtype=np.float64, na_value=np.nan)
    bare = table["doc_id"][~np.isfinite(found)]
    if len(bare):
        raise TruingError(f"the conflicts {some(bare)} have no impact", "a number for every conflict", "run `dvc repro`", Exit.REFUSED)
    return found
