"""The plan as a graph: which node made which number, what it was made from, and where its page entry is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from truing.core.files import Layout
from truing.planning.nodes import VERBS

PAGE = "nodes.html"
# Fields of a plan entry that name another node, by the verb of that node.
_EDGES = {
    **{verb: verb for verb in VERBS},
    "responses": "respond",
    "judgements": "judge",
    "heldout": "corpus",
    "evidence": "signal",
    "after": "signal",
    "source": "manifest",
    "parent": "train",
}
_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_FLAT_LIST = re.compile(r"\[\s+([^\[\]{}]*?)\s+\]")
_LAYOUT = Layout(Path())


@dataclass(frozen=True)
class Nodes:
    """Every node that a page may link to.

    Attributes:
        entries: Plan entry by "verb/key"; None for a node that results or documents name and the plan does not.
        metas: Document by "verb/key".
        upstream: Nodes that a node was made from.
        downstream: Nodes that were made from it.
    """

    entries: Mapping[str, Mapping[str, Any] | None]
    metas: Mapping[str, Mapping[str, Any]]
    upstream: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    downstream: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def link(self, content: object, node: str) -> Markup:
        """Content that links to a node's entry."""
        return Markup('<a href="{}">{}</a>').format(self.url(node), content)

    def links(self, content: object, nodes: Iterable[str]) -> Markup:
        """Content that links to the first node, followed by small links to the others."""
        first, *rest = nodes
        more = Markup(", ").join(self.link(i, node) for i, node in enumerate(rest, start=2))
        return self.link(content, first) + (Markup(' <span class="also">(also {})</span>').format(more) if rest else Markup(""))

    @staticmethod
    def url(node: str) -> str:
        """Where a node's entry is, relative to the report's folder."""
        return f"{PAGE}#{anchor(node)}"

    def of(self, verb: str) -> list[str]:
        """Nodes of a verb, in key order."""
        return [node for node in self.entries if node.startswith(f"{verb}/")]

    def ancestors(self, nodes: Iterable[str]) -> frozenset[str]:
        """The nodes and everything upstream of them."""
        found: set[str] = set()
        waiting = [node for node in nodes if node in self.entries]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += self.upstream.get(node, ())
        return frozenset(found)


def anchor(node: str) -> str:
    """The id of a node's entry: "train/sft-42" is "train-sft-42"."""
    return node.replace("/", "-")


def graph(plan: Mapping[str, Mapping[str, Any]], metas: Mapping[str, Mapping[str, Any]], named: Iterable[str]) -> Nodes:
    """The nodes of a plan, together with those that documents and results name."""
    planned = {f"{verb}/{key}": entry for verb in VERBS for key, entry in (plan.get(verb) or {}).items()}
    rest = sorted({*metas, *named} - set(planned))
    every = {node: planned.get(node) for node in [*planned, *rest]}
    entries = {node: every[node] for node in sorted(every, key=_order)}
    outputs = _outputs(planned)
    upstream = {node: tuple(sorted(_upstream(node, planned, outputs), key=_order)) for node in planned}
    downstream: dict[str, list[str]] = {node: [] for node in entries}
    for node in entries:
        for source in upstream.get(node, ()):
            downstream[source].append(node)
    return Nodes(entries, metas, upstream, {node: tuple(users) for node, users in downstream.items()})


def _order(node: str) -> tuple[int, str]:
    verb = node.split("/")[0]
    return (VERBS.index(verb) if verb in VERBS else len(VERBS), node)


def _outputs(planned: Mapping[str, Mapping[str, Any]]) -> dict[str, set[str]]:
    """Nodes by the path that another node's `deps` names them with."""
    outputs: dict[str, set[str]] = {}
    for node, entry in planned.items():
        verb, _, key = node.partition("/")
        for path in _paths(verb, key, entry):
            outputs.setdefault(path.as_posix(), set()).add(node)
    return outputs


def _paths(verb: str, key: str, entry: Mapping[str, Any]) -> list[Path]:
    if verb == "train" and "group" in entry and "seed" in entry:
        folder = _LAYOUT.train(entry["group"], entry["seed"])
        return [folder, folder.parent]
    makers = {
        "base": _LAYOUT.base,
        "corpus": _LAYOUT.corpus,
        "signal": _LAYOUT.signal,
        "manifest": _LAYOUT.manifest,
        "respond": _LAYOUT.responses,
        "judge": _LAYOUT.judgements,
    }
    return [makers[verb](key)] if verb in makers else []


def _upstream(node: str, planned: Mapping[str, Mapping[str, Any]], outputs: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    for name, value in _strings(planned[node]):
        found |= outputs.get(value, set())
        edge = f"{_EDGES.get(name, '')}/{value}"
        found |= {edge} & planned.keys()
    if node.startswith("report/"):
        found |= {other for other in planned if other.startswith("collect/")}
    return found - {node}


def _strings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner, name)


def digests(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every digest in a document, as (where it stands, digest)."""
    return list(_digests(meta, ""))


def _digests(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and _DIGEST.match(value):
        yield place, value
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from _digests(value[key], f"{place} / {key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _digests(inner, f"{place} {index}")


def pretty(value: object) -> str:
    """JSON with sorted keys over several lines; a list of plain values takes one line."""
    return _FLAT_LIST.sub(lambda match: "[" + re.sub(r"\s*\n\s*", " ", match.group(1)) + "]", _dump(value))


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False)
