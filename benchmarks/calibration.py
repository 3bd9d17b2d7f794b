"""Whether the intervals of `truing.stats` cover, and whether its corrections keep the family-wise error.

    python benchmarks/calibration.py                       # under three minutes on one core
    python benchmarks/calibration.py --share 0.1           # quick, with a larger Monte-Carlo error

Every line simulates data with a known truth in the regime that it names and counts how often the nominal 95 %
interval holds that truth, or how often a correction at 5 % rejects a true hypothesis. An interval that is absent
counts as one that misses. Lines marked "limit" are regimes where an interval is known not to reach its level: they
are shown with what to use there, and are not required to hold. Exit code 1 if a required line does not.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from truing.core.seeds import stream
from truing.stats.bootstrap import (
    bootstrap_probability_of_improvement,
    cluster_bootstrap,
    iqm,
    paired_two_way_bootstrap,
    stratified_bootstrap_iqm,
    two_way_bootstrap,
)
from truing.stats.corrections import adjust, dunnett, max_t
from truing.stats.effects import cliffs_delta, cohen_d, hedges_factor, hedges_g
from truing.stats.factorial import interaction
from truing.stats.hypotheses import corrected_resampled_t, paired_t, prediction_t, welch
from truing.stats.intervals import clopper_pearson_interval, paired_t_interval, t_interval, wilson_interval, zero_event_bound
from truing.stats.variance import clustered_interval, clustered_se, crossed_interval

# A script finds its own folder and not the project's, from which tests import it too.
sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.simulation import ALPHA, AT_LEAST, AT_MOST, Case, case, covers, table

DRAWS = 1000
Z = 1.959963984540054
Floats = NDArray[np.float64]


def by_seed(values: Floats) -> dict[int, float | None]:
    """Values as a mapping from seed."""
    return dict(enumerate(values.tolist()))


# One dataset each: means over seeds


def t_over_seeds(n: int, skewed: bool, rng: np.random.Generator) -> bool:
    """The mean of `n` seeds, normal or lognormal."""
    values = rng.lognormal(0.0, 1.0, n) if skewed else rng.normal(0.4, 0.1, n)
    return covers(t_interval(values.tolist()), math.exp(0.5) if skewed else 0.4)


def paired_over_seeds(n: int, rng: np.random.Generator) -> bool:
    """A difference of 0.05 under a large spread that both conditions share."""
    shared = rng.normal(0.0, 1.0, n)
    a, b = shared + rng.normal(0.05, 0.1, n), shared + rng.normal(0.0, 0.2, n)
    return covers(paired_t_interval(by_seed(a), by_seed(b)), 0.05)


def welch_difference(n_a: int, n_b: int, sd_b: float, rng: np.random.Generator) -> bool:
    """Independent groups of unequal size and spread."""
    return covers(welch(rng.normal(0.3, 1.0, n_a).tolist(), rng.normal(0.0, sd_b, n_b).tolist()), 0.3)


def one_more_seed(n: int, rng: np.random.Generator) -> bool:
    """Whether the interval around a new seed less the mean of the old ones holds zero."""
    return covers(prediction_t(float(rng.normal()), rng.normal(size=n).tolist()), 0.0)


def resampled_train_sets(share: float, rng: np.random.Generator) -> bool:
    """15 differences of random splits that correlate as n_test / (n_test + n_train)."""
    rho = share / (1 + share)
    values = math.sqrt(rho) * rng.normal() + math.sqrt(1 - rho) * rng.normal(size=15)
    return covers(corrected_resampled_t(values.tolist(), share), 0.0)


# Proportions


def wilson(n: int, p: float | None, rng: np.random.Generator) -> bool:
    """`n` answers at rate `p`, or at a rate drawn from 5 to 95 %."""
    rate = rng.uniform(0.05, 0.95) if p is None else p
    return covers(wilson_interval(int(rng.binomial(n, rate)), n), rate)


def clopper_pearson(n: int, p: float, rng: np.random.Generator) -> bool:
    """`n` answers at rate `p`."""
    return covers(clopper_pearson_interval(int(rng.binomial(n, p)), n), p)


def no_event(n: int, rng: np.random.Generator) -> bool:
    """No false claim: the bound is stated only when nothing was seen, at the rate where it is hardest to keep."""
    bound = zero_event_bound(n).hi or 0.0
    rate = bound * (1 + 1e-9)
    return not (rng.binomial(n, rate) == 0 and rate > bound)


# Questions and seeds


def crossed(questions: int, seeds: int, sds: tuple[float, float, float], rng: np.random.Generator) -> Floats:
    """[questions, seeds] of mean zero: sd of questions, of seeds, and of cells."""
    q, s, e = sds
    cells: Floats = rng.normal(0, q, (questions, 1)) + rng.normal(0, s, (1, seeds)) + rng.normal(0, e, (questions, seeds))
    return cells


def two_way(method: str, questions: int, seeds: int, sds: tuple[float, float, float], rng: np.random.Generator) -> bool:
    """Questions and seeds both drawn anew."""
    return covers(two_way_bootstrap(crossed(questions, seeds, sds, rng), rng=rng, draws=DRAWS, method=method), 0.0)


def two_way_rates(method: str, questions: int, seeds: int, samples: int, rng: np.random.Generator) -> bool:
    """Answers of 0 and 1 at a rate that is Beta(1, 3) over questions: skewed, with a mean of one quarter."""
    cells = rng.binomial(samples, rng.beta(1, 3, (questions, 1)), (questions, seeds)) / samples
    return covers(two_way_bootstrap(cells, rng=rng, draws=DRAWS, method=method), 0.25)


def paired_two_way(questions: int, seeds: int, rng: np.random.Generator) -> bool:
    """A difference of 0.3 with large parts that both conditions share."""
    shared = crossed(questions, seeds, (2.0, 2.0, 0.0), rng)
    a = shared + 0.3 + crossed(questions, seeds, (0.5, 0.4, 0.3), rng)
    b = shared + crossed(questions, seeds, (0.5, 0.4, 0.3), rng)
    return covers(paired_two_way_bootstrap(a, b, rng=rng, draws=DRAWS), 0.3)


def crossed_t(questions: int, seeds: int, sds: tuple[float, float, float], rng: np.random.Generator) -> bool:
    """Satterthwaite's interval on the mean squares."""
    return covers(crossed_interval(crossed(questions, seeds, sds, rng)), 0.0)


