"""Many hypotheses at once: adjusted p-values, and tests that know how the statistics hang together.

A hypothesis without a p-value was still asked: it keeps None and counts in the size of the family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truing.core.errors import TruingError, some, unknown
from truing.stats.hypotheses import NO_SPREAD, TestResult, t_p_value
from truing.stats.relabelling import Relabellings, group_labels, sign_flips
from truing.stats.samples import Floats, Sample, Values, check_draws, check_fraction, sample

PValues = Sequence[float | None]
DUNNETT_METHOD = "dunnett"
# t^2 = df R^2 / (1 - R^2) is infinite at R = 1; this keeps ties there ties.
R2_CEILING = 1.0 - 1e-12
TIE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class FamilyTest:
    """One contrast of a family that was tested by its largest statistic.

    Attributes:
        statistic: Student's t of the contrast; None where it has no value, or no spread.
        p_value: Adjusted for the family, two-sided; None exactly when `reason` says why.
        method: The relabelling, exact or Monte Carlo.
        n: Runs that entered this contrast.
        diff: Mean difference `a - b`.
        reason: Why there is no p-value.
        n_missing: Runs without a value.
        p_floor: Smallest p that so few runs could have given.
    """

    statistic: float | None
    p_value: float | None
    method: str
    n: int
    diff: float | None
    reason: str | None
    n_missing: int
    p_floor: float | None


@dataclass(frozen=True)
class CorrectionVerdict:
    """What each correction says of one hypothesis.

    Attributes:
        p_value: As tested, without adjustment.
        adjusted: Adjusted p by name of the correction.
        rejects: Whether the hypothesis is rejected, by name of the correction; None without a p-value.
        depends: Whether the corrections, "none" among them, disagree.
    """

    p_value: float | None
    adjusted: Mapping[str, float | None]
    rejects: Mapping[str, bool | None]
    depends: bool


def bonferroni(p: PValues) -> list[float | None]:
    """Each p times the size of the family, at most 1. Source: Dunn (1961), J. Am. Stat. Assoc. 56(293)."""
    return _adjusted(p, lambda ordered: ordered * len(ordered))


def holm(p: PValues) -> list[float | None]:
    """Holm's step-down adjustment, (m - i + 1) p_(i) made monotone. Source: Holm (1979), Scand. J. Stat. 6(2)."""
    return _adjusted(p, lambda ordered: np.maximum.accumulate(ordered * np.arange(len(ordered), 0, -1)))


def benjamini_hochberg(p: PValues) -> list[float | None]:
    """The step-up adjustment m p_(i) / i for the false discovery rate.

    Source: Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57(1), eq. (1).
    """
    return _adjusted(p, lambda ordered: np.minimum.accumulate((ordered * len(ordered) / np.arange(1, len(ordered) + 1))[::-1])[::-1])


def unadjusted(p: PValues) -> list[float | None]:
    """Each p as it is, checked."""
    return _adjusted(p, lambda ordered: ordered)


METHODS: Mapping[str, Callable[[PValues], list[float | None]]] = {
    "none": unadjusted,
    "bonferroni": bonferroni,
    "holm": holm,
    "bh": benjamini_hochberg,
}


def adjust(p: PValues, method: str) -> list[float | None]:
    """Adjust by the name of the correction: "none", "bonferroni", "holm" or "bh".

    Raises:
        TruingError: an unknown name, or a p outside [0, 1].
    """
    if method not in METHODS:
        raise unknown("correction", method, METHODS, "multiplicity")
    return METHODS[method](p)


def verdict_depends_on_correction(p: PValues, alpha: float) -> list[CorrectionVerdict]:
    """Of each hypothesis, which corrections reject it at `alpha`, and whether that depends on the choice."""
    check_fraction(alpha, "an alpha")
    adjusted = {name: adjust(p, name) for name in METHODS}
    return [_verdict(p[i], {name: values[i] for name, values in adjusted.items()}, alpha) for i in range(len(p))]


def max_t(values: ArrayLike, *, rng: np.random.Generator, groups: Sequence[bool] | None = None, draws: int = 10_000) -> list[FamilyTest]:
    """Adjusted p-values of many contrasts measured on the same runs, by relabelling whole runs.

    The largest |t| of the contrasts not yet rejected is compared with its distribution over
    relabellings, which keeps the correlation of the contrasts; step-down, made monotone. This controls
    the family-wise error. Exact when there are at most `draws` relabellings.

    Args:
        values: [runs, contrasts]; NaN is missing. Without `groups` each cell is a difference `a - b`
            paired within its run, and the signs of runs are flipped. With them each cell is a value, and
            labels are exchanged.
        rng: Source of random relabellings.
        groups: For each run, whether it belongs to a.
        draws: Relabellings to look at, at most.

    A contrast that cannot be tested has a reason and takes no part in the largest statistic. Source:
    Westfall and Young (1993), Resampling-Based Multiple Testing, algorithm 2.8 (step-down maxT).

    Raises:
        TruingError: values that are no table or hold an infinity, or labels that do not fit the runs.
    """
    check_draws(draws)
    table = _table(values)
    labels = None if groups is None else np.asarray(list(groups), dtype=bool)
    if labels is not None and len(labels) != len(table):
        raise TruingError(f"{len(labels)} labels for {len(table)} runs", "one label per run", "give groups in the order of the rows")
    # Runs of a go first, as the relabellings have them.
    ordered = table if labels is None else np.concatenate([table[labels], table[~labels]])
    n_a = len(table) if labels is None else int(labels.sum())
    family = sign_flips(len(table), draws) if labels is None else group_labels(n_a, len(table) - n_a, draws)
    statistic = _SignStatistic(ordered) if labels is None else _GroupStatistic(ordered)
    observed = _observed_labels(family)
    reasons = _untestable(ordered, None if labels is None else n_a)
    tested = np.array([reason is None for reason in reasons], dtype=bool)
    p_values = _step_down(statistic, observed, tested, family, rng)
    return _family_tests(ordered, statistic, observed, reasons, p_values, family)


