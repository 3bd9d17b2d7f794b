"""Where the variance of a mean comes from: questions, seeds or samples, and which of them to buy next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truing.core.errors import TruingError, some, unknown
from truing.stats.clusters import check_finite, clustered_interval, clustered_se, design_effect, effective_n, icc
from truing.stats.hypotheses import t_quantile
from truing.stats.intervals import Estimate
from truing.stats.samples import Floats, check_fraction, constant

__all__ = [
    "buy_next",
    "clustered_interval",
    "clustered_se",
    "crossed_interval",
    "design_effect",
    "effective_n",
    "icc",
    "variance_split",
]

CROSSED_METHOD = "satterthwaite t, questions x seeds"
PURCHASES = ("question", "seed", "sample")
NO_REPLICATES = "every cell holds one sample, so samples cannot be told from the interaction of question and seed"


@dataclass(frozen=True)
class Component:
    """One variance component, in the squared unit of the values.

    Attributes:
        value: The estimate; 0 where the unbiased estimate is below it.
        raw: The unbiased estimate, which chance can make negative, and then `negative` says so.
    """

    value: float
    raw: float
    negative: bool

    @classmethod
    def of(cls, raw: float) -> Component:
        """The component of an unbiased estimate."""
        return cls(max(raw, 0.0), raw, raw < 0)


@dataclass(frozen=True)
class VarianceSplit:
    """The variance of an answer, split by what would have to be drawn again to change it.

    Attributes:
        mean: Unweighted mean of the cells question x seed.
        question: s_Q^2, between questions.
        seed: s_S^2, between seeds.
        interaction: s_QS^2, of question and seed; without `sample` it also holds s_e^2 / k.
        sample: s_e^2, between samples of one cell; None when no cell holds two.
        questions: Q, and `seeds` S.
        samples: k, samples in a cell; the harmonic mean when cells differ.
        n_missing: Values that were missing.
        balanced: Whether all cells hold equally many samples.
        reason: Why `sample` is None; None when it is not.
    """

    mean: float
    question: Component
    seed: Component
    interaction: Component
    sample: Component | None
    questions: int
    seeds: int
    samples: float
    n_missing: int
    balanced: bool
    reason: str | None

    def variance_of_mean(self, questions: int | None = None, seeds: int | None = None, samples: float | None = None) -> float:
        """Var(mean) = s_Q^2/Q + s_S^2/S + s_QS^2/(QS) + s_e^2/(QSk), of this design or of another size.

        Raises:
            TruingError: a size below one, or another number of samples when samples could not be separated.
        """
        q = self.questions if questions is None else questions
        s = self.seeds if seeds is None else seeds
        k = self.samples if samples is None else samples
        if min(q, s, k) < 1:
            raise TruingError(f"a design of {q} questions, {s} seeds, {k} samples", "at least one of each", "correct the sizes")
        if self.sample is None and k != self.samples:
            raise TruingError(f"a prediction for {k} samples: {NO_REPLICATES}", f"{self.samples:g}", "draw two samples of some cells first")
        error = self.sample.value / (q * s * k) if self.sample else 0.0
        return self.question.value / q + self.seed.value / s + self.interaction.value / (q * s) + error

    @property
    def se(self) -> float:
        """Standard error of the mean when questions and seeds are both drawn anew."""
        return math.sqrt(self.variance_of_mean())


@dataclass(frozen=True)
class Option:
    """What one more of something would bring: `se` after it, and the fall of Var(mean) per unit of cost."""

    name: str
    cost: float
    se: float
    gain_per_cost: float


@dataclass(frozen=True)
class Purchase:
    """The options for the next unit of budget.

    Attributes:
        se_now: Standard error of the mean as it is.
        options: What can be bought, the best first; `best` is its name, None when nothing lowers the variance.
        unpredicted: Why a priced option is not among them, by name.
    """

    se_now: float
    options: tuple[Option, ...]
    best: str | None
    unpredicted: Mapping[str, str]


def variance_split(values: ArrayLike) -> VarianceSplit:
    """Split the variance of crossed questions x seeds, with samples nested in cells.

    Args:
        values: [question, seed, sample], or [question, seed] for one sample a cell; NaN is missing.

    Mean squares of the balanced two-way random model, set equal to their expectations. When cells hold
    unequally many samples, the analysis is the one of unweighted cell means with k the harmonic mean:
    its estimates are unbiased as well, only less precise than those of a likelihood.
    Sources: Searle, Casella and McCulloch (1992), Variance Components, chapter 4 (balanced, two-way
    crossed with interaction); Yates (1934), J. Am. Stat. Assoc. 29(185) (unweighted means).

    Raises:
        TruingError: another number of axes, an infinity, fewer than two questions or seeds, or a cell
            of question and seed that holds no value at all.
    """
    table = _crossed(values)
    counts = np.isfinite(table).sum(axis=2)
    _check_cells(counts)
    cells = np.nanmean(table, axis=2)
    k = float(1.0 / (1.0 / counts).mean())
    ms_question, ms_seed, ms_cross = _mean_squares(cells)
    error = _within(table, cells, counts)
    questions, seeds = cells.shape
    return VarianceSplit(
        mean=float(cells.mean()),
        question=Component.of((ms_question - ms_cross) / seeds),
        seed=Component.of((ms_seed - ms_cross) / questions),
        interaction=Component.of(ms_cross - (error or 0.0) / k),
        sample=None if error is None else Component.of(error),
        questions=questions,
        seeds=seeds,
        samples=k,
        n_missing=int(np.isnan(table).sum()),
        balanced=bool((counts == counts.flat[0]).all()),
        reason=NO_REPLICATES if error is None else None,
    )


def crossed_interval(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean over questions and seeds with an interval for when both are drawn anew; for few seeds or few questions.

    Args:
        values: [question, seed] or [question, seed, sample]; NaN is missing.
        level: Coverage of the interval, in (0, 1).

    The variance of the mean is (MSQ + MSS - MSQS) / (QS), with the degrees of freedom of Satterthwaite; a
    component whose estimate is negative is taken for zero, and its mean squares leave the sum. A bootstrap
    of few seeds is too narrow, and t over seeds is for these questions only. No interval when all cells agree.
    Source: Satterthwaite (1946), Biometrics Bull. 2(6), on the mean squares of `variance_split`.

    Raises:
        TruingError: as for `variance_split`.
    """
    check_fraction(level, "a level")
    table = _crossed(values)
    _check_cells(np.isfinite(table).sum(axis=2))
    cells, missing = np.nanmean(table, axis=2), int(np.isnan(table).sum())
    mean, n = float(cells.mean()), cells.size
    if constant(cells.ravel()):
        return Estimate(mean, None, None, None, level, None, n, "question x seed", missing)
    variance, df = _satterthwaite(_mean_squares(cells), cells.shape)
    se = math.sqrt(variance / n)
    half = t_quantile(df, level) * se
    return Estimate(mean, se, mean - half, mean + half, level, CROSSED_METHOD, n, "question x seed", missing)


