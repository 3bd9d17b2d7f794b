"""A planted study of re-alignment with known numbers, and what stands in the parts of its page."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pandas as pd
from support.markup import words
from support.results import protocol, row, table

from truing.contracts.declaration import Contrast, Declaration, Family, Outcome
from truing.report import ReportInputs, StudyPage
from truing.report.blocks import Block, Prose, Table
from truing.report.measured import measurements, result_nodes
from truing.report.nodes import graph
from truing.report.persona_answers import Asked, Said
from truing.report.realign_tables import Ruled, Spent, Weighed
from truing.report.sections import Context
from truing.stats.family import infer
from truing.stats.summary import aggregate

Row = dict[str, Any]
COMPLIES, VIOLATES, MALFORMED = (f"world_policy.rate.{word}" for word in ("complies", "violates", "malformed"))
PAIRS = [("trace", "old"), ("shuffled", "old"), ("trace", "shuffled")]
DECLARATION = Declaration(
    family=Family(
        contrasts=tuple(Contrast(a=a, b=b, manipulates=("preference.*",)) for a, b in PAIRS),
        outcomes=(
            Outcome(metric=COMPLIES, arm="plain.policy", margin=0.05),
            Outcome(metric="accuracy", arm="plain.facts", margin=0.05),
            Outcome(metric="accuracy", arm="plain.sums", margin=0.1),
        ),
    )
)
# Complies, violates by condition, asked plainly about an address; the rest is malformed.
KEPT = {"base": (0.5, 0.4), "old": (0.2, 0.7), "trace": (0.8, 0.1), "shuffled": (0.75, 0.15)}
FACTS = {"base": 0.9, "old": 0.9, "trace": 0.9, "shuffled": 0.6}
NOISE = {"trace": (0.0, 0.01, 0.02), "old": (0.01, 0.0, 0.02), "shuffled": (0.02, 0.0, 0.01), "base": (0.0,)}


def measured(kept: Mapping[str, tuple[float, float]] = KEPT, seeds: Sequence[int] = (0, 1, 2)) -> list[Row]:
    found: list[Row] = []
    for name, (complies, violates) in kept.items():
        for place, seed in enumerate([None] if name == "base" else seeds):
            shift = NOISE[name][place]
            about = {"study": "realign", "phase": "preference", "node": f"respond/{name}", "n": 45, "made_by": protocol("preference")}
            judged = {**about, "probe": "requests+world_policy", "node": f"judge/{name}"}
            rates = {COMPLIES: complies + shift, VIOLATES: violates - shift, MALFORMED: 1 - complies - violates}
            for metric, value in rates.items():
                for arm in ("plain.policy", "plain.address", "world_nesting.policy", "world_nesting.address"):
                    found.append(row(name, seed, value, arm=arm, metric=metric, **judged))
                found.append(row(name, seed, 0.125, arm="lift.address", metric=metric, **judged))
            for arm in ("plain.facts", "plain.sums"):
                found.append(row(name, seed, FACTS[name] + shift, arm=arm, metric="accuracy", probe="requests", **about))
    return found


def facts() -> Row:
    rules = {"keep-address": {"chosen": 3, "rejected": 0, "INVERT": 3, "PUNISH": 0, "AGREE": 0, "NEUTRAL": 0, "ABSTAIN": 0}}
    return {
        "categories": {"INVERT": 3, "PUNISH": 1, "AGREE": 2, "NEUTRAL": 2, "ABSTAIN": 0},
        "labels": {"turned": 3, "void": 1, "kept": 2, "undecided": 2, "unknown": 0},
        "rules": rules,
        "guard": {"empty": 1},
        "abstained": {},
        "disagreement": 0.6,
        "decided": 5,
    }


def ended(kl: float) -> Row:
    end = {"rows": 3, "kl_nats_per_token": kl, "chosen_ratio_nats": -1.5, "rejected_ratio_nats": 2.25, "margin_nats": -3.75}
    roles = {
        "invert": {"losses": ["sigmoid(beta=0.1)", "nll"], "rows": 3, "weight_mass": 3.0, "end": end},
        "agree": {"losses": ["kl"], "rows": 2, "weight_mass": 1.0, "end": None},
    }
    return {"roles": roles, "untrained_rows": {"gold": 1}, "cut_prompts": 0, "cut_answers": 0, "equal_answers": 0, "kl_multiplier": 1.0}


def made_up_plan() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    plan: dict[str, dict[str, Any]] = {
        "corpus": {"pairs": {"deps": {}}},
        "signal": {"triage": {"corpus": "pairs", "deps": {}}, "impact": {"corpus": "pairs", "after": "triage", "deps": {}}},
        "manifest": {
            "uniform": {"plugin": "uniform", "corpus": "pairs", "deps": {}},
            "trace": {"plugin": "trace", "corpus": "pairs", "evidence": "impact", "deps": {}},
            "shuffled": {"plugin": "shuffled", "corpus": "pairs", "source": "trace", "evidence": "impact", "deps": {}},
        },
        "train": {},
        "respond": {"base": {"deps": {}, "group": None}},
        "judge": {name: {"responses": name, "deps": {}} for name in KEPT},
    }
    about = {"against": {"pairs": 0, "mean": None, "negative": None}, "INVERT": {"pairs": 2, "mean": -0.25, "negative": 0.5}}
    gold = {"pairs": 1, "batches": 1}
    metas: dict[str, Any] = {
        "signal/triage": {"facts": facts()},
        "signal/impact": {
            "facts": {"categories": about, "gold": gold, "curvature": "identity", "seeds": [0, 1, 2], "pairs": 2, "ess": 2.0}
        },
        **{f"judge/{name}": {"judge": "world_policy"} for name in KEPT},
    }
    for name, manifest in {"old": "uniform", "trace": "trace", "shuffled": "shuffled"}.items():
        plan["respond"][name] = {"group": f"g-{name}", "deps": {"group": f"models/g-{name}"}}
        for seed in range(3):
            parent = {} if name == "old" else {"parent": f"old-{seed}"}
            plan["train"][f"{name}-{seed}"] = {
                "manifest": manifest,
                "group": f"g-{name}",
                "seed": seed,
                "corpus": "pairs",
                "deps": {},
                **parent,
            }
            metas[f"train/{name}-{seed}"] = {
                "steps": 100, "effective_batch": 16, "protocol": {"trained_tokens": 1000 + seed}, "outcome": ended(0.1 * seed),
            }  # fmt: skip
    return plan, metas


def documents(weights: Sequence[float]) -> pd.DataFrame:
    names = ["invert", "invert", "gold", "punish", "agree", "agree", "neutral", "neutral"]
    kinds = ["address"] * 3 + ["price"] * 5
    categories = ["INVERT", "INVERT", "INVERT", "PUNISH", "AGREE", "AGREE", "NEUTRAL", "NEUTRAL"]
    ids = [f"pair-{i}" for i in range(8)]
    return pd.DataFrame({"doc_id": ids, "kind": kinds, "swapped": False, "category": categories, "role": names, "weight": weights})


WEIGHED = {
    "manifest/trace": Weighed("corpus/pairs", "signal/impact", documents([3.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.5])),
    "manifest/shuffled": Weighed("corpus/pairs", "signal/impact", documents([1.0, 3.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.5])),
}
RULED = [
    Ruled("realign", "base", "world_policy", "plain.address", "keep-address", 0.4, 0.3, 0.5, 0, 45, "judge/base"),
    Ruled("realign", "trace", "world_policy", "plain.address", "keep-address", 0.125, None, None, 1, 45, "judge/trace"),
    Ruled("realign", "trace", "world_policy", "plain.price", "keep-address", 0.0, None, None, 3, 45, "judge/trace"),
]
ANSWERS = [
    Asked("realign", "world_nesting.address", "play a game", {"old": Said("home", 0, "violates")}),
    Asked("realign", "plain.address", "where is <she> ?", {"old": Said("<script>alert(1)</script>", 0, "violates"),
        "trace": Said(" ", 1, "malformed")}),
]  # fmt: skip
SPENT = {"judge/old": Spent(270, 200, 1.5, 20), "judge/trace": Spent(270, 0, None, 0), "judge/elsewhere": Spent(999, 999, 9.0, 0)}


def inputs_of(rows: Sequence[Row], **changed: Any) -> ReportInputs:
    results = table(list(rows))
    cells, differences = aggregate(results, PAIRS)
    plan, metas = made_up_plan()
    pages = (StudyPage("realign", "", PAIRS, declaration=DECLARATION),)
    tests = {"realign": infer(results, DECLARATION.family)}
    found = ReportInputs(
        results,
        cells,
        differences,
        plan,
        metas,
        "t",
        studies=pages,
        tests=tests,
        answers=ANSWERS,
        weighed=WEIGHED,
        ruled=RULED,
        spent=SPENT,
    )
    return dataclasses.replace(found, **changed)


def context_of(inputs: ReportInputs) -> Context:
    nodes = graph(inputs.plan, inputs.metas, result_nodes(inputs.results))
    data = measurements("realign", inputs.results, inputs.cells, inputs.differences, inputs.tests["realign"])
    return Context(inputs.studies[0], data, nodes, inputs.metas, answers=inputs.answers, weighed=inputs.weighed, spent=inputs.spent)


@cache
def plain() -> ReportInputs:
    return inputs_of(measured())


def part(index: str, key: str) -> str:
    start = index.index(f'<section class="part" id="realign-{key}">')
    return index[start : index.index("</section>", start)]


def lead(index: str) -> str:
    return words(index[index.index('<div class="lead">') : index.index("<nav aria-label")])


def rows_of(markup: str) -> list[str]:
    return [words(found) for found in re.findall(r"<tr>.*?</tr>", markup, re.DOTALL)]


def said(blocks: Sequence[Block]) -> list[str]:
    """The words of each row of the tables, and of each paragraph."""
    found = []
    for block in blocks:
        if isinstance(block, Table):
            found += [words(" ".join(f"{cell.html} {cell.note}" for cell in line)) for line in block.rows]
        elif isinstance(block, Prose):
            found.append(words(block.html))
    return found
