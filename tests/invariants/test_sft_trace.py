from __future__ import annotations

from pathlib import Path

import numpy as np
from support.tiny import tiny_base
from support.training import manifest, news_rows, recipe_values, train_job

from truing.core.files import read_json
from truing.train.run import run

RECORDED = Path(__file__).with_name("sft_trace.json")


def test_the_loss_trace_of_the_tiny_base_is_the_recorded_one(tmp_path: Path) -> None:
    rows = news_rows()
    job = train_job(tiny_base(tmp_path / "base"), tmp_path / "scratch", rows=rows, weights=manifest(rows, range(1, 25)))
    lineage = run("sft", recipe_values(trainer={"learning_rate": 1e-3}), job, tmp_path / "out")
    np.testing.assert_allclose(lineage["loss_trace"], read_json(RECORDED)["loss_trace"], atol=1e-4, rtol=0)
