"""One study's numbers, looked up by condition, arm and metric, each with the nodes that it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truing.core.errors import Exit, TruingError
from truing.stats.family import Tested

if TYPE_CHECKING:
    import pandas as pd

BASE = "base"
# Below so many independent upstream runs a value speaks of one checkpoint, and not of the condition.
FEWEST_UPSTREAM = 2


@dataclass(frozen=True)
class Measured:
    """A metric of one condition, over its seeds.

    Attributes:
        mean: None when it is missing.
        lo: Lower end of the interval over seeds (over items when there are no seeds); None without one.
        n_seeds: Seeds with a value; 0 for a model without training.
        n_missing: Seeds without a value.
        unit: Unit of the value.
        seeds: (seed, value) in seed order, without missing ones.
        nodes: Nodes ("verb/key") that the values came from.
        items: Items asked, as far as all seeds agree.
        n_upstream: Fewest independent upstream runs of a seeded value; None when nothing has a seed.
    """

    mean: float | None
    lo: float | None
    hi: float | None
    n_seeds: int
    n_missing: int
    unit: str
    seeds: tuple[tuple[int, float], ...]
    nodes: tuple[str, ...]
    items: int | None
    n_upstream: int | None = None

    @property
    def single(self) -> bool:
        """Whether it is the value of one seed, which may not stand beside others as a mark."""
        return self.n_seeds == 1


@dataclass(frozen=True)
class Difference:
    """A difference `a - b` of a metric, paired by seed.

    Attributes:
        a: The condition that it is named after first.
        b: The condition that is subtracted.
        diff: None when no pair is complete.
        lo: Lower end of its 95 % interval, not adjusted.
        hi: Upper end.
        n: Pairs of seeds.
        p_value: Two-sided p of the paired t test, not adjusted.
        test: The same difference in the study's declared family; None outside of it.
        n_upstream: Independent upstream runs behind the smaller side, as far as they are known.
    """

    a: str
    b: str
    diff: float | None
    lo: float | None
    hi: float | None
    n: int
    p_value: float | None
    test: Tested | None = None
    n_upstream: int | None = None

    @property
    def conditional(self) -> bool:
        """Whether it speaks of one checkpoint only."""
        if self.test is not None:
            return self.test.conditional
        return self.n_upstream is not None and self.n_upstream < FEWEST_UPSTREAM

    @property
    def p_adjusted(self) -> float | None:
        """The p-value under the declared correction; None outside the declared family and without a test."""
        return None if self.test is None else self.test.adjusted[self.test.correction]

    @property
    def name(self) -> str:
        """The difference in words, with a real minus sign."""
        return f"{self.a} \u2212 {self.b}"


@dataclass(frozen=True)
class Measurements:
    """Every number of one study.

    Attributes:
        study: Its name in the result table.
        cells: By (condition, arm, metric).
        differences: By (a, b, arm, metric).
        conditions: Sorted names.
        scopes: Phases that the seeds vary.
        n_upstream: Fewest independent upstream runs that a seeded value stands on; None when nothing has a seed.
    """

    study: str
    cells: Mapping[tuple[str, str, str], Measured]
    differences: Mapping[tuple[str, str, str, str], Difference]
    conditions: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    n_upstream: int | None = None

    def get(self, condition: str, arm: str, metric: str) -> Measured | None:
        """The cell, or None when nothing was measured or nothing came out."""
        cell = self.cells.get((condition, arm, metric))
        return cell if cell is not None and cell.mean is not None else None

    def mean(self, condition: str, arm: str, metric: str) -> float | None:
        """The mean of the cell, or None."""
        cell = self.get(condition, arm, metric)
        return cell.mean if cell else None

    def has(self, arm: str, metric: str) -> bool:
        """Whether any condition has a value for it."""
        return any(self.get(condition, arm, metric) for condition in self.conditions)

    def arms(self, metric: str) -> list[str]:
        """Arms with a cell of that metric, sorted."""
        return sorted({arm for _, arm, name in self.cells if name == metric})

    def metrics(self, arm: str) -> list[str]:
        """Metrics with a cell in that arm, sorted."""
        return sorted({name for _, other, name in self.cells if other == arm})

    def nodes(self) -> frozenset[str]:
        """Every node that a number of the study came from."""
        return frozenset(node for cell in self.cells.values() for node in cell.nodes)


def measurements(
    study: str, results: pd.DataFrame, cells: pd.DataFrame, differences: pd.DataFrame, tests: Sequence[Tested] = ()
) -> Measurements:
    """Index one study's tables.

    Args:
        study: Its name in them.
        results: The result table.
        cells: Its summary over seeds.
        differences: Its paired differences.
        tests: The study's declared family.

    Raises:
        TruingError: two probes, or two phases, report the same arm and metric of a condition.
    """
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in records(results, study):
        rows.setdefault(_key(row), []).append(row)
    found: dict[tuple[str, str, str], Measured] = {}
    sources: dict[tuple[str, str, str], tuple[str, str]] = {}
    for cell in records(cells, study):
        key = _key(cell)
        if key in found:
            raise _two_sources(study, key, sources[key], (cell["probe"], cell["phase"]))
        sources[key] = (cell["probe"], cell["phase"])
        found[key] = _measured(cell, rows.get(key, []))
    family = _either_way(tests)
    contrasts = {(d["a"], d["b"], d["arm"], d["metric"]): _difference(d, found, family) for d in records(differences, study)}
    seeded = [row for group in rows.values() for row in group if row["seed"] is not None]
    return Measurements(
        study=study,
        cells=found,
        differences=contrasts,
        conditions=tuple(sorted({key[0] for key in found})),
        scopes=tuple(sorted({row["seed_scope"] for row in seeded})),
        n_upstream=min((int(row["n_upstream"]) for row in seeded), default=None),
    )


def records(frame: pd.DataFrame, study: str | None = None) -> list[dict[str, Any]]:
    """Rows of one study (of all, without one) as dictionaries, with None for every missing value."""
    rows = (frame if study is None else frame[frame["study"] == study]).astype(object)
    return [{str(k): v for k, v in row.items()} for row in rows.where(rows.notna(), None).to_dict("records")]


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["condition"], row["arm"], row["metric"]


def _measured(cell: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Measured:
    seeds = sorted((int(row["seed"]), float(row["value"])) for row in rows if row["seed"] is not None and row["value"] is not None)
    items = {None if row["n"] is None else int(row["n"]) for row in rows}
    upstream = [int(row["n_upstream"]) for row in rows if row["seed"] is not None]
    return Measured(
        mean=cell["mean"],
        lo=cell["ci_lo"],
        hi=cell["ci_hi"],
        n_seeds=int(cell["n_seeds"]),
        n_missing=int(cell["n_missing"]),
        unit=cell["unit"],
        seeds=tuple(seeds),
        nodes=tuple(sorted({node_of(row["node"]) for row in rows})),
        items=items.pop() if len(items) == 1 else None,
        n_upstream=min(upstream, default=None),
    )


def _either_way(tests: Sequence[Tested]) -> dict[tuple[str, str, str, str], Tested]:
    """Tests by (a, b, arm, metric), whichever way round a table names its difference."""
    flipped = {(test.b, test.a, test.arm, test.metric): test.flipped() for test in tests}
    return flipped | {(test.a, test.b, test.arm, test.metric): test for test in tests}


def _difference(
    row: Mapping[str, Any], cells: Mapping[tuple[str, str, str], Measured], family: Mapping[tuple[str, str, str, str], Tested]
) -> Difference:
    a, b, arm, metric = (str(row[name]) for name in ("a", "b", "arm", "metric"))
    sides = [cells[name, arm, metric].n_upstream for name in (a, b) if (name, arm, metric) in cells]
    upstream = min((count for count in sides if count is not None), default=None)
    test = family.get((a, b, arm, metric))
    return Difference(a, b, row["diff"], row["ci_lo"], row["ci_hi"], int(row["n"]), row["p_value"], test, upstream)


def _two_sources(study: str, key: tuple[str, str, str], first: tuple[str, str], second: tuple[str, str]) -> TruingError:
    by = f"by the probes {first[0]!r} and {second[0]!r}"
    after = f"after the phases {first[1]!r} and {second[1]!r}"
    return TruingError(
        f"study {study}: {' / '.join(key)} is reported {by if first[0] != second[0] else after}",
        "one probe and one phase per arm and metric of a condition",
        "give the arms of the two different names",
        Exit.REFUSED,
    )


def node_of(name: str) -> str:
    """The node a result names, as "verb/key"; a bare key is that of the answers."""
    return name if "/" in name else f"respond/{name}"


def result_nodes(results: pd.DataFrame) -> list[str]:
    """Every node named in the result table."""
    return sorted({node_of(str(name)) for name in results["node"]})


def ordered(conditions: Iterable[str], contrasts: Sequence[tuple[str, str]]) -> list[str]:
    """Conditions with the base first, then design by design; in a design the treatments (`a` of a contrast) come last."""
    names = list(conditions)
    designs = list(dict.fromkeys(design(a) for a, _ in contrasts))
    later = {strategy(a): index for index, (a, _) in enumerate(contrasts, start=1)}

    def rank(name: str) -> tuple[object, ...]:
        place = designs.index(design(name)) if design(name) in designs else len(designs)
        return (name != BASE, place, design(name), later.get(strategy(name), 0), strategy(name) != "uniform", strategy(name))

    return sorted(names, key=rank)


def design(condition: str) -> str:
    """The part of a condition's name before its strategy: what it is trained on."""
    return condition.rpartition("-")[0]


def strategy(condition: str) -> str:
    """The last part of a condition's name."""
    return condition.rpartition("-")[2]
