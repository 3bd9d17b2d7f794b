"""Realign: what a new policy makes of old labels, how well each arm keeps it, and what that cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from markupsafe import Markup, escape

from truing.contracts.declaration import Outcome
from truing.core import numbers
from truing.report.blocks import Block, Part, Prose, joined
from truing.report.measured import Difference
from truing.report.persona_sides import ABOUT, NO_ANSWERS, sides
from truing.report.realign_curves import curve_blocks
from truing.report.realign_layout import (
    AGREEMENT,
    OLD,
    PLAIN,
    POLICY,
    agreement,
    arms,
    capability,
    contrast,
    lineages,
    link,
    manifest_of,
    order,
)
from truing.report.realign_measures import (
    agreement_blocks,
    attack_blocks,
    capability_blocks,
    change_words,
    lost,
    rule_blocks,
    verdict_blocks,
    verdict_on,
)
from truing.report.realign_pairs import flow_block, label_blocks, triages, weight_blocks
from truing.report.realign_training import cost_blocks, outcome_blocks
from truing.report.sections import Context, Metric, Section, section
from truing.report.tables import corpus_table, manifest_table, p_words
from truing.stats.family import POWER

# Strategies that weigh nothing by impact: one deals out the weights of another, one gives all conflicts the same.
_PLACEBO, _UNWEIGHED = "shuffled", "triage"
_DEALT, _EQUAL = "the same weights dealt out anew", "equal weights"
_MOST_ARMS = 4
_NO_PLACEBO = "No arm deals the weights of another out anew, so that whether it matters which pair has which weight was not tested."


@section("realign")
class Realign(Section):
    """The page section of the study."""

    title: ClassVar[str] = "Re-alignment to a new policy"
    question: ClassVar[str] = (
        "Can a model be brought to keep a new policy with the preference pairs of the old one and no new labels, does it matter which of "
        "them count how much, and is anything else lost?"
    )
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(AGREEMENT, f"{PLAIN}.{POLICY}", "keeps the new policy", "higher"),
        Metric("accuracy", f"{PLAIN}.facts", "facts right", "higher"),
        Metric("accuracy", f"{PLAIN}.sums", "sums right", "higher"),
    )

    def lead(self, context: Context) -> list[Markup]:
        """What happened to the labels, how far each arm came, what it lost, and whether the weights mattered."""
        return [*_relabelled(context), *_reached(context), *_kept(context), *placebo(context)]

    def parts(self, context: Context) -> list[Part]:
        """Labels, pairs and weights; agreement, rules, curves, attacks and capability; training, cost, answers."""
        return [
            Part("labels", "What changed in the labels, and why", label_blocks(context)),
            Part("flow", "From old label to use", [flow_block(context)]),
            Part("weights", "How much each pair counts", weight_blocks(context)),
            Part("agreement", "Agreement with the new policy", agreement_blocks(context)),
            Part("verdicts", "Kept, broken, or no answer", verdict_blocks(context)),
            Part("rules", "By rule", rule_blocks(context)),
            Part("placebo", "Whether the weights mattered", [Prose(words) for words in placebo(context)]),
            *([Part("curves", "Label noise and fewer pairs", curved)] if (curved := curve_blocks(context)) else []),
            Part("attacks", "Under attack", attack_blocks(context)),
            Part("capability", "Capability", capability_blocks(context)),
            Part("training", "What training did", outcome_blocks(context)),
            Part("cost", "What it took", cost_blocks(context)),
            Part("answers", "Answers side by side", _answers(context)),
            Part("manifests", "Manifests", [manifest_table(context, context.members("manifest"))]),
            Part("corpora", "Corpora", [corpus_table(context, context.members("corpus"))]),
        ]

    def warnings(self, context: Context) -> list[Markup]:
        """Arms with a single seed, or that lack values."""
        main, found = agreement(context), []
        for name in [one for one in order(context) if one in (OLD, *arms(context))]:
            cell = context.data.cells.get((name, main.arm, main.name))
            title = link(context, name)
            if cell is None or cell.mean is None:
                found.append(joined([title, "has no share of answers that keep the new policy."]))
            elif cell.n_missing:
                found.append(joined([title, f"lacks values of {cell.n_missing} of its seeds; means are over the others."]))
            elif cell.single:
                found.append(joined([title, "has a single seed: it has no interval and supports no comparison."]))
        return found


def _relabelled(context: Context) -> Iterator[Markup]:
    for node, facts in triages(context).items():
        counts = facts["labels"]
        said = ", ".join(
            f"{words} {numbers.count(counts[name])}"
            for name, words in (("turned", "turns round"), ("void", "voids"), ("kept", "confirms"), ("undecided", "leaves undecided"))
        )
        total = context.nodes.link(numbers.count(sum(counts.values())), node)
        unknown = f"; of {numbers.count(counts['unknown'])} it is not known" if counts["unknown"] else ""
        yield joined(["Of", total, f"old labels, the new policy {said}{unknown}."])


def _reached(context: Context) -> Iterator[Markup]:
    main = agreement(context)
    before = context.data.get(OLD, main.arm, main.name)
    if before is None:
        yield Markup("How well the model in use keeps the new policy is missing, so nothing here is a before and after.")
    else:
        value = context.value(before, numbers.estimate(before.mean, before.lo, before.hi))
        yield joined(["On held-out requests the model in use keeps the new policy in", value, "of its answers."])
    for name in _leading(context):
        cell = context.data.get(name, main.arm, main.name)
        if cell is None:
            yield joined(["How well", link(context, name), "keeps it is missing."])
            continue
        value = context.value(cell, numbers.estimate(cell.mean, cell.lo, cell.hi))
        change = contrast(context, name, OLD, main)
        yield joined([link(context, name), "keeps it in", value, *_change(context, change)])
    others = len(arms(context)) - len(_leading(context))
    if others:
        yield escape(f"The other {others} arms are in the tables below.")


def _leading(context: Context) -> list[str]:
    """The arms that the sentences at the top are about: all of a few, else those of the first contrast between arms."""
    every = arms(context)
    if len(every) <= _MOST_ARMS:
        return every
    first = next(((a, b) for a, b in context.page.contrasts if a in every and b in every), tuple(every[:2]))
    return [name for name in every if name in first]


def _change(context: Context, found: Difference | None) -> list[object]:
    if found is None or found.diff is None:
        return ["of its answers; a change from the model in use is missing."]
    return ["of its answers:", change_words(context, found), f"({_support(found)})."]


def _support(found: Difference) -> str:
    """How many seeds, and p or why there is none."""
    count = numbers.seeds(found.n)
    if found.n == 1 or found.conditional:
        return f"{count}: no conclusion"
    return f"{count}, {numbers.NO_SPREAD}" if found.lo is None else f"{count}, {p_words(found)}"


def _kept(context: Context) -> Iterator[Markup]:
    for name in _leading(context):
        words = [_capability(context, name, one) for one in capability(context)]
        if words:
            yield joined(["Capability of", link(context, name), f"against the model in use: {'; '.join(words)}."])


def _capability(context: Context, name: str, outcome: Outcome) -> str:
    found, change = lost(context, name, outcome), contrast(context, name, OLD, outcome)
    what, said = outcome.arm.removeprefix(f"{PLAIN}."), verdict_on(found, change)
    if found is None or change is None or change.diff is None:
        return f"{what} {said}"
    size = f"{what} {numbers.fixed(change.diff, signed=True)}"
    margin = numbers.fixed(found.margin, 2)
    if found.noninferior is None or change.conditional:
        return f"{size} ({said})"
    return f"{size} (no loss of {margin} or more)" if found.noninferior else f"{size} (a loss of {margin} or more is not excluded)"


def placebo(context: Context) -> list[Markup]:
    """Whether an arm beats its own weights dealt out anew, or equal ones, for each declared pair of such arms; a sentence without any."""
    found = [(a, b, _control(context, a, b)) for a, b in context.page.contrasts]
    said = [_beats(context, a, b, words) for a, b, words in found if words]
    return said if any(words == _DEALT for _, _, words in found) else [*said, escape(_NO_PLACEBO)]


def _control(context: Context, a: str, b: str) -> str:
    """What `b` controls the weights of `a` with; empty where the two differ in more than the weights of the same roles."""
    source, control = manifest_of(context, a), manifest_of(context, b)
    entry = (context.nodes.entries.get(control) or {}) if control else {}
    if source is None or control is None or _recipes(context, a) != _recipes(context, b):
        return ""
    if entry.get("plugin") == _PLACEBO and f"manifest/{entry.get('source')}" == source:
        return _DEALT
    return _EQUAL if entry.get("plugin") == _UNWEIGHED and _same_roles(context, source, control) else ""


def _recipes(context: Context, name: str) -> set[str]:
    entries = [context.nodes.entries.get(node) or {} for node in lineages(context, name)]
    return {repr((entry.get("config"), entry.get("overrides"))) for entry in entries}


def _same_roles(context: Context, a: str, b: str) -> bool:
    if a not in context.weighed or b not in context.weighed:
        return False
    first, second = (context.weighed[node].documents.set_index("doc_id")["role"].to_dict() for node in (a, b))
    return bool(first == second)


def _beats(context: Context, a: str, b: str, control: str) -> Markup:
    found = contrast(context, a, b, agreement(context))
    names = [link(context, name) for name in (a, b)]
    if found is None or found.diff is None:
        return joined(["Whether", names[0], f"beats {control},", names[1], "is not known: a value is missing."])
    opening = joined([f"Against {control}:", change_words(context, found), f"({_support(found)})."])
    return joined([opening, Markup('<span class="verdict">{}</span>').format(_answer(found, control))])


def _answer(found: Difference, control: str) -> str:
    """What may be said of impact weights, and no more."""
    if found.n == 1 or found.conditional or found.lo is None or found.hi is None:
        return "Nothing can be said of whether it matters which pair weighs how much."
    shown = (found.lo > 0 or found.hi < 0) if found.test is None else bool(found.test.rejects())
    if shown:
        return f"Weighing pairs by their impact {'beats' if (found.diff or 0.0) > 0 else 'does worse than'} {control}."
    test = found.test
    seen = (
        f" A difference of {numbers.fixed(test.detectable)} would be found with power {numbers.percent(POWER)}."
        if test and test.detectable
        else ""
    )
    return f"It is not shown that weighing pairs by their impact beats {control}.{seen}{_same(found)}"


def _same(found: Difference) -> str:
    test = found.test
    if test is None or test.margin is None or test.equivalent is None:
        return ""
    within = numbers.fixed(test.margin, 2)
    return f" The two are the same within {within}." if test.equivalent else f" Nor is it shown that they are the same within {within}."


def _answers(context: Context) -> list[Block]:
    found = list(dict.fromkeys(one.arm for one in context.answers))
    if not found:
        return [Prose(escape(NO_ANSWERS), "missing")]
    found.sort(key=lambda arm: (not arm.startswith(f"{PLAIN}."), arm))
    return [Prose(escape(ABOUT)), *(sides(context.answers, arm, order(context), arm.replace(".", ", ")) for arm in found)]