def in_clusters(clusters: int, rng: np.random.Generator) -> tuple[list[float], list[int]]:
    """2 to 10 answers a question, with an intraclass correlation of one half."""
    label = np.repeat(np.arange(clusters), rng.integers(2, 11, clusters))
    return (rng.normal(size=clusters)[label] + rng.normal(size=len(label))).tolist(), label.tolist()


def clustered(clusters: int, rng: np.random.Generator) -> bool:
    """The interval with t over clusters."""
    return covers(clustered_interval(*in_clusters(clusters, rng)), 0.0)


def clustered_normal(clusters: int, rng: np.random.Generator) -> bool:
    """The clustered standard error with a normal quantile, as it is often printed."""
    found = clustered_se(*in_clusters(clusters, rng))
    return found.se is not None and abs(found.mean) <= Z * found.se


def clustered_drawn(clusters: int, method: str, rng: np.random.Generator) -> bool:
    """The bootstrap over clusters."""
    return covers(cluster_bootstrap(*in_clusters(clusters, rng), rng=rng, draws=DRAWS, method=method), 0.0)


# Runs within tasks, effects, designs

TASKS = 20


@cache
def true_iqm() -> float:
    """The interquartile mean of the population that `task_scores` draws from, of two million scores."""
    return iqm(task_scores(100_000, stream(0, "coverage", "iqm"))) or 0.0


def task_scores(runs: int, rng: np.random.Generator) -> Floats:
    """[runs, tasks] of fixed tasks between 0.2 and 0.9, with more spread and skew in the harder ones."""
    level = np.linspace(0.2, 0.9, TASKS)
    scores: Floats = level + (1 - level) * 0.2 * (rng.exponential(1.0, (runs, TASKS)) - 1)
    return scores


