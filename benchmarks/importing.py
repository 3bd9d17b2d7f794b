"""Importing small result files, one a seed: `truing.legacy` against the loop that a user would write.

    python benchmarks/importing.py                  # 10,000 files, half a minute
    python benchmarks/importing.py --files 1000     # quick

Both get the same bytes: one JSON object of three metrics a file, 20 conditions, seeds in the four path layouts. The loop
parses each file, appends a dict a metric and takes the mean by condition and metric with pandas. The run fails unless the
two agree on every mean. The loop does less: it reads the one shape it was written for, takes the seed from the path by one
expression, and notices neither a lost nor a doubled seed, nor an unknown number, nor an unlike protocol; and its table has
four columns where ours has a row of schemas/result.schema.json, checked.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from truing.core.seeds import stream
from truing.legacy import load

if TYPE_CHECKING:
    import pandas as pd

CONDITIONS = 20
METRICS = ("alignment", "arc_c", "coherence")
LAYOUTS = ("eval_seed{0}/results.json", "seed{0}/results.json", "seed{0}_results.json", "seed{0}/eval_seed{0}/results.json")


def documents(files: int, root_seed: int) -> dict[str, bytes]:
    """Bytes by path of `files` result files, spread over the conditions and the layouts."""
    rng = stream(root_seed, "benchmark", "importing")
    found = {}
    for number in range(files):
        seed, condition = divmod(number, CONDITIONS)
        path = f"condition{condition}/{LAYOUTS[number % len(LAYOUTS)].format(seed)}"
        values = dict(zip(METRICS, rng.uniform(0, 100, len(METRICS)).round(6).tolist(), strict=True))
        found[path] = json.dumps({"seed": seed, **values, "config": {"learning_rate": 1e-4, "batch": 16}}, indent=2).encode()
    return found


def mapping(files: int) -> dict[str, Any]:
    """The map of those files."""
    count = -(-files // CONDITIONS)
    last = files - (count - 1) * CONDITIONS
    seeds = {f"condition{c}": list(range(count if c < last else count - 1)) for c in range(CONDITIONS)}
    return {
        "study": "benchmark",
        "condition": {"condition*/*": "condition{1}"},
        "phase": "em",
        "seed_scope": "em",
        "n_upstream": 1,
        "expected_seeds": seeds,
        "metrics": {name: {"metric": name, "probe": "probe", "arm": "all", "unit": "points"} for name in METRICS},
        "protocol_from": {"config.learning_rate": "em.learning_rate", "config.batch": "em.effective_batch"},
    }


def by_loop(sources: Mapping[str, bytes]) -> pd.DataFrame:
    """What a user would write: a row for each metric of each file."""
    import pandas as pd

    rows = []
    for path, data in sources.items():
        document = json.loads(data)
        seed = re.findall(r"seed(\d+)", path)[-1]
        rows += [{"condition": path.split("/")[0], "seed": int(seed), "metric": name, "value": document[name]} for name in METRICS]
    return pd.DataFrame(rows)


def means(frame: pd.DataFrame) -> dict[Any, float]:
    """Mean by condition and metric."""
    found: dict[Any, float] = frame.groupby(["condition", "metric"])["value"].mean().to_dict()
    return found


def main() -> None:
    """Measure both, print the seconds and their ratio, and fail where they disagree."""
    import pandera.pandas  # noqa: F401  (imports are not what is timed)

    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--files", type=int, default=10_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--root-seed", type=int, default=20250)
    chosen = options.parse_args()
    sources, rules = documents(chosen.files, chosen.root_seed), mapping(chosen.files)
    load(dict(list(sources.items())[:1]), {**rules, "expected_seeds": [0]}, "warm-up")
    seconds: dict[str, list[float]] = {"truing.legacy": [], "loop": []}
    for _ in range(chosen.repeats):
        started = time.perf_counter()
        ours = means(load(sources, rules, "map"))
        between = time.perf_counter()
        theirs = means(by_loop(sources))
        seconds["truing.legacy"].append(between - started)
        seconds["loop"].append(time.perf_counter() - between)
    if ours.keys() != theirs.keys() or any(abs(ours[key] - theirs[key]) > 1e-9 for key in ours):
        raise SystemExit("the two disagree")
    best = {name: min(taken) for name, taken in seconds.items()}
    for name, taken in best.items():
        print(f"{name:14} {taken:7.2f} s for {chosen.files:,} files, {1e6 * taken / chosen.files:7.0f} us a file, best of {chosen.repeats}")
    print(f"ratio          {best['truing.legacy'] / best['loop']:7.2f} (truing.legacy / loop); the loop checks nothing")


if __name__ == "__main__":
    main()
