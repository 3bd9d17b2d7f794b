"""The figures: plain data in, SVG out. What is missing is drawn as missing, and every value links to its node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from truing.core import numbers
from truing.report.svg import INK, MUTED, RULE, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 352
# Colours that stay apart for colour-blind readers and in grey print; the first is the treatment's.
PALETTE = ("#1f5a8c", "#b9782a", "#6f7b87", "#4d8a72", "#8a5a83", "#a3483f")
HATCH = "////"


@dataclass(frozen=True)
class Mark:
    """One value to draw.

    Attributes:
        label: Name of its row or column.
        value: None when it is missing.
        lo: Lower end of its interval, or None.
        hi: Upper end.
        points: Single seeds, drawn faintly.
        colour: Of the mark.
        url: Where the value links to; empty for nowhere.
        absence: What stands in its place when there is no value to draw.
    """

    label: str
    value: float | None
    lo: float | None = None
    hi: float | None = None
    points: tuple[float, ...] = ()
    colour: str = INK
    url: str = ""
    absence: str = numbers.MISSING


@dataclass(frozen=True)
class Line:
    """A curve over x with a band; None breaks it."""

    label: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    lo: tuple[float | None, ...]
    hi: tuple[float | None, ...]
    colour: str
    dash: str = "-"


def forest(key: str, label: str, rows: Sequence[Mark], reference: Mark | None, chance: float | None, axis: str) -> Markup:
    """A row per condition with its interval and seeds, against the reference's value and its interval."""
    height = 60 + 25 * (len(rows) + (reference is not None))

    def paint(figure: Figure) -> None:
        axes = figure.add_axes((0.285, 40 / height, 0.395, 1 - 54 / height))
        every = [*([reference] if reference else []), *rows]
        lo, hi = _limits(every, chance)
        axes.set_xlim(lo, hi)
        axes.set_ylim(len(every) - 0.45, -0.55)
        if reference is not None and reference.value is not None:
            _reference(axes, reference, reference.value)
        if chance is not None:
            axes.axvline(chance, color=MUTED, lw=0.8, ls=(0, (1, 2)))
            axes.text(chance, -0.6, "chance", fontsize=7.5, color=MUTED, ha="center", va="bottom")
        for row, mark in enumerate(every):
            _forest_row(axes, row, mark, mark is reference)
        axes.set_yticks(range(len(every)), [mark.label for mark in every])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(axis)
        axes.locator_params(axis="x", nbins=4)

    return draw(key, label, WIDTH, height, paint)


def _reference(axes: Axes, reference: Mark, value: float) -> None:
    if reference.lo is not None and reference.hi is not None:
        axes.axvspan(reference.lo, reference.hi, color=RULE, alpha=0.5, lw=0)
    axes.axvline(value, color=INK, lw=0.8, ls=(0, (4, 2)))


def _forest_row(axes: Axes, row: int, mark: Mark, hollow: bool) -> None:
    right = axes.get_yaxis_transform()
    if mark.value is None:
        axes.axhspan(row - 0.3, row + 0.3, facecolor="none", edgecolor=RULE, hatch=HATCH, lw=0)
        axes.text(1.04, row, mark.absence, transform=right, va="center", fontsize=8.2, color=MUTED, style="italic")
        return
    if mark.lo is not None and mark.hi is not None:
        _whisker(axes, row, mark.lo, mark.hi, mark.colour)
    # Below the interval, or its line would hide them.
    axes.plot(mark.points, [row + 0.27] * len(mark.points), "o", ms=3.2, color=mark.colour, alpha=0.4, mew=0, ls="none")
    axes.plot([mark.value], [row], "D", ms=4.6, mfc="white" if hollow else mark.colour, mec=mark.colour, mew=1.1)
    _linked(axes, 1.04, row, _short(mark), mark.url, transform=right, va="center", fontsize=8.2)


def _whisker(axes: Axes, row: float, lo: float, hi: float, colour: str) -> None:
    """The interval; an arrow head where it leaves the axis."""
    left, right = axes.get_xlim()
    axes.plot([max(lo, left), min(hi, right)], [row, row], "-", color=colour, lw=1.5, solid_capstyle="butt")
    for end, edge, arrow in ((lo, left, "<"), (hi, right, ">")):
        outside = end < left if arrow == "<" else end > right
        place, shape, size = (edge, arrow, 5) if outside else (end, "|", 6)
        axes.plot([place], [row], shape, ms=size, color=colour, mew=1.2, clip_on=False)


def _short(mark: Mark) -> str:
    return numbers.estimate(mark.value, mark.lo, mark.hi)


def _linked(axes: Axes, x: float, y: float, words: str, url: str, **style: Any) -> None:
    text = axes.text(x, y, words, **style)
    if url:
        text.set_url(url)