def runs_within_tasks(runs: int, rng: np.random.Generator) -> bool:
    """The interquartile mean with runs drawn anew in fixed tasks."""
    return covers(stratified_bootstrap_iqm(task_scores(runs, rng), rng=rng, draws=DRAWS), true_iqm())


def improvement(runs: int, tasks: int, rng: np.random.Generator) -> bool:
    """P(X > Y) of normal runs that differ by half a standard deviation in each task."""
    x, y = rng.normal(0.5, 1, (runs, tasks)), rng.normal(0, 1, (runs, tasks))
    truth = 0.5 * (1 + math.erf(0.5 / math.sqrt(2) / math.sqrt(2)))
    return covers(bootstrap_probability_of_improvement(x, y, rng=rng, draws=DRAWS), truth)


def effect(kind: str, n: int, d: float, rng: np.random.Generator) -> bool:
    """Cohen's d or Hedges' g of two normal groups, or d of pairs."""
    a, b = rng.normal(d, 1, n).tolist(), rng.normal(0, 1, n).tolist()
    if kind == "paired":  # the differences have a standard deviation of sqrt(2)
        return covers(cohen_d(a, b, sd="paired"), d / math.sqrt(2))
    return covers(hedges_g(a, b), d * hedges_factor(2 * n - 2)) if kind == "g" else covers(cohen_d(a, b), d)


def cliff(n: int, rng: np.random.Generator) -> bool:
    """Cliff's delta of two normal groups half a standard deviation apart."""
    return covers(cliffs_delta(rng.normal(0.5, 1, n).tolist(), rng.normal(0, 1, n).tolist()), math.erf(0.5 / math.sqrt(2) / math.sqrt(2)))


def two_by_two(n: int, paired: bool, rng: np.random.Generator) -> bool:
    """An interaction of one in cells of unequal spread; paired cells share a spread of two."""
    shared = 2 * rng.normal(size=n) if paired else np.zeros(n)
    cells = [mean + shared + rng.normal(0, sd, n) for mean, sd in zip((1, 0, 0, 0), (0.5, 1, 1, 2), strict=True)]
    a, b, c, d = (by_seed(values) if paired else values.tolist() for values in cells)
    return covers(interaction({"row": {"x": a, "y": b}, "other": {"x": c, "y": d}}), 1.0)


