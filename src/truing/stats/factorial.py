"""Contrasts of groups of runs with unequal spreads, and 2 x 2 designs read from the interaction down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from truing.core.errors import TruingError, some
from truing.stats.hypotheses import t_lower_tail, t_p_value, t_quantile
from truing.stats.samples import check_fraction, constant, sample

WELCH_METHOD = "welch-satterthwaite t"
PAIRED_METHOD = "paired t"

Runs = Sequence[float | None]
BySeed = Mapping[int, float | None]
Cells = Mapping[str, Mapping[str, Runs | BySeed]]


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of group means with its uncertainty.

    Attributes:
        direction: What is subtracted from what, in the names of the groups.
        value: The estimate, in the unit of the values; None when a group has no value.
        se: Standard error; None with a `reason`, and so are all that follow from it.
        df: Degrees of freedom after Welch and Satterthwaite, or pairs less one.
        p_value: Two-sided, of the hypothesis that the contrast is zero.
        lo: Lower end of the interval.
        hi: Upper end of the interval.
        level: Coverage of the interval.
        method: How the interval was made; None when there is none.
        n: Values that entered, by group.
        n_missing: Values that were missing.
        reason: Why there is no standard error; None when there is one.
    """

    direction: str
    value: float | None
    se: float | None
    df: float | None
    p_value: float | None
    lo: float | None
    hi: float | None
    level: float
    method: str | None
    n: Mapping[str, int]
    n_missing: int
    reason: str | None


@dataclass(frozen=True)
class MainEffect:
    """A main effect with what may be said of it: `caution` says why it does not stand alone, None when it does."""

    factor: str
    contrast: Contrast
    caution: str | None

    @property
    def interpretable(self) -> bool:
        """Whether the effect may be reported without the interaction."""
        return self.caution is None


@dataclass(frozen=True)
class Factorial:
    """A 2 x 2 design in the order in which it has to be read.

    Attributes:
        interaction: (a - b) - (c - d).
        significant: Whether its p-value is at most alpha.
        margin: The interaction that counts as none, in the unit of the values; None when not declared.
        equivalence_p: p-value of the claim that the interaction is within the margin; None without a margin.
        negligible: Whether that claim is proven at alpha.
        main: Effects of the row factor and of the column factor.
        simple: Effect of the column factor in the first row, a - b, and in the second, c - d.
        alpha: Two-sided level of the tests.
    """

    interaction: Contrast
    significant: bool
    margin: float | None
    equivalence_p: float | None
    negligible: bool
    main: tuple[MainEffect, MainEffect]
    simple: tuple[Contrast, Contrast]
    alpha: float

    def rows(self) -> list[dict[str, Any]]:
        """The table of the design: the interaction first, then main effects with their caution, then simple effects."""
        cautions = [None, *(effect.caution for effect in self.main), None, None]
        terms = ["interaction", *(f"main effect of {effect.factor}" for effect in self.main), "simple effect", "simple effect"]
        found = [self.interaction, *(effect.contrast for effect in self.main), *self.simple]
        return [{"term": t, **_shown(c), "caution": why} for t, c, why in zip(terms, found, cautions, strict=True)]


def contrast(groups: Mapping[str, Runs], coefficients: Mapping[str, float], *, level: float = 0.95) -> Contrast:
    """A linear contrast of group means, with no assumption of equal variances.

    Args:
        groups: Values of independent runs by name of the group; None and NaN are missing.
        coefficients: Weight by group; they sum to zero. A group without one has weight 0.
        level: Coverage of the interval, in (0, 1).

    value = sum c_i m_i, se^2 = sum c_i^2 s_i^2 / n_i, df = se^4 / sum (c_i^2 s_i^2 / n_i)^2 / (n_i - 1).
    Sources: Welch (1947), Biometrika 34(1/2); Satterthwaite (1946), Biometrics Bull. 2(6). A group of
    fewer than two values has no spread, and then neither has the contrast.

    Raises:
        TruingError: a coefficient of no group, coefficients that do not sum to zero or are all zero, an
            infinite value, or a level outside (0, 1).
    """
    _check(groups, coefficients, level)
    weights = {name: float(weight) for name, weight in coefficients.items() if weight}
    samples = {name: sample(groups[name]) for name in weights}
    known = {name: found.values for name, found in samples.items()}
    missing = sum(found.n_missing for found in samples.values())
    n = {name: found.n for name, found in samples.items()}
    direction = _direction(weights)
    if min(n.values()) < 1:
        return _without_spread(direction, None, level, n, missing, f"no value in {some(name for name in n if not n[name])}")
    value = math.fsum(weight * float(known[name].mean()) for name, weight in weights.items())
    if min(n.values()) < 2:
        return _without_spread(direction, value, level, n, missing, f"one value in {some(name for name in n if n[name] < 2)}")
    if all(constant(values) for values in known.values()):
        return _without_spread(direction, value, level, n, missing, "the values of every group are equal")
    parts = {name: weight**2 * float(known[name].var(ddof=1)) / n[name] for name, weight in weights.items()}
    variance = sum(parts.values())
    # Shares rather than squares of variances: the square of a tiny variance would underflow.
    df = 1.0 / sum((part / variance) ** 2 / (n[name] - 1) for name, part in parts.items())
    return _with_spread(direction, value, math.sqrt(variance), df, level, WELCH_METHOD, n, missing)