def _limits(marks: Sequence[Mark], chance: float | None) -> tuple[float, float]:
    values = [v for m in marks for v in (m.value, *m.points) if v is not None] + ([chance] if chance is not None else [])
    ends = [v for m in marks for v in (m.lo, m.hi) if v is not None]
    lo, hi = min([*values, *ends], default=0.0), max([*values, *ends], default=1.0)
    if values and min(values) >= 0 and max(values) <= 1:
        # Student's interval does not know that a share ends at 0 and 1; the axis does.
        lo, hi = max(lo, 0.0), min(hi, 1.0)
    pad = 0.06 * ((hi - lo) or 1.0)
    return lo - pad, hi + pad


def heat_map(
    key: str,
    label: str,
    rows: Sequence[str],
    columns: Sequence[tuple[str, str, str]],
    values: Mapping[tuple[str, str], Mark],
    limits: tuple[float, float],
    bar: str,
) -> Markup:
    """A cell per row and column with its value printed in it; a missing one is hatched and says so.

    `columns` are (heading shared with neighbours, short name, key in `values`).
    """
    left, cell_h = 8 + 6 * max(map(len, rows), default=0), 24
    top = 32 + 6 * max((len(name) for _, name, _ in columns), default=0)
    cell_w = max(34.0, (WIDTH - left) / max(1, len(columns)))
    width, height = left + cell_w * len(columns), top + cell_h * len(rows) + 36

    def paint(figure: Figure) -> None:
        axes = figure.add_axes((left / width, 36 / height, 1 - left / width, cell_h * len(rows) / height))
        axes.set_xlim(0, len(columns))
        axes.set_ylim(len(rows), 0)
        for y, row in enumerate(rows):
            for x, (_, _, column) in enumerate(columns):
                _heat_cell(axes, x, y, values.get((row, column)), limits)
        axes.set_yticks([y + 0.5 for y in range(len(rows))], rows)
        axes.xaxis.tick_top()
        axes.set_xticks([x + 0.5 for x in range(len(columns))], [name for _, name, _ in columns], rotation=90)
        axes.tick_params(length=0, pad=4)
        axes.spines[:].set_visible(False)
        _headings(axes, [group for group, _, _ in columns], (top - 16) / cell_h)
        _colour_bar(figure, height, left / width, limits, bar)

    return draw(key, label, width, height, paint)


def _headings(axes: Axes, groups: Sequence[str], above: float) -> None:
    """A shared heading over each run of columns, `above` rows over the first."""
    for name in dict.fromkeys(group for group in groups if group):
        places = [index for index, group in enumerate(groups) if group == name]
        start, end = places[0], places[-1] + 1
        axes.plot([start + 0.08, end - 0.08], [-above, -above], color=MUTED, lw=0.6, clip_on=False)
        axes.text((start + end) / 2, -above - 0.12, name, ha="center", va="bottom", fontsize=8.6)


