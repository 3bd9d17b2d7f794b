"""Judge every answer of a respond node; each verdict stands beside the answer's identity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from truing.core.errors import Exit, TruingError
from truing.core.files import Row
from truing.core.registry import Plugin
from truing.judges import Judge


def judgements(plugin: Plugin[Judge], values: Mapping[str, Any], items: Iterable[Row], answers: Iterable[Row], where: str) -> Iterator[Row]:
    """Yield one row of `schemas/judgement.schema.json` for every answer, in the order of the answers.

    Raises:
        TruingError: an answer belongs to no item of the node.
    """
    cfg = plugin.configure(values, where)
    by_id = {item["item_id"]: item for item in items}
    for answer in answers:
        if answer["item_id"] not in by_id:
            raise TruingError(
                f"{where}: an answer names the unknown item {answer['item_id']!r}",
                "answers and items of one run",
                "run the respond stage again",
                Exit.REFUSED,
            )
        verdict = plugin.target(cfg, by_id[answer["item_id"]], answer)
        yield {
            **{key: answer[key] for key in ("item_id", "arm", "seed", "sample")},
            "judge": plugin.name,
            "judge_model": None,
            "prompt_digest": None,
            "policy_digest": None,
            "request": None,
            "raw_reply": None,
            "verdict": verdict.verdict,
            "score": verdict.score,
            "failure": verdict.failure,
            "cost_usd": None,
        }
