"""From inputs to the bytes of the pages. Two renders of equal inputs are equal byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from truing.core.files import ABSENT
from truing.report import nodes as graphs
from truing.report.blocks import Part, joined
from truing.report.inputs import ReportInputs, StudyPage
from truing.report.measured import measurements, result_nodes
from truing.report.nodes import Nodes
from truing.report.sections import Context, section

if TYPE_CHECKING:
    from jinja2 import Environment

INDEX = "index.html"


@dataclass(frozen=True)
class _Study:
    key: str
    title: str
    question: str
    lead: Sequence[Markup]
    parts: Sequence[Part]
    warnings: Sequence[Markup]


@dataclass(frozen=True)
class _Entry:
    node: str
    anchor: str
    verb: str
    key: str
    fields: Sequence[tuple[str, str]]
    digests: Sequence[tuple[str, str]]
    meta: str
    upstream: Sequence[Markup]
    downstream: Sequence[Markup]
    planned: bool


def render(inputs: ReportInputs) -> dict[str, bytes]:
    """The report's files by path relative to its folder.

    The pages need nothing else: style and figures are inline, and no address outside the report is loaded.

    Raises:
        TruingError: a study has no section, or its tables contradict each other.
    """
    nodes = graphs.graph(inputs.plan, inputs.metas, result_nodes(inputs.results))
    studies = [_study(inputs, nodes, page) for page in inputs.studies]
    warnings = [*map(escape, inputs.warnings), *_warnings(inputs, nodes), *(warning for study in studies for warning in study.warnings)]
    environment = _environment()
    shared = {"title": inputs.title, "style": _style(environment)}
    index = environment.get_template("index.html.j2").render(
        **shared, studies=studies, warnings=list(dict.fromkeys(warnings)), rows=len(inputs.results), nodes=len(nodes.entries)
    )
    entries = [_entry(nodes, node) for node in nodes.entries]
    verbs = list(dict.fromkeys(entry.verb for entry in entries))
    page = environment.get_template("nodes.html.j2").render(**shared, entries=entries, verbs=verbs)
    return {INDEX: index.encode(), graphs.PAGE: page.encode()}


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("truing.report")
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)


def _style(environment: Environment) -> Markup:
    return Markup((files("truing.report") / "style.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file


def _study(inputs: ReportInputs, nodes: Nodes, page: StudyPage) -> _Study:
    layout = section.get(page.study, "the report's studies").target()
    data = measurements(page.study, inputs.results, inputs.cells, inputs.differences)
    context = Context(page, data, nodes, inputs.metas)
    title = page.title if page.title not in ("", page.study) else layout.title
    question = page.question or layout.question
    return _Study(page.study, title, question, layout.lead(context), layout.parts(context), layout.warnings(context))


def _warnings(inputs: ReportInputs, nodes: Nodes) -> list[Markup]:
    """What the documents of the nodes say against themselves."""
    found = []
    for node, entry in nodes.entries.items():
        meta = inputs.metas.get(node, {})
        found += [joined([nodes.link(node, node), words]) for words in _complaints(node.split("/")[0], meta)]
        if entry is None:
            found.append(joined([nodes.link(node, node), "is not in the plan."]))
    return found


def _complaints(verb: str, meta: Mapping[str, Any]) -> list[str]:
    if verb == "manifest":
        return [f"warns: {warning}" for warning in meta.get("warnings", ())]
    if verb != "corpus":
        return []
    failed = [f"failed the check {check['expectation']}." for check in meta.get("checks", ()) if not check["success"]]
    audit = meta.get("label_audit")
    if audit and audit["status"] == "flagged":
        failed.append("has labels that a permutation would fit better: its label audit is flagged.")
    return failed


def _entry(nodes: Nodes, node: str) -> _Entry:
    verb, _, key = node.partition("/")
    entry, meta = nodes.entries[node], nodes.metas.get(node)
    return _Entry(
        node=node,
        anchor=graphs.anchor(node),
        verb=verb,
        key=key,
        fields=_fields(entry or {}),
        digests=graphs.digests(meta or {}),
        meta=graphs.pretty(meta) if meta is not None else "",
        upstream=[nodes.link(other, other) for other in nodes.upstream.get(node, ())],
        downstream=[nodes.link(other, other) for other in nodes.downstream.get(node, ())],
        planned=entry is not None,
    )


def _fields(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A plan entry as (field, value) pairs; nested values as short JSON."""
    fields = []
    for name in sorted(entry):
        value = entry[name]
        if isinstance(value, Mapping):
            fields += [(f"{name} / {inner}", _plain(value[inner])) for inner in sorted(value) if value[inner] != ABSENT]
        elif value is not None:
            fields.append((name, _plain(value)))
    return fields


def _plain(value: object) -> str:
    return value if isinstance(value, str) else graphs.pretty(value)
