"""Kinds of claim about a table: one kind a module, found by its name.

A kind says which conditions a claim names and computes its decisive number over the box; the core reads the files,
tries both readings of the half widths when they are unknown, and finds the cell whose rounding limits an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from truing.core.registry import Params, Registry
from truing.stats.audit.boxes import PrintedNumber, Span, Verdict, compare_level, compare_value
from truing.stats.audit.evidence import Evidence

Name = Annotated[str, Field(min_length=1)]
Alpha = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
# A group of a design; too small a one is no error, it just decides nothing.
Size = Annotated[int, Field(ge=0)]
Tolerance = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]


class ClaimParams(Params):
    """Base of the parameters of a claim.

    Attributes:
        metric: The metric of the table that the claim is about; None for one about a design.
    """

    metric: Name | None

    def named(self) -> tuple[str, ...]:
        """Conditions that the claim names; each must have a row for the metric."""
        return ()


class MetricParams(ClaimParams):
    """A claim about one metric of the table."""

    metric: Name


class PairParams(MetricParams):
    """A claim about two conditions; a difference is always a - b."""

    a: Name
    b: Name

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.a == self.b:
            raise ValueError(f"a and b are both {self.a!r}, and two conditions are needed")
        return self

    def named(self) -> tuple[str, ...]:
        """The two conditions."""
        return (self.a, self.b)


class ValueParams(Params):
    """A claim that a number has a value.

    Attributes:
        value: The claimed number, with the decimals that it is claimed to.
        tolerance: Largest distance that still counts as equal, in place of half a unit of the last digit of `value`.
    """

    value: PrintedNumber
    tolerance: Tolerance | None = None


class BonferroniParams(Params):
    """A claim about one test of a family.

    Attributes:
        m: Size of the family; p-values are multiplied by it.
        correction: "none" says that there is no family, and then `m` must be 1.
    """

    m: Count = 1
    correction: Literal["none", "bonferroni"] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.correction == "none" and self.m > 1:
            raise ValueError(f"correction is none and m is {self.m}; give one of the two")
        return self


class LevelParams(BonferroniParams):
    """A claim that a test is significant, or with `expected: false` that it is not, at `alpha` / `m`, two-sided."""

    alpha: Alpha
    expected: bool = True


@dataclass(frozen=True)
class Finding:
    """What one reading of the table says about a claim.

    Attributes:
        verdict: Whether the claim holds in the whole box, nowhere in it, or in part.
        span: The decisive number over the box; None when it is undefined.
        note: What decided.
        conditions: Conditions that the decisive number comes from.
        spreads: Whether it uses their spreads, and not only their means.
    """

    verdict: Verdict
    span: Span | None
    note: str
    conditions: tuple[str, ...] = ()
    spreads: bool = True


class Kind(Protocol):
    """Judge one claim on the table."""

    def __call__(self, cfg: Any, evidence: Evidence, /) -> Finding:
        """The finding; `UndefinedNumberError` when the table lacks a number that the claim cannot do without."""
        ...


kind: Registry[Kind] = Registry("claim kind", "truing.stats.audit.kinds")


def value_finding(cfg: ValueParams, span: Span, what: str, conditions: tuple[str, ...] = (), *, spreads: bool = True) -> Finding:
    """The finding of a claim that a number has a value; `what` names the number and its direction."""
    verdict = compare_value(span, cfg.value, cfg.tolerance)
    note = f"{what} is {shown(span)}, claimed {cfg.value.text}"
    if cfg.tolerance is not None:
        note += f" within {cfg.tolerance}"
    mirrored = Span(-span.at, -span.hi, -span.lo)
    if verdict is Verdict.NOT_REPRODUCED and compare_value(mirrored, cfg.value, cfg.tolerance) is not verdict:
        note += "; the size agrees and the sign does not"
    return Finding(verdict, span, note, conditions, spreads)


def level_finding(cfg: LevelParams, p: Span, what: str, conditions: tuple[str, ...], claimed: str = "significant") -> Finding:
    """The finding of a claim about a test; `what` names the test and `claimed` what it shows when p is at most alpha."""
    p = p.scaled(cfg.m).capped()
    family = f" (times m = {cfg.m})" if cfg.m > 1 else ""
    wanted = claimed if cfg.expected else f"not {claimed}"
    note = f"{what}: p {shown(p)}{family}, claimed {wanted} at {cfg.alpha:g}"
    return Finding(compare_level(p, cfg.alpha, cfg.expected), p, note, conditions)


def shown(span: Span) -> str:
    """A number and its range for a note."""
    if span.lo == span.hi:
        return f"{span.at:.4g}"
    return f"{span.at:.4g} ({span.lo:.4g} to {span.hi:.4g})"
