"""Comparing many conditions: the functions of `truing.stats` against the plain loop of scipy and statsmodels.

    python benchmarks/statistics.py                  # half a minute
    python benchmarks/statistics.py --questions 20   # quick

The inference of 50 conditions x 10 seeds x 3 metrics: a question x seed bootstrap of 10,000 draws and Student's
interval of every condition, the paired t test of every condition against one control, and Holm over all of them.
scipy.stats.bootstrap resamples one axis, so the plain way to resample two is a loop with np.ix_. Each side runs in a
process of its own on one core. The run fails unless both agree (exactly in means, t intervals and adjusted p, within
the Monte-Carlo error in the ends of the bootstrap), and unless ours takes less than five seconds.
"""

from __future__ import annotations

if __name__ == "statistics":
    # A script of this folder finds this file where a library asks for the standard library's module: hand that one over.
    import importlib.util
    import sys as _sys
    import sysconfig

    _spec = importlib.util.spec_from_file_location("statistics", f"{sysconfig.get_path('stdlib')}/statistics.py")
    _sys.modules["statistics"] = importlib.util.module_from_spec(_spec)  # type: ignore[arg-type]
    _spec.loader.exec_module(_sys.modules["statistics"])  # type: ignore[union-attr]

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truing.core.seeds import stream

CONDITIONS, SEEDS, METRICS = 50, 10, 3
QUESTIONS = 100
DRAWS = 10_000
SECONDS = 5.0
PARTS = ("bootstrap", "intervals", "tests")
Floats = NDArray[np.float64]
Inference = dict[str, Any]


def study(questions: int, root_seed: int) -> Floats:
    """[condition, metric, question, seed]: rates with spread between questions and seeds that conditions share."""
    rng = stream(root_seed, "benchmark", "comparing")
    shared = rng.normal(0, 0.15, (1, METRICS, questions, 1)) + rng.normal(0, 0.05, (1, METRICS, 1, SEEDS))
    own = 0.02 * rng.normal(size=(CONDITIONS, METRICS, 1, 1)) + rng.normal(0, 0.02, (CONDITIONS, METRICS, 1, SEEDS))
    scores: Floats = 0.5 + shared + own + rng.normal(0, 0.1, (CONDITIONS, METRICS, questions, SEEDS))
    return scores


