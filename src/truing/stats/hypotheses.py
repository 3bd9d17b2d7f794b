"""Two-sided tests that two conditions are equal, at the level that was randomised.

A test that the data cannot carry has no statistic and no p, and says why: two equal numbers are no
proof, and p is never zero. A difference is always `a - b`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from truing.core.errors import TruingError, some
from truing.stats.intervals import PAIRED_T_METHOD, paired_t_interval
from truing.stats.relabelling import TIE_TOLERANCE, Relabellings, group_labels, sign_flips
from truing.stats.samples import Floats, Keyed, Values, check_draws, check_fraction, constant, pairs, sample

WELCH_METHOD = "welch t"
MCNEMAR_EXACT_METHOD = "mcnemar, exact binomial"
MCNEMAR_CHI2_METHOD = "mcnemar, chi2 with continuity correction"
COMBINED_F_METHOD = "combined 5x2cv F"
CORRECTED_T_METHOD = "corrected resampled t"
PREDICTION_T_METHOD = "prediction t"
NO_SPREAD = "the values do not vary: there is nothing to measure the difference by"
# Discordant pairs from which the chi2 approximation is used in place of the binomial.
MCNEMAR_EXACT_BELOW = 25


@dataclass(frozen=True)
class TestResult:
    """A two-sided test of a difference, with the interval that belongs to it.

    Attributes:
        statistic: t, F, chi2, or for a relabelling the difference itself; None when it cannot be formed.
        df: Degrees of freedom (of F those of the numerator); None for tests without.
        p_value: Two-sided; None exactly when `reason` says why.
        method: The test, and whether a relabelling was exact or Monte Carlo.
        n_a: Observations of a that entered.
        n_b: Observations of b that entered.
        diff: `a - b` in the unit of the values; known with one value each.
        se: Standard error of `diff`.
        lo: Lower end of the interval of `diff`; None for tests that have none.
        hi: Upper end.
        level: Coverage of the interval.
        reason: Why there is no p-value.
        n_missing: Observations, or pairs, left out because they have no value.
        df_denominator: Second degrees of freedom of F.
        p_floor: Smallest p that a relabelling of so few runs could have given.
    """

    # The name begins with Test: this keeps test collectors from taking it for one.
    __test__: ClassVar[bool] = False

    statistic: float | None
    df: float | None
    p_value: float | None
    method: str
    n_a: int
    n_b: int
    diff: float | None
    se: float | None
    lo: float | None
    hi: float | None
    level: float
    reason: str | None = None
    n_missing: int = 0
    df_denominator: float | None = None
    p_floor: float | None = None


def above_zero(p: float) -> float:
    """A tail below the smallest float is still not zero: the smallest normal float bounds it from above."""
    return max(min(p, 1.0), float(np.finfo(np.float64).tiny))


def t_lower_tail(statistic: float, df: float) -> float:
    """P(T <= statistic) of Student's t; above zero even where it is too small for a float."""
    from scipy.special import stdtr

    return above_zero(float(stdtr(df, statistic)))


def t_p_value(statistic: float, df: float) -> float:
    """Two-sided tail of Student's t; above zero even where it is too small for a float."""
    return min(1.0, 2.0 * t_lower_tail(-abs(statistic), df))


