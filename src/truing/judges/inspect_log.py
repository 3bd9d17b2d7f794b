"""Judged answers as an Inspect log, which `inspect view` opens.

Everything in a log is a function of the rows: ids are digests, no clock is read. A log in the "json"
format has the same bytes each time it is written by one version of the library. The "eval" format is a
zip whose members carry the time of writing; its content is the same, its bytes are not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from truing.core.digests import digest
from truing.core.errors import Exit, TruingError, some
from truing.core.files import Row, atomic_file

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score

EPOCH = "1970-01-01T00:00:00+00:00"
_IDENTITY = ("item_id", "arm", "seed", "sample")
_REASONS = {"refusal": "refusal", "parse": "invalid_response_format", "off_scale": "invalid_response_format"}
_STOPS: dict[str, Literal["stop", "max_tokens"]] = {"stop": "stop", "length": "max_tokens"}


def inspect_log(items: Iterable[Row], answers: Iterable[Row], judgements: Iterable[Row], *, task: str, model: str) -> EvalLog:
    """One sample per answer, with the verdicts of all judges on it.

    A verdict that failed is an unscored score with its reason; it is no number. Metrics are left out: this
    log carries the answers; estimates with their intervals stand in the results table. All of it is in memory.

    Args:
        items: Rows of `schemas/item.schema.json`.
        answers: Rows of `schemas/answer.schema.json`; one sample each.
        judgements: Rows of `schemas/judgement.schema.json` on these answers, of any number of judges.
        task: Name of the log's task.
        model: Name of the model that answered.

    Raises:
        TruingError: Inspect is not installed, an answer stands twice or has no item, or a judgement has no answer.
    """
    log = _library()
    by_id = {item["item_id"]: item for item in items}
    judged = _by_answer(judgements)
    rows = sorted(answers, key=_order)
    _check(rows, by_id, judged)
    epochs: dict[str, int] = {}
    samples = [_sample(by_id[row["item_id"]], row, judged.get(_identity(row), ()), model, epochs) for row in rows]
    content = digest([task, model, [by_id[name] for name in sorted(by_id)], rows, [judged[key] for key in sorted(judged, key=str)]])
    spec = log.EvalSpec(
        eval_id=content[:22],
        run_id=content[22:44],
        created=EPOCH,
        task=task,
        task_id=digest(task)[:22],
        dataset=log.EvalDataset(name=task, samples=len(epochs), sample_ids=list(epochs), shuffled=False),
        model=model,
        config=log.EvalConfig(epochs=max(epochs.values(), default=1)),
        metadata={"digest": content},
    )
    results = log.EvalResults(total_samples=len(samples), completed_samples=len(samples), scores=_counts(judged))
    stats = log.EvalStats(started_at=EPOCH, completed_at=EPOCH)
    return log.EvalLog(status="success", eval=spec, results=results, stats=stats, samples=samples)


def write_inspect_log(target: Path, log: EvalLog) -> None:
    """Write a log; the suffix of the target, `.json` or `.eval`, names the format.

    Raises:
        TruingError: Inspect is not installed, or the suffix is neither.
    """
    formats: dict[str, Literal["json", "eval"]] = {".json": "json", ".eval": "eval"}
    if target.suffix not in formats:
        raise TruingError(f"{target}: a log with the suffix {target.suffix!r}", "one of .json, .eval", "rename the log")
    write = _library().write_eval_log
    # The library keeps the place a log was written to, but the place is no part of what was judged.
    with atomic_file(target) as path:
        write(log.model_copy(update={"location": ""}), path, format=formats[target.suffix])


def _library() -> Any:
    try:
        import inspect_ai.log
    except ImportError as error:
        raise TruingError(
            "the package inspect_ai is not installed", "the extra that Inspect logs need", "pip install truing[inspect]"
        ) from error
    return inspect_ai.log


def _sample(item: Row, answer: Row, judgements: Iterable[Row], model: str, epochs: dict[str, int]) -> EvalSample:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessageUser

    # Inspect names a sample by id and epoch: seeds and repeats of an item are its epochs, in order.
    name = item["item_id"]
    epochs[name] = epochs.get(name, 0) + 1
    unique = digest(_identity(answer))
    output = _output(answer, model, unique)
    judged = list(judgements)
    return EvalSample(
        id=name,
        epoch=epochs[name],
        input=item["prompt"],
        target=item["reference"] or "",
        messages=[ChatMessageUser(id=f"{unique[:20]}q", content=item["prompt"]), *(choice.message for choice in output.choices)],
        output=output,
        scores={row["judge"]: _score(row, answer) for row in judged} or None,
        metadata={
            "condition": answer["arm"],
            "seed": answer["seed"],
            "sample": answer["sample"],
            "finish_reason": answer["finish_reason"],
            "item_digest": digest(item),
            "answer_digest": digest(answer),
            "item": item["metadata"],
        },
        uuid=unique[:22],
    )


def _output(answer: Row, model: str, unique: str) -> ModelOutput:
    from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelOutput

    if answer["completion"] is None:
        return ModelOutput(model=model, choices=[])
    message = ChatMessageAssistant(id=f"{unique[:20]}a", content=answer["completion"], source="generate", model=model)
    choice = ChatCompletionChoice(message=message, stop_reason=_STOPS.get(answer["finish_reason"], "unknown"))
    return ModelOutput(model=model, choices=[choice], completion=answer["completion"])


def _score(row: Row, answer: Row) -> Score:
    from inspect_ai.scorer import Score

    value = row["score"] if row["score"] is not None else row["verdict"]
    facts = {name: row[name] for name in ("judge_model", "prompt_digest", "policy_digest", "request", "verdict", "failure", "cost_usd")}
    return Score(
        value=math.nan if value is None else value,
        answer=answer["completion"],
        explanation=row["raw_reply"],
        reason=None if row["failure"] is None else _REASONS.get(row["failure"], row["failure"]),
        metadata=facts,
    )


def _counts(judged: Mapping[tuple[Any, ...], list[Row]]) -> list[Any]:
    from inspect_ai.log import EvalScore

    rows = [row for found in judged.values() for row in found]
    return [
        EvalScore(
            name=name,
            scorer=name,
            scored_samples=sum(row["judge"] == name and row["failure"] is None for row in rows),
            unscored_samples=sum(row["judge"] == name and row["failure"] is not None for row in rows),
        )
        for name in sorted({row["judge"] for row in rows})
    ]


def _by_answer(judgements: Iterable[Row]) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(judgements, key=lambda row: (_order(row), row["judge"])):
        found.setdefault(_identity(row), []).append(row)
    return found


def _check(rows: list[Row], by_id: Mapping[str, Row], judged: Mapping[tuple[Any, ...], list[Row]]) -> None:
    known = Counter(_identity(row) for row in rows)
    orphans = sorted({str(row["item_id"]) for row in rows if row["item_id"] not in by_id})
    twice = sorted(str(key) for key, times in known.items() if times > 1)
    repeated = [key for key, found in judged.items() if len({row["judge"] for row in found}) < len(found)]
    for what, found in (
        ("answers to unknown items", orphans),
        ("answers that stand twice", twice),
        ("judgements of unknown answers", sorted(map(str, judged.keys() - known.keys()))),
        ("answers that one judge judged twice", sorted(map(str, repeated))),
    ):
        if found:
            raise TruingError(
                f"{what}: {some(found)}", "items, answers and judgements of one run", "export one run at a time", Exit.REFUSED
            )


def _identity(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _IDENTITY)


def _order(row: Row) -> tuple[str, str, bool, int, int]:
    return row["item_id"], row["arm"], row["seed"] is not None, row["seed"] or 0, row["sample"]
