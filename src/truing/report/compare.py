"""Two results side by side: refused unless their protocols are equal, and then in every metric that both have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from truing.contracts.protocol import Allowance, Mismatch, Protocol, from_text, require_comparable
from truing.core.errors import Exit, TruingError, some
from truing.planning.questions import Question
from truing.stats.hypotheses import welch
from truing.stats.intervals import Estimate, paired_p_value, paired_t_interval

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
# A run has not been asked anything: only how it was trained can be compared.
TRAINING_ONLY = ("eval.*", "judge.*", "base.model")
_SHARED = ("phase", "probe", "arm", "metric", "unit")


@dataclass(frozen=True)
class Operand:
    """One side of a comparison.

    Attributes:
        name: What it is called in messages.
        protocols: How it was made, by (phase, probe); ("", "") for a training run.
        rows: Its rows of the result table; empty for a training run.
        condition: Name of its condition, for contrasts that a study declares; None for a run.
    """

    name: str
    protocols: Mapping[tuple[str, str], Protocol]
    rows: Sequence[Row] = ()
    condition: str | None = None

    @property
    def trained_only(self) -> bool:
        """Whether it is a training run that has not been asked anything."""
        return self.condition is None


@dataclass(frozen=True)
class Compared:
    """A metric of both sides.

    Attributes:
        phase: Training phase after which it was measured.
        probe: Probe that asked.
        arm: Part of the items.
        metric: Name of the metric.
        unit: Its unit.
        a: Mean over the seeds of the first side; None when it is missing.
        b: Mean over the seeds of the second side.
        n_a: Seeds of the first side with a value.
        n_b: Seeds of the second side with a value.
        diff: Mean of `a - b`.
        ci_lo: Lower end of its 95 % interval.
        ci_hi: Upper end.
        p_value: Two-sided, for no family of tests.
        method: How the difference was taken; the reason when there is no test.
    """

    phase: str
    probe: str
    arm: str
    metric: str
    unit: str
    a: float | None
    b: float | None
    n_a: int
    n_b: int
    diff: float | None
    ci_lo: float | None
    ci_hi: float | None
    p_value: float | None
    method: str


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        a: Name of the first side.
        b: Name of the second side.
        mismatches: Protocol differences that somebody vouches for.
        exempt: Fields that the contrast manipulates.
        rows: The metrics; empty for two training runs.
        n_upstream: Fewest independent upstream runs of either side; None for two training runs.
        notes: What a reader must know beside the numbers.
        questions: What was asked of the question set; imported results without their questions ask none.
    """

    a: str
    b: str
    mismatches: Sequence[Mismatch]
    exempt: Sequence[str]
    rows: Sequence[Compared] = ()
    n_upstream: int | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    questions: Sequence[Question] = field(default_factory=tuple)

    def document(self) -> Row:
        """As it is recorded (schemas/comparison.schema.json)."""
        return {
            "schema": 1,
            "a": self.a,
            "b": self.b,
            "exempt": list(self.exempt),
            "mismatches": [mismatch.row(self.a, self.b) for mismatch in self.mismatches],
            "n_upstream": self.n_upstream,
            "notes": list(self.notes),
            "rows": [asdict(row) for row in self.rows],
        }


