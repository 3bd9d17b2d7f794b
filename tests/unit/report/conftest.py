"""A made-up but complete study: a base and two designs x three strategies x three seeds, with planted holes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.results import protocol
from support.results import row as result_row

from truing.contracts.declaration import Claim, Contrast, Declaration, Family, Outcome
from truing.contracts.protocol import as_text, fingerprint
from truing.contracts.results import result_table
from truing.core.digests import digest
from truing.core.seeds import stream
from truing.report import ReportInputs, StudyPage, render
from truing.report.measured import records
from truing.stats.claims.evidence import Evidence
from truing.stats.claims.verdicts import fresh, verdicts
from truing.stats.family import infer
from truing.stats.summary import aggregate

SEEDS = (42, 137, 256)
STRATEGIES = ("uniform", "tarp", "shuffled")
DESIGNS = ("skewed", "control")
CONTRASTS = [(f"{design}-tarp", f"{design}-{other}") for design in DESIGNS for other in ("shuffled", "uniform")]
FAMILIES = ("empty", "placeholder", "mask_token", "punctuation", "stopwords", "random_words", "template_only")
MASKED = tuple(range(0, 101, 10))
LABELS = ["world", "sports", "business", "science"]
GROUP = "tiny-news-{}-{}-sft"

Row = dict[str, Any]

_LEAN = {"metric": "dcb_mean_max", "arm": "null"}
_PAIRS = [("skewed-tarp", "skewed-shuffled"), ("skewed-tarp", "skewed-uniform")]
DECLARATION = Declaration(
    family=Family(
        contrasts=tuple(Contrast(a=a, b=b, manipulates=("sft.manifest_digest",)) for a, b in CONTRASTS),
        outcomes=(
            Outcome(metric="dcb_mean_max", arm="null", margin=0.02),
            Outcome(metric="accuracy", arm="masked_000", margin=0.02),
        ),
    ),
    claims=(
        Claim(id="tarp-lessens-lean", kind="each_less", params={**_LEAN, "pairs": _PAIRS}),
        Claim(id="tarp-keeps-accuracy", kind="no_effect", params={"metric": "accuracy", "arm": "masked_000", "pairs": _PAIRS}),
        Claim(
            id="tarp-needs-skewed",
            kind="interaction",
            params={**_LEAN, "cells": [_PAIRS[1], ("control-tarp", "control-uniform")], "direction": "less"},
        ),
    ),
)


def node(condition: str) -> str:
    if condition == "base":
        return "respond/tiny-null-inputs"
    return "respond/" + GROUP.format(*condition.split("-")) + "-null-inputs"


def made_by(condition: str, **changed: Any) -> Row:
    """The protocol of a condition: its own weights, everything else in common."""
    if condition == "base":
        fields = {name: value for name, value in protocol().items() if not name.startswith("sft.")}
        return {**fields, "phases": []}
    return protocol(sft__manifest_digest=digest(condition), **changed)


def row(condition: str, seed: int | None, arm: str, metric: str, value: float | None, unit: str = "probability") -> Row:
    interval = seed is None and value is not None
    half = 0.03
    how = made_by(condition)
    return result_row(
        condition,
        seed,
        value,
        study="nullbench",
        phase="base" if seed is None else "sft",
        seed_scope="none" if seed is None else "sft",
        n_upstream=1 if seed is None else len(SEEDS),
        probe="null_inputs",
        arm=arm,
        metric=metric,
        unit=unit,
        n=400 if arm.startswith("masked") else 48,
        se=half / 1.96 if interval else None,
        ci_lo=value - half if interval and value is not None else None,
        ci_hi=value + half if interval and value is not None else None,
        ci_level=0.95 if interval else None,
        ci_method="bootstrap" if interval else None,
        ci_unit="item" if interval else None,
        node=node(condition),
        manifest_digest=None if seed is None else digest(condition),
        protocol=as_text(how),
        protocol_digest=fingerprint(how),
        declaration_digest=DECLARATION.digest,
    )


def lean(condition: str) -> float:
    """The planted DCB of a condition."""
    return {"base": 0.548, "skewed-uniform": 0.62, "skewed-shuffled": 0.60, "skewed-tarp": 0.43}.get(condition, 0.47)


def seed_rows(condition: str, seed: int | None) -> list[Row]:
    rng = stream(7, condition, seed)
    tuned = seed is not None
    dcb = lean(condition) + (rng.normal(0, 0.012) if tuned else 0.0)
    rows = [
        row(condition, seed, "null", "dcb_mean_max", dcb),
        row(condition, seed, "null", "dcb_max_mean", dcb - 0.05),
        row(condition, seed, "null", "argmax_share", min(1.0, dcb + 0.2), "share"),
        row(condition, seed, "null", "entropy_norm", 1.05 - dcb, "share"),
        row(condition, seed, "null", "label_mass", 0.98),
    ]
    rows += [
        row(condition, seed, family, "dcb_mean_max", float(np.clip(dcb + 0.3 * rng.normal(0, 0.3), 0.26, 0.99))) for family in FAMILIES
    ]
    top = 0.86 if tuned else 0.41
    for share in MASKED:
        arm, kept = f"masked_{share:03d}", 1 - share / 100
        rows.append(row(condition, seed, arm, "accuracy", 0.25 + (top - 0.25) * kept**0.7 + rng.normal(0, 0.03), "share"))
        rows.append(row(condition, seed, arm, "dcb_mean_max", dcb + (0.85 * top - dcb + 0.2) * kept))
    rows.append(row(condition, seed, "shuffled", "dcb_mean_max", dcb + 0.2))
    rows.append(row(condition, seed, "shuffled", "accuracy", top - 0.2, "share"))
    rows.append(row(condition, seed, "masked_000", "macro_f1", top - 0.02 + rng.normal(0, 0.01), "share"))
    return rows


def conditions() -> list[str]:
    return ["base", *(f"{design}-{strategy}" for design in DESIGNS for strategy in STRATEGIES)]


def made_up_results() -> pd.DataFrame:
    rows = [r for c in conditions() for seed in ([None] if c == "base" else SEEDS) for r in seed_rows(c, seed)]
    for r in rows:
        hole = r["arm"] == "random_words" and r["condition"] == "control-uniform"
        if hole or (r["arm"] == "null" and r["condition"] == "control-shuffled" and r["seed"] == 256):
            r["value"] = None
    return result_table([r for r in rows if not (r["arm"] == "template_only" and r["condition"] == "base")], "the made-up study")


def made_up_plan() -> dict[str, dict[str, Any]]:
    plan: dict[str, dict[str, Any]] = {
        "environment": {"torch": "2.13.0", "transformers": "5.23.0"},
        "base": {"tiny": {"plugin": "world", "config": "tiny", "deps": {"corpus": "stages/absent"}}},
        "corpus": {"news-eval": {"plugin": "world_news", "config": "news-eval", "deps": {"corpus": "stages/absent"}}},
        "signal": {},
        "manifest": {},
        "train": {},
        "respond": {"tiny-null-inputs": _respond(None, [])},
    }
    for design in DESIGNS:
        corpus = f"news-{design}"
        plan["corpus"][corpus] = {
            "plugin": "world_news",
            "config": corpus,
            "heldout": "news-eval",
            "deps": {"corpus": "data/corpora/news-eval.jsonl"},
        }
        plan["signal"][f"{corpus}-mentions"] = {
            "plugin": "label_mentions",
            "config": "mentions",
            "corpus": corpus,
            "deps": {"corpus": f"data/corpora/{corpus}.jsonl"},
        }
        for strategy in STRATEGIES:
            _condition(plan, corpus, strategy)
    cells = [{"study": "nullbench", "condition": c, "phase": "sft", "responses": node(c).split("/")[1]} for c in conditions()]
    plan["collect"] = {"all": {"plugin": "results", "config": "report", "cells": cells, "seeds": list(SEEDS), "deps": {}}}
    plan["report"] = {"site": {"plugin": "site", "config": "report", "studies": ["nullbench"], "deps": {}}}
    return plan


def _respond(group: str | None, seeds: list[int]) -> Row:
    folder = f"models/{group}" if group else "stages/absent"
    return {
        "plugin": "null_inputs",
        "config": "null_inputs",
        "base": "tiny",
        "group": group,
        "seeds": seeds,
        "corpus": "news-eval",
        "deps": {"base": "models/base/tiny", "group": folder, "corpus": "data/corpora/news-eval.jsonl"},
    }


def _condition(plan: dict[str, dict[str, Any]], corpus: str, strategy: str) -> None:
    manifest = f"{corpus}-{strategy}"
    source = {"shuffled": {"source": f"{corpus}-tarp"}, "tarp": {"evidence": f"{corpus}-mentions"}}.get(strategy, {})
    plan["manifest"][manifest] = {
        "plugin": strategy,
        "config": strategy,
        "corpus": corpus,
        **source,
        "deps": {"corpus": f"data/corpora/{corpus}.jsonl"},
    }
    group = f"tiny-{manifest}-sft"
    for seed in SEEDS:
        plan["train"][f"{group}-{seed}"] = {
            "plugin": "sft",
            "config": "sft",
            "group": group,
            "seed": seed,
            "base": "tiny",
            "corpus": corpus,
            "manifest": manifest,
            "deps": {"base": "models/base/tiny", "manifest": f"data/manifests/{manifest}.parquet"},
        }
    plan["respond"][f"{group}-null-inputs"] = _respond(group, list(SEEDS))


def made_up_metas(plan: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    metas: dict[str, dict[str, Any]] = {
        "base/tiny": {"schema": 1, "key": "tiny", "files": {"model.safetensors": digest("weights")}, "revision": None}
    }
    metas |= {f"corpus/{key}": _card(key) for key in plan["corpus"]}
    metas |= {
        f"signal/{key}": {"schema": 1, "key": key, "rows": 1200, "digest": digest(key), "facts": {"planted": True}}
        for key in plan["signal"]
    }
    metas |= {f"manifest/{key}": _manifest(key) for key in plan["manifest"]}
    metas |= {f"respond/{key}": {"schema": 1, "key": key, "labels": LABELS, "items_digest": digest("items")} for key in plan["respond"]}
    trace = [round(2.0 / (1 + step), 4) for step in range(75)]
    metas |= {
        f"train/{key}": {"schema": 1, "seed": entry["seed"], "steps": 75, "loss_trace": trace, "adapter_digest": digest(key)}
        for key, entry in plan["train"].items()
    }
    return metas


def _card(key: str) -> Row:
    checks = [{"expectation": f"expect_{index}", "arguments": {}, "success": True, "unexpected_count": 0} for index in range(11)]
    overlap = {
        "heldout": "news-eval",
        "heldout_digest": digest("news-eval"),
        "exact": 0,
        "near": 2,
        "dropped": 2,
        "threshold": 0.8,
        "examples": [],
    }
    return {
        "schema": 1,
        "key": key,
        "rows": 400 if key == "news-eval" else 1200,
        "licence": "CC0-1.0",
        "digest": digest(key),
        "checks": checks,
        "label_audit": {"status": "agrees", "best": {}, "gain": 0.0, "n": 400},
        "overlap": None if key == "news-eval" else overlap,
        "notes": [],
    }


def _manifest(key: str) -> Row:
    flat = key.endswith("uniform")
    before = {"world": 0.46, "sports": 0.18, "business": 0.18, "science": 0.18}
    after = before if flat else {"world": 0.31, "sports": 0.23, "business": 0.23, "science": 0.23}
    warnings = ["all weights are equal to within 0.001"] if key == "news-control-tarp" else []
    return {
        "schema": 1,
        "key": key,
        "strategy": key.rpartition("-")[2],
        "params": {},
        "rows": 1200,
        "ess": 1200.0 if flat else 873.4,
        "tempered": 1.0,
        "min_weight": 1.0 if flat else 0.062,
        "max_weight": 1.0 if flat else 1.24,
        "distinct_weights": 1 if flat else 212,
        "class_mix_before": before,
        "class_mix_after": after,
        "warnings": warnings,
        "digest": digest(key),
        "weights_digest": digest([key, "w"]),
        "inputs": {"corpus": digest("corpus")},
    }


def make_inputs(
    results: pd.DataFrame,
    *,
    declaration: Declaration = DECLARATION,
    log: Sequence[Row] | None = None,
    mismatches: Sequence[Row] = (),
    imported: Mapping[str, pd.DataFrame] | None = None,
) -> ReportInputs:
    """Everything that a run of the stages would hand to the pages; without a log, that of a first run."""
    contrasts = [(c.a, c.b) for c in declaration.family.contrasts]
    cells, differences = aggregate(results, contrasts)
    tests = infer(results, declaration.family)
    evidence = Evidence("nullbench", declaration.family, tests, records(results, "nullbench"))
    claims = [verdict.row(declaration.digest) for verdict in verdicts(declaration, evidence, list(mismatches))]
    plan = made_up_plan()
    return ReportInputs(
        results,
        cells,
        differences,
        plan,
        made_up_metas(plan),
        "How the model leans on empty input",
        ("The default profile is a demonstration on an embedded world.",),
        (StudyPage("nullbench", "NullBench", contrasts, declaration=declaration),),
        tests={"nullbench": tests},
        claims=claims,
        log=fresh([], claims) if log is None else log,
        mismatches=mismatches,
        imported=imported or {},
    )


@pytest.fixture(scope="session")
def make() -> Callable[..., ReportInputs]:
    return make_inputs


@pytest.fixture(scope="session")
def results() -> pd.DataFrame:
    return made_up_results()


@pytest.fixture(scope="session")
def inputs(results: pd.DataFrame) -> ReportInputs:
    return make_inputs(results)


@pytest.fixture(scope="session")
def pages(inputs: ReportInputs) -> dict[str, bytes]:
    return render(inputs)