DIFFER, CELLS = (1.0, 0.8, 0.5), (0.1, 0.1, 2.0)
FEW = "crossed_interval"
WIDE = "crossed_interval; the draws count the scatter of cells thrice"
RUNS = "more runs, or t over the mean of each run"
RARE = "clopper_pearson_interval near 0 and 1"
INTERVALS: tuple[Case, ...] = (
    case("t_interval", "4 seeds, normal", t_over_seeds, 4, False),
    case("t_interval", "10 seeds, normal", t_over_seeds, 10, False),
    case("t_interval", "5 seeds, lognormal", t_over_seeds, 5, True, limit="more seeds, or a transformed metric"),
    case("paired_t_interval", "5 seeds, shared spread", paired_over_seeds, 5),
    case("welch", "4 and 12 runs, sd 1 and 3", welch_difference, 4, 12, 3.0),
    case("welch", "5 and 5 runs, sd 1 and 3", welch_difference, 5, 5, 3.0),
    case("prediction_t", "one seed against 4", one_more_seed, 4),
    case("corrected_resampled_t", "15 splits of 90/10", resampled_train_sets, 1 / 9),
    case("wilson_interval", "n 40, rates from 5 to 95 %", wilson, 40, None),
    case("wilson_interval", "n 50, rate 30 %", wilson, 50, 0.3),
    case("wilson_interval", "n 50, rate 0.35 %", wilson, 50, 0.0035, limit=RARE),
    case("clopper_pearson_interval", "n 20, rate 10 %", clopper_pearson, 20, 0.1, target=AT_LEAST),
    case("clopper_pearson_interval", "n 50, rate 0.35 %", clopper_pearson, 50, 0.0035, target=AT_LEAST),
    case("zero_event_bound", "n 50, rate just above it", no_event, 50, target=AT_LEAST),
    case("two_way, percentile", "60 q x 40 seeds that differ", two_way, "percentile", 60, 40, DIFFER),
    case("two_way, bca", "60 q x 40 seeds that differ", two_way, "bca", 60, 40, DIFFER),
    case("two_way, percentile", "60 q x 10 seeds that differ", two_way, "percentile", 60, 10, DIFFER, limit=FEW),
    case("two_way, bca", "60 q x 10 seeds that differ", two_way, "bca", 60, 10, DIFFER, limit=FEW),
    case("two_way, percentile", "60 q x 4 seeds that differ", two_way, "percentile", 60, 4, DIFFER, limit=FEW),
    case("two_way, percentile", "60 q x 10 seeds, cells vary", two_way, "percentile", 60, 10, CELLS, limit=WIDE),
    case("two_way, percentile", "60 q x 10 seeds, 1 answer 0/1", two_way_rates, "percentile", 60, 10, 1, limit=WIDE),
    case("two_way, percentile", "60 q x 10 seeds, 20 of 0/1", two_way_rates, "percentile", 60, 10, 20),
    case("two_way, bca", "60 q x 10 seeds, 20 of 0/1", two_way_rates, "bca", 60, 10, 20),
    case("crossed_interval", "60 q x 10 seeds that differ", crossed_t, 60, 10, DIFFER),
    case("crossed_interval", "60 q x 4 seeds that differ", crossed_t, 60, 4, DIFFER),
    case("crossed_interval", "8 q x 4 seeds that differ", crossed_t, 8, 4, DIFFER),
    case("crossed_interval", "60 q x 10 seeds, cells vary", crossed_t, 60, 10, CELLS, target=AT_LEAST),
    case("paired_two_way, percentile", "60 q x 40 seeds", paired_two_way, 60, 40),
    case("paired_two_way, percentile", "60 q x 5 seeds", paired_two_way, 60, 5, limit="crossed_interval of the differences"),
    case("clustered_interval", "40 questions of 2 to 10", clustered, 40),
    case("clustered_interval", "10 questions of 2 to 10", clustered, 10),
    case("clustered_se, 1.96 of them", "8 questions of 2 to 10", clustered_normal, 8, limit="clustered_interval"),
    case("cluster_bootstrap, percentile", "80 questions of 2 to 10", clustered_drawn, 80, "percentile"),
    case("cluster_bootstrap, bca", "80 questions of 2 to 10", clustered_drawn, 80, "bca"),
    case("cluster_bootstrap, percentile", "8 questions of 2 to 10", clustered_drawn, 8, "percentile", limit="clustered_interval"),
    case("stratified_bootstrap_iqm", f"20 runs x {TASKS} tasks", runs_within_tasks, 20),
    case("stratified_bootstrap_iqm", f"10 runs x {TASKS} tasks", runs_within_tasks, 10, limit=RUNS),
    case("stratified_bootstrap_iqm", f"3 runs x {TASKS} tasks", runs_within_tasks, 3, limit=RUNS),
    case("probability_of_improvement", "20 runs x 10 tasks", improvement, 20, 10),
    case("probability_of_improvement", "3 runs x 2 tasks", improvement, 3, 2, limit="more runs"),
    case("interaction", "4 runs a cell, sd 0.5 to 2", two_by_two, 4, False),
    case("interaction, paired", "4 seeds, shared spread", two_by_two, 4, True),
    case("cohen_d", "6 and 6, d 0.8", effect, "d", 6, 0.8),
    case("cohen_d, paired", "8 pairs, d 0.85", effect, "paired", 8, 1.2),
    case("hedges_g", "10 and 10, d 0.5", effect, "g", 10, 0.5),
    case("cliffs_delta", "20 and 20, half an sd apart", cliff, 20),
)


# Families of comparisons with one control, paired by seed

COMPARED = 8
FALSE_SHIFT = 4.0


def conditions(n: int, false: int, rng: np.random.Generator) -> Floats:
    """[1 + compared, n] of one control and conditions, the first `false` of which differ from it by far."""
    values = rng.normal(size=(1 + COMPARED, n)) + rng.normal(size=n)
    values[1 : 1 + false] += FALSE_SHIFT
    return values