def compare(
    a: Operand,
    b: Operand,
    *,
    metrics: Sequence[str] = (),
    exempt: Sequence[str] = (),
    allowed: Sequence[Allowance] = (),
    arms: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare two operands, in the named metrics or in all that both have.

    Args:
        a: The side that differences are named after first.
        b: The side that is subtracted.
        metrics: Names of metrics; all by default.
        exempt: Protocol fields that the contrast manipulates.
        allowed: Protocol differences that somebody vouches for.
        arms: The one arm to compare each of these metrics in; every arm of the others.

    Raises:
        TruingError: exit 3 and a table of the differing fields with both values, unless the protocols are equal but for
            `exempt` and `allowed`; exit 2 for a metric that one side lacks.
    """
    if a.trained_only != b.trained_only:
        raise TruingError(
            f"{a.name} and {b.name}: one is a training run and the other has been measured",
            "two of a kind",
            "name two runs or two conditions",
        )
    mismatches = _mismatches(a, b, (*exempt, *(TRAINING_ONLY if a.trained_only else ())), allowed)
    if a.trained_only:
        return Comparison(a.name, b.name, mismatches, exempt, notes=("two training runs: they were not asked anything",))
    upstream = min(int(row["n_upstream"]) for side in (a, b) for row in side.rows)
    rows = [
        _compared(key, left, right, upstream) for key, left, right in _paired(a, b, metrics) if key[2] == (arms or {}).get(key[3], key[2])
    ]
    return Comparison(a.name, b.name, mismatches, exempt, rows, upstream, tuple(_notes(upstream, rows)), _questions(a, b, rows))


def _questions(a: Operand, b: Operand, rows: Sequence[Compared]) -> list[Question]:
    metrics = sorted({row.metric for row in rows})
    every = [row for side in (a, b) for row in side.rows if row["items_digest"] and row["answers_digest"]]
    found = {metric: [row for row in every if row["metric"] == metric] for metric in metrics}
    asked = [
        Question(items, metric, tuple(sorted({row["answers_digest"] for row in mine if row["items_digest"] == items})))
        for metric, mine in found.items()
        for items in sorted({row["items_digest"] for row in mine})
    ]
    # The same answers on both sides decide nothing.
    return [question for question in asked if len(question.answers) > 1]


def _mismatches(a: Operand, b: Operand, exempt: Sequence[str], allowed: Sequence[Allowance]) -> list[Mismatch]:
    shared = sorted(a.protocols.keys() & b.protocols.keys())
    if not shared:
        have = [some(sorted(" ".join(key) for key in side.protocols), 20) for side in (a, b)]
        raise TruingError(
            f"{a.name} has {have[0]}; {b.name} has {have[1]}",
            "a phase and probe that both have",
            "compare what was measured alike",
            Exit.REFUSED,
        )
    found = [
        mismatch
        for key in shared
        for mismatch in require_comparable(a.protocols[key], b.protocols[key], names=(a.name, b.name), exempt=exempt, allowed=allowed)
    ]
    return [mismatch for index, mismatch in enumerate(found) if mismatch not in found[:index]]


def _notes(upstream: int, rows: Sequence[Compared]) -> Iterable[str]:
    if upstream < 2:
        yield "conditional on one checkpoint: its seeds say nothing about another one"
    if any(row.p_value is not None for row in rows):
        yield "p-values are of single tests; a study's declared family is in metrics/contrasts.csv"


def _paired(a: Operand, b: Operand, metrics: Sequence[str]) -> Iterable[tuple[tuple[str, ...], list[Row], list[Row]]]:
    left, right = _by_metric(a.rows), _by_metric(b.rows)
    known = {key[3] for key in left} & {key[3] for key in right}
    strange = sorted(set(metrics) - known)
    if strange:
        raise TruingError(
            f"{a.name} and {b.name} do not both have {some(strange)}", f"one of {some(sorted(known), 30)}", "correct --metric"
        )
    for key in sorted(left.keys() & right.keys()):
        if not metrics or key[3] in metrics:
            yield key, left[key], right[key]


def _by_metric(rows: Sequence[Row]) -> dict[tuple[str, ...], list[Row]]:
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(str(row[name]) for name in _SHARED), []).append(row)
    return found


def _compared(key: tuple[str, ...], left: Sequence[Row], right: Sequence[Row], upstream: int) -> Compared:
    a, b = _values(left), _values(right)
    known_a, known_b = ([value for value in side.values() if value is not None] for side in (a, b))
    estimate, p, method = _difference(a, b)
    if upstream < 2:
        # Seeds of one checkpoint test nothing about the condition.
        p, method = None, "conditional on one checkpoint"
    phase, probe, arm, metric, unit = key
    return Compared(
        phase=phase,
        probe=probe,
        arm=arm,
        metric=metric,
        unit=unit,
        a=_mean(known_a),
        b=_mean(known_b),
        n_a=len(known_a),
        n_b=len(known_b),
        diff=estimate.value,
        ci_lo=estimate.lo,
        ci_hi=estimate.hi,
        p_value=p,
        method=method,
    )


def _values(rows: Sequence[Row]) -> dict[int | None, float | None]:
    return {None if row["seed"] is None else int(row["seed"]): row["value"] for row in rows}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _difference(a: Mapping[int | None, float | None], b: Mapping[int | None, float | None]) -> tuple[Estimate, float | None, str]:
    """Paired by seed where seeds are shared, Welch where they are not, and no test where a side has one value."""
    left, right = ({seed: value for seed, value in side.items() if seed is not None} for side in (a, b))
    if len(left.keys() & right.keys()) >= 2:
        estimate = paired_t_interval(left, right)
        return estimate, paired_p_value(left, right), estimate.method or "no spread over pairs"
    known = [[value for value in side.values() if value is not None] for side in (a, b)]
    if min(map(len, known)) >= 2:
        found = welch(known[0], known[1])
        n = found.n_a + found.n_b
        return (
            Estimate(found.diff, found.se, found.lo, found.hi, 0.95, found.method, n, "seed"),
            found.p_value,
            found.reason or found.method,
        )
    means = [_mean(values) for values in known]
    diff = None if means[0] is None or means[1] is None else means[0] - means[1]
    return Estimate(diff, None, None, None, 0.95, None, 1, "seed"), None, "one value on a side: no test"


def operand(name: str, table: pd.DataFrame, condition: str) -> Operand:
    """One condition of a result table.

    Raises:
        TruingError: there are no rows, or seeds of one phase and probe were made by different protocols.
    """
    part = table[table["condition"] == condition].astype(object)
    rows = [{str(k): v for k, v in row.items()} for row in part.where(part.notna(), None).to_dict("records")]
    if not rows:
        raise TruingError(f"{name}: no condition {condition}", f"one of {some(sorted(set(table['condition'])), 20)}", "correct the name")
    texts: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        texts.setdefault((row["phase"], row["probe"]), {})[row["protocol"]] = None
    return Operand(name, {key: _one_protocol(name, list(found)) for key, found in texts.items()}, rows, condition)


def _one_protocol(name: str, texts: Sequence[str]) -> Protocol:
    first, *rest = (from_text(text) for text in texts)
    for other in rest:
        require_comparable(first, other, names=(f"{name}, one seed", f"{name}, another seed"))
    return first