def dunnett(treatments: Mapping[str, Values], control: Values, *, rng: np.random.Generator, level: float = 0.95) -> dict[str, TestResult]:
    """Each treatment (a) against one control (b), adjusted for all of them, with simultaneous intervals.

    The tail of the multivariate t is integrated with random points. It lies between the unadjusted p
    and its Bonferroni multiple; where the integration does not resolve it, the multiple is given. A
    treatment without values takes no part.
    Source: Dunnett (1955), J. Am. Stat. Assoc. 50(272).
    """
    from scipy.stats import dunnett as many_to_one

    check_fraction(level, "a level")
    samples, base = {name: sample(values) for name, values in treatments.items()}, sample(control)
    if not samples:
        return {}
    usable = {name: one for name, one in samples.items() if one.n}
    df = base.n + sum(one.n for one in usable.values()) - len(usable) - 1
    spread = any(one.sd for one in (*usable.values(), base))
    if not usable or not base.n or df < 1 or not spread:
        reason = NO_SPREAD if df >= 1 and base.n else "too few values"
        return {name: _dunnett_absent(one, base, level, reason) for name, one in samples.items()}
    result = many_to_one(*(one.values for one in usable.values()), control=base.values, rng=rng)
    limits = result.confidence_interval(confidence_level=level)
    rows = zip(usable, result.statistic, result.pvalue, limits.low, limits.high, strict=True)
    tested = {
        name: _dunnett_test(usable[name], base, (float(t), float(p)), (float(lo), float(hi)), df, len(usable), level)
        for name, t, p, lo, hi in rows
    }
    return {name: tested.get(name) or _dunnett_absent(one, base, level, "no values") for name, one in samples.items()}


