"""What a page on re-alignment needs beyond the result table: roles and weights of pairs, verdicts by rule, and what judging took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truing.core.files import read_jsonl
from truing.core.tables import read_parquet
from truing.planning.nodes import Cell
from truing.planning.project import Project
from truing.stats.intervals import t_interval

if TYPE_CHECKING:
    import pandas as pd

TRAIN = "train"
VIOLATES = "violates"
Row = Mapping[str, Any]
# Of one arm and rule: by seed and question whether each sample breaks the rule.
Broken = dict[int | None, dict[str, list[bool]]]


@dataclass(frozen=True)
class Weighed:
    """The documents of a manifest that gives them roles.

    Attributes:
        corpus: Node of the corpus.
        evidence: Node of the signal with the categories; None where there is none.
        documents: `doc_id, kind, swapped, category, role, weight`; `kind` is the metadata's, else the source; `swapped` is whether the
            label was spoilt on purpose; no category without evidence of one.
    """

    corpus: str
    evidence: str | None
    documents: pd.DataFrame


@dataclass(frozen=True)
class Ruled:
    """How often the answers of a condition break one rule, in one arm.

    Attributes:
        study: Name of the study.
        condition: Name of the condition.
        judge: Who said so.
        arm: Part of the items.
        rule: Id of the rule.
        mean: Share of answers that break it: over samples, then questions, then seeds.
        lo: Lower end of Student's 95 % interval over seeds, or over questions where there are no seeds; None without one.
        hi: Upper end.
        n_seeds: Seeds; 0 for a model without training.
        questions: Questions that the rule was held against.
        node: The judge node.
    """

    study: str
    condition: str
    judge: str
    arm: str
    rule: str
    mean: float
    lo: float | None
    hi: float | None
    n_seeds: int
    questions: int
    node: str


@dataclass(frozen=True)
class Spent:
    """What one judge node took.

    Attributes:
        verdicts: Rows, with and without a verdict.
        asked: Rows that stand on a model's reply; 0 for a rule.
        dollars: Known cost in US dollars of the run that wrote them; None where nothing has a known cost.
        unpriced: Rows that stand on a reply without a known cost.
    """

    verdicts: int
    asked: int
    dollars: float | None
    unpriced: int


def weighed(project: Project) -> dict[str, Weighed]:
    """The manifests that give roles, by "manifest/key"; one that has not been made is not there."""
    found: dict[str, Weighed] = {}
    corpora: dict[str, tuple[dict[str, str], frozenset[str]]] = {}
    for key, node in project.nodes("manifest").items():
        path = project.layout.manifest(key)
        if not path.exists():
            continue
        table = read_parquet(path)
        if "role" not in table.columns or (table["role"] == TRAIN).all():
            continue
        if node.corpus not in corpora:
            corpora[node.corpus] = _about(project, node.corpus)
        kinds, swapped = corpora[node.corpus]
        table = table[["doc_id", "role", "weight"]].assign(kind=table["doc_id"].map(kinds), swapped=table["doc_id"].isin(swapped))
        evidence = _categories(project, node.evidence)
        if evidence is None:
            found[f"manifest/{key}"] = Weighed(f"corpus/{node.corpus}", None, table.assign(category=None))
            continue
        documents = table.merge(evidence, on="doc_id", how="left", validate="1:1")
        found[f"manifest/{key}"] = Weighed(f"corpus/{node.corpus}", f"signal/{node.evidence}", documents)
    return found


def _about(project: Project, corpus: str) -> tuple[dict[str, str], frozenset[str]]:
    """The kind of every document, and those whose label was swapped on purpose."""
    path = project.layout.corpus(corpus)
    rows = [(row["doc_id"], row["source"], row["metadata"] or {}) for row in (read_jsonl(path) if path.exists() else ())]
    kinds = {name: str(about.get("kind") or source) for name, source, about in rows}
    return kinds, frozenset(name for name, _, about in rows if about.get("planted"))


def _categories(project: Project, signal: str | None) -> pd.DataFrame | None:
    if signal is None or not project.layout.signal(signal).exists():
        return None
    table = read_parquet(project.layout.signal(signal))
    return table[["doc_id", "category"]] if "category" in table.columns else None


def ruled(project: Project, study: str) -> list[Ruled]:
    """What the judges of a study say of single rules, where they do; in the order of its cells."""
    cells: Iterable[Cell] = project.node("collect", "all").cells
    return [one for cell in cells if cell.study == study for key in cell.judgements for one in _of_node(project, cell, key)]


def _of_node(project: Project, cell: Cell, key: str) -> Iterator[Ruled]:
    path = project.layout.judgements(key) / "judgements.jsonl"
    rows = read_jsonl(path) if path.exists() else ()
    for (judge, arm, rule), broken in sorted(broken_rules(rows).items()):
        yield ruled_of(cell.study, cell.condition, judge, arm, rule, broken, f"judge/{key}")


def broken_rules(rows: Iterable[Row]) -> dict[tuple[str, str, str], Broken]:
    """By (judge, arm, rule) which answers break the rule; an answer that failed, or of which a rule says nothing, is left out."""
    found: dict[tuple[str, str, str], Broken] = {}
    for row in rows:
        for rule, said in ({} if row["failure"] else row.get("rules") or {}).items():
            if said is not None:
                by_seed = found.setdefault((row["judge"], row["arm"], rule), {})
                by_seed.setdefault(row["seed"], {}).setdefault(row["item_id"], []).append(said == VIOLATES)
    return found


def ruled_of(study: str, condition: str, judge: str, arm: str, rule: str, broken: Broken, node: str) -> Ruled:
    """The share of broken answers with its interval: over seeds, or over questions where there are no seeds."""
    shares = {seed: [sum(samples) / len(samples) for samples in asked.values()] for seed, asked in broken.items()}
    means = [sum(values) / len(values) for seed, values in shares.items() if seed is not None]
    estimate = t_interval(means or shares[None])
    questions = max(map(len, shares.values()))
    mean = sum(means) / len(means) if means else sum(shares[None]) / questions
    return Ruled(study, condition, judge, arm, rule, mean, estimate.lo, estimate.hi, len(means), questions, node)


def spent(project: Project) -> dict[str, Spent]:
    """What every judge node took, by "judge/key"; one that has not been run is not there."""
    paths = {key: project.layout.judgements(key) / "judgements.jsonl" for key in project.plan["judge"]}
    return {f"judge/{key}": spent_on(read_jsonl(path)) for key, path in paths.items() if path.exists()}


def spent_on(rows: Iterable[Row]) -> Spent:
    """How many judgements stand on a model's reply, and what these cost; a reply that was in the cache already cost nothing."""
    verdicts, asked, costs = 0, 0, []
    for row in rows:
        verdicts += 1
        if row["request"] is not None:
            asked += 1
            costs += [] if row["cost_usd"] is None else [row["cost_usd"]]
    return Spent(verdicts, asked, sum(costs) if costs else None, asked - len(costs))
