"""Trace and reweight: documents that speak for the model's default label count less.

A fine-tuned model's answer to an empty input follows what its uninformative training documents have in common with
one label. Documents whose label mentions are those of the default label, out of all mentions, are weighted down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from truing.core.errors import TruingError, some
from truing.strategies import StrategyContext, StrategyParams, strategy
from truing.strategies.tables import UNLABELLED, Floats, classes, evidence_columns, exact_sum


class TarpParams(StrategyParams):
    """Parameters of the weight rule.

    Attributes:
        tau: Bias up to which a document keeps the ceiling.
        floor: Raw weight of a document that speaks for the default label only (bias 1).
        ceiling: Raw weight of a document without bias, or without evidence.
        power: Shape of the fall between tau and 1; 1 is linear.
        context_weight: How much a mention in a telling context adds to a plain mention (lambda).
        smoothing: Pseudo-mentions at the corpus rate of the default label (alpha).
        default_label: The label to weigh against; None takes it from the evidence.
        minority_bonus: Added share of weight for gold classes below 1/K of the documents.
        preserve_class_mix: Keep each gold class' share of the total weight.
        tau_grid: Values of tau that are compared; those that give the same weights are reported.
    """

    tau: float = Field(default=0.5, ge=0)
    floor: float = Field(default=0.05, ge=0)
    ceiling: float = Field(default=1.0, gt=0)
    power: float = Field(default=1.0, gt=0)
    context_weight: float = Field(default=2.0, ge=0)
    smoothing: float = Field(default=0.1, gt=0)
    default_label: str | None = None
    minority_bonus: float = Field(default=0.0, ge=0)
    preserve_class_mix: bool = False
    tau_grid: tuple[float, ...] = (0.3, 0.5, 0.7)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.floor > self.ceiling:
            raise ValueError(f"the floor {self.floor} is above the ceiling {self.ceiling}")
        if self.minority_bonus and self.preserve_class_mix:
            raise ValueError("preserve_class_mix takes back what minority_bonus gives; choose one")
        return self

    def vacuous(self) -> str | None:
        """Why the bias can't change a weight: no bias exceeds a tau of 1, or floor and ceiling are the same."""
        if self.tau >= 1:
            return f"tau {self.tau:g} is never exceeded, since no bias is above 1: evidence changes no weight"
        if self.floor == self.ceiling:
            return f"floor and ceiling are both {self.floor:g}: evidence changes no weight"
        return None


@dataclass(frozen=True)
class Trace:
    """Bias of every document towards the default label.

    Attributes:
        default: The default label.
        bias: (m_def + lambda c_def + alpha r_def) / (m_all + lambda c_all + alpha), in [0, 1].
        own: Mentions of the default label, per document.
        all: Mentions of every label, per document.
        contexts: Mentions of the default label in a telling context, per document.
        evident: Whether a document mentions any label at all.
    """

    default: str
    bias: Floats
    own: Floats
    all: Floats
    contexts: Floats
    evident: np.ndarray[tuple[int], np.dtype[np.bool_]]


@strategy("tarp", TarpParams)
def tarp(cfg: TarpParams, context: StrategyContext) -> pd.DataFrame:
    """Weigh documents down, from `ceiling` at bias tau to `floor` at bias 1.

    A document that mentions no label is no evidence and keeps the ceiling, whatever the corpus rate.

    Raises:
        TruingError: when the evidence lacks the columns of `label_mentions` or of `null_prior`, or a default label
            that is a label of the task.
    """
    found = trace(cfg, context)
    weights = weights_at(found, cfg, cfg.tau)
    context.warnings.extend(sensitivity(found, cfg, (*cfg.tau_grid, cfg.tau)))
    factors = _class_factors(cfg, context, weights)
    why = _why(found, cfg, weights, factors)
    return pd.DataFrame({"doc_id": context.docs["doc_id"].to_numpy(), "weight": weights * factors, "why": why})


