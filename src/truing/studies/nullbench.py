"""NullBench: does the model collapse onto a default class on empty input, and does reweighting its data mend that?

Every condition is fine-tuned on the same documents in the same order; only the weights differ. `uniform`
is the control without reweighting, and `shuffled` the placebo: the weights of another condition, permuted
within each class. A second corpus in which the low-signal documents hold no label word is the negative control.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from truing.core.registry import Params
from truing.studies import Model, StudyPlan, study


class Condition(Params):
    """One strategy and what it needs: signals as evidence, or another condition's weights to start from."""

    strategy: str
    evidence: tuple[str, ...] = ()
    of: str | None = None


class NullbenchConfig(Params):
    """Structure of the study: names of entries elsewhere in params.yaml."""

    base: str
    recipe: str
    probe: str
    evaluation: str
    corpora: dict[str, str] = Field(min_length=1)
    conditions: tuple[Condition, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _sources_come_first(self) -> Self:
        known: set[str] = set()
        for condition in self.conditions:
            if condition.of is not None and condition.of not in known:
                raise ValueError(f"condition {condition.strategy!r} is made of {condition.of!r}, which must stand before it")
            known.add(condition.strategy)
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


def _evidence(plan: StudyPlan, condition: Condition, corpus: str, before: str) -> str | None:
    last: str | None = None
    for name in condition.evidence:
        last = plan.signal(name, corpus=corpus, responses=before, after=last)
    return last


def _tune(plan: StudyPlan, cfg: NullbenchConfig, base: Model, weights: str, condition: str, evaluation: str) -> None:
    for seed in plan.seeds:
        tuned = plan.train(cfg.recipe, parent=base, data=weights, seed=seed)
        plan.respond(cfg.probe, model=tuned, corpus=evaluation, condition=condition)
