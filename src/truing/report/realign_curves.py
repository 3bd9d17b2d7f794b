"""Agreement against label noise and against how many pairs there are, wherever a study has arms that differ in nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from truing.core import numbers
from truing.report.blocks import Block, Figure, Figures, Table, head, number, text
from truing.report.figures import PALETTE, Line, curves
from truing.report.realign_layout import OLD, UNTRAINED, agreement, arms, figure_id, lineages, link, manifest_of
from truing.report.realign_pairs import triages
from truing.report.sections import Context
from truing.report.svg import INK
from truing.report.tables import estimate_cell

_AXES = (
    ("misjudged", "share of pairs whose category was spoilt"),
    ("swapped", "share of labels swapped"),
    ("pairs", "pairs trained on"),
)
_COLUMNS = (
    ("arm", "", False),
    ("pairs", "trained on", True),
    ("labels swapped", "share of pairs", True),
    ("categories spoilt", "share of pairs", True),
    ("weighed and trained by", "", False),
)


@dataclass(frozen=True)
class Made:
    """What an arm was made of: the three values that are drawn against, and everything else that the plan says."""

    pairs: int
    swapped: float
    misjudged: float
    documents: frozenset[str]
    way: tuple[str, ...]

    def others(self, axis: str) -> tuple[object, ...]:
        """What arms of one line share. Of lines over the number of pairs, the documents are compared afterwards."""
        held = [getattr(self, name) for name, _ in _AXES if name not in (axis, "pairs")]
        return (*held, self.way) if axis == "pairs" else (*held, self.way, self.documents)


def made(context: Context, name: str) -> Made | None:
    """What an arm was made of; None where its manifest gives no roles, or its records are missing."""
    node = manifest_of(context, name)
    weighed = context.weighed.get(node) if node else None
    entries = [context.nodes.entries.get(one) or {} for one in lineages(context, name)]
    if node is None or weighed is None or not entries:
        return None
    table = weighed.documents
    upstream = context.nodes.ancestors({node})
    spoilt = [_spoilt(facts) for signal, facts in triages(context).items() if signal in upstream]
    manifest, corpus = context.nodes.entries.get(node) or {}, context.nodes.entries.get(weighed.corpus) or {}
    parents = sorted({str((context.nodes.entries.get(f"train/{one.get('parent')}") or {}).get("group")) for one in entries})
    recipes = sorted({f"{one.get('config')} {one.get('overrides') or ''}".strip() for one in entries})
    way = (str(manifest.get("config")), ", ".join(recipes), *parents, str(corpus.get("plugin")))
    return Made(
        pairs=int((~table["role"].isin(UNTRAINED)).sum()),
        swapped=float(table["swapped"].mean()),
        misjudged=max(spoilt, default=0.0),
        documents=frozenset(table["doc_id"]),
        way=way,
    )


def _spoilt(facts: Mapping[str, Mapping[str, int]]) -> float:
    total = sum(facts["categories"].values())
    return sum(facts.get("planted", {}).values()) / total if total else 0.0


def curve_blocks(context: Context) -> list[Block]:
    """A figure for each value that arms differ in alone, and a table of all arms; nothing where there is nothing to compare."""
    by_name = {name: one for name in arms(context) if (one := made(context, name)) is not None}
    panels = [_panel(context, axis, title, lines) for axis, title in _AXES if (lines := _lines(context, by_name, axis))]
    if not panels:
        return []
    caption = escape(
        "A line joins arms that differ in nothing but the value on the axis; bands are the range of seeds, the dashed line is the model in "
        "use. Arms make equally many steps, so that fewer pairs are seen more often each. A spoilt category is one that the triage was "
        "given wrong on purpose; whether answers keep the policy is judged without such errors."
    )
    return [Figures(panels, caption), _table(context, by_name)]


def _lines(context: Context, by_name: Mapping[str, Made], axis: str) -> list[Line]:
    groups: dict[tuple[object, ...], dict[float, str]] = {}
    for name, one in by_name.items():
        # Two names of one way of training are one point.
        groups.setdefault(one.others(axis), {}).setdefault(float(getattr(one, axis)), name)
    kept = [points for points in groups.values() if len(points) > 1 and _of_one([by_name[points[x]].documents for x in sorted(points)])]
    found = [_line(context, points, by_name, PALETTE[index % len(PALETTE)]) for index, points in enumerate(kept)]
    metric = agreement(context)
    before = context.data.get(OLD, metric.arm, metric.name)
    if found and before is not None and before.mean is not None:
        ends = [min(line.x[0] for line in found), max(line.x[-1] for line in found)]
        found.append(Line(OLD, tuple(ends), (before.mean, before.mean), (None, None), (None, None), INK, "--"))
    return found


def _of_one(documents: list[frozenset[str]]) -> bool:
    """Whether each is a part of the last: a line over other pairs would be about the pairs."""
    return all(one <= documents[-1] for one in documents)


def _line(context: Context, points: Mapping[float, str], by_name: Mapping[str, Made], colour: str) -> Line:
    metric, x = agreement(context), tuple(sorted(points))
    cells = [context.data.get(points[at], metric.arm, metric.name) for at in x]
    values = [[value for _, value in cell.seeds] if cell else [] for cell in cells]
    strategy, recipe, *_ = by_name[points[x[0]]].way
    return Line(
        f"{strategy}, {recipe}",
        x,
        tuple(None if cell is None or cell.single else cell.mean for cell in cells),
        tuple(min(one) if len(one) > 1 else None for one in values),
        tuple(max(one) if len(one) > 1 else None for one in values),
        colour,
    )


def _panel(context: Context, axis: str, title: str, lines: list[Line]) -> Figure:
    label = f"Agreement with the new policy against the {title}. The numbers are in the table under the figure."
    svg = curves(figure_id(context, f"curve-{axis}"), label, lines, title, "keeps the new policy", (0.0, 1.02), None)
    return Figure(f"curve-{axis}", f"Agreement, by {title}", svg, label)


def _table(context: Context, by_name: Mapping[str, Made]) -> Table:
    metric = agreement(context)
    rows = []
    for name in sorted(by_name, key=lambda name: (by_name[name].way, by_name[name].misjudged, by_name[name].swapped, -by_name[name].pairs)):
        one = by_name[name]
        shares = [number(numbers.percent(value)) for value in (one.swapped, one.misjudged)]
        cell = estimate_cell(context, context.data.cells.get((name, metric.arm, metric.name)))
        rows.append([head(link(context, name)), number(numbers.count(one.pairs)), *shares, text(", ".join(one.way[:2])), cell])
    caption = Markup("Every arm with what it was made of.")
    return Table(caption, [*_COLUMNS, (metric.title, metric.arrow, True)], rows)
