"""NullBench: the lean on empty input, before and after training, and what it cost on real texts.

Every condition is named `<design>-<strategy>`: what it was trained on, and how its documents were weighted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from markupsafe import Markup

from truing.core import numbers
from truing.report.blocks import Block, Cell, Figure, Figures, Folded, Part, Prose, Table, head, joined, missing, number
from truing.report.figures import PALETTE, Line, Mark, curves, forest, heat_map, leaderboard
from truing.report.measured import BASE, FEWEST_UPSTREAM, Difference, Measured, design, ordered, strategy
from truing.report.plots import NULL_ARM, families, masked_arms
from truing.report.sections import Context, Metric, Section, section
from truing.report.svg import INK
from truing.report.tables import (
    CORRECTIONS,
    condition_link,
    corpus_table,
    difference_table,
    difference_value,
    estimate_cell,
    manifest_table,
    metric_table,
    p_words,
    support,
)
from truing.stats.family import CONDITIONAL

UNMASKED = "masked_000"
DCB = Metric("dcb_mean_max", NULL_ARM, "default-class bias (DCB)", "lower")
ENTROPY = Metric("entropy_norm", NULL_ARM, "normalised entropy", "higher")
ACCURACY = Metric("accuracy", UNMASKED, "accuracy", "higher")
MACRO_F1 = Metric("macro_f1", UNMASKED, "macro F1", "higher")

_WIDE_COLUMNS = 4
_SINGLE = "n = 1"
_BELOW = "The numbers are in the table under the figure."


@section("nullbench")
class Nullbench(Section):
    """The page section of the study."""

    title: ClassVar[str] = "NullBench"
    question: ClassVar[str] = (
        "Does the model fall onto a default class when there is nothing to read, and does reweighting its training documents mend that?"
    )
    metrics: ClassVar[Sequence[Metric]] = (DCB, ENTROPY, ACCURACY, MACRO_F1)

    def lead(self, context: Context) -> list[Markup]:
        """The untuned model, then each design's treatment against its controls."""
        sentences = [_before(context)]
        for name in _designs(context):
            sentences += _after(context, name)
        return sentences

    def parts(self, context: Context) -> list[Part]:
        """Tables of conditions and differences, four figures, then what the numbers stand on."""
        return [
            Part("conditions", "Conditions", _conditions(context)),
            Part("differences", "Differences", _differences(context)),
            Part("forest", "Before and after", [_forest(context)]),
            Part("families", "By family of null input", [_families(context)]),
            Part("masking", "As words are masked", [_masking(context)]),
            Part("leaderboard", "Leaderboard", [_leaderboard(context)]),
            Part("manifests", "Manifests", [manifest_table(context, context.members("manifest"))]),
            Part("corpora", "Corpora", [corpus_table(context, context.members("corpus"))]),
        ]

    def warnings(self, context: Context) -> list[Markup]:
        """Single seeds and holes in the table of conditions."""
        found = []
        for condition in _order(context):
            cells = [context.data.cells.get((condition, metric.arm, metric.name)) for metric in self.metrics]
            known = [cell for cell in cells if cell is not None]
            if any(cell.n_seeds == 1 and not cell.n_missing for cell in known):
                found.append(joined([_name(context, condition), "has a single seed: it has no interval and supports no comparison."]))
            short = max((cell.n_missing for cell in known if cell.n_seeds or cell.n_missing > 1), default=0)
            if short:
                found.append(joined([_name(context, condition), f"lacks values of {short} of its seeds; means are over the others."]))
        return found


def _order(context: Context) -> list[str]:
    return ordered(context.data.conditions, context.page.contrasts)


def _designs(context: Context) -> list[str]:
    return list(dict.fromkeys(design(name) for name in _order(context) if design(name)))


def _in_design(context: Context, name: str) -> list[str]:
    return [condition for condition in _order(context) if design(condition) == name]


def _contrasts(context: Context, name: str) -> list[tuple[str, str]]:
    return [(a, b) for a, b in context.page.contrasts if design(a) == name]


def _name(context: Context, condition: str) -> Markup:
    return condition_link(context, condition, condition)


def _title(context: Context, name: str) -> str:
    return f"{name} (negative control)" if name in context.page.controls else name


def _chance(context: Context) -> float | None:
    counts = {len(meta["labels"]) for node, meta in context.metas.items() if node in context.data.nodes() and meta.get("labels")}
    return 1 / counts.pop() if len(counts) == 1 else None


def _estimate(context: Context, cell: Measured) -> Markup:
    return context.value(cell, numbers.estimate(cell.mean, cell.lo, cell.hi))