def timed(parts: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    """What the work returns, with its seconds added to a part."""
    started = time.perf_counter()
    found = work()
    parts[name] = parts.get(name, 0.0) + time.perf_counter() - started
    return found


def ours(scores: Floats) -> Inference:
    """The functions of `truing.stats`."""
    from truing.stats.bootstrap import two_way_bootstrap
    from truing.stats.corrections import holm
    from truing.stats.hypotheses import paired_t
    from truing.stats.intervals import t_interval

    rng = stream(0, "benchmark", "comparing", "draws")
    parts: dict[str, float] = {}
    tables = scores.reshape(-1, *scores.shape[2:])
    runs = [dict(enumerate(table.mean(axis=0).tolist())) for table in tables]
    drawn = timed(parts, "bootstrap", lambda: [two_way_bootstrap(table, rng=rng, draws=DRAWS) for table in tables])
    intervals = timed(parts, "intervals", lambda: [t_interval(values.values()) for values in runs])
    tests = timed(parts, "tests", lambda: holm([paired_t(runs[i], runs[i % METRICS]).p_value for i in range(METRICS, len(runs))]))
    ends = [(one.lo, one.hi) for one in drawn]
    return {"parts": parts, "ends": ends, "t": [(one.value, one.lo, one.hi) for one in intervals], "holm": tests}


def plain_bootstrap(table: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """Both axes drawn with replacement, one draw after the other."""
    questions, seeds = table.shape
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        means[draw] = table[np.ix_(rng.integers(0, questions, questions), rng.integers(0, seeds, seeds))].mean()
    lo, hi = np.percentile(means, [2.5, 97.5])
    return float(lo), float(hi)


def plain(scores: Floats) -> Inference:
    """scipy, statsmodels and a loop."""
    from scipy import stats
    from statsmodels.stats.multitest import multipletests

    rng = stream(0, "benchmark", "comparing", "plain draws")
    parts: dict[str, float] = {}
    tables = scores.reshape(-1, *scores.shape[2:])
    runs = [table.mean(axis=0) for table in tables]

    def interval(values: Floats) -> tuple[float, float, float]:
        lo, hi = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
        return float(values.mean()), float(lo), float(hi)

    def tests() -> list[float]:
        p = [stats.ttest_rel(runs[i], runs[i % METRICS]).pvalue for i in range(METRICS, len(runs))]
        return [float(value) for value in multipletests(p, method="holm")[1]]

    ends = timed(parts, "bootstrap", lambda: [plain_bootstrap(table, rng) for table in tables])
    intervals = timed(parts, "intervals", lambda: [interval(values) for values in runs])
    return {"ends": ends, "t": intervals, "holm": timed(parts, "tests", tests), "parts": parts}


def one_axis(scores: Floats) -> Inference:
    """scipy.stats.bootstrap over seeds alone: the nearest that one call does, which leaves out the questions."""
    from scipy import stats

    rng = stream(0, "benchmark", "comparing", "scipy draws")
    parts: dict[str, float] = {}
    runs = [table.mean(axis=0) for table in scores.reshape(-1, *scores.shape[2:])]

    def work() -> None:
        for values in runs:
            stats.bootstrap((values,), np.mean, n_resamples=DRAWS, method="percentile", rng=rng)

    timed(parts, "bootstrap", work)
    return {"parts": parts}


SIDES = {"truing": ours, "plain": plain, "scipy, seeds only": one_axis}


def measured(side: str, questions: int, root_seed: int) -> Inference:
    """One side in a fresh process on one core."""
    command = [sys.executable, __file__, "--side", side, "--questions", str(questions), "--seed", str(root_seed)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    result: Inference = json.loads(done.stdout)
    return result


def agree(mine: Inference, other: Inference) -> tuple[bool, float]:
    """Whether closed forms are equal, and the largest distance of bootstrap ends in shares of the interval's width."""
    exact = np.allclose(mine["t"], other["t"], rtol=1e-9, atol=0) and np.allclose(mine["holm"], other["holm"], rtol=1e-6, atol=1e-12)
    a, b = np.array(mine["ends"]), np.array(other["ends"])
    return exact, float((np.abs(a - b).max(axis=1) / (b[:, 1] - b[:, 0])).max())


def inference(questions: int, root_seed: int) -> bool:
    """Time, print and check the inference of a whole study."""
    print(f"inference of {CONDITIONS} conditions x {SEEDS} seeds x {METRICS} metrics, {questions} questions, {DRAWS:,d} draws, one core")
    print(f"{'seconds':20s}" + "".join(f"{part:>12s}" for part in PARTS) + f"{'all':>12s}")
    found = {side: measured(side, questions, root_seed) for side in SIDES}
    totals = {side: math.fsum(result["parts"].values()) for side, result in found.items()}
    for side, result in found.items():
        cells = "".join(f"{result['parts'][part]:12.3f}" if part in result["parts"] else f"{'':12s}" for part in PARTS)
        print(f"{side:20s}{cells}{totals[side]:12.3f}")
    exact, distance = agree(found["truing"], found["plain"])
    alone = found["plain"]["parts"]["bootstrap"] / found["truing"]["parts"]["bootstrap"]
    print(f"ratio: {totals['plain'] / totals['truing']:.1f}x; bootstrap alone {alone:.1f}x")
    # The ends of 10,000 draws have a standard error of about 0.7 % of the width; this is the largest difference of 300 pairs.
    close = distance < 0.06
    print(f"closed forms equal: {exact}; bootstrap ends differ by at most {100 * distance:.1f} % of the width: {close}")
    fast = totals["truing"] < SECONDS
    print(f"truing under {SECONDS:g} s: {fast}")
    return exact and close and fast


# One function for each thing that is measured: it prints its part and says whether its checks hold.
MEASUREMENTS: dict[str, Callable[[int, int], bool]] = {"inference": inference}


def main() -> int:
    """Parse the command line and run every measurement; 1 if a check fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="questions in the study")
    parser.add_argument("--seed", type=int, default=0, help="root seed of the generated study")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side is None:
        # A list, so that a failed check does not keep the next measurement from being printed.
        held = [measure(given.questions, given.seed) for measure in MEASUREMENTS.values()]
        return 0 if all(held) else 1
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    SIDES[given.side](study(2, given.seed)[:2])  # what is imported or compiled on first use is not timed
    print(json.dumps(SIDES[given.side](study(given.questions, given.seed))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
