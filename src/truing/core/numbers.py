"""How a number is written: as many digits as its interval supports, a real minus sign, and words where there is none."""

from __future__ import annotations

import math

MINUS = "\u2212"
MISSING = "missing"
ONE_SEED = "n = 1, no interval"
NO_SPREAD = "no spread over seeds, no interval"
_VALUE_DIGITS = 3
_MOST_DIGITS = 6


def fixed(value: float, digits: int = _VALUE_DIGITS, *, signed: bool = False) -> str:
    """A number with that many decimals; `signed` writes a plus before positive ones. Never "-0.000"."""
    rounded = round(value, digits) + 0.0
    text = f"{abs(rounded):,.{digits}f}"
    if rounded < 0:
        return MINUS + text
    return f"+{text}" if signed and rounded > 0 else text


def interval(lo: float, hi: float, *, signed: bool = False) -> str:
    """An interval, with enough decimals that its ends differ in more than the last one."""
    digits = interval_digits(lo, hi)
    return f"[{fixed(lo, digits, signed=signed)}, {fixed(hi, digits, signed=signed)}]"


def interval_digits(lo: float, hi: float) -> int:
    """Decimals for the ends of an interval: two, and more where its half width is below 0.01."""
    half = (hi - lo) / 2
    return 2 if half <= 0 else max(2, min(_MOST_DIGITS, math.ceil(-math.log10(half))))


def estimate(value: float | None, lo: float | None, hi: float | None, *, signed: bool = False) -> str:
    """A value with its interval, as "0.548 [0.47, 0.63]"; the value alone where there is no interval."""
    if value is None:
        return MISSING
    if lo is None or hi is None:
        return fixed(value, signed=signed)
    digits = max(_VALUE_DIGITS, interval_digits(lo, hi))
    return f"{fixed(value, digits, signed=signed)} {interval(lo, hi, signed=False)}"


def compact(value: float | None) -> str:
    """Two decimals, for a cell of a figure."""
    return MISSING if value is None else fixed(value, 2)


def count(value: int) -> str:
    """A whole number with its thousands set apart."""
    return f"{value:,}".replace("-", MINUS)


def percent(share: float) -> str:
    """A share as a whole percentage, with one decimal below ten."""
    return f"{fixed(100 * share, 0 if share >= 0.1 or share == 0 else 1)} %"


def level(share: float) -> str:
    """A level of a test or an interval, in as few digits as it has: "5 %", "0.5 %"."""
    return f"{100 * share:g} %"


def p_value(p: float | None) -> str:
    """A p-value with two significant digits, not below 0.001."""
    if p is None:
        return "no test"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {fixed(p, 3 if p < 0.1 else 2)}"


def seeds(n: int, missing: int = 0) -> str:
    """How many seeds a value stands on: "n = 3", "n = 2 of 3, 1 missing"."""
    return f"n = {n} of {n + missing}, {missing} missing" if missing else f"n = {n}"