def buy_next(split: VarianceSplit, costs: Mapping[str, float]) -> Purchase:
    """Which of one more question, seed or sample lowers Var(mean) the most for its price.

    Args:
        split: The variance as estimated from what there is.
        costs: Price of one more "question" (asked of every seed), "seed" (trained and asked every
            question) or "sample" (of every cell), in any one unit. What has no price is not for sale.

    Source: `VarianceSplit.variance_of_mean`; Brennan (2001), Generalizability Theory, chapter 4, on sizes.

    Raises:
        TruingError: an unknown name, no price, or one that is not positive and finite.
    """
    _check_costs(costs)
    now = split.variance_of_mean()
    sizes = {
        "question": (split.questions + 1, split.seeds, split.samples),
        "seed": (split.questions, split.seeds + 1, split.samples),
        "sample": (split.questions, split.seeds, split.samples + 1),
    }
    unpredicted = {"sample": NO_REPLICATES} if split.sample is None and "sample" in costs else {}
    names = [name for name in PURCHASES if name in costs and name not in unpredicted]
    then = {name: split.variance_of_mean(*sizes[name]) for name in names}
    options = [Option(name, costs[name], math.sqrt(then[name]), (now - then[name]) / costs[name]) for name in names]
    options.sort(key=lambda option: -option.gain_per_cost)
    best = options[0].name if options and options[0].gain_per_cost > 0 else None
    return Purchase(math.sqrt(now), tuple(options), best, unpredicted)


def _crossed(values: ArrayLike) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim not in (2, 3):
        raise TruingError(f"values with {table.ndim} axes", "[question, seed] or [question, seed, sample]", "reshape, with NaN for missing")
    table = table[:, :, None] if table.ndim == 2 else table
    check_finite(table)
    if min(table.shape[:2]) < 2:
        raise TruingError(
            f"{table.shape[0]} question(s) and {table.shape[1]} seed(s)",
            "at least two of each",
            "one seed says nothing of the spread between seeds: train another, or report an interval over questions",
        )
    return table


def _check_cells(counts: NDArray[np.int64]) -> None:
    empty = np.argwhere(counts == 0).tolist()
    if empty:
        raise TruingError(
            f"cells without a value, as [question, seed]: {some(empty)}",
            "at least one sample in every cell: the split is of a crossed design",
            "score the missing answers, or leave out the questions or seeds that lack them and say so",
        )


def _check_costs(costs: Mapping[str, float]) -> None:
    for name, cost in costs.items():
        if name not in PURCHASES:
            raise unknown("purchase", name, PURCHASES, "costs")
        if not (math.isfinite(cost) and cost > 0):
            raise TruingError(f"a {name} that costs {cost}", "a positive, finite price", "leave out what is not for sale")
    if not costs:
        raise TruingError("no price", f"a price for any of {some(PURCHASES)}", "say what one more of each costs")


def _mean_squares(cells: Floats) -> tuple[float, float, float]:
    """Mean squares of questions, seeds and their interaction, on the scale of a cell mean."""
    questions, seeds = cells.shape
    by_question, by_seed, grand = cells.mean(axis=1), cells.mean(axis=0), cells.mean()
    cross = cells - by_question[:, None] - by_seed[None, :] + grand
    return (
        seeds * float(((by_question - grand) ** 2).sum()) / (questions - 1),
        questions * float(((by_seed - grand) ** 2).sum()) / (seeds - 1),
        float((cross**2).sum()) / ((questions - 1) * (seeds - 1)),
    )


def _satterthwaite(mean_squares: tuple[float, float, float], shape: tuple[int, ...]) -> tuple[float, float]:
    """MSQ + MSS - MSQS without the components that are estimated below zero, and its degrees of freedom."""
    question, seed, cross = mean_squares
    df_question, df_seed = shape[0] - 1, shape[1] - 1
    terms = [(question, df_question)] * (question > cross) + [(seed, df_seed)] * (seed > cross)
    # Each component adds MS - MSQS to the MSQS of the interaction: two leave -1 of it, one leaves none.
    terms += [((1 - len(terms)) * cross, df_question * df_seed)]
    total = sum(term for term, _ in terms)
    return total, 1.0 / sum((term / total) ** 2 / df for term, df in terms)


def _within(table: Floats, cells: Floats, counts: NDArray[np.int64]) -> float | None:
    freedom = int((counts - 1).sum())
    return float(np.nansum((table - cells[:, :, None]) ** 2)) / freedom if freedom else None
