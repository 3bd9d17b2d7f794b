"""Numbers of a result file with the digits they were printed with, and the places they stand at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from truing.core.errors import Exit, TruingError

# Summation in another order changes the last bits; a disagreement of two results is larger.
RELATIVE = Decimal("1e-9")
ABSOLUTE = Decimal("1e-12")
_ABSENT = frozenset({"", "nan", "null", "none", "na", "n/a"})


def number(value: Any, where: str, *, texts: bool = False) -> Decimal | None:
    """The exact number of a cell; None for null, NaN and an empty cell.

    Args:
        value: What a parser gave: int, Decimal, float, None; a text where `texts` allows it.
        where: File and place, for the message.
        texts: Whether texts that spell a number, and true and false, are numbers, as in a table of text cells.

    Raises:
        TruingError: for an infinity and for what is no number.
    """
    found: Decimal | None
    if type(value) is Decimal:
        found = value
    elif value is None:
        return None
    elif isinstance(value, (int, float)) and (texts or not isinstance(value, bool)):
        found = Decimal(repr(value)) if isinstance(value, float) else Decimal(int(value))
    elif isinstance(value, str) and value.strip().lower() in _ABSENT:
        return None
    else:
        found = spelled(value) if texts else None
        if found is None:
            raise TruingError(f"{where}: {value!r:.80}", "a number, or null where there is none", "mend the value", Exit.REFUSED)
    if found.is_nan():
        return None
    if found.is_infinite():
        raise TruingError(f"{where}: {value}", "a finite number, or null where there is none", "mend the value", Exit.REFUSED)
    return found


def spelled(value: Any) -> Decimal | None:
    """The number that a text spells; None where it spells none."""
    if not isinstance(value, str):
        return None
    word = value.strip()
    if word.lower() in ("true", "false"):
        return Decimal(word.lower() == "true")
    try:
        return None if "_" in word else Decimal(word)
    except InvalidOperation:
        return None


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; true and false are not."""
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def decimals_of(values: Iterable[Decimal | None]) -> int:
    """The most digits after the point that any of the numbers was printed with.

    One number understates its precision, since a printed 0.5 may be 0.50 without its zero; its column does not.
    """
    exponents = (value.as_tuple().exponent for value in values if value is not None)
    return max((-exponent for exponent in exponents if isinstance(exponent, int) and exponent < 0), default=0)


def half_unit(decimals: int) -> Decimal:
    """The largest error of rounding to so many digits after the point."""
    return Decimal((0, (5,), -decimals - 1))


def agree(a: Decimal, b: Decimal, slack: Decimal) -> bool:
    """Whether two numbers are equal up to `slack` and to the last bits of a double."""
    return abs(a - b) <= slack + max(abs(a), abs(b)) * RELATIVE + ABSOLUTE


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar of nested objects with its dotted path; lists are raw data and are not entered."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif not isinstance(value, list):
        yield path, value


def lookup(value: Any, path: str) -> Any:
    """What stands at a dotted path, with keys that may hold dots themselves; None when nothing does."""
    if not isinstance(value, Mapping):
        return None
    if path in value:
        return value[path]
    for key, inner in value.items():
        if path.startswith(f"{key}.") and (found := lookup(inner, path[len(key) + 1 :])) is not None:
            return found
    return None


def plain(value: Any) -> Any:
    """A JSON value with its numbers as int and float."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and decimals_of([value]) == 0 else float(value)
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value
