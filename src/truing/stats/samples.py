"""What every test is handed: the values that are known, how many are not, and pairs by key.

Missing is None or NaN. It is left out and counted, never read as zero; an infinity is a mistake of
the metric and refused.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truing.core.errors import TruingError, some

Floats = NDArray[np.float64]
Values = Iterable[float | None]
Keyed = Mapping[int, float | None]


@dataclass(frozen=True)
class Sample:
    """The known values of one condition, and the number of the missing ones."""

    values: Floats
    n_missing: int

    @property
    def n(self) -> int:
        """How many values are known."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Their mean; None of nothing."""
        return float(self.values.mean()) if self.n else None

    @property
    def sd(self) -> float | None:
        """Standard deviation with n - 1; None of fewer than two, and 0 where all are equal up to rounding."""
        if self.n < 2:
            return None
        return 0.0 if constant(self.values) else float(self.values.std(ddof=1))


@dataclass(frozen=True)
class Pairs:
    """Complete pairs of two conditions, in the order of their keys."""

    a: Floats
    b: Floats
    n_missing: int

    @property
    def differences(self) -> Sample:
        """`a - b`, pair by pair."""
        return Sample(self.a - self.b, self.n_missing)


def sample(values: Values | Keyed) -> Sample:
    """Split the known values from the missing ones.

    Raises:
        TruingError: a value is infinite.
    """
    raw = list(values.values() if isinstance(values, Mapping) else values)
    known = [float(value) for value in raw if not _missing(value)]
    return Sample(_finite(known), len(raw) - len(known))


def pairs(a: Values | Keyed, b: Values | Keyed) -> Pairs:
    """Pair two conditions: by key when both are mappings, by position when neither is.

    A key that only one has, or whose value is missing in either, is left out and counted.

    Raises:
        TruingError: one is a mapping and the other is not, the lengths differ, or a value is infinite.
    """
    both = list(zip(*_aligned(a, b), strict=True))
    known = [(x, y) for x, y in both if not _missing(x) and not _missing(y)]
    return Pairs(_finite(x for x, _ in known), _finite(y for _, y in known), len(both) - len(known))


def constant(values: Floats) -> bool:
    """Whether all values are equal up to rounding; of nothing, True.

    Differences of equal decimals differ in the last bits; that is rounding, not a spread.
    """
    if not values.size:
        return True
    return bool(np.ptp(values) <= 16 * np.finfo(np.float64).eps * max(1.0, float(np.abs(values).max())))


def check_fraction(value: float, what: str) -> None:
    """Refuse a level, an alpha or a power that is not between 0 and 1."""
    if not 0 < value < 1:
        raise TruingError(f"{what} of {value}", f"{what} between 0 and 1", "write 0.95 for 95 %")


def check_draws(draws: int) -> None:
    """Refuse a number of draws below one."""
    if draws < 1:
        raise TruingError(f"{draws} draws", "at least one draw", "ask for 10000")


def _aligned(a: Values | Keyed, b: Values | Keyed) -> tuple[list[float | None], list[float | None]]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys: list[Hashable] = sorted(a.keys() | b.keys())
        return [a.get(key) for key in keys], [b.get(key) for key in keys]  # type: ignore[call-overload]
    if isinstance(a, Mapping) or isinstance(b, Mapping):
        raise TruingError("a mapping paired with a plain list", "two mappings by key, or two lists", "give both by seed")
    first, second = list(a), list(b)
    if len(first) != len(second):
        raise TruingError(
            f"pairs by position of {len(first)} and {len(second)} values", "equally many on both sides", "give both as mappings by seed"
        )
    return first, second


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _finite(values: Iterable[float | None]) -> Floats:
    known = np.array(list(values), dtype=np.float64)
    if not np.isfinite(known).all():
        raise TruingError(f"values with an infinity: {some(known.tolist())}", "finite values", "mend the metric that produced them")
    return known