def t_quantile(df: float, level: float) -> float:
    """Half-width, in standard errors, of a two-sided interval of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.5 + level / 2))


def welch(a: Values, b: Values, level: float = 0.95) -> TestResult:
    """Welch's test of the means of two independent samples, with unequal variances.

    Sources: Welch (1947), Biometrika 34(1-2); Satterthwaite (1946), Biometrics Bulletin 2(6), for
    df = (va + vb)^2 / (va^2/(na-1) + vb^2/(nb-1)) with v = s^2/n.
    """
    check_fraction(level, "a level")
    first, second = sample(a), sample(b)
    missing = first.n_missing + second.n_missing
    diff = None if first.mean is None or second.mean is None else first.mean - second.mean
    if first.sd is None or second.sd is None:
        return _absent(WELCH_METHOD, first.n, second.n, diff, level, _too_few(a=first.n, b=second.n), missing)
    se, df = welch_se(first.sd, first.n, second.sd, second.n)
    if diff is None or se is None or df is None:
        return _absent(WELCH_METHOD, first.n, second.n, diff, level, NO_SPREAD, missing)
    return _t_result(WELCH_METHOD, diff, se, df, (first.n, second.n), level, missing)


def welch_se(sd_a: float, n_a: int, sd_b: float, n_b: int) -> tuple[float | None, float | None]:
    """Standard error of the difference of two means, and its Satterthwaite degrees of freedom.

    None and None where neither sample varies.
    """
    va, vb = sd_a**2 / n_a, sd_b**2 / n_b
    total = va + vb
    if total == 0.0:
        return None, None
    # Shares rather than squares of variances: the square of a tiny variance would underflow.
    return math.sqrt(total), 1.0 / ((va / total) ** 2 / (n_a - 1) + (vb / total) ** 2 / (n_b - 1))


def paired_t(a: Keyed, b: Keyed, level: float = 0.95) -> TestResult:
    """Student's test of the mean of `a - b`, paired by key.

    Source: Student (1908), Biometrika 6(1), on the differences of pairs.
    """
    mean = paired_t_interval(a, b, level=level)
    if mean.value is None or not mean.se:
        reason = NO_SPREAD if mean.n >= 2 else _too_few(pairs=mean.n)
        return _absent(PAIRED_T_METHOD, mean.n, mean.n, mean.value, level, reason, mean.n_missing)
    return _t_result(PAIRED_T_METHOD, mean.value, mean.se, mean.n - 1, (mean.n, mean.n), level, mean.n_missing)


def permutation(
    a: Values | Keyed, b: Values | Keyed, *, rng: np.random.Generator, draws: int = 10_000, paired: bool = False, level: float = 0.95
) -> TestResult:
    """Permutation test of the difference of means; the values are means of the units that were randomised.

    Unpaired, the labels of the runs are exchanged; paired, the signs of the differences. All
    relabellings are looked at when there are at most `draws`, so that three against three runs give at
    least p = 0.1; otherwise `draws` random ones. Two-sided: as extreme means |mean difference| at
    least that seen. There is no interval.

    Args:
        a: Means of the runs of a, by seed or in order.
        b: Means of the runs of b.
        rng: Source of the random relabellings.
        draws: Relabellings to look at, at most.
        paired: Pair by key, or by position.
        level: Only recorded.

    Sources: Fisher (1935), The Design of Experiments, section 21; Phipson and Smyth (2010), Stat.
    Appl. Genet. Mol. Biol. 9(1), for the correction of random draws.
    """
    check_draws(draws)
    check_fraction(level, "a level")
    return _sign_test(a, b, rng, draws, level) if paired else _label_test(a, b, rng, draws, level)


def mcnemar(b: int, c: int, *, n: int | None = None) -> TestResult:
    """McNemar's test of two conditions on the same items, from the pairs that disagree.

    Args:
        b: Items that only condition a has right.
        c: Items that only condition b has right.
        n: All items; with it the difference (b - c)/n and its standard error are given.

    Below 25 disagreeing pairs the two-sided binomial test with 1/2 (statistic: the smaller count);
    from there chi2 = (max(|b - c| - 1, 0))^2 / (b + c) with one degree of freedom. Sources: McNemar
    (1947), Psychometrika 12(2); Edwards (1948), Psychometrika 13(3), for the continuity correction.
    """
    from scipy.special import bdtr, chdtrc

    if b < 0 or c < 0 or (n is not None and n < b + c):
        raise TruingError(f"{b} and {c} disagreeing pairs of {n} items", "counts that are not negative and sum to at most n", "recount")
    pairs_seen, items = b + c, b + c if n is None else n
    diff = (b - c) / n if n else None
    if not pairs_seen:
        return _absent(MCNEMAR_EXACT_METHOD, items, items, diff, 0.95, "the conditions agree on every item", 0)
    se = math.sqrt(max(pairs_seen - (b - c) ** 2 / n, 0.0)) / n if n else None
    if pairs_seen < MCNEMAR_EXACT_BELOW:
        smaller = min(b, c)
        p = min(1.0, 2.0 * float(bdtr(smaller, pairs_seen, 0.5)))
        return TestResult(float(smaller), None, p, MCNEMAR_EXACT_METHOD, items, items, diff, se, None, None, 0.95)
    chi2 = max(abs(b - c) - 1, 0) ** 2 / pairs_seen
    p = above_zero(float(chdtrc(1, chi2)))
    return TestResult(chi2, 1.0, p, MCNEMAR_CHI2_METHOD, items, items, diff, se, None, None, 0.95)


def mcnemar_items(a_correct: Values | Keyed, b_correct: Values | Keyed) -> TestResult:
    """McNemar's test from the marks of each item: true or 1 is right, false or 0 wrong, None missing.

    Items pair by key when both are mappings, by position otherwise; an item without both marks is left
    out and counted. Source: McNemar (1947), Psychometrika 12(2).
    """
    from dataclasses import replace

    items = pairs(a_correct, b_correct)
    marks = np.concatenate([items.a, items.b])
    if not np.isin(marks, (0.0, 1.0)).all():
        raise TruingError(f"marks {some(sorted(set(marks.tolist())))}", "right (1) or wrong (0)", "threshold the scores first")
    only_a, only_b = int(((items.a == 1) & (items.b == 0)).sum()), int(((items.a == 0) & (items.b == 1)).sum())
    return replace(mcnemar(only_a, only_b, n=len(items.a)), n_missing=items.n_missing)


def combined_5x2cv_f(differences: Sequence[Sequence[float | None]]) -> TestResult:
    """Test over five replications of twofold cross-validation, each with the differences `a - b` of its folds.

    F = sum of the squared differences / (2 * sum of the five variances), with 10 and 5 degrees of
    freedom. Source: Alpaydin (1999), Neural Computation 11(8), eq. for the combined 5x2cv F.
    """
    from scipy.special import fdtrc

    if len(differences) != 5 or any(len(row) != 2 for row in differences):
        shape = [len(row) for row in differences]
        raise TruingError(f"differences in rows of {shape}", "5 replications of 2 folds", "use corrected_resampled_t for other designs")
    folds = sample(value for row in differences for value in row)
    if folds.n_missing:
        return _absent(COMBINED_F_METHOD, folds.n, folds.n, folds.mean, 0.95, "a fold has no value", folds.n_missing)
    table = folds.values.reshape(5, 2)
    variances = (table[:, 0] - table[:, 1]) ** 2 / 2
    if all(constant(row) for row in table):
        return _absent(COMBINED_F_METHOD, 10, 10, folds.mean, 0.95, NO_SPREAD, 0)
    f = float((table**2).sum() / (2 * variances.sum()))
    p = above_zero(float(fdtrc(10, 5, f)))
    return TestResult(f, 10.0, p, COMBINED_F_METHOD, 10, 10, folds.mean, None, None, None, 0.95, df_denominator=5.0)


def corrected_resampled_t(differences: Values, test_train_ratio: float, level: float = 0.95) -> TestResult:
    """Test of the mean of `a - b` over overlapping train/test splits, whose variance a plain t understates.

    t = mean / sqrt((1/J + n_test/n_train) s^2), with J - 1 degrees of freedom. Source: Nadeau and
    Bengio (2003), Machine Learning 52(3), the corrected resampled t-test.

    Args:
        differences: `a - b` of each of the J splits.
        test_train_ratio: Size of a test part over size of a training part, e.g. 1/9 for tenfold.
        level: Coverage of the interval.
    """
    check_fraction(level, "a level")
    if not 0 < test_train_ratio < math.inf:
        raise TruingError(f"a test/train ratio of {test_train_ratio}", "a positive ratio", "divide the test size by the training size")
    splits = sample(differences)
    if not splits.sd or splits.mean is None:
        reason = NO_SPREAD if splits.n >= 2 else _too_few(splits=splits.n)
        return _absent(CORRECTED_T_METHOD, splits.n, splits.n, splits.mean, level, reason, splits.n_missing)
    se = splits.sd * math.sqrt(1 / splits.n + test_train_ratio)
    return _t_result(CORRECTED_T_METHOD, splits.mean, se, splits.n - 1, (splits.n, splits.n), level, splits.n_missing)


def prediction_t(point: float | None, replicates: Values, level: float = 0.95) -> TestResult:
    """Whether one new value (a) belongs with the replicates (b) of a condition.

    t = (point - mean) / (s sqrt(1 + 1/n)), with n - 1 degrees of freedom: the prediction interval of
    one further replicate, turned round. Source: Hahn and Meeker (1991), Statistical Intervals,
    section 4.7.
    """
    check_fraction(level, "a level")
    new, known = sample([point]), sample(replicates)
    missing = new.n_missing + known.n_missing
    diff = None if new.mean is None or known.mean is None else new.mean - known.mean
    if diff is None or not known.sd:
        reason = "the point has no value" if new.mean is None else NO_SPREAD if known.n >= 2 else _too_few(replicates=known.n)
        return _absent(PREDICTION_T_METHOD, new.n, known.n, diff, level, reason, missing)
    se = known.sd * math.sqrt(1 + 1 / known.n)
    return _t_result(PREDICTION_T_METHOD, diff, se, known.n - 1, (new.n, known.n), level, missing)


def _sign_test(a: Values | Keyed, b: Values | Keyed, rng: np.random.Generator, draws: int, level: float) -> TestResult:
    differences = pairs(a, b).differences
    n, values = differences.n, differences.values
    if n < 2 or constant(np.append(values, 0.0)):
        reason = _too_few(pairs=n) if n < 2 else "every pair is equal: no sign makes a difference"
        return _absent("paired permutation", n, n, differences.mean, level, reason, differences.n_missing)
    family = sign_flips(n, draws)
    return _relabelled("paired permutation", family, values / n, (n, n), rng, level, differences.n_missing)


def _label_test(a: Values | Keyed, b: Values | Keyed, rng: np.random.Generator, draws: int, level: float) -> TestResult:
    first, second = sample(a), sample(b)
    n_a, n_b, missing = first.n, second.n, first.n_missing + second.n_missing
    pooled = np.concatenate([first.values, second.values])
    if not n_a or not n_b or n_a + n_b < 3 or constant(pooled):
        diff = None if first.mean is None or second.mean is None else first.mean - second.mean
        reason = NO_SPREAD if n_a and n_b and n_a + n_b >= 3 else _too_few(a=n_a, b=n_b)
        return _absent("permutation", n_a, n_b, diff, level, reason, missing)
    # mean_a - mean_b is the sum of a's values, centred, times (1/n_a + 1/n_b).
    weights = (pooled - pooled.mean()) * (1 / n_a + 1 / n_b)
    return _relabelled("permutation", group_labels(n_a, n_b, draws), weights, (n_a, n_b), rng, level, missing)


def _relabelled(
    name: str, family: Relabellings, weights: Floats, n: tuple[int, int], rng: np.random.Generator, level: float, missing: int
) -> TestResult:
    observed = float(weights[: family.n_a].sum())
    # Ties are as extreme; rounding in the order of a sum must not untie them.
    bound = abs(observed) - TIE_TOLERANCE * float(np.abs(weights).sum())
    as_extreme = sum(int((np.abs(labels @ weights) >= bound).sum()) for labels in family.chunks(rng))
    p = family.p_value(as_extreme)
    method = f"{name}, {family.describe()}"
    return TestResult(observed, None, p, method, *n, observed, None, None, None, level, n_missing=missing, p_floor=family.floor)


def _t_result(method: str, diff: float, se: float, df: float, n: tuple[int, int], level: float, missing: int) -> TestResult:
    half = t_quantile(df, level) * se
    return TestResult(diff / se, df, t_p_value(diff / se, df), method, *n, diff, se, diff - half, diff + half, level, n_missing=missing)


def _absent(method: str, n_a: int, n_b: int, diff: float | None, level: float, reason: str, missing: int) -> TestResult:
    return TestResult(None, None, None, method, n_a, n_b, diff, None, None, None, level, reason, missing)


def _too_few(**counts: int) -> str:
    return "too few values: " + ", ".join(f"{count} of {name}" if name in "ab" else f"{count} {name}" for name, count in counts.items())
