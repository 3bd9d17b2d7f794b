"""Train the test job in a process of its own (base folder, scratch folder, target folder) and print how many losses it computed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from support.training import manifest, news_rows, recipe_values, train_job

from truing.train import trainer
from truing.train.run import run

COMPUTED = 0
weighted_nll = trainer.weighted_nll


def counted(*args: Any) -> Any:
    global COMPUTED
    COMPUTED += 1
    return weighted_nll(*args)


if __name__ == "__main__":
    vars(trainer)["weighted_nll"] = counted
    base, scratch, target = map(Path, sys.argv[1:])
    rows = news_rows(60)
    values = recipe_values(
        trainer={"gradient_accumulation_steps": 2, "num_train_epochs": 3},
        # Dropout, so that a resumed run needs the state of the generator.
        lora={"lora_dropout": 0.1},
        method={"save_steps": 3},
    )
    run("sft", values, train_job(base, scratch, rows=rows, weights=manifest(rows, range(1, 61))), target)
    sys.stdout.write(str(COMPUTED))