def paired_contrast(groups: Mapping[str, BySeed], coefficients: Mapping[str, float], *, level: float = 0.95) -> Contrast:
    """A linear contrast of groups that share seeds: Student's t on sum c_i y_i of each seed.

    Args:
        groups: Value by seed, by name of the group; None and NaN are missing.
        coefficients: Weight by group; they sum to zero.
        level: Coverage of the interval, in (0, 1).

    A seed that any group with a weight lacks is left out and counted. What all groups of a seed share
    cancels. Source: Student (1908), Biometrika 6(1), on the contrasts of the seeds.

    Raises:
        TruingError: as for `contrast`.
    """
    from truing.stats.intervals import t_interval

    _check(groups, coefficients, level)
    weights = {name: float(weight) for name, weight in coefficients.items() if weight}
    estimate = t_interval(_per_seed([groups[name] for name in weights], list(weights.values())), level=level)
    direction, n = _direction(weights), dict.fromkeys(weights, estimate.n)
    if estimate.value is None or estimate.se is None:
        reason = "fewer than two complete seeds, or no spread between seeds"
        return _without_spread(direction, estimate.value, level, n, estimate.n_missing, reason)
    return _with_spread(direction, estimate.value, estimate.se, estimate.n - 1.0, level, PAIRED_METHOD, n, estimate.n_missing)


def interaction(cells: Cells, *, level: float = 0.95) -> Contrast:
    """The interaction contrast of a 2 x 2 design: (a - b) - (c - d).

    Args:
        cells: Runs by row and column, in the order that names the direction: a and b are the columns of the
            first row, c and d those of the second. A cell is a sequence of values when runs are independent,
            or a mapping from seed to value when the cells share seeds, which are then paired.
        level: Coverage of the interval.

    Source: `contrast` or `paired_contrast` with weights 1, -1, -1, 1.

    Raises:
        TruingError: other than two rows with the same two columns, cells of both kinds, and what `contrast` raises.
    """
    groups = _groups(cells)
    a, b, c, d = groups
    found = _contrast(groups, {a: 1, b: -1, c: -1, d: 1}, level)
    return replace(found, direction=f"({a} - {b}) - ({c} - {d})")


def factorial(
    cells: Cells, alpha: float = 0.05, *, margin: float | None = None, factors: tuple[str, str] = ("rows", "columns")
) -> Factorial:
    """Read a 2 x 2 design from the interaction down.

    Args:
        cells: Runs of the four cells, as for `interaction`.
        alpha: Two-sided level of every test; intervals have the level 1 - alpha.
        margin: The largest interaction that counts as none, in the unit of the values, declared before
            the data. Without one the absence of an interaction cannot be claimed.
        factors: Names of the row factor and of the column factor.

    Main effects are averages over the other factor: the row effect is (a + b)/2 - (c + d)/2, the column
    effect (a + c)/2 - (b + d)/2. They stand alone only when the interaction is proven to be within the
    margin by two one-sided tests (Schuirmann, 1987, J. Pharmacokinet. Biopharm. 15(6)) and is not
    significant itself: a p-value above alpha is no proof of additivity.

    Raises:
        TruingError: an alpha outside (0, 0.5), a margin that is not positive, and what `contrast` raises.
    """
    if not 0 < alpha < 0.5:
        raise TruingError(f"tests at alpha {alpha}", "an alpha between 0 and 0.5", "write 0.05 for 5 %")
    if margin is not None and not (math.isfinite(margin) and margin > 0):
        raise TruingError(
            f"a margin of {margin}", "a positive number in the unit of the values", "state the smallest interaction that matters"
        )
    groups, level = _groups(cells), 1 - alpha
    found = interaction(cells, level=level)
    significant = found.p_value is not None and found.p_value <= alpha
    equivalence_p = _equivalence(found, margin)
    negligible = equivalence_p is not None and equivalence_p <= alpha
    caution = _caution(found, significant, margin, equivalence_p, negligible)
    a, b, c, d = groups
    rows = _contrast(groups, {a: 0.5, b: 0.5, c: -0.5, d: -0.5}, level)
    columns = _contrast(groups, {a: 0.5, b: -0.5, c: 0.5, d: -0.5}, level)
    main = (MainEffect(factors[0], rows, caution), MainEffect(factors[1], columns, caution))
    simple = (_contrast(groups, {a: 1, b: -1}, level), _contrast(groups, {c: 1, d: -1}, level))
    return Factorial(found, significant, margin, equivalence_p, negligible, main, simple, alpha)


