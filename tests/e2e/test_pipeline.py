"""The whole pipeline through DVC, as a user runs it: what reruns, what does not, and what the outputs say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from support.checkout import ENV, Checkout

pytestmark = pytest.mark.slow

STRATEGY = '''
"""Weights by document length."""

import pandas as pd

from truing.core.registry import Params
from truing.strategies import StrategyContext, strategy


class HalfParams(Params):
    """Nothing to set."""


@strategy("half", HalfParams)
def half(cfg: HalfParams, context: StrategyContext) -> pd.DataFrame:
    """Every second document counts half."""
    docs = context.docs
    weights = [1.0 if number % 2 else 0.5 for number in range(len(docs))]
    return pd.DataFrame({"doc_id": docs["doc_id"], "weight": weights, "why": "every second one"})
'''


@pytest.fixture(scope="module")
def checkout(finished: Checkout) -> Checkout:
    return finished


def test_a_second_run_runs_nothing_and_everything_is_complete(checkout: Checkout) -> None:
    assert checkout.ran(checkout.run("dvc", "repro")) == set()
    assert checkout.run("git", "status", "--porcelain") == ""
    states = json.loads(checkout.run("truing", "status", "--json"))
    assert set(states.values()) == {"complete"}


def test_the_table_fills_the_grid_and_the_report_is_there(checkout: Checkout) -> None:
    results = pd.read_parquet(checkout.root / "metrics" / "results.parquet")
    conditions = {"base", "skewed-uniform", "skewed-tarp"}
    assert set(results["condition"]) == conditions
    per_condition = results.groupby("condition")["metric"].count()
    assert per_condition.nunique() == 1
    assert results[results["condition"] != "base"]["n_upstream"].eq(1).all()
    assert (checkout.root / "metrics" / "report" / "index.html").is_file()
    assert "metrics/report/index.html" in checkout.run("truing", "show")


def test_lineage_walks_back_to_corpus_base_recipe_and_seed(checkout: Checkout) -> None:
    output = checkout.run("truing", "lineage", "metrics/results.parquet", "--json")
    steps = json.loads(output)
    nodes = {step["node"] for step in steps}
    assert {"base/tiny", "corpus/news-skewed", "corpus/news-eval"} <= nodes
    assert all(step["digest"] for step in steps)
    assert not any(step["matches"] is False for step in steps)
    trained = [step for step in steps if step["node"].startswith("train/")]
    assert {step["facts"]["seed"] for step in trained} == {1}
    assert all("recipe" in step["facts"] for step in trained)


IMPORTS = """
import runpy, sys
verb, key = sys.argv[1:]
sys.argv = [verb, key]
try:
    runpy.run_module(f"stages.{verb}", run_name="__main__")
