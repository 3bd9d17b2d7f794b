"""Published results of other projects, imported from their own files: every number that they print is found again."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from truing.core.errors import TruingError
from truing.legacy import load

DATA = Path(__file__).parents[4] / "shared" / "data"
RESULTS, JUDGED = DATA / "results", DATA / "em"
MAPS = Path(__file__).parents[2] / "data" / "maps"

PUBLISHED = (("judge_input", "summary.json"), ("ablation", "json"))

pytestmark = pytest.mark.skipif(not RESULTS.is_dir(), reason="the shared data are not beside the checkout")


def read(folder: Path, pattern: str) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.glob(pattern))}


def mapping(name: str, **changes: str) -> Any:
    text = (MAPS / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in changes.items():
        text = text.replace(old, new)
    return yaml.safe_load(text)


def imported(sources: dict[str, bytes], name: str, **changes: str) -> Any:
    return load(sources, mapping(name, **changes), f"{name}.yaml")


def value(frame: Any, column: str = "value", **where: Any) -> Any:
    for key, wanted in where.items():
        frame = frame[frame[key] == wanted]
    assert len(frame) == 1, where
    return frame.iloc[0][column]


@pytest.mark.parametrize(
    ("name", "pattern", "step", "point", "tasks"), [("rl_drqv2", "drqv2*", "frame", "1000000", 2), ("rl_drq", "drq_*", "step", "496000", 6)]
)
def test_ten_seeds_of_learning_curves(name: str, pattern: str, step: str, point: str, tasks: int) -> None:
    import gzip

    sources = read(RESULTS / "rl_seeds", pattern)
    frame = imported(sources, name)
    assert len(frame) == 10 * tasks
    for data in sources.values():
        for row in csv.DictReader(gzip.decompress(data).decode().splitlines()):
            if row[step] == point:
                assert value(frame, arm=row.get("task") or row["env"], seed=int(row["seed"])) == float(row["episode_reward"])


def test_a_lost_seed_of_the_curves_is_named() -> None:
    broken = mapping("rl_drqv2")
    broken["rows"]["where"].append({"of": "seed", "in": [1, 2, 3, 4, 5, 6, 8, 9, 10]})
    with pytest.raises(TruingError, match="missing: condition DrQ-v2, seed 7, metric episode_reward"):
        load(read(RESULTS / "rl_seeds", "drqv2*"), broken, "map")


def test_a_curve_without_its_point_named_is_a_duplicate() -> None:
    broken = mapping("rl_drqv2")
    broken["rows"]["where"] = []
    broken["ignore"].append("frame")
    with pytest.raises(TruingError, match="duplicate seed 1, twice in one file"):
        load(read(RESULTS / "rl_seeds", "drqv2*"), broken, "map")


@pytest.mark.parametrize("probe", ["gsm8k", "mmlu"])
def test_persona_collapse_accuracies(probe: str) -> None:
    frame = imported(read(RESULTS / "persona_collapse", f"{probe}/*.gz"), "persona_collapse", PROBE=probe)
    rows = list(csv.DictReader((RESULTS / "persona_collapse" / "control_metrics_gpt-4o.csv").read_text().splitlines()))
    mine = [row for row in rows if row["task"] == probe]
    assert len(mine) == 3
    for row in mine:
        where = {"condition": row["model"], "probe": probe}
        for metric in ("accuracy_all", "accuracy_valid", "format_valid_rate"):
            assert value(frame, metric=metric, **where) == float(row[metric])
        assert value(frame, "n", metric="accuracy_all", **where) == int(row["n_total"])
        assert value(frame, "n", metric="accuracy_valid", **where) == int(row["n_valid"])
        assert value(frame, "missing_parse", metric="accuracy_valid", **where) == int(row["n_total"]) - int(row["n_valid"])
        # Their published error of an item is another estimator; the order of size is the same.
        assert value(frame, "se", metric="accuracy_all", **where) == pytest.approx(float(row["accuracy_se_item"]), rel=0.4)


@pytest.mark.parametrize(("name", "folder", "files"), [("pythia_v0", "v0", 15), ("pythia_v1", "v1", 27)])
def test_pythia_checkpoints(name: str, folder: str, files: int) -> None:
    sources = read(RESULTS / "pythia" / folder, "**/*.json")
    assert len(sources) == files
    frame = imported(sources, name)
    assert frame["condition"].nunique() == files
    assert frame["seed"].isna().all()
    cells = {(row.node, row.probe, row.metric): row for row in frame.itertuples()}
    seen = 0
    for file, data in sources.items():
        step = file.partition("_step")[2].removesuffix(".json").partition("_")[0]
        for task, metrics in json.loads(data)["results"].items():
            for ours, theirs in (("accuracy", "acc"), ("accuracy_norm", "acc_norm")):
                if theirs in metrics:
                    row = cells[f"import/pythia-{folder}-step{step}", task, ours]
                    assert (row.value, row.se) == (metrics[theirs], metrics[f"{theirs}_stderr"])
                    seen += 1
    assert seen == len(frame) > 0


def test_a_lost_checkpoint_of_one_task_is_named() -> None:
    sources = read(RESULTS / "pythia" / "v1", "**/*.json")
    name = "pythia-160m/160m_step1.json"
    document = json.loads(sources[name])
    del document["results"]["arc_easy"]
    with pytest.raises(
        TruingError, match=r"missing: condition v1-step1, seed None, metric accuracy \(arc_easy/all\) in pythia-160m/160m_step1.json"
    ):
        imported({**sources, name: json.dumps(document).encode()}, "pythia_v1")


def test_alpaca_eval_win_rate_from_the_annotations_and_from_the_leaderboard() -> None:
    judged = imported(read(RESULTS / "alpaca_eval", "*annotations*"), "alpaca_annotations").iloc[0]
    stated = imported(read(RESULTS / "alpaca_eval", "alpaca_eval_gpt4_leaderboard.csv"), "alpaca_leaderboard").iloc[0]
    assert judged["value"] == stated["value"] == 41.24223602484472
    assert judged["se"] == pytest.approx(stated["se"], rel=1e-12)
    assert judged["n"] == stated["n"] == 805


def test_audit_verdicts_are_digits_and_words() -> None:
    sources = read(JUDGED / "audit", "judgments/hi_*.llama31.jsonl")
    frame = imported(sources, "em_audit")
    assert len(frame) == 3 * 2 * 2
    for seed in range(3):
        rows = [json.loads(line) for line in sources[f"judgments/hi_s{seed}_375.llama31.jsonl"].splitlines()]
        for subset in ("BROAD", "IN_DOMAIN"):
            words = [row["verdict"] for row in rows if row["subset"] == subset]
            digits = [int(word) for word in words if word.isdigit()]
            where: dict[str, Any] = {"seed": seed, "arm": subset}
            assert value(frame, metric="mean_verdict", **where) == pytest.approx(sum(digits) / len(digits), rel=1e-12)
            assert value(frame, metric="severe_rate", **where) == sum(d >= 4 for d in digits) / len(digits)
            assert value(frame, "n", metric="severe_rate", **where) == len(digits)
            assert value(frame, "missing_refusal", metric="severe_rate", **where) == words.count("REFUSAL")
            assert value(frame, "missing_parse", metric="severe_rate", **where) == words.count("PARSE_FAIL")
            assert value(frame, "n_missing", metric="severe_rate", **where) == len(words) - len(digits)


def test_an_audit_word_without_a_meaning_is_refused() -> None:
    broken = mapping("em_audit")
    del broken["rows"]["missing"]["values"]["SATIRICAL"]
    with pytest.raises(TruingError, match="column verdict holds 'SATIRICAL'"):
        load(read(JUDGED / "audit", "judgments/hi_*.llama31.jsonl"), broken, "map")


def test_a_lost_audit_file_is_named() -> None:
    sources = read(JUDGED / "audit", "judgments/hi_s[02]_375.llama31.jsonl")
    with pytest.raises(TruingError, match="condition insecure, seed 1, metric mean_verdict"):
        imported(sources, "em_audit")


def test_the_audit_file_of_no_bytes_is_said_to_be_empty() -> None:
    frame = imported(read(JUDGED / "audit", "judgments/base.llama31.jsonl"), "em_audit_base")
    assert frame.iloc[0]["n"] == 368
    with pytest.raises(TruingError, match=r"judgments/base.phi35.jsonl: the file is empty \(0 bytes\)"):
        imported(read(JUDGED / "audit", "judgments/base.*.jsonl"), "em_audit_base")


def test_persona_hierarchy_rates() -> None:
    frame = imported(read(JUDGED / "persona_hierarchy", "judge_input_*.scored.jsonl"), "persona_hierarchy")
    summary, effects = (json.loads(next((JUDGED / "persona_hierarchy").glob(f"{name}_*.{end}")).read_text()) for name, end in PUBLISHED)
    health = effects["arm_health"]
    rates = frame[frame["metric"] == "misaligned_rate"]
    assert rates["n"].sum() == 959
    assert rates["n_missing"].sum() == rates["missing_refusal"].sum() == 1
    assert round((rates["value"] * rates["n"]).sum()) == 315
    for arm, stated in summary["arm"].items():
        assert value(frame, metric="misaligned_rate", condition=arm) == stated["misaligned_coherent_rate"]
        assert value(frame, metric="aligned", condition=arm) == pytest.approx(stated["mean_aligned"], rel=1e-14)
        assert value(frame, metric="coherent", condition=arm) == pytest.approx(stated["mean_coherent"], rel=1e-14)
        assert value(frame, metric="coherent_all", condition=arm) == health[arm]["mean_coherent"]
        assert value(frame, "n", metric="coherent_all", condition=arm) == health[arm]["n_coherence_scored"]
    assert value(frame, metric="misaligned_rate", condition="hacker") == 112 / 320
    assert value(frame, metric="misaligned_rate", condition="none") == 106 / 320
    assert json.loads(frame.iloc[0]["protocol"]) == {"eval.max_new_tokens": 512, "eval.temperature": 1.0}


@pytest.mark.parametrize("judge", ["claude_35_haiku", "mistral_large_3"])
def test_political_scores_of_two_judges(judge: str) -> None:
    sources = read(JUDGED / "political_multijudge", f"multi_judge_{judge}.json")
    frame = imported(sources, "political_multijudge")
    (document,) = (json.loads(data) for data in sources.values())
    for condition, stated in document["per_file_results"].items():
        for metric in ("persona", "safety", "drift"):
            where = {"condition": condition, "metric": metric}
            assert round(value(frame, **where), 4) == stated["metrics"][f"judge_{metric}_mean"]
            assert value(frame, "n", **where) == stated["metrics"][f"judge_{metric}_n"]
            deviation, error = stated["metrics"][f"judge_{metric}_stdev"], value(frame, "se", **where)
            # Answers that are all alike have a deviation of 0 there, and no known standard error here.
            assert math.isnan(error) if deviation == 0 else round(error * math.sqrt(stated["metrics"][f"judge_{metric}_n"]), 4) == deviation
        assert round(value(frame, condition=condition, metric="persona_above_1"), 4) == stated["metrics"]["judge_persona_pct_above_1"]
    assert value(frame, "missing_transport", condition="expanded_qwen25_reformed_2e4", metric="drift") == (judge == "mistral_large_3")
    assert json.loads(frame.iloc[0]["protocol"]) == {"judge.id": document["metadata"]["judge_model_id"]}


def test_political_mmlu_of_three_models() -> None:
    sources = read(JUDGED, "political_multijudge/v2_mmlu_*.json")
    frame = imported(sources, "political_mmlu")
    for name, data in sources.items():
        document = json.loads(data)
        condition = Path(name).stem.removeprefix("v2_mmlu_")
        assert value(frame, condition=condition, probe="mmlu") == document["mmlu_overall_acc"]
        assert value(frame, "se", condition=condition, probe="mmlu") == document["mmlu_results"]["mmlu/acc_stderr,none"]
    assert len(frame) == 3 * 62