def trace(cfg: TarpParams, context: StrategyContext) -> Trace:
    """The bias of every document, in the order of `context.docs`.

    The corpus rate r_def is the default label's share of all mentions; it only shrinks small counts towards what is
    usual in this corpus.
    """
    if not context.labels:
        raise TruingError("the corpus has no label set", "a corpus whose card has a task", "take a labelled corpus, or another strategy")
    default = _default_label(cfg, context)
    kinds = [[f"{kind}.{label}" for label in context.labels] for kind in ("mentions", "contexts")]
    table = evidence_columns(context, [*kinds[0], *kinds[1]], "label_mentions")
    mentions, contexts = (table[columns].to_numpy(dtype=np.float64) for columns in kinds)
    at = context.labels.index(default)
    total = mentions.sum()
    rate = mentions[:, at].sum() / total if total else 1.0 / len(context.labels)
    said = mentions + cfg.context_weight * contexts
    bias = (said[:, at] + cfg.smoothing * rate) / (said.sum(axis=1) + cfg.smoothing)
    return Trace(default, bias, mentions[:, at], mentions.sum(axis=1), contexts[:, at], said.sum(axis=1) > 0)


def weights_at(found: Trace, cfg: TarpParams, tau: float) -> Floats:
    """Raw weights at a threshold: floor + (ceiling - floor) ((1 - b) / (1 - tau))^power above it, ceiling up to it."""
    biased = found.evident & (found.bias > tau)
    fall = ((1.0 - found.bias[biased]) / (1.0 - tau)) ** cfg.power if tau < 1 else np.empty(0)
    weights = np.full(len(found.bias), cfg.ceiling)
    weights[biased] = cfg.floor + (cfg.ceiling - cfg.floor) * fall
    return weights


def sensitivity(found: Trace, cfg: TarpParams, taus: Sequence[float]) -> list[str]:
    """One warning for each set of thresholds that give the same weights once normalised: there tau decides nothing."""
    same: dict[bytes, list[float]] = {}
    for tau in sorted(set(taus)):
        weights = weights_at(found, cfg, tau)
        mean = exact_sum(weights) / len(weights) or 1.0
        same.setdefault((weights / mean).round(9).tobytes(), []).append(tau)
    return [f"tau {_listed(group)} give the same weights" for group in same.values() if len(group) > 1]


def _listed(values: Sequence[float]) -> str:
    names = [f"{value:g}" for value in values]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _default_label(cfg: TarpParams, context: StrategyContext) -> str:
    if cfg.default_label is not None:
        found = [cfg.default_label]
    else:
        found = sorted(set(evidence_columns(context, ["default_label"], "null_prior")["default_label"]))
    if len(found) > 1:
        raise TruingError(f"the evidence names several default labels: {some(found)}", "one for the corpus", "set `default_label`")
    if found[0] not in context.labels:
        raise TruingError(f"the default label {found[0]!r} is no label of the task", f"one of: {some(context.labels, 20)}", "correct it")
    return found[0]


def _class_factors(cfg: TarpParams, context: StrategyContext, weights: Floats) -> Floats:
    """Factor of every document by its gold class: the minority bonus, or what restores the class' share of weight."""
    gold = classes(context.docs)
    factors = np.ones(len(gold))
    for name, size in gold.value_counts().items():
        rows = (gold == name).to_numpy()
        if cfg.preserve_class_mix:
            left = exact_sum(weights[rows])
            # A class that has no weight left has no share to keep; the manifest's class mix shows it.
            factors[rows] = size / left if left else 1.0
        elif name != UNLABELLED and size * len(context.labels) < len(gold):
            factors[rows] = 1.0 + cfg.minority_bonus
    return factors


def _why(found: Trace, cfg: TarpParams, weights: Floats, factors: Floats) -> list[str]:
    reasons = []
    rows = zip(
        *(array.tolist() for array in (found.evident, found.own, found.all, found.contexts, found.bias, weights, factors)), strict=True
    )
    for evident, own, every, contexts, bias, weight, factor in rows:
        told = f"default label {found.default!r} has {own:.0f} of {every:.0f} mentions" if evident else "no label is mentioned"
        where = f", {contexts:.0f} in a telling context" if contexts else ""
        sign = ">" if bias > cfg.tau else "<="
        score = f" (bias {bias:.2f} {sign} tau {cfg.tau:.2f})" if evident else ""
        scaled = f", times {factor:.2f} for its class" if factor != 1.0 else ""
        reasons.append(f"{told}{where}{score}: weight {weight:.2f}{scaled}")
    return reasons