except SystemExit as stop:
    print("code", stop.code, "heavy", [name for name in ("torch", "transformers", "trl") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("verb", "key"),
    [
        ("corpus", "news-skewed"),
        ("signal", "news-skewed-label-mentions"),
        ("manifest", "news-skewed-tarp"),
        ("collect", "all"),
        ("report", "site"),
    ],
)
def test_a_stage_that_needs_no_torch_imports_none_and_repeats_its_bytes(checkout: Checkout, verb: str, key: str) -> None:
    before = checkout.run("dvc", "status", "--json")
    assert "code 0 heavy []" in checkout.run("python", "-c", IMPORTS, verb, key)
    assert checkout.run("dvc", "status", "--json") == before


def test_a_tampered_input_is_seen_by_lineage(checkout: Checkout) -> None:
    card = checkout.root / "data" / "corpora" / "news-skewed.jsonl"
    original = card.read_bytes()
    card.unlink()
    card.write_bytes(original[:-10])
    output = checkout.run("truing", "lineage", "metrics/results.parquet", code=1)
    assert "DIFFERS" in output
    card.write_bytes(original)


def test_editing_a_recipe_makes_stale_only_what_reads_it(checkout: Checkout) -> None:
    checkout.run("truing", "plan", "--set", "recipes.sft.trainer.learning_rate=0.0005")
    changed = json.loads(checkout.run("dvc", "status", "--json"))
    assert {name.partition("@")[0] for name in changed} == {"train"}
    checkout.run("git", "checkout", "-q", "--", ".")
    assert json.loads(checkout.run("dvc", "status", "--json")) == {}


def test_a_new_seed_runs_only_its_own_nodes(checkout: Checkout) -> None:
    checkout.run("truing", "plan", "--set", "run.seeds=[1, 2]")
    # Two at once, which ends where `dvc repro` ends.
    said = checkout.run("truing", "repro", "--jobs", "2")
    ran = checkout.ran(said)
    assert not re.search("^Running stage", said, re.MULTILINE), "a stage was left to the last `dvc repro`"
    assert checkout.ran(checkout.run("dvc", "repro")) == set()
    trained = {name for name in ran if name.startswith("train@")}
    assert len(trained) == 2
    assert all(name.endswith("-2") for name in trained)
    assert not any(name.startswith(("base@", "corpus@", "signal@", "manifest@")) for name in ran)
    results = pd.read_parquet(checkout.root / "metrics" / "results.parquet")
    assert set(results["seed"].dropna()) == {1, 2}
    assert results[results["seed"] == 2]["n_upstream"].eq(2).all()
    verdict = checkout.run("truing", "verify", code=1)
    assert "missing   train/tiny-news-skewed-tarp-sft-2" in verdict
    assert "different respond/tiny-news-skewed-tarp-sft-null-inputs" in verdict
    assert "base/tiny" not in verdict


def test_a_seed_that_leaves_the_plan_leaves_the_disk_and_the_table(checkout: Checkout) -> None:
    before = set((checkout.root / "models").glob("*/2"))
    assert before
    output = checkout.run("truing", "plan", "--set", "run.seeds=[1]")
    assert "removed models/" in output
    assert not set((checkout.root / "models").glob("*/2"))
    checkout.run("dvc", "repro")
    results = pd.read_parquet(checkout.root / "metrics" / "results.parquet")
    assert set(results["seed"].dropna()) == {1}
    assert checkout.run("git", "status", "--porcelain", "--", "metrics", ":!metrics/verdicts.jsonl") == ""


def test_the_verdict_log_keeps_what_was_said_in_between(checkout: Checkout) -> None:
    committed = checkout.run("git", "show", "HEAD:metrics/verdicts.jsonl").splitlines()
    log = (checkout.root / "metrics" / "verdicts.jsonl").read_text().splitlines()
    assert log[: len(committed)] == committed
    of_one = [row for row in map(json.loads, log) if row["claim"] == "tarp-lowers-lean"]
    # One seed, two seeds, and one seed again: back to the first verdict, by way of the second.
    assert [row["n_upstream"] for row in of_one] == [1, 2, 1]
    assert [row["supersedes"] for row in of_one] == [None, of_one[0]["seq"], of_one[1]["seq"]]
    assert of_one[0]["evidence_digest"] == of_one[2]["evidence_digest"]
    checkout.run("truing", "claims", "--check")
    checkout.commit("history")


def test_a_retraction_reaches_every_page_that_used_the_claim(checkout: Checkout) -> None:
    said = checkout.run("truing", "retract", "tarp-lowers-lean", "--reason", "the control was trained twice as long")
    assert "tarp-lowers-lean is retracted" in said
    ran = checkout.ran(checkout.run("dvc", "repro"))
    assert ran == {"collect@all", "report@site"}
    pages = checkout.root / "metrics" / "report"
    for name in ("index.html", "claims.html", "nodes.html"):
        assert "retracted" in (pages / name).read_text().lower(), name
    assert "the control was trained twice as long" in (pages / "claims.html").read_text()
    assert checkout.ran(checkout.run("dvc", "repro")) == set()
    assert "retracted" in checkout.run("truing", "claims", "--check")
    checkout.commit("retracted")


def test_conditions_revisions_and_runs_are_compared(checkout: Checkout) -> None:
    output = checkout.run("truing", "compare", "skewed-tarp", "skewed-uniform")
    assert "sft.manifest_digest is the declared manipulation" in output
    assert "conditional on one checkpoint" in output
    assert "protocols equal" in checkout.run("truing", "compare", "HEAD:skewed-tarp", "skewed-tarp", "--metric", "accuracy")
    folder = "models/tiny-news-skewed-tarp-sft/1"
    refused = checkout.run("truing", "compare", folder, "train/tiny-news-skewed-uniform-sft-1", code=3)
    assert "sft.manifest_digest" in refused
    assert "sft.world_size" not in refused
    checkout.run("truing", "compare", folder, "train/tiny-news-skewed-tarp-sft-1")
    assert "no run, file or condition" in checkout.run("truing", "compare", "nowhere", "base", code=2)
    checkout.run("git", "checkout", "-q", "--", ".")


def test_an_experiment_of_another_protocol_is_refused_until_somebody_vouches_for_it(checkout: Checkout) -> None:
    rate = "recipes.sft.trainer.learning_rate=0.0005"
    checkout.run("dvc", "exp", "run", "--name", "slower", "-S", rate)
    checkout.run("git", "checkout", "-q", "--", ".")
    checkout.run("dvc", "checkout", "--quiet", "--force")
    names = ("slower:skewed-tarp", "skewed-tarp")
    refused = checkout.run("truing", "compare", *names, code=3)
    row = next(line for line in refused.splitlines() if "sft.learning_rate " in line)
    assert row.split()[1:] == ["0.0005", "0.001"]
    vouch = ("--allow-mismatch", "sft.learning_rate*", "--reason", "the rate is the question")
    output = checkout.run("truing", "compare", *names, *vouch, "--metric", "accuracy")
    assert "vouched for: sft.learning_rate is 0.0005 in a and 0.001 in b: the rate is the question" in output
    recorded = list((checkout.root / "metrics" / "comparisons").glob("*.json"))
    (mismatches,) = (json.loads(path.read_text())["mismatches"] for path in recorded)
    # The rate, and the rates of all steps that follow from it.
    assert [m["field"] for m in mismatches] == ["sft.learning_rate", "sft.learning_rates_digest"]
    assert {m["reason"] for m in mismatches} == {"the rate is the question"}
    shutil.rmtree(checkout.root / "metrics" / "comparisons")
    checkout.run("git", "checkout", "-q", "--", ".")


def test_a_stale_plan_is_refused_by_check_and_by_every_stage(checkout: Checkout) -> None:
    params = checkout.root / "params.yaml"
    original = params.read_text()
    params.write_text(re.sub(r"  seeds:.*?(?=  threads:)", "  seeds: [1, 9]\n", original, flags=re.DOTALL))
    assert "plan.yaml is stale" in checkout.run("truing", "plan", "--check", code=3)
    assert "truing plan" in checkout.run("python", "-m", "stages.corpus", "news-eval", code=3)
    params.write_text(original)


def test_a_strategy_is_one_new_file_and_two_lines_of_params(checkout: Checkout) -> None:
    (checkout.root / "src" / "truing" / "strategies" / "half.py").write_text(STRATEGY)
    conditions = "[{strategy: uniform}, {strategy: half}]"
    checkout.run(
        "truing",
        "plan",
        "--set",
        "strategies.half={}",
        "--set",
        f"studies.nullbench.conditions={conditions}",
        "--set",
        "studies.nullbench.contrasts=[]",
    )
    ran = checkout.ran(checkout.run("dvc", "repro"))
    assert "manifest@news-skewed-half" in ran
    assert not any(name.startswith(("base@", "corpus@")) for name in ran)
    results = pd.read_parquet(checkout.root / "metrics" / "results.parquet")
    assert "skewed-half" in set(results["condition"])
    changed = checkout.run("git", "status", "--porcelain", "--", "src", "stages", "schemas", "dvc.yaml").split()
    assert changed == ["??", "src/truing/strategies/half.py"]


def test_no_output_holds_a_path_of_this_machine(checkout: Checkout) -> None:
    needle = str(checkout.root).encode()
    for folder in ("data", "models", "metrics"):
        for path in (p for p in (checkout.root / folder).rglob("*") if p.is_file()):
            assert needle not in path.read_bytes(), Path(path).relative_to(checkout.root)


def test_a_killed_training_leaves_no_output_and_resumes_to_the_same_bytes(checkout: Checkout) -> None:
    key = "tiny-news-skewed-uniform-sft-1"
    target = checkout.root / "models" / "tiny-news-skewed-uniform-sft" / "1"
    checkout.run("truing", "plan", "--set", "recipes.sft.method.save_steps=2")
    checkout.run("dvc", "repro", "-s", f"train@{key}")
    wanted = {path.name: path.read_bytes() for path in target.iterdir()}
    shutil.rmtree(target)
    process = subprocess.Popen(
        ["python", "-m", "stages.train", key], cwd=checkout.root, env={**ENV, "PYTHONPATH": str(checkout.root / "src")}
    )
    deadline = time.monotonic() + 120
    while not list((checkout.root / ".scratch").glob("*/**/checkpoint-2")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not target.exists()
    assert not list((checkout.root / "models").rglob(".tmp*"))
    checkout.run("python", "-m", "stages.train", key)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == wanted
