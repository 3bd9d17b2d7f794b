"""Bootstrap over questions and seeds, over clusters, and over runs within tasks.

A mean of a resampled table is a product of counts, w_q' V w_s: no table is ever copied per draw. An
interval that the resampling cannot support is absent with a reason; the method is never swapped.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truing.core.errors import TruingError
from truing.stats.resampling import (
    CHUNK_ELEMENTS,
    PERCENTILE,
    Bootstrap,
    bca,
    check_request,
    count_chunks,
    leave_one_out,
    with_interval,
    without_interval,
)
from truing.stats.samples import Floats, Values, constant

__all__ = [
    "Bootstrap",
    "bca",
    "bootstrap_probability_of_improvement",
    "cluster_bootstrap",
    "iqm",
    "paired_two_way_bootstrap",
    "probability_of_improvement",
    "stratified_bootstrap_iqm",
    "two_way_bootstrap",
]

TWO_WAY_UNIT = "question x seed"
CLUSTER_UNIT = "cluster"
RUNS_UNIT = "run within task"
MIN_RUNS = 3
TRIM = 0.25


def two_way_bootstrap(
    values: ArrayLike, *, rng: np.random.Generator, draws: int = 10_000, level: float = 0.95, method: str = PERCENTILE
) -> Bootstrap:
    """Mean of a table with questions and seeds both drawn again, independently of each other.

    Args:
        values: [questions, seeds], or [questions, seeds, samples]; NaN is missing. Samples stay in
            their cell, whose value is their mean: their scatter is in the cells already.
        rng: Source of the draws.
        draws: How many.
        level: Coverage of the interval.
        method: "percentile" or "bca".

    The value is the mean of the cells that have one. With a single question or seed there is no
    interval: one seed has no spread. Source: Owen (2007), Ann. Appl. Stat. 1(2), the pigeonhole
    bootstrap of crossed random effects (it errs on the wide side where cells scatter by themselves).

    Raises:
        TruingError: a table of another shape, an infinity, an unknown method, an impossible level.
    """
    check_request(draws, level, method)
    cells = _cells(values)
    missing = int(np.isnan(cells).sum())
    # A question or a seed without any value is none that could be drawn.
    table = cells[~np.isnan(cells).all(axis=1)][:, ~np.isnan(cells).all(axis=0)]
    known = ~np.isnan(table)
    result = _start(table, level, TWO_WAY_UNIT, table.shape, missing)
    reason = _two_way_reason(table)
    if reason is not None:
        return without_interval(result, reason)
    sums, counts = np.where(known, table, 0.0), known.astype(np.float64)
    drawn = _two_way_draws(sums, None if known.all() else counts, rng, draws)
    left_out = [leave_one_out(sums.sum(axis=1 - axis), counts.sum(axis=1 - axis)) for axis in (0, 1)]
    return with_interval(result, drawn, left_out, method)


def paired_two_way_bootstrap(
    a: ArrayLike, b: ArrayLike, *, rng: np.random.Generator, draws: int = 10_000, level: float = 0.95, method: str = PERCENTILE
) -> Bootstrap:
    """Mean of `a - b` over the cells that both have, with one draw of questions and seeds for both.

    Args:
        a: [questions, seeds] or [questions, seeds, samples] of the condition named first.
        b: The same questions and seeds of the condition that is subtracted; its samples may differ in number.
        rng: Source of the draws.
        draws: How many.
        level: Coverage of the interval.
        method: "percentile" or "bca".

    Source: Owen (2007), Ann. Appl. Stat. 1(2), on the differences of pairs.

    Raises:
        TruingError: as `two_way_bootstrap`, or tables of different questions or seeds.
    """
    first, second = _cells(a), _cells(b)
    if first.shape != second.shape:
        raise TruingError(
            f"tables [questions, seeds] of {first.shape} and {second.shape}",
            "the same questions and seeds",
            "align them, NaN where missing",
        )
    return two_way_bootstrap(first - second, rng=rng, draws=draws, level=level, method=method)


def cluster_bootstrap(
    values: Values,
    clusters: Iterable[Hashable],
    *,
    rng: np.random.Generator,
    draws: int = 10_000,
    level: float = 0.95,
    method: str = PERCENTILE,
) -> Bootstrap:
    """Mean of all observations, with whole clusters drawn again.

    Args:
        values: One value per observation; None and NaN are missing.
        clusters: The cluster of each observation: the question of an answer, the run of a question.
        rng: Source of the draws.
        draws: How many.
        level: Coverage of the interval.
        method: "percentile" or "bca".

    Source: Davison and Hinkley (1997), Bootstrap Methods and their Application, section 3.8.
    """
    check_request(draws, level, method)
    known, of, n_clusters, missing = _clustered(values, clusters)
    sums = np.bincount(of, weights=known, minlength=n_clusters).astype(np.float64)
    sizes = np.bincount(of, minlength=n_clusters).astype(np.float64)
    value = float(known.mean()) if len(known) else None
    result = Bootstrap(value, None, None, None, level, None, n_clusters, None, CLUSTER_UNIT, 0, missing)
    if value is None or n_clusters < 2 or constant(known):
        reason = "no value" if value is None else "one cluster: nothing to draw again" if n_clusters < 2 else "the values do not vary"
        return without_interval(result, reason)
    drawn = np.concatenate([(w @ sums) / (w @ sizes) for w in count_chunks(rng, n_clusters, draws, n_clusters)])
    return with_interval(result, drawn, [leave_one_out(sums, sizes)], method)


def iqm(scores: ArrayLike) -> float | None:
    """Interquartile mean: the mean of the middle half of all run x task scores, pooled.

    Args:
        scores: [runs, tasks], on one scale; NaN is missing and left out.

    A quarter of the scores, rounded down, is cut at each end. None of no scores. Source: Agarwal et
    al. (2021), Deep RL at the Edge of the Statistical Precipice, NeurIPS, section 4.3.
    """
    table = _runs(scores)
    known = table[~np.isnan(table)]
    return float(_trimmed(known[None, :])[0]) if known.size else None


def stratified_bootstrap_iqm(scores: ArrayLike, *, rng: np.random.Generator, draws: int = 10_000, level: float = 0.95) -> Bootstrap:
    """Interquartile mean with runs drawn again within each task, independently from task to task.

    Args:
        scores: [runs, tasks]; NaN is missing. A task keeps its number of known runs.
        rng: Source of the draws.
        draws: How many.
        level: Coverage of the percentile interval.

    With a task of fewer than three known runs there is no interval. Source: Agarwal et al. (2021),
    Deep RL at the Edge of the Statistical Precipice, NeurIPS, sections 4.1 and 4.3.
    """
    check_request(draws, level, PERCENTILE)
    table = _runs(scores)
    missing = int(np.isnan(table).sum())
    result = Bootstrap(iqm(table), None, None, None, level, None, table.shape[1], len(table), RUNS_UNIT, n_missing=missing)
    reason = _runs_reason([table])
    if reason is not None:
        return without_interval(result, reason)
    tasks = [column[~np.isnan(column)] for column in table.T]
    drawn = [_trimmed(np.concatenate(drawn, axis=1)) for drawn in _resampled(tasks, rng, draws)]
    return with_interval(result, np.concatenate(drawn), [], PERCENTILE)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float | None:
    """P(X > Y) + P(X = Y) / 2 of a run of x and a run of y, averaged over tasks.

    Args:
        x: [runs, tasks], or [runs] of one task; NaN is missing.
        y: The same tasks; its number of runs may differ.

    None when a task has no run of x or of y. Source: Agarwal et al. (2021), Deep RL at the Edge of
    the Statistical Precipice, NeurIPS, section 4.3 (a Mann-Whitney U per task).
    """
    wins = _wins(_as_runs(x), _as_runs(y))
    return None if any(table.size == 0 for table in wins) else float(np.mean([table.mean() for table in wins]))


def bootstrap_probability_of_improvement(
    x: ArrayLike, y: ArrayLike, *, rng: np.random.Generator, draws: int = 10_000, level: float = 0.95
) -> Bootstrap:
    """`probability_of_improvement` with the runs of x and of y drawn again within each task.

    Source: Agarwal et al. (2021), Deep RL at the Edge of the Statistical Precipice, NeurIPS, section 4.3.
    """
    check_request(draws, level, PERCENTILE)
    first, second = _as_runs(x), _as_runs(y)
    wins, value = _wins(first, second), probability_of_improvement(x, y)
    missing = int(np.isnan(first).sum() + np.isnan(second).sum())
    result = Bootstrap(value, None, None, None, level, None, first.shape[1], min(len(first), len(second)), RUNS_UNIT, n_missing=missing)
    reason = _runs_reason([first, second])
    if reason is not None:
        return without_interval(result, reason)
    total = np.zeros(draws)
    for table in wins:
        won = zip(
            count_chunks(rng, len(table), draws, sum(table.shape)),
            count_chunks(rng, table.shape[1], draws, sum(table.shape)),
            strict=True,
        )
        total += np.concatenate([((w_x @ table) * w_y).sum(axis=1) for w_x, w_y in won]) / table.size
    return with_interval(result, total / len(wins), [], PERCENTILE)


def _cells(values: ArrayLike) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim not in (2, 3) or 0 in table.shape:
        raise TruingError(f"values of shape {table.shape}", "[questions, seeds] or [questions, seeds, samples]", "give one value per cell")
    if np.isinf(table).any():
        raise TruingError("values with an infinity", "finite values, NaN where missing", "mend the metric that produced them")
    if table.ndim == 2:
        return table
    known = ~np.isnan(table)
    counts = known.sum(axis=2)
    return np.where(counts > 0, np.where(known, table, 0.0).sum(axis=2) / np.maximum(counts, 1), np.nan)


def _runs(scores: ArrayLike) -> Floats:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape or np.isinf(table).any():
        raise TruingError(f"scores of shape {table.shape}", "finite scores [runs, tasks], NaN where missing", "give one row per run")
    return table


def _as_runs(scores: ArrayLike) -> Floats:
    table = np.asarray(scores, dtype=np.float64)
    return _runs(table[:, None] if table.ndim == 1 else table)


def _start(table: Floats, level: float, unit: str, shape: tuple[int, ...], missing: int) -> Bootstrap:
    known = table[~np.isnan(table)]
    value = float(known.mean()) if known.size else None
    return Bootstrap(value, None, None, None, level, None, shape[0], shape[1], unit, n_missing=missing)


def _two_way_reason(table: Floats) -> str | None:
    """Why questions and seeds cannot both be drawn again."""
    if not table.size:
        return "no value"
    if min(table.shape) < 2:
        return f"{table.shape[0]} questions and {table.shape[1]} seeds with a value: an axis of one has no spread"
    return "the values do not vary" if constant(table[~np.isnan(table)]) else None


def _runs_reason(tables: Sequence[Floats]) -> str | None:
    fewest = min(int((~np.isnan(table)).sum(axis=0).min()) for table in tables)
    if fewest < MIN_RUNS:
        return f"a task has {fewest} runs: fewer than {MIN_RUNS} cannot be drawn again"
    # Runs are drawn within tasks: a difference between tasks is no spread.
    still = all(constant(column[~np.isnan(column)]) for table in tables for column in table.T)
    return "the runs of a task do not vary" if still else None


def _two_way_draws(sums: Floats, known: Floats | None, rng: np.random.Generator, draws: int) -> Floats:
    questions, seeds = sums.shape
    chunks = zip(count_chunks(rng, questions, draws, questions + seeds), count_chunks(rng, seeds, draws, questions + seeds), strict=True)
    means = []
    for w_q, w_s in chunks:
        total = np.einsum("ds,ds->d", w_q @ sums, w_s)
        count = questions * seeds if known is None else np.einsum("ds,ds->d", w_q @ known, w_s)
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append(total / count)
    return np.concatenate(means)


def _trimmed(pooled: Floats) -> Floats:
    cut = int(TRIM * pooled.shape[1])
    return np.sort(pooled, axis=1)[:, cut : pooled.shape[1] - cut].mean(axis=1)


def _resampled(tasks: Sequence[Floats], rng: np.random.Generator, draws: int) -> Iterator[list[Floats]]:
    rows = max(1, CHUNK_ELEMENTS // sum(len(task) for task in tasks))
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        yield [task[rng.integers(0, len(task), size=(size, len(task)))] for task in tasks]


def _wins(x: Floats, y: Floats) -> list[Floats]:
    if x.shape[1] != y.shape[1]:
        raise TruingError(f"{x.shape[1]} tasks of x and {y.shape[1]} of y", "the same tasks", "give both as [runs, tasks]")
    known = ((a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in zip(x.T, y.T, strict=True))
    return [(a[:, None] > b) + 0.5 * (a[:, None] == b) for a, b in known]


def _clustered(values: Values, clusters: Iterable[Hashable]) -> tuple[Floats, NDArray[np.int64], int, int]:
    observed, names = list(values), list(clusters)
    if len(observed) != len(names):
        raise TruingError(f"{len(observed)} values and {len(names)} clusters", "one cluster per value", "give both in the same order")
    kept = [(float(v), c) for v, c in zip(observed, names, strict=True) if v is not None and not math.isnan(v)]
    # Order of first appearance: sorting names of mixed kinds would fail.
    index = {name: i for i, name in enumerate(dict.fromkeys(c for _, c in kept))}
    known = np.array([v for v, _ in kept], dtype=np.float64)
    if np.isinf(known).any():
        raise TruingError("values with an infinity", "finite values, None where missing", "mend the metric that produced them")
    return known, np.array([index[c] for _, c in kept], dtype=np.int64), len(index), len(observed) - len(kept)
