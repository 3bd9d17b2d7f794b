"""Printed numbers as intervals, and what a claim's number can be over all tables that round to the printed one.

The box of a table is every table that prints the same: each number lies within half a unit of its last printed
digit, ends included, since tables differ in how they round a tie. A claim that holds in the whole box is reproduced,
one that holds nowhere in it is not, and the rest cannot be decided from the table.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
# Decimal ends become binary fractions: a tie of the two intervals must not hang on their last bit.
TIE = 1e-9


class Verdict(StrEnum):
    """What the printed table says about a claim."""

    REPRODUCED = "reproduced"
    UNDECIDABLE = "undecidable"
    NOT_REPRODUCED = "not_reproduced"

    def negated(self) -> Verdict:
        """The verdict on the opposite claim."""
        opposite = {Verdict.REPRODUCED: Verdict.NOT_REPRODUCED, Verdict.NOT_REPRODUCED: Verdict.REPRODUCED}
        return opposite.get(self, self)


class UndefinedNumberError(Exception):
    """The table cannot give a number that a claim needs; the message is the reason, in words for the note."""


@dataclass(frozen=True)
class Span:
    """A number of the table and all values that it can have over the box.

    Attributes:
        at: Its value at the printed numbers; NaN when only the range is known.
        lo: Its least value over the box.
        hi: Its greatest value over the box.
    """

    at: float
    lo: float
    hi: float

    def __sub__(self, other: Span) -> Span:
        """The difference of two numbers that vary independently."""
        return Span(self.at - other.at, self.lo - other.hi, self.hi - other.lo)

    def __truediv__(self, other: Span) -> Span:
        """The quotient by a positive number that varies independently: monotone in each, so its extremes are at vertices."""
        low = self.lo / (other.hi if self.lo >= 0 else other.lo)
        high = self.hi / (other.lo if self.hi >= 0 else other.hi)
        return Span(self.at / other.at, low, high)

    def __abs__(self) -> Span:
        """The size of the number; it is least at 0 when the range crosses 0."""
        ends = (abs(self.lo), abs(self.hi))
        return Span(abs(self.at), 0.0 if self.lo <= 0 <= self.hi else min(ends), max(ends))

    def scaled(self, factor: float) -> Span:
        """The number times a factor >= 0."""
        return Span(self.at * factor, self.lo * factor, self.hi * factor)

    def capped(self, most: float = 1.0) -> Span:
        """The number, or `most` where it is larger. A NaN stays one."""
        return Span(min(self.at, most), min(self.lo, most), min(self.hi, most))


@dataclass(frozen=True)
class Printed:
    """A number as it is printed: "0.840" has three decimals and stands for 0.8395 to 0.8405.

    Attributes:
        text: What is printed.
        exact: The printed number.
        half_unit: Half a unit of its last printed digit.
    """

    text: str
    exact: Decimal
    half_unit: Decimal

    @property
    def span(self) -> Span:
        """The printed number and what it can stand for."""
        return self.within(self.half_unit)

    @property
    def point(self) -> Span:
        """The printed number as if it were exact."""
        return self.within(Decimal(0))

    def within(self, distance: Decimal) -> Span:
        """The printed number and everything at most `distance` away from it."""
        return Span(float(self.exact), float(self.exact - distance), float(self.exact + distance))


def printed(text: object) -> Printed:
    """Read a number with the decimals of its text.

    Raises:
        ValueError: the text is no plain decimal number.
    """
    if isinstance(text, Printed):
        return text
    # A typeset table has a minus sign, not a hyphen.
    bare = str(text).strip().replace("−", "-")
    if not NUMBER.fullmatch(bare):
        raise ValueError(f"{text!r} is not a decimal number such as 0.840")
    exact = Decimal(bare)
    exponent = exact.as_tuple().exponent
    if not isinstance(exponent, int) or not math.isfinite(float(exact)):
        raise ValueError(f"{text!r} is not a decimal number of a size that can be computed with")
    return Printed(bare, exact, Decimal(5).scaleb(exponent - 1))


# A number of the claims file; YAML must not have read it before, or "1.90" would have lost a decimal.
PrintedNumber = Annotated[Printed, BeforeValidator(printed)]


def compare_value(span: Span, claimed: Printed, tolerance: Decimal | None = None) -> Verdict:
    """Whether the number rounds to the claimed one: at the printed numbers, only at others of the box, or nowhere.

    A derived number is seldom printed with fewer digits than its parts, so that a box almost never lies within the claim's
    own rounding as a whole: 50.6 - 41.3 is 9.3 as printed and anything from 9.2 to 9.4 over the box. A claimed value is
    therefore reproduced when the printed numbers give it, undecidable when they do not but others that round to them do,
    and not reproduced when none does. Where only the range is known, all of it must round to the claim.

    Args:
        span: The number over the box.
        claimed: The claimed number.
        tolerance: Largest distance that still counts as equal, in the unit of the number; None for half a unit of the
            last digit of the claim.
    """
    band = claimed.within(claimed.half_unit if tolerance is None else tolerance)
    slack = TIE * (band.hi - band.lo)
    low, high = (span.lo, span.hi) if math.isnan(span.at) else (span.at, span.at)
    if band.lo - slack <= low and high <= band.hi + slack:
        return Verdict.REPRODUCED
    if span.lo > band.hi + slack or span.hi < band.lo - slack:
        return Verdict.NOT_REPRODUCED
    return Verdict.UNDECIDABLE


def compare_level(p: Span, alpha: float, expected: bool = True) -> Verdict:
    """Whether a p-value is at most `alpha` (or is not, when `expected` is false): over the whole box, nowhere, or in part."""
    verdict = Verdict.UNDECIDABLE
    if p.hi <= alpha:
        verdict = Verdict.REPRODUCED
    elif p.lo > alpha:
        verdict = Verdict.NOT_REPRODUCED
    return verdict if expected else verdict.negated()


def nearness(p: float, alpha: float) -> float:
    """How far a p-value is from the threshold, on the scale of its logarithm; 0 when it is unknown."""
    if math.isnan(p):
        return 0.0
    return abs(math.log(p / alpha)) if p > 0 else math.inf