class _SignStatistic:
    """t^2 of the mean of each column under flips of the signs of rows."""

    def __init__(self, table: Floats) -> None:
        self.known = ~np.isnan(table)
        self.values = np.where(self.known, table, 0.0)
        self.n = self.known.sum(axis=0)
        self.squares = (self.values**2).sum(axis=0)
        self.df = self.n - 1

    def __call__(self, signs: Floats) -> Floats:
        # The sum of squares has no sign, so t^2 = df R^2 / (1 - R^2) with R^2 = (sum)^2 / (n sum of squares).
        with np.errstate(invalid="ignore", divide="ignore"):
            return _t_squared((signs @ self.values) ** 2 / (self.n * self.squares), self.df)

    def diff(self, signs: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return (signs @ self.values) / self.n


class _GroupStatistic:
    """t^2 (pooled variance) of the difference of group means of each column under labels of rows."""

    def __init__(self, table: Floats) -> None:
        self.known = ~np.isnan(table)
        self.n = self.known.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            centre = np.where(self.known, table, 0.0).sum(axis=0) / self.n
        self.values = np.where(self.known, table - centre, 0.0)
        self.squares = (self.values**2).sum(axis=0)
        self.df = self.n - 2

    def __call__(self, labels: Floats) -> Floats:
        n_a = labels @ self.known
        n_b = self.n - n_a
        with np.errstate(invalid="ignore", divide="ignore"):
            # Centred, the sum of a is minus that of b: between-group squares are sum_a^2 (1/n_a + 1/n_b).
            between = (labels @ self.values) ** 2 * (1 / n_a + 1 / n_b)
            share = np.where((n_a > 0) & (n_b > 0), between / self.squares, 0.0)
        return _t_squared(share, self.df)

    def diff(self, labels: Floats) -> Floats:
        n_a = labels @ self.known
        with np.errstate(invalid="ignore", divide="ignore"):
            return (labels @ self.values) * (1 / n_a + 1 / (self.n - n_a))


def _t_squared(share: Floats, df: NDArray[np.int64]) -> Floats:
    bounded = np.minimum(share, R2_CEILING)
    return bounded / (1 - bounded) * df


def _observed_labels(family: Relabellings) -> Floats:
    labels = np.ones((1, family.n_runs))
    if family.kind == "groups":
        labels[0, family.n_a :] = 0.0
    return labels


def _step_down(
    statistic: _SignStatistic | _GroupStatistic, observed: Floats, tested: NDArray[np.bool_], family: Relabellings, rng: np.random.Generator
) -> dict[int, float]:
    """Adjusted p by column: largest statistic first, each against the maximum over itself and the smaller ones."""
    seen = statistic(observed)[0]
    order = [int(i) for i in np.argsort(-np.where(tested, seen, -np.inf), kind="stable")[: int(tested.sum())]]
    if not order:
        return {}
    bound = seen[order] * (1 - TIE_TOLERANCE)
    counts = np.zeros(len(order), dtype=np.int64)
    for labels in family.chunks(rng):
        largest = np.maximum.accumulate(statistic(labels)[:, order[::-1]], axis=1)[:, ::-1]
        counts += (largest >= bound).sum(axis=0)
    adjusted = np.maximum.accumulate([family.p_value(int(count)) for count in counts])
    return {column: float(p) for column, p in zip(order, adjusted, strict=True)}


def _untestable(table: Floats, n_a: int | None) -> list[str | None]:
    return [_why_not(column, n_a) for column in table.T]


def _why_not(column: Floats, n_a: int | None) -> str | None:
    known = ~np.isnan(column)
    if n_a is None:
        if known.sum() < 2:
            return f"too few values: {int(known.sum())} runs"
        return None if np.any(column[known] != 0) else NO_SPREAD
    in_a, in_b = int(known[:n_a].sum()), int(known[n_a:].sum())
    if not in_a or not in_b or in_a + in_b < 3:
        return f"too few values: {in_a} of a, {in_b} of b"
    return NO_SPREAD if Sample(column[known], 0).sd == 0 else None


def _family_tests(
    table: Floats,
    statistic: _SignStatistic | _GroupStatistic,
    observed: Floats,
    reasons: list[str | None],
    p_values: Mapping[int, float],
    family: Relabellings,
) -> list[FamilyTest]:
    t_squared, diff = statistic(observed)[0], statistic.diff(observed)[0]
    method = f"max-T step-down, {family.describe()}"
    tests = []
    for i, reason in enumerate(reasons):
        ceiling = R2_CEILING / (1 - R2_CEILING) * max(int(statistic.df[i]), 0)
        finite = reason is None and t_squared[i] < ceiling * (1 - TIE_TOLERANCE)
        t = math.copysign(math.sqrt(t_squared[i]), diff[i]) if finite else None
        known = int(statistic.n[i])
        mean = float(diff[i]) if np.isfinite(diff[i]) else None
        floor = family.floor if reason is None else None
        tests.append(FamilyTest(t, p_values.get(i), method, known, mean, reason, len(table) - known, floor))
    return tests


def _table(values: ArrayLike) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise TruingError(f"values of shape {table.shape}", "a table [runs, contrasts]", "stack the contrasts as columns")
    if np.isinf(table).any():
        raise TruingError("values with an infinity", "finite values, NaN where missing", "mend the metric that produced them")
    return table


def _adjusted(p: PValues, step: Callable[[Floats], Floats]) -> list[float | None]:
    known = [value is not None and not math.isnan(value) for value in p]
    # A missing p is the largest there could be: it counts in the family and helps nobody.
    filled = np.array([value if keep and value is not None else 1.0 for value, keep in zip(p, known, strict=True)], dtype=np.float64)
    if ((filled < 0) | (filled > 1)).any():
        wrong = some(filled[(filled < 0) | (filled > 1)].tolist())
        raise TruingError(f"p-values of {wrong}", "values between 0 and 1", "give p-values, not statistics")
    order = np.argsort(filled, kind="stable")
    adjusted = np.empty_like(filled)
    adjusted[order] = np.minimum(step(filled[order]), 1.0)
    return [float(value) if keep else None for value, keep in zip(adjusted, known, strict=True)]


def _verdict(p_value: float | None, adjusted: Mapping[str, float | None], alpha: float) -> CorrectionVerdict:
    rejects = {name: None if value is None else value <= alpha for name, value in adjusted.items()}
    return CorrectionVerdict(adjusted["none"] if p_value is not None else None, adjusted, rejects, len(set(rejects.values())) > 1)


def _dunnett_test(
    one: Sample, base: Sample, found: tuple[float, float], limits: tuple[float, float], df: int, family: int, level: float
) -> TestResult:
    t, p = found
    diff = float(one.values.mean() - base.values.mean())
    alone = t_p_value(t, df)
    # Below the unadjusted p the integral has not been resolved; its upper bound errs on the safe side.
    bounded = min(1.0, alone * family) if not alone <= p <= alone * family else p
    se = diff / t if t else None
    return TestResult(t, float(df), bounded, DUNNETT_METHOD, one.n, base.n, diff, se, *limits, level, None, one.n_missing + base.n_missing)


def _dunnett_absent(one: Sample, base: Sample, level: float, reason: str) -> TestResult:
    diff = None if one.mean is None or base.mean is None else one.mean - base.mean
    missing = one.n_missing + base.n_missing
    return TestResult(None, None, None, DUNNETT_METHOD, one.n, base.n, diff, None, None, None, level, reason, missing)