def corrected(method: str, n: int, false: int, rng: np.random.Generator) -> float:
    """Whether any true hypothesis is rejected; of "bh" the share of true ones among the rejected."""
    values = conditions(n, false, rng)
    p = [paired_t(by_seed(one), by_seed(values[0])).p_value for one in values[1:]]
    rejected = [value is not None and value <= ALPHA for value in adjust(p, method)]
    if method == "bh":
        return sum(rejected[false:]) / max(1, sum(rejected))
    return float(any(rejected[false:]))


def largest_t(n: int, false: int, paired: bool, rng: np.random.Generator) -> float:
    """Step-down max-T: signs of paired differences, or labels of eight metrics of two groups."""
    if paired:
        values = conditions(n, false, rng)
        tests = max_t((values[1:] - values[0]).T, rng=rng)
    else:
        table = rng.normal(size=(2 * n, COMPARED)) + rng.normal(size=(2 * n, 1))
        table[:n, :false] += FALSE_SHIFT
        tests = max_t(table, rng=rng, groups=[True] * n + [False] * n)
    return float(any(test.p_value is not None and test.p_value <= ALPHA for test in tests[false:]))


def many_to_one(n: int, false: int, rng: np.random.Generator, repetitions: int) -> Floats:
    """Dunnett's intervals, with the critical value of one call: it depends on nothing but the sizes, and takes a third of a second."""
    first = rng.normal(size=(1 + COMPARED, n)).tolist()
    found = dunnett({str(i): values for i, values in enumerate(first[1:])}, first[0], rng=rng)["0"]
    if found.lo is None or found.hi is None or found.se is None:
        return np.ones(repetitions)
    critical = (found.hi - found.lo) / 2 / found.se
    values = rng.normal(size=(repetitions, 1 + COMPARED, n))
    values[:, 1 : 1 + false] += FALSE_SHIFT
    means, pooled = values.mean(axis=2), np.sqrt(values.var(axis=2, ddof=1).mean(axis=1) * 2 / n)
    t = np.abs(means[:, 1 + false :] - means[:, :1]) / pooled[:, None]
    return (t.max(axis=1) > critical).astype(np.float64)


def family_cases(null: str, false: int) -> tuple[Case, ...]:
    """Every correction under one null."""
    six = f"{null}, 6 seeds"
    return (
        case("none", six, corrected, "none", 6, false, target=AT_MOST, limit="a correction: this is what it is for"),
        case("bonferroni", six, corrected, "bonferroni", 6, false, target=AT_MOST),
        case("holm", six, corrected, "holm", 6, false, target=AT_MOST),
        case("bh, false discovery rate", six, corrected, "bh", 6, false, target=AT_MOST),
        case("max_t, signs", f"{null}, 8 seeds", largest_t, 8, false, True, target=AT_MOST),
        case("max_t, groups", f"{null}, 5 and 5 runs", largest_t, 5, false, False, target=AT_MOST),
        Case("dunnett", f"{null}, 6 runs each", partial(many_to_one, 6, false), AT_MOST, 20_000),
    )


FAMILIES = (*family_cases("all 8 true", 0), *family_cases("4 of 8 true", 4))


def main() -> int:
    """Parse the command line, print both tables; 1 if a line that has to hold does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="share of the repetitions to run")
    parser.add_argument("--seed", type=int, default=0, help="root seed of the simulations")
    given = parser.parse_args()
    started = time.perf_counter()
    print(f"nominal level 95 %, bootstraps of {DRAWS} draws; an absent interval counts as a miss; q = questions")
    rows = table("coverage of intervals", INTERVALS, given.share, given.seed)
    rows += table(
        "true hypotheses rejected at 5 %: any of the family (of bh: their share of the rejected)", FAMILIES, given.share, given.seed
    )
    failed = [row for row in rows if row.case.limit is None and not row.holds()]
    print(f"\n{len(rows)} lines, {len(failed)} of those that have to hold do not, {time.perf_counter() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