def _before(context: Context) -> Markup:
    base = context.data.get(BASE, DCB.arm, DCB.name)
    if base is None:
        return Markup("The default-class bias of the untuned model is missing, so nothing here is a before and after.")
    chance = _chance(context)
    even = (
        Markup("(no lean would be {}).").format(context.value(base, numbers.fixed(chance))) if chance else "in the mean over null inputs."
    )
    opening, rest = "Before training, the model puts", "of its label probability on one class when there is nothing to read"
    return joined([opening, _estimate(context, base), rest, even])


def _after(context: Context, name: str) -> list[Markup]:
    sentences = []
    for index, (a, b) in enumerate(_contrasts(context, name)):
        found = context.data.differences.get((a, b, DCB.arm, DCB.name))
        cell = context.data.get(a, DCB.arm, DCB.name)
        if found is None or found.diff is None or cell is None:
            sentences.append(joined([_name(context, a), numbers.MINUS, _name(context, b), "is missing."]))
            continue
        if index == 0:
            opening = "In the negative control" if name in context.page.controls else "Trained on"
            place, value = Markup("<i>{}</i>,").format(name), _estimate(context, cell)
            sentences.append(joined([opening, place, _name(context, a), "has a DCB of", value, f"({support(cell)})."]))
        sentences.append(_comparison(context, found))
    return sentences


def _comparison(context: Context, found: Difference) -> Markup:
    value = difference_value(context, found, DCB)
    names = [condition_link(context, name, strategy(name)) for name in (found.a, found.b)]
    verdict = Markup('<span class="verdict">{}</span>').format(_verdict(found))
    return joined([names[0], numbers.MINUS, names[1], "=", value, verdict])


def _verdict(found: Difference) -> str:
    if found.n == 1:
        return f"({numbers.ONE_SEED}: no conclusion)."
    if found.conditional:
        return f"(n = {found.n}, {CONDITIONAL}: no conclusion about the condition)."
    if found.lo is None or found.hi is None:
        return f"(n = {found.n}, {numbers.NO_SPREAD}: no conclusion)."
    side = "excludes" if found.lo > 0 or found.hi < 0 else "holds"
    return f"(n = {found.n}, {p_words(found)}): {_reading(found, side)}."


def _reading(found: Difference, side: str) -> str:
    """What the p-value that counts and the interval say together."""
    lean = "less lean" if (found.diff or 0.0) < 0 else "more lean"
    zero = f"the interval {side} zero"
    shown = side == "excludes" if found.test is None else bool(found.test.rejects())
    if shown:
        return f"{lean}; {zero}"
    if side == "holds":
        return f"{zero}, so these seeds show no difference"
    return f"{zero}, but adjusted for the declared family no difference is found"


def _conditions(context: Context) -> list[Block]:
    extra = [Metric(name, NULL_ARM, name) for name in context.data.metrics(NULL_ARM) if name not in (DCB.name, ENTROPY.name)]
    extra += [Metric(name, UNMASKED, name) for name in context.data.metrics(UNMASKED) if name not in (ACCURACY.name, MACRO_F1.name)]
    shown = [metric for metric in Nullbench.metrics if metric is not MACRO_F1 or context.data.has(metric.arm, metric.name)]
    caption = Markup(
        "Mean over seeds with Student\u2019s 95 % interval; the untuned base has one answer per item, so its interval is over items. "
        "DCB is the mean over null inputs of the greatest class probability; entropy is divided by that of an even spread; "
        "accuracy is on unmasked texts."
    )
    blocks: list[Block] = [metric_table(context, _order(context), shown, caption)]
    null, plain = ([m for m in extra if m.arm == arm] for arm in (NULL_ARM, UNMASKED))
    tables = [
        metric_table(context, _order(context), group, where)
        for metrics, where in ((null, Markup("Other metrics on null inputs.")), (plain, Markup("Other metrics on unmasked texts.")))
        for group in _groups(metrics)
    ]
    return [*blocks, Folded("Every other metric", tables)] if tables else blocks


def _groups(metrics: Sequence[Metric]) -> list[Sequence[Metric]]:
    return [metrics[start : start + _WIDE_COLUMNS] for start in range(0, len(metrics), _WIDE_COLUMNS)]


def _differences(context: Context) -> list[Block]:
    shown = [metric for metric in Nullbench.metrics if context.data.has(metric.arm, metric.name)]
    blocks: list[Block] = []
    for name in _designs(context):
        contrasts = _contrasts(context, name)
        if contrasts:
            blocks.append(difference_table(context, shown, contrasts, Markup("Trained on <i>{}</i>.").format(_title(context, name))))
    return [*blocks, Prose(joined([*_how_paired(context), *_upstream(context)]), "note")]


