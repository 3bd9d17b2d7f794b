"""Lines of a simulated table: a regime with a known truth, the rate that is counted in it, and the range that the rate must be in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truing.core.seeds import stream

ALPHA = 0.05
# Repetitions of what has a closed form, and of what resamples.
CLOSED = 6000
RESAMPLED = 2500
# Functions whose single repetition resamples.
RESAMPLING = {"two_way", "two_way_rates", "paired_two_way", "clustered_drawn", "runs_within_tasks", "improvement"}
Floats = NDArray[np.float64]
Simulation = Callable[[np.random.Generator, int], Floats]


@dataclass(frozen=True)
class Target:
    """The range that a rate has to be in, beyond which `slack` Monte-Carlo standard errors are allowed."""

    lo: float
    hi: float
    slack: float

    def holds(self, rate: float, se: float, slack: float = 0.0) -> bool:
        """Whether the rate is in the range, give or take `slack` standard errors more than usual."""
        room = (self.slack + slack) * se
        return self.lo - room <= rate <= self.hi + room


# "93 to 97 %" leaves room for the Monte-Carlo error as it is; a one-sided bound does not.
NOMINAL = Target(0.93, 0.97, 0.0)
AT_LEAST = Target(0.95, 1.0, 3.0)
AT_MOST = Target(0.0, ALPHA, 3.0)


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        name: The function.
        regime: What the data are.
        simulate: One number per repetition, whose mean is the rate: covered, or a true hypothesis rejected.
        target: What the rate has to be.
        repetitions: How many at full length.
        limit: What to use instead, where the rate is known to be off; None when it has to hold.
    """

    name: str
    regime: str
    simulate: Simulation
    target: Target = NOMINAL
    repetitions: int = CLOSED
    limit: str | None = None


@dataclass(frozen=True)
class Row:
    """A case with its measured rate and the Monte-Carlo standard error of the rate."""

    case: Case
    rate: float
    se: float
    seconds: float

    def holds(self, slack: float = 0.0) -> bool:
        """Whether the rate is within the target."""
        return self.case.target.holds(self.rate, self.se, slack)


def covers(found: Any, truth: float) -> bool:
    """Whether the interval holds the truth; an absent one does not."""
    return found.lo is not None and bool(found.lo <= truth <= found.hi)


def repeated(one: Callable[[np.random.Generator], float], rng: np.random.Generator, repetitions: int) -> Floats:
    """The outcome of each repetition."""
    return np.array([one(rng) for _ in range(repetitions)], dtype=np.float64)


def case(name: str, regime: str, one: Callable[..., float], *given: Any, target: Target = NOMINAL, limit: str | None = None) -> Case:
    """A case from the outcome of a single repetition: `one` with the generator as its last argument."""
    repetitions = RESAMPLED if one.__name__ in RESAMPLING else CLOSED
    return Case(name, regime, partial(repeated, partial(one, *given)), target, repetitions, limit)


def run(one: Case, share: float = 1.0, root_seed: int = 0) -> Row:
    """Simulate a case with a share of its repetitions."""
    started = time.perf_counter()
    repetitions = max(2, round(one.repetitions * share))
    outcomes = one.simulate(stream(root_seed, "coverage", one.name, one.regime), repetitions)
    rate = float(outcomes.mean())
    # A rate of exactly 0 or 1 has an error too: that of one outcome more.
    se = float(outcomes.std(ddof=1)) / math.sqrt(repetitions) or 1 / repetitions
    return Row(one, rate, se, time.perf_counter() - started)


def table(title: str, cases: Sequence[Case], share: float, root_seed: int) -> list[Row]:
    """Run and print the cases."""
    print(f"\n{title}\n{'':30s}{'regime':30s}{'rate':>8s}{'MC se':>7s}{'target':>16s}  ")
    rows = []
    for one in cases:
        row = run(one, share, root_seed)
        target = f"{100 * one.target.lo:g} to {100 * one.target.hi:g} %"
        verdict = f"limit: {one.limit}" if one.limit else "ok" if row.holds() else "DOES NOT HOLD"
        print(f"{one.name:30s}{one.regime:30s}{100 * row.rate:7.1f}%{100 * row.se:6.2f}%{target:>16s}  {verdict}", flush=True)
        rows.append(row)
    return rows