def _equivalence(found: Contrast, margin: float | None) -> float | None:
    """The larger p-value of the two one-sided tests that the contrast is within +-margin."""
    if margin is None or found.value is None or found.se is None or found.df is None:
        return None
    return max(t_lower_tail(-(margin + side * found.value) / found.se, found.df) for side in (1, -1))


def _caution(found: Contrast, significant: bool, margin: float | None, equivalence_p: float | None, negligible: bool) -> str | None:
    alone = "not interpretable alone: "
    if found.p_value is None:
        return f"{alone}the interaction cannot be estimated ({found.reason})"
    if significant:
        return f"{alone}the interaction is significant (p = {found.p_value:.3g}); read the simple effects"
    if margin is None:
        return f"{alone}no margin was declared, so the absence of an interaction is unproven"
    if not negligible:
        return f"{alone}the interaction is not proven to be within +-{margin:g} (p = {equivalence_p:.3g})"
    return None


def _groups(cells: Cells) -> dict[str, Runs | BySeed]:
    columns = [list(row) for row in cells.values()]
    if len(cells) != 2 or any(len(names) != 2 for names in columns) or set(columns[0]) != set(columns[1]):
        raise TruingError(
            f"a design of rows {some(cells)} with columns {some(columns)}",
            "two rows with the same two columns",
            "pass the four cells of a 2 x 2",
        )
    # The first row names the direction; the second may list its columns in any order.
    return {f"{row}/{column}": cells[row][column] for row in cells for column in columns[0]}


def _contrast(groups: Mapping[str, Runs | BySeed], weights: Mapping[str, float], level: float) -> Contrast:
    by_seed = {name: values for name, values in groups.items() if isinstance(values, Mapping)}
    runs = {name: values for name, values in groups.items() if not isinstance(values, Mapping)}
    if by_seed and runs:
        raise TruingError(
            f"cells by seed ({some(by_seed)}) and cells of independent runs ({some(runs)})",
            "one kind",
            "give every cell its seeds, or none",
        )
    return paired_contrast(by_seed, weights, level=level) if by_seed else contrast(runs, weights, level=level)


def _per_seed(groups: Sequence[BySeed], weights: Sequence[float]) -> list[float | None]:
    found: list[float | None] = []
    for seed in sorted(set().union(*groups)):
        values = [group.get(seed) for group in groups]
        known = [value for value in values if value is not None]
        found.append(sum(weight * value for weight, value in zip(weights, known, strict=True)) if len(known) == len(values) else None)
    return found


def _direction(weights: Mapping[str, float]) -> str:
    terms = [f"{'-' if weight < 0 else '+'} {'' if abs(weight) == 1 else f'{abs(weight):g} '}{name}" for name, weight in weights.items()]
    return " ".join(terms).removeprefix("+ ")


def _with_spread(
    direction: str, value: float, se: float, df: float, level: float, method: str, n: Mapping[str, int], missing: int
) -> Contrast:
    half, p = t_quantile(df, level) * se, t_p_value(value / se, df)
    return Contrast(direction, value, se, df, p, value - half, value + half, level, method, n, missing, None)


def _without_spread(direction: str, value: float | None, level: float, n: Mapping[str, int], missing: int, reason: str) -> Contrast:
    return Contrast(direction, value, None, None, None, None, None, level, None, n, missing, reason)


def _check(groups: Mapping[str, object], coefficients: Mapping[str, float], level: float) -> None:
    check_fraction(level, "a level")
    absent = [name for name in coefficients if name not in groups]
    if absent:
        raise TruingError(f"coefficients of no group: {some(absent)}", f"groups: {some(groups, 20)}", "correct the names")
    weights = list(coefficients.values())
    if not any(weights) or not all(map(math.isfinite, weights)) or abs(math.fsum(weights)) > 1e-9 * max(map(abs, weights)):
        raise TruingError(f"coefficients {some(weights, 12)}", "some that are not zero and sum to zero", "subtract as much as you add")


def _shown(found: Contrast) -> dict[str, Any]:
    names = ("direction", "value", "se", "df", "p_value", "lo", "hi", "level", "method", "n_missing", "reason")
    return {name: getattr(found, name) for name in names} | {"n": sum(found.n.values())}
