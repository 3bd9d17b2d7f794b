"""One study's numbers, looked up by condition, arm and metric, each with the nodes that it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truing.core.errors import Exit, TruingError

if TYPE_CHECKING:
    import pandas as pd

BASE = "base"


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


@dataclass(frozen=True)
class Difference:
    """A difference `a - b` of a metric, paired by seed."""

    a: str
    b: str
    diff: float | None
    lo: float | None
    hi: float | None
    n: int
    p_value: float | None

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


def measurements(study: str, results: pd.DataFrame, cells: pd.DataFrame, differences: pd.DataFrame) -> Measurements:
    """Index one study's tables.

    Raises:
        TruingError: two probes report the same arm and metric of a condition.
    """
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in records(results, study):
        rows.setdefault(_key(row), []).append(row)
    found: dict[tuple[str, str, str], Measured] = {}
    probes: dict[tuple[str, str, str], str] = {}
    for cell in records(cells, study):
        key = _key(cell)
        if key in found:
            raise _two_probes(study, key, probes[key], cell["probe"])
        probes[key] = cell["probe"]
        found[key] = _measured(cell, rows.get(key, []))
    contrasts = {(d["a"], d["b"], d["arm"], d["metric"]): _difference(d) for d in records(differences, study)}
    seeded = [row for group in rows.values() for row in group if row["seed"] is not None]
    return Measurements(
        study=study,
        cells=found,
        differences=contrasts,
        conditions=tuple(sorted({key[0] for key in found})),
        scopes=tuple(sorted({row["seed_scope"] for row in seeded})),
        n_upstream=min((int(row["n_upstream"]) for row in seeded), default=None),
    )


def records(frame: pd.DataFrame, study: str) -> list[dict[str, Any]]:
    """Rows of one study as dictionaries, with None for every missing value."""
    rows = frame[frame["study"] == study].astype(object)
    return [{str(k): v for k, v in row.items()} for row in rows.where(rows.notna(), None).to_dict("records")]


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["condition"], row["arm"], row["metric"]


def _measured(cell: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Measured:
    seeds = sorted((int(row["seed"]), float(row["value"])) for row in rows if row["seed"] is not None and row["value"] is not None)
    items = {int(row["n"]) for row in rows}
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
    )


def _difference(row: Mapping[str, Any]) -> Difference:
    return Difference(row["a"], row["b"], row["diff"], row["ci_lo"], row["ci_hi"], int(row["n"]), row["p_value"])


def _two_probes(study: str, key: tuple[str, str, str], first: str, second: str) -> TruingError:
    return TruingError(
        f"study {study}: {' / '.join(key)} is reported by the probes {first!r} and {second!r}",
        "one probe per arm and metric of a condition",
        "give the arms of the two probes different names",
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