def _shade(value: float, limits: tuple[float, float]) -> tuple[str, str]:
    """Background and ink of a value: white to deep blue, never so dark or light that the ink is lost."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    lo, hi = limits
    share = min(1.0, max(0.0, (value - lo) / ((hi - lo) or 1.0)))
    scale = LinearSegmentedColormap.from_list("lean", ["#f3f6f8", "#a9c3d6", "#3f7199", "#173f63"])
    return to_hex(scale(share)), "white" if share > 0.5 else INK


def _heat_cell(axes: Axes, x: int, y: int, mark: Mark | None, limits: tuple[float, float]) -> None:
    from matplotlib.patches import Rectangle

    if mark is None or mark.value is None:
        axes.add_patch(Rectangle((x + 0.03, y + 0.04), 0.94, 0.92, facecolor="white", edgecolor="#aab0b8", hatch=HATCH, lw=0))
        axes.text(
            x + 0.5,
            y + 0.5,
            numbers.MISSING if mark is None else mark.absence,
            fontsize=6.8,
            ha="center",
            va="center",
            color=INK,
            style="italic",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
        return
    fill, ink = _shade(mark.value, limits)
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=fill, edgecolor="white", lw=1))
    _linked(axes, x + 0.5, y + 0.5, numbers.compact(mark.value), mark.url, fontsize=8.8, ha="center", va="center", color=ink)


def _colour_bar(figure: Figure, height: float, left: float, limits: tuple[float, float], title: str) -> None:
    from matplotlib.patches import Rectangle

    axes = figure.add_axes((left, 16 / height, 1 - left - 0.02, 9 / height))
    steps = 20
    axes.set_xlim(*limits)
    axes.set_ylim(0, 1)
    step = (limits[1] - limits[0]) / steps
    for index in range(steps):
        start = limits[0] + index * step
        axes.add_patch(Rectangle((start, 0), step * 1.02, 1, facecolor=_shade(start + step / 2, limits)[0], lw=0))
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(labelsize=7.8, length=2, pad=1)
    axes.spines[:].set_visible(False)
    axes.text(-0.02, 0.5, title, transform=axes.transAxes, ha="right", va="center", fontsize=8, color=MUTED)


def curves(
    key: str, label: str, lines: Sequence[Line], x_axis: str, y_axis: str, limits: tuple[float, float], chance: float | None
) -> Markup:
    """Curves with bands over one x axis; each is named in a legend under the axes."""
    height = 226 + 13 * ((len(lines) + 1) // 2)

    def paint(figure: Figure) -> None:
        bottom = 40 + 13 * ((len(lines) + 1) // 2)
        axes = figure.add_axes((0.135, bottom / height, 0.835, 1 - (bottom + 10) / height))
        if chance is not None:
            axes.axhline(chance, color=MUTED, lw=0.8, ls=(0, (1, 2)))
            axes.text(0, chance, "chance", fontsize=7.5, color=MUTED, va="bottom", ha="left")
        for line in lines:
            _curve(axes, line)
        axes.set_ylim(*limits)
        axes.set_xlabel(x_axis)
        axes.set_ylabel(y_axis)
        axes.grid(axis="y", color=RULE, lw=0.5)
        axes.set_axisbelow(True)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.46, -34 / (height - bottom - 10)),
            ncols=2,
            frameon=False,
            fontsize=8.5,
            handlelength=2.2,
            borderaxespad=0,
            labelspacing=0.35,
        )

    return draw(key, label, WIDTH, height, paint)


def _curve(axes: Axes, line: Line) -> None:
    gap = float("nan")
    y, lo, hi = ([gap if v is None else v for v in values] for values in (line.y, line.lo, line.hi))
    if any(v is not None for v in line.lo):
        axes.fill_between(line.x, lo, hi, color=line.colour, alpha=0.14, lw=0)
    axes.plot(line.x, y, ls=line.dash, color=line.colour, marker="o", ms=2.8, lw=1.3, label=line.label)


def leaderboard(key: str, label: str, order: Sequence[str], panels: Sequence[tuple[str, Sequence[Mark]]]) -> Markup:
    """Panels that share one x axis, with the conditions in one order in all of them."""
    panel, gap = 96, 22
    bottom = 12 + 4 * max(map(len, order), default=0)
    height = bottom + len(panels) * (panel + gap)

    def paint(figure: Figure) -> None:
        for index, (title, marks) in enumerate(panels):
            top = height - index * (panel + gap) - gap
            axes = figure.add_axes((0.115, (top - panel) / height, 0.87, panel / height))
            _leader_panel(axes, title, marks)
            last = index == len(panels) - 1
            axes.set_xticks(range(len(order)), order if last else [""] * len(order), rotation=38, ha="right", rotation_mode="anchor")
            axes.tick_params(axis="x", length=0, pad=5)

    return draw(key, label, WIDTH, height, paint)


def _leader_panel(axes: Axes, title: str, marks: Sequence[Mark]) -> None:
    low, high = _limits(marks, None)
    axes.set_ylim(low, high + 0.16 * (high - low))
    axes.set_xlim(-0.6, len(marks) - 0.4)
    axes.set_title(title, loc="left", fontsize=9, pad=4, fontweight="bold")
    axes.grid(axis="y", color=RULE, lw=0.5)
    axes.set_axisbelow(True)
    axes.locator_params(axis="y", nbins=4)
    for x, mark in enumerate(marks):
        if mark.value is None:
            style: dict[str, Any] = {"fontsize": 7.5, "ha": "center", "va": "center", "rotation": 90, "color": MUTED, "style": "italic"}
            axes.axvspan(x - 0.35, x + 0.35, facecolor="none", edgecolor=RULE, hatch=HATCH, lw=0)
            axes.text(x, (low + high) / 2, mark.absence, **style)
            continue
        if mark.lo is not None and mark.hi is not None:
            axes.plot([x, x], [max(mark.lo, low), min(mark.hi, high)], "-", color=mark.colour, lw=1.5, solid_capstyle="butt")
        axes.plot([x + 0.2] * len(mark.points), mark.points, "o", ms=3, color=mark.colour, alpha=0.4, mew=0, ls="none")
        axes.plot([x], [mark.value], "D", ms=4.4, mfc=mark.colour if mark.points else "white", mec=mark.colour, mew=1.1)
        _linked(axes, x, high + 0.02 * (high - low), numbers.compact(mark.value), mark.url, fontsize=8, ha="center", va="bottom")
