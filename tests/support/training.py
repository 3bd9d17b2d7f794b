"""Training jobs on the tiny base: a labelled corpus of random words, its task, its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from support.tiny import WORDS

from truing.contracts.task import Label, Task
from truing.train import TrainJob

LABELS = {"world": "A", "sports": "B", "business": "C", "science": "D"}

VALUES: dict[str, dict[str, Any]] = {
    "trainer": {"learning_rate": 0.01, "num_train_epochs": 1, "per_device_train_batch_size": 4, "lr_scheduler_type": "linear"},
    "lora": {"r": 2, "lora_alpha": 4, "target_modules": "all-linear"},
    "method": {"max_length": 64},
}


def news_task() -> Task:
    """Four labels answered with letters."""
    labels = tuple(Label(name=name, answer=answer) for name, answer in LABELS.items())
    return Task(name="news", template="classify news : {text}", labels=labels)


def news_rows(count: int = 24, seed: int = 0) -> list[dict[str, Any]]:
    """Random words under balanced labels."""
    rng = np.random.default_rng(seed)
    words = WORDS[9:-5]
    return [
        {
            "doc_id": f"d{number}",
            "source": "test",
            "text": " ".join(rng.choice(words, size=int(rng.integers(3, 12)))),
            "label": list(LABELS)[number % 4],
            "metadata": {},
        }
        for number in range(count)
    ]


def manifest(rows: list[dict[str, Any]], weights: Any = None) -> pd.DataFrame:
    """The weights, divided by their mean; 1 each by default."""
    values = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)
    return pd.DataFrame({"doc_id": [row["doc_id"] for row in rows], "weight": values / values.mean()})


def recipe_values(**changes: Mapping[str, Any]) -> dict[str, Any]:
    """The test recipe with some keys of its three maps changed."""
    return {part: {**values, **changes.get(part, {})} for part, values in VALUES.items()}


def train_job(base: Path, scratch: Path, **changes: Any) -> TrainJob:
    """A job on 24 documents of weight 1; any field can be changed, and weights follow the rows."""
    rows = changes.get("rows") or news_rows()
    fields: dict[str, Any] = {
        "group": "uniform",
        "seed": 0,
        "phase": "sft",
        "root_seed": 7,
        "base": base,
        "base_key": "tiny",
        "parent": None,
        "rows": rows,
        "task": news_task(),
        "weights": manifest(rows),
        "inputs": {"corpus": "0" * 64},
        "scratch": scratch,
    }
    return TrainJob(**{**fields, **changes})
