"""One table of planted values in every layout that result files come in."""

from __future__ import annotations

import csv
import gzip
import io
import json
import statistics
from collections.abc import Callable
from typing import Any

import pandas as pd

from truing.legacy.layouts import LAYOUTS

Values = dict[str, dict[int, float | None]]


VALUES: Values = {
    "arc_c": {42: 51.28, 137: 50.94, 256: 52.05, 512: 49.66},
    "alignment": {42: 61.5, 137: 58.125, 256: 64.375, 512: 60.0},
    "coherence": {42: 88.0, 137: 91.25, 256: 87.5, 512: 90.0},
}


SEEDS = list(VALUES["arc_c"])


def mapping(**changes: Any) -> dict[str, Any]:
    metric = {"arm": "all", "unit": "points", "probe": "probe"}
    return {
        "study": "coupling",
        "condition": "good_wrong",
        "phase": "em",
        "seed_scope": "em",
        "n_upstream": 1,
        "expected_seeds": SEEDS,
        "metrics": {name: {**metric, "metric": name} for name in VALUES},
        "protocol": {"em.per_device_batch": 4, "em.accumulation": 4, "em.world_size": 1},
        **changes,
    }


def summary(values: dict[int, float | None]) -> dict[str, Any]:
    known = [value for value in values.values() if value is not None]
    found: dict[str, Any] = {"n": len(known)}
    if known:
        found["mean"] = round(statistics.mean(known), 4)
    if len(known) > 1:
        found["std"] = round(statistics.stdev(known), 4)
    return found


def encode(document: Any) -> bytes:
    return json.dumps(document).encode()


def seeds_of(values: Values) -> list[int]:
    return list(next(iter(values.values())))


def flat(values: Values) -> dict[str, bytes]:
    entries = {name: {**summary(of), "values": list(of.values())} for name, of in values.items()}
    return {"results.json": encode({"seeds": seeds_of(values), **entries})}


def by_seed(values: Values) -> dict[str, bytes]:
    return {"r.json": encode({name: {**summary(of), "values": {str(s): v for s, v in of.items()}} for name, of in values.items()})}


def per_seed(values: Values) -> dict[str, bytes]:
    records = [{"seed": seed, **{name: of[seed] for name, of in values.items()}} for seed in seeds_of(values)]
    return {"r.json": encode({"per_seed": records, "summary": {name: summary(of) for name, of in values.items()}})}


def nested(values: Values) -> dict[str, bytes]:
    entries = {name: {**summary(of), "values": {f"seed_{s}": v for s, v in of.items()}} for name, of in values.items()}
    return {"r.json": encode({"metrics": entries, "training_config": {"learning_rate": 1e-4, "gpus": 1}})}


def nested_list(values: Values) -> dict[str, bytes]:
    entries = {name: {**summary(of), "values": list(of.values())} for name, of in values.items()}
    return {"r.json": encode({"metrics": entries, "training_config": {"seeds": seeds_of(values)}})}


def detail(layout: str) -> Callable[[Values], dict[str, bytes]]:
    def write(values: Values) -> dict[str, bytes]:
        path = layout.replace("<N>", "{0}")
        return {f"good_wrong/{path.format(s)}": encode({name: of[s] for name, of in values.items()}) for s in seeds_of(values)}

    return write


def zipped(values: Values) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(data) for name, data in flat(values).items()}


def wide(values: Values) -> dict[str, bytes]:
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["seed", *values])
    rows.writerows([seed, *("" if of[seed] is None else repr(of[seed]) for of in values.values())] for seed in seeds_of(values))
    return {"table.csv": out.getvalue().encode()}


def long(values: Values) -> dict[str, bytes]:
    lines = [encode({"run": seed, "name": name, "x": value}) for name, of in values.items() for seed, value in of.items()]
    return {"table.jsonl": b"\n".join(lines)}


ROWS = {"wide": {"seed": "seed"}, "long": {"seed": "run", "metric": "name", "value": "x"}}


WRITERS: dict[str, Callable[[Values], dict[str, bytes]]] = {
    "flat": flat,
    "by_seed": by_seed,
    "per_seed": per_seed,
    "nested": nested,
    "nested_list": nested_list,
    "zipped": zipped,
    "wide": wide,
    "long": long,
    **{layout: detail(layout) for layout in LAYOUTS},
}


def changes_for(name: str) -> dict[str, Any]:
    return {"rows": ROWS[name]} if name in ROWS else {"ignore": ["training_config*"]}


def same(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the one column that tells which file a value was read from."""
    return frame.drop(columns="source_digest")
