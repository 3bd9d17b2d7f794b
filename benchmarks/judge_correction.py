"""Whether a rate corrected for its judge's errors is covered by its interval, and what the correction saves.

    python benchmarks/judge_correction.py                       # under two minutes on one core
    python benchmarks/judge_correction.py --share 0.1           # quick, with a larger Monte-Carlo error

2,000 answers in two arms that truly differ by 0.20, all scored by a judge, 200 of them, drawn at random, labelled by
people. The judge's errors depend on the arm. "one arm": it misses positives in arm a, where its accuracy is the one in the
table, and makes no error in b. "both arms": it has that accuracy in both, missing positives in a and raising false alarms
in b. Every line is one estimator of the difference `a - b`. What has to hold at 90 %: the naive interval covers almost
never, dsl and ppi++ cover at 93 to 97 %, with about half the error of the labels alone where one arm is misjudged, and the
number of labels planned from a pilot reaches the standard error that was asked for. Exit code 1 if it does not.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from truing.core.seeds import stream
from truing.stats.dsl import dsl
from truing.stats.judged import Corrected, Judged, gold_only, judged, naive
from truing.stats.label_plan import labels_needed
from truing.stats.misclassification import rogan_gladen_judged
from truing.stats.ppi import ppi

ITEMS = 2000
LABELS = 200
RATES = {"a": 0.5, "b": 0.3}
TRUTH = RATES["a"] - RATES["b"]
ARMS = ("a", "b")
ONE_ARM, BOTH_ARMS = "one arm", "both arms"
CASES = ((ONE_ARM, 0.80), (ONE_ARM, 0.90), (ONE_ARM, 0.95), (BOTH_ARMS, 0.90))
REQUIRED = 0.90
REPETITIONS = 1500
# Repetitions at an accuracy that is shown and not required.
SHOWN = 500
PILOTS = 40
TARGET_SE = 0.025
ARM = np.repeat(ARMS, ITEMS // 2)
ARM_NAMES = ARM.tolist()

# What has to hold at the required accuracy.
COVERAGE = (0.93, 0.97)
NAIVE_MOST = 0.05
# Error over that of the labels alone: the labels of two misjudged arms have more left to tell.
RMSE_RATIO = {ONE_ARM: (0.4, 0.6), BOTH_ARMS: (0.5, 0.75)}
PLANNED_RATIO = (0.9, 1.1)

Estimator = Callable[[Judged, np.random.Generator], Corrected]


def by_dsl(data: Judged, rng: np.random.Generator) -> Corrected:
    """Cell means, five folds, ten splits."""
    return dsl(data, rng=rng, difference=ARMS)


ESTIMATORS: dict[str, Estimator] = {
    "naive": lambda data, _: naive(data, difference=ARMS),
    "gold_only": lambda data, _: gold_only(data, difference=ARMS),
    "ppi++": lambda data, _: ppi(data, difference=ARMS),
    "dsl": by_dsl,
    "rogan_gladen": lambda data, _: rogan_gladen_judged(data, difference=ARMS),
}


@dataclass(frozen=True)
class Row:
    """One estimator in one regime: over `repetitions` the coverage, the bias and the root mean squared error."""

    name: str
    regime: str
    accuracy: float
    repetitions: int
    coverage: float
    bias: float
    rmse: float

    @property
    def se(self) -> float:
        """Monte-Carlo standard error of the coverage; of none or all, that of one more."""
        return math.sqrt(self.coverage * (1 - self.coverage) / self.repetitions) or 1 / self.repetitions


@dataclass(frozen=True)
class Check:
    """Something that has to hold: a figure within a range, give or take `room` for the Monte-Carlo error."""

    name: str
    figure: float
    lo: float
    hi: float
    room: float = 0.0

    def holds(self, slack: float = 0.0) -> bool:
        """Whether the figure is in the range, give or take `slack` rooms."""
        return self.lo - slack * self.room <= self.figure <= self.hi + slack * self.room


def draw(regime: str, accuracy: float, labels: int, rng: np.random.Generator) -> Judged:
    """Judged items, `labels` of them with a gold label."""
    truth = rng.random(ITEMS) < np.where(ARM == "a", RATES["a"], RATES["b"])
    slip = rng.random(ITEMS)
    missed = (ARM == "a") & truth & (slip < (1 - accuracy) / RATES["a"])
    alarmed = (regime == BOTH_ARMS) & (ARM == "b") & ~truth & (slip < (1 - accuracy) / (1 - RATES["b"]))
    gold = np.full(ITEMS, np.nan)
    drawn = rng.choice(ITEMS, labels, replace=False)
    gold[drawn] = truth[drawn]
    return judged((truth & ~missed) | alarmed, gold, np.full(ITEMS, labels / ITEMS), arm=ARM_NAMES)


def simulate(regime: str, accuracy: float, repetitions: int, root_seed: int) -> list[Row]:
    """Every estimator on the same data, as many times."""
    rng = stream(root_seed, "judge correction", regime, accuracy)
    values: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    covered = dict.fromkeys(ESTIMATORS, 0)
    for _ in range(repetitions):
        data = draw(regime, accuracy, LABELS, rng)
        for name, estimate in ESTIMATORS.items():
            found = estimate(data, rng)
            # An absent interval is one that misses.
            covered[name] += found.lo is not None and found.hi is not None and found.lo <= TRUTH <= found.hi
            values[name].append(math.nan if found.value is None else found.value)
    return [_row(name, regime, accuracy, values[name], covered[name]) for name in ESTIMATORS]


def _row(name: str, regime: str, accuracy: float, values: Sequence[float], covered: int) -> Row:
    errors = np.array(values) - TRUTH
    bias, rmse = float(np.nanmean(errors)), math.sqrt(float(np.nanmean(errors**2)))
    return Row(name, regime, accuracy, len(values), covered / len(values), bias, rmse)


def planned(repetitions: int, pilots: int, root_seed: int) -> tuple[float, float]:
    """The median number of labels that pilots ask for, and the spread of dsl with so many over the spread that was wanted."""
    rng = stream(root_seed, "label plan")
    asked = [labels_needed(draw(ONE_ARM, REQUIRED, LABELS, rng), TARGET_SE, rng=rng, difference=ARMS).needed for _ in range(pilots)]
    needed = float(np.median([math.nan if one is None else one for one in asked]))
    if math.isnan(needed):
        return needed, math.nan
    values = [by_dsl(draw(ONE_ARM, REQUIRED, round(needed), rng), rng).value for _ in range(repetitions)]
    return needed, float(np.std([math.nan if one is None else one for one in values], ddof=1)) / TARGET_SE


def checks(rows: Sequence[Row], plan_ratio: float, plan_repetitions: int) -> list[Check]:
    """What has to hold at the required accuracy."""
    found = []
    for regime, ratio in RMSE_RATIO.items():
        at = {row.name: row for row in rows if (row.regime, row.accuracy) == (regime, REQUIRED)}
        found.append(Check(f"{regime}: naive covers almost never", at["naive"].coverage, 0.0, NAIVE_MOST, at["naive"].se))
        for name in ("dsl", "ppi++"):
            found.append(Check(f"{regime}: {name} covers", at[name].coverage, *COVERAGE, at[name].se))
            room = 1 / math.sqrt(at[name].repetitions)
            found.append(Check(f"{regime}: {name}, error over gold_only", at[name].rmse / at["gold_only"].rmse, *ratio, room))
    # The relative error of a standard deviation is 1 / sqrt(2 n).
    found.append(Check("spread at the planned labels over target", plan_ratio, *PLANNED_RATIO, 1 / math.sqrt(2 * plan_repetitions)))
    return found


def run(share: float = 1.0, root_seed: int = 0) -> tuple[list[Row], float, list[Check]]:
    """Simulate with a share of the repetitions: the rows, the labels planned, and what has to hold."""
    sizes = [max(20, round(share * (REPETITIONS if accuracy == REQUIRED else SHOWN))) for _, accuracy in CASES]
    rows = [row for case, size in zip(CASES, sizes, strict=True) for row in simulate(*case, size, root_seed)]
    repetitions = max(20, round(share * SHOWN))
    needed, ratio = planned(repetitions, max(5, round(share * PILOTS)), root_seed)
    return rows, needed, checks(rows, ratio, repetitions)


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    columns = f"{'coverage':>10s}{'MC se':>8s}{'bias':>9s}{'RMSE':>8s}{'/ gold':>8s}"
    print(f"{'judge errs in':14s}{'right':8s}{'estimator':16s}{'runs':>6s}{columns}")
    gold = {(row.regime, row.accuracy): row.rmse for row in rows if row.name == "gold_only"}
    for row in rows:
        ratio = row.rmse / gold[row.regime, row.accuracy]
        print(
            f"{row.regime:14s}{100 * row.accuracy:3.0f} %   {row.name:16s}{row.repetitions:6d}"
            f"{100 * row.coverage:9.1f}%{100 * row.se:7.2f}%{row.bias:+9.4f}{row.rmse:8.4f}{ratio:8.2f}"
        )


def main() -> int:
    """Parse the command line, print the tables; 1 if something that has to hold does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="share of the repetitions to run")
    parser.add_argument("--seed", type=int, default=0, help="root seed of the simulations")
    given = parser.parse_args()
    started = time.perf_counter()
    print(f"difference a - b of {TRUTH:.2f}, {ITEMS} items, {LABELS} gold labels, nominal level 95 %\n")
    rows, needed, found = run(given.share, given.seed)
    show(rows)
    print(f"\nfor a standard error of {TARGET_SE} pilots of {LABELS} labels ask for {needed:.0f}\n")
    for one in found:
        print(f"{one.name:44s}{one.figure:8.3f}  in {one.lo:g} to {one.hi:g}  {'ok' if one.holds() else 'DOES NOT HOLD'}")
    failed = [one for one in found if not one.holds()]
    print(f"\n{len(found)} checks, {len(failed)} do not hold, {time.perf_counter() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