def _how_paired(context: Context) -> list[str]:
    """What a difference, its interval and its p-value are."""
    words = ["A difference is a \u2212 b, named in that order and paired by seed, with its 95 % interval, which is not adjusted."]
    family = [found.test for found in context.data.differences.values() if found.test is not None]
    if family:
        name, size = CORRECTIONS[family[0].correction], family[0].family_size
        words.append(f"p is two-sided, of the paired t test, and adjusted by {name} for the {size} tests of the declared family.")
    words.append("A difference outside the declared family says so: its p is not adjusted, and it bears no claim.")
    return words


def _upstream(context: Context) -> list[str]:
    """What the seeds vary, and what a difference may therefore not be called."""
    words = [f"The seeds vary: {', '.join(context.data.scopes)}."] if context.data.scopes else []
    if context.data.n_upstream is not None and context.data.n_upstream < FEWEST_UPSTREAM:
        words.append(
            f"What is {CONDITIONAL} has seeds that share one upstream run: it describes that run, and is no effect of the condition."
        )
    return words


def _colours(context: Context) -> dict[str, str]:
    treatments = [strategy(a) for a, _ in context.page.contrasts]
    others = [strategy(b) for _, b in context.page.contrasts]
    rest = sorted(strategy(name) for name in context.data.conditions if design(name))
    names = list(dict.fromkeys([*treatments, *others, *rest]))
    return {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}


def _mark(context: Context, condition: str, arm: str, metric: str, colours: dict[str, str]) -> Mark:
    cell = context.data.get(condition, arm, metric)
    if cell is None:
        return Mark(condition, None)
    if cell.single:
        return Mark(condition, None, absence=_SINGLE)
    points = tuple(value for _, value in cell.seeds)
    return Mark(condition, cell.mean, cell.lo, cell.hi, points, colours.get(strategy(condition), INK), context.url(cell))


def _alone(context: Context, condition: str, drawn: Iterable[tuple[str, str]]) -> bool:
    """Whether all that a figure could draw of a condition, by (arm, metric), is the value of a single seed."""
    cells = [cell for arm, metric in drawn if (cell := context.data.get(condition, arm, metric)) is not None]
    return bool(cells) and all(cell.single for cell in cells)


def _left_out(context: Context, drawn: Mapping[tuple[str, str], str]) -> Markup:
    """A sentence that names every single-seed value that a figure leaves out; `drawn` names each (arm, metric)."""
    found = []
    for condition in _order(context):
        single = [words for key, words in drawn.items() if (cell := context.data.get(condition, *key)) is not None and cell.single]
        if single:
            found.append(condition if _alone(context, condition, drawn) else f"{condition} in {', '.join(single)}")
    return Markup(" Not drawn, with a single seed ({}): {}.").format(numbers.ONE_SEED, "; ".join(found)) if found else Markup("")


def _id(context: Context, name: str) -> str:
    return f"{context.page.study}-{name}"


def _forest(context: Context) -> Figures:
    colours = _colours(context)
    tuned = [name for name in _order(context) if name != BASE]
    panels = []
    for metric in (DCB, ACCURACY):
        kept = [name for name in tuned if not _alone(context, name, [(metric.arm, metric.name)])]
        rows = [_mark(context, name, metric.arm, metric.name, colours) for name in kept]
        base = _mark(context, BASE, metric.arm, metric.name, colours)
        label = f"{metric.title} of each condition with its interval, against the untuned base. {_BELOW}"
        svg = forest(_id(context, f"forest-{metric.name}"), label, rows, base, _chance(context), metric.title)
        panels.append(Figure(metric.name, f"{metric.title}, {metric.arrow}", svg, label))
    caption = Markup(
        "Diamonds are means over seeds with Student\u2019s 95 % interval, faint dots single seeds. The dashed line is the untuned base, "
        "with its interval over items as a grey band; the dotted line is an even spread over the classes. "
        "An arrow head marks an interval that leaves the axis."
    ) + _left_out(context, {(metric.arm, metric.name): metric.title for metric in (DCB, ACCURACY)})
    data = metric_table(context, _order(context), [DCB, ACCURACY], Markup("The numbers of the figure."))
    return Figures(panels, caption, data)


def _families(context: Context) -> Figures:
    colours, arms, order = _colours(context), families(context.data, DCB.name), _order(context)
    kept = [name for name in order if not _alone(context, name, [(arm, DCB.name) for arm in arms])]
    values = {(arm, name): _mark(context, name, arm, DCB.name, colours) for arm in arms for name in kept}
    label = f"DCB of each condition in each family of null inputs. {_BELOW}"
    columns = [(design(name), strategy(name), name) for name in kept]
    caption = Markup(
        "DCB in each family of null inputs. A hatched cell is missing: it was not measured, or no value came out; it is not zero."
    ) + _left_out(context, {(arm, DCB.name): arm for arm in arms})
    rows = [[head(arm), *(estimate_cell(context, context.data.cells.get((name, arm, DCB.name))) for name in order)] for arm in arms]
    table = Table(Markup("The numbers of the figure."), [("family", "", False), *((name, "", True) for name in order)], rows)
    if not columns or not arms:
        return Figures([], caption, table, columns=1)
    svg = heat_map(_id(context, "families"), label, arms, columns, values, (_chance(context) or 0.0, 1.0), "DCB")
    return Figures([Figure("families", DCB.title, svg, label)], caption, table, columns=1)


