"""NullBench: does the model collapse onto a default class on empty input, and does reweighting its data mend that?

Every condition is fine-tuned on the same documents in the same order; only the weights differ. `uniform`
is the control without reweighting, and `shuffled` the placebo: the weights of another condition, permuted
within each class. A second corpus in which the low-signal documents hold no label word is the negative control.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self

from pydantic import Field, model_validator

from truing.contracts.declaration import Claim, Contrast, Correction, Declaration, Family, Outcome
from truing.core.registry import Params
from truing.studies import Model, StudyPlan, study

# Arms of the probe that the outcomes are read in: all null inputs pooled, and texts with no word masked.
NULL_ARM = "null"
TEXT_ARM = "masked_000"


class Condition(Params):
    """One strategy and what it needs: signals as evidence, or another condition's weights to start from."""

    strategy: str
    evidence: tuple[str, ...] = ()
    of: str | None = None


class NullbenchConfig(Params):
    """Structure of the study: names of entries elsewhere in params.yaml, and what is asked of the data beforehand.

    Attributes:
        base: The model to start from.
        recipe: How it is trained.
        probe: What it is asked.
        evaluation: The corpus that it is asked about.
        corpora: Training corpus of each design.
        conditions: Strategies, each trained on every design.
        contrasts: Pairs (treatment, comparison) of strategies, compared within each design.
        controls: Designs in which the treatment has nothing to mend.
        alpha: Error rate of the whole family of contrasts.
        correction: How p-values are adjusted for its size.
        margins: Largest difference of each outcome that still counts as none.
    """

    base: str
    recipe: str
    probe: str
    evaluation: str
    corpora: dict[str, str] = Field(min_length=1)
    conditions: tuple[Condition, ...] = Field(min_length=1)
    contrasts: tuple[tuple[str, str], ...] = ()
    controls: tuple[str, ...] = ()
    alpha: float = Field(0.05, gt=0, lt=1)
    correction: Correction = "holm"
    margins: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sources_come_first(self) -> Self:
        known: set[str] = set()
        for condition in self.conditions:
            if condition.of is not None and condition.of not in known:
                raise ValueError(f"condition {condition.strategy!r} is made of {condition.of!r}, which must stand before it")
            known.add(condition.strategy)
        strange = sorted({name for pair in self.contrasts for name in pair} - known)
        if strange:
            raise ValueError(f"contrasts name {', '.join(strange)}, and the conditions are {', '.join(sorted(known))}")
        return self


@study("nullbench", NullbenchConfig)
def nullbench(plan: StudyPlan, cfg: NullbenchConfig) -> None:
    """Yield the nodes of the study: the untuned base, then every strategy on every corpus over all seeds."""
    evaluation = plan.corpus(cfg.evaluation)
    base = plan.base(cfg.base, heldout=evaluation)
    before = plan.respond(cfg.probe, model=base, corpus=evaluation, condition="base")
    for design, name in cfg.corpora.items():
        corpus = plan.corpus(name, heldout=evaluation)
        manifests: dict[str, str] = {}
        for condition in cfg.conditions:
            evidence = _evidence(plan, condition, corpus, before)
            source = manifests[condition.of] if condition.of else None
            weights = plan.manifest(condition.strategy, corpus=corpus, evidence=evidence, source=source)
            manifests[condition.strategy] = weights
            _tune(plan, cfg, base, weights, f"{design}-{condition.strategy}", evaluation)
    plan.declare(Declaration(family=_family(cfg), claims=tuple(_claims(cfg))))


def _family(cfg: NullbenchConfig) -> Family:
    outcomes = (("dcb_mean_max", NULL_ARM), ("accuracy", TEXT_ARM))
    return Family(
        contrasts=tuple(
            # Designs share every setting; within one, the weights of the documents are all that differs.
            Contrast(a=f"{design}-{a}", b=f"{design}-{b}", manipulates=("sft.manifest_digest",))
            for design in cfg.corpora
            for a, b in cfg.contrasts
        ),
        outcomes=tuple(Outcome(metric=metric, arm=arm, margin=cfg.margins.get(metric)) for metric, arm in outcomes),
        alpha=cfg.alpha,
        correction=cfg.correction,
    )


def _claims(cfg: NullbenchConfig) -> Iterator[Claim]:
    """Each treatment lowers the lean where there is something to mend, keeps accuracy, and does nothing to a control."""
    lean, accuracy = ({"metric": "dcb_mean_max", "arm": NULL_ARM}, {"metric": "accuracy", "arm": TEXT_ARM})
    for treatment in dict.fromkeys(a for a, _ in cfg.contrasts):
        others = [b for a, b in cfg.contrasts if a == treatment]

        def pairs(designs: Iterable[str], treatment: str = treatment, others: list[str] = others) -> list[tuple[str, str]]:
            return [(f"{design}-{treatment}", f"{design}-{other}") for design in designs for other in others]

        treated = [design for design in cfg.corpora if design not in cfg.controls]
        if treated:
            yield Claim(id=f"{treatment}-lowers-lean", kind="each_less", params={**lean, "pairs": pairs(treated)})
            yield Claim(id=f"{treatment}-keeps-accuracy", kind="no_effect", params={**accuracy, "pairs": pairs(treated)})
        if len(treated) < len(cfg.corpora):
            idle = [design for design in cfg.corpora if design in cfg.controls]
            yield Claim(id=f"{treatment}-spares-control", kind="no_effect", params={**lean, "pairs": pairs(idle)})
            yield from _needs(treatment, others[-1], treated, idle, lean)


def _needs(treatment: str, other: str, treated: list[str], idle: list[str], lean: dict[str, str]) -> Iterator[Claim]:
    for design, control in zip(treated[:1], idle[:1], strict=False):
        cells = [[f"{name}-{treatment}", f"{name}-{other}"] for name in (design, control)]
        yield Claim(id=f"{treatment}-needs-{design}", kind="interaction", params={**lean, "cells": cells, "direction": "less"})


def _evidence(plan: StudyPlan, condition: Condition, corpus: str, before: str) -> str | None:
    last: str | None = None
    for name in condition.evidence:
        last = plan.signal(name, corpus=corpus, responses=before, after=last)
    return last


def _tune(plan: StudyPlan, cfg: NullbenchConfig, base: Model, weights: str, condition: str, evaluation: str) -> None:
    for seed in plan.seeds:
        tuned = plan.train(cfg.recipe, parent=base, data=weights, seed=seed)
        plan.respond(cfg.probe, model=tuned, corpus=evaluation, condition=condition)
