"""What a study says before there is data: its family of contrasts, how it tests them, and the claims it will make or give up.

The declaration stands in plan.yaml, so it is committed before the run that it judges, and its digest stands
in every row of the result table: changing the rules afterwards changes the digest.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from truing.core.digests import digest
from truing.core.registry import Params

Correction = Literal["bonferroni", "holm", "bh"]
CLAIM_ID = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class Outcome(Params):
    """A measured quantity that the contrasts are about.

    Attributes:
        metric: Name of the metric in the result table.
        arm: Part of the items that it is over.
        phase: Training phase after which it is measured; None where a pair of conditions shares only one.
        margin: Largest difference, in the metric's unit, that still counts as none; without one, no claim of "no effect" is possible.
    """

    metric: str = Field(min_length=1)
    arm: str = Field(min_length=1)
    phase: str | None = None
    margin: float | None = Field(None, gt=0)


class Contrast(Params):
    """A difference `a - b` of two conditions, and the protocol fields in which they differ on purpose.

    Attributes:
        a: The condition that the difference is named after first.
        b: The condition that is subtracted.
        manipulates: Protocol fields, or shell-style patterns over them, that are the manipulation.
    """

    a: str = Field(min_length=1)
    b: str = Field(min_length=1)
    manipulates: tuple[str, ...] = ()


class Family(Params):
    """Every test that the study makes of its hypotheses: the contrasts times the outcomes.

    Attributes:
        contrasts: The differences.
        outcomes: What they are differences of.
        alpha: Error rate of the whole family, two-sided.
        correction: How p-values are adjusted for the size of the family.
    """

    contrasts: tuple[Contrast, ...]
    outcomes: tuple[Outcome, ...]
    alpha: float = Field(0.05, gt=0, lt=1)
    correction: Correction = "holm"

    @property
    def size(self) -> int:
        """Number of tests."""
        return len(self.contrasts) * len(self.outcomes)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        pairs = [frozenset((c.a, c.b)) for c in self.contrasts]
        outcomes = [(o.metric, o.arm, o.phase) for o in self.outcomes]
        if len(set(pairs)) < len(pairs) or len(set(outcomes)) < len(outcomes) or any(len(pair) < 2 for pair in pairs):
            raise ValueError("a family holds each pair of two different conditions once, and each outcome once")
        return self


class Claim(Params):
    """A sentence that the study will state if the table bears it out.

    Attributes:
        id: Name of the claim, for its whole history.
        kind: The plug-in that decides it and writes its sentence.
        params: What that plug-in is told.
    """

    id: str = Field(pattern=CLAIM_ID)
    kind: str
    params: dict[str, Any] = Field(default_factory=dict)


class Declaration(Params):
    """All that one study declares."""

    family: Family
    claims: tuple[Claim, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        ids = [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"claims share the id {', '.join(twice)}")
        return self

    @property
    def digest(self) -> str:
        """sha256 of the canonical form."""
        return digest(self.model_dump(mode="json"))
