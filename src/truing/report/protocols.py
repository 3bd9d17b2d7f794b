"""How each value of the result table was made, read off the records of the nodes behind it and of no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from truing.contracts.protocol import JUDGE_FIELDS, NOT_APPLICABLE, PHASES, phase_names
from truing.core.digests import digest, source_digest
from truing.core.errors import Exit, TruingError
from truing.planning.nodes import Cell
from truing.planning.project import Project
from truing.planning.records import record

Document = Mapping[str, Any]
# What a run counted rather than how it was set up; it differs from seed to seed.
_COUNTED = ("input_tokens", "trained_tokens", "base")
_ROOMS = ("core", "contracts", "models", "train", "probes", "judges")


@dataclass(frozen=True)
class Made:
    """How the answers of one seed of one condition came about.

    Attributes:
        protocol: Every field of contracts/protocol.py that the records know.
        phases: (name, adapter digest, seed) of every training phase, oldest first; empty for an untuned base.
        environment_digest: Digest of libraries, device and threads of every step.
    """

    protocol: dict[str, Any]
    phases: tuple[tuple[str, str, int], ...]
    environment_digest: str


def code_digest() -> str:
    """Digest of the code that trains, asks, judges and scores."""
    return source_digest(*_ROOMS)


def made(project: Project, cell: Cell, judgements: str | None = None) -> dict[int | None, Made]:
    """How the answers of a cell came about, by seed (None for an untuned base), and how a judge node judged them."""
    node = project.node("respond", cell.responses)
    asked = _document(project, "respond", cell.responses)
    shared = {**_base(project, node.base), **_eval(asked), **_judge(project, judgements)}
    if node.group is None:
        return {None: Made({PHASES: [], **shared}, (), digest(asked["environment"]))}
    return {seed: _tuned(_chain(project, node.group, seed), shared, asked) for seed in node.seeds}


def lineage_protocol(lineages: Sequence[Document]) -> dict[str, Any]:
    """The training part of a protocol, from the lineages of a chain of adapters, oldest first."""
    names = phase_names([lineage["phase"] for lineage in lineages])
    fields = {f"{name}.{field}": value for name, lineage in zip(names, lineages, strict=True) for field, value in _phase(lineage)}
    return {PHASES: list(names), "base.digest": lineages[0]["base_digest"], **fields}


def _tuned(chain: Sequence[Document], shared: Mapping[str, Any], asked: Document) -> Made:
    protocol = {**shared, **lineage_protocol(chain)}
    names = protocol[PHASES]
    phases = tuple((name, lineage["adapter_digest"], lineage["seed"]) for name, lineage in zip(names, chain, strict=True))
    return Made(protocol, phases, digest([asked["environment"], *(lineage["environment"] for lineage in chain)]))


def _chain(project: Project, group: str, seed: int) -> list[Document]:
    """Lineages from the first phase to this one."""
    keys = [key for key, node in project.nodes("train").items() if (node.group, node.seed) == (group, seed)]
    key: str | None = keys[0]
    chain: list[Document] = []
    while key is not None:
        chain.insert(0, _document(project, "train", key))
        key = project.node("train", key).parent
    return chain


def _document(project: Project, verb: str, key: str) -> Document:
    found = record(project, verb, key)
    if found is None:
        raise TruingError(
            f"{verb}/{key} has not been run", "every node behind the result table to be complete", "run `dvc repro`", Exit.REFUSED
        )
    return found


def _phase(lineage: Document) -> Iterator[tuple[str, Any]]:
    yield from ((name, value) for name, value in lineage["protocol"].items() if name not in _COUNTED)
    yield "corpus_digest", lineage["inputs"]["corpus"]
    yield "manifest_digest", lineage["inputs"]["manifest"]
    yield from ((name, lineage[name]) for name in ("rows", "effective_batch", "steps"))
    yield "libraries", lineage["environment"]["versions"]
    yield "device", lineage["environment"]["device"]


def _base(project: Project, key: str) -> dict[str, Any]:
    document = _document(project, "base", key)
    name = document["params"].get("repo", document["source"])
    return {"base.model": f"{name}@{document['revision'] or 'built'}", "base.digest": digest(document["files"])}


def _eval(asked: Document) -> dict[str, Any]:
    fields = {f"eval.{name}": value for name, value in asked["protocol"].items()}
    return {**fields, "eval.items_digest": asked["items_digest"], "eval.items": asked["items"]}


def _judge(project: Project, key: str | None) -> dict[str, Any]:
    if key is None:
        return dict.fromkeys(JUDGE_FIELDS, NOT_APPLICABLE)
    document = _document(project, "judge", key)
    found = {f"judge.{name}": document[name] for name in ("sampling", "parser", "filter")}
    identity = {"judge.id": f"{document['judge']}: {document['model']}", "judge.policy_digest": document["policy_digest"] or NOT_APPLICABLE}
    return {**found, **identity, "judge.prompt_digest": document["prompt_digest"] or NOT_APPLICABLE}


def scope(seeds: Mapping[int | None, Made]) -> str:
    """The phases that the seed of a condition varies, joined by "+"; "none" for an untuned base.

    Over several seeds, those with more than one adapter; of a single seed, those that were trained with it.
    """
    tuned = {seed: one for seed, one in seeds.items() if seed is not None}
    if not tuned:
        return "none"
    names = [name for name, _, _ in next(iter(tuned.values())).phases]
    if len(tuned) == 1:
        ((seed, one),) = tuned.items()
        return "+".join(name for name, _, trained in one.phases if trained == seed) or names[-1]
    return "+".join(name for index, name in enumerate(names) if _distinct(tuned, index) > 1) or "none"


def n_upstream(cells: Mapping[Any, Mapping[int | None, Made]], key: Any) -> int:
    """Independent runs of the phases that a condition touches: the fewest distinct adapters of any of them.

    A phase is touched when the conditions of a study do not all share its adapters' protocol; where they share
    everything, the first phase counts. Ten seeds of the last phase on one checkpoint of a touched phase are one run.

    Args:
        cells: How each condition of one study was made, by any key.
        key: The condition asked about.
    """
    tuned = {seed: one for seed, one in cells[key].items() if seed is not None}
    if not tuned:
        return 1
    names = [name for name, _, _ in next(iter(tuned.values())).phases]
    touched = [index for index, name in enumerate(names) if _touched(cells.values(), name)] or [0]
    return min(_distinct(tuned, index) for index in touched)


def _distinct(tuned: Mapping[Any, Made], index: int) -> int:
    return len({one.phases[index][1] for one in tuned.values()})


def _touched(cells: Any, name: str) -> bool:
    kinds = {digest(_fields(one, name)) for seeds in cells for seed, one in seeds.items() if seed is not None}
    return len(kinds) > 1


def _fields(one: Made, name: str) -> list[Any]:
    return [[field, value] for field, value in sorted(one.protocol.items()) if field.partition(".")[0] == name]