def _masking(context: Context) -> Figures:
    panels = [_mask_panel(context, name, metric) for name in _designs(context) for metric in (ACCURACY, DCB)]
    caption = Markup(
        "Means over seeds as more words of each test document are masked; bands reach from the lowest to the highest seed. "
        "Black is the untuned base."
    )
    arms = sorted({pair for metric in (ACCURACY, DCB) for pair in masked_arms(context.data, metric.name)})
    drawn = {(arm, metric.name): f"{metric.title} at {share} %" for metric in (ACCURACY, DCB) for share, arm in arms}
    columns = [("words masked", "", False), *((name, "accuracy; DCB", True) for name in _order(context))]
    rows = [[head(f"{share} %"), *(_both(context, name, arm) for name in _order(context))] for share, arm in arms]
    return Figures(panels, caption + _left_out(context, drawn), Table(Markup("The numbers of the figure."), columns, rows))


def _both(context: Context, condition: str, arm: str) -> Cell:
    cells = [context.data.get(condition, arm, metric.name) for metric in (ACCURACY, DCB)]
    if all(cell is None for cell in cells):
        return missing()
    words = [numbers.MISSING if cell is None else context.value(cell, numbers.fixed(cell.mean or 0.0)) for cell in cells]
    single = any(cell is not None and cell.single for cell in cells)
    return number(joined(words, "; "), numbers.ONE_SEED if single else "")


def _mask_panel(context: Context, name: str, metric: Metric) -> Figure:
    colours = _colours(context)
    shares = masked_arms(context.data, metric.name)
    arms = [(arm, metric.name) for _, arm in shares]
    kept = [condition for condition in [BASE, *_in_design(context, name)] if not _alone(context, condition, arms)]
    lines = [_line(context, condition, metric, shares, colours) for condition in kept]
    title = f"{_title(context, name)}: {metric.title}"
    label = f"{title} against the share of words masked. {_BELOW}"
    key, limits = _id(context, f"masking-{name}-{metric.name}"), (0.0, 1.02)
    svg = curves(key, label, lines, "words masked (%)", metric.title, limits, _chance(context))
    return Figure(f"{name}-{metric.name}", title, svg, label)


def _line(context: Context, condition: str, metric: Metric, shares: Sequence[tuple[int, str]], colours: dict[str, str]) -> Line:
    cells = [context.data.get(condition, arm, metric.name) for _, arm in shares]
    seeds = [[value for _, value in cell.seeds] if cell else [] for cell in cells]
    lo = tuple(min(values) if len(values) > 1 else None for values in seeds)
    hi = tuple(max(values) if len(values) > 1 else None for values in seeds)
    name, colour, dash = (BASE, INK, "--") if condition == BASE else (strategy(condition), colours[strategy(condition)], "-")
    means = tuple(cell.mean if cell and not cell.single else None for cell in cells)
    return Line(name, tuple(float(share) for share, _ in shares), means, lo, hi, colour, dash)


def _leaderboard(context: Context) -> Figures:
    colours = _colours(context)
    shown = [metric for metric in Nullbench.metrics if context.data.has(metric.arm, metric.name)]
    order = sorted(_order(context), key=lambda name: _place(context, name))
    drawn = {(metric.arm, metric.name): metric.title for metric in shown}
    kept = [name for name in order if not _alone(context, name, drawn)]
    panels = [(f"{m.title}  ({m.arrow})", [_mark(context, name, m.arm, m.name, colours) for name in kept]) for m in shown]
    label = f"All conditions, sorted once by DCB from least to most lean, in the same order in every panel. {_BELOW}"
    svg = leaderboard(_id(context, "leaderboard"), label, kept, panels)
    caption = Markup(
        "Sorted once, by DCB; every panel keeps that order. Bars are 95 % intervals, faint dots single seeds; "
        "a hollow mark has no training."
    ) + _left_out(context, drawn)
    table = metric_table(context, order, shown, Markup("The numbers of the figure, in its order."))
    return Figures([Figure("leaderboard", "Conditions, least lean first", svg, label)], caption, table, columns=1)


def _place(context: Context, condition: str) -> tuple[bool, float]:
    """Least lean first; what has no lean, or that of a single seed, comes last."""
    cell = context.data.get(condition, DCB.arm, DCB.name)
    return (True, 0.0) if cell is None or cell.single else (False, cell.mean or 0.0)
