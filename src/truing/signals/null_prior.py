"""Which label a model answers when it is told nothing: its mean label distribution over content-free inputs.

The estimate follows contextual calibration (Zhao et al. 2021, arXiv 2102.09690), with several kinds of content-free
input, since any single string has quirks of its own (Fei et al. 2023, arXiv 2305.19148).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from truing.core.errors import TruingError, some
from truing.signals import Evidence, ResponsesTable, SignalContext, SignalParams, signal
from truing.signals.compute import chunks

# Shuffled or partly masked news still says what it is about, so it tells of the text as much as of the model.
NULL_ARMS = ("empty", "placeholder", "mask", "stopwords", "punctuation", "filler", "random_words")

Floats = NDArray[np.float64]


class NullPriorParams(SignalParams):
    """Which kinds of null input enter: None takes every one of `NULL_ARMS` that was asked."""

    needs: ClassVar[frozenset[str]] = frozenset({"responses"})

    arms: tuple[str, ...] | None = None


@signal("null_prior", NullPriorParams)
def null_prior(cfg: NullPriorParams, context: SignalContext) -> Evidence:
    """The label prior of a model on null inputs, the same for every document.

    The label log-probabilities of an answer are renormalised over the labels; probabilities are averaged over the
    answers to an item, over the items of an arm, and over the arms, so that every kind of null input weighs the same.
    Columns: `null_prior.<label>` (probability) and `default_label` (its largest; the first of equals, in label order).
    Facts: the prior, the default label, the runner-up, the margin between them (probability), and the prior per arm.

    Raises:
        TruingError: without responses, for an arm that was not asked, for a missing or misshapen answer.
    """
    where = f"signal {context.key}"
    if context.responses is None:
        raise TruingError(
            f"{where}: no responses to read",
            "answers of the untuned model to null inputs",
            "give the signal the responses of a null-input probe",
        )
    labels = _labels(context, context.responses, where)
    arms = _arms(cfg, context.responses, where)
    table = _arm_priors(context.responses.answers, arms, len(labels), where)
    prior = table.mean(axis=0)
    facts = _facts(labels, arms, table, prior)
    return Evidence(_frames(context, labels, prior, facts["default_label"]), lambda: facts)


def _labels(context: SignalContext, responses: ResponsesTable, where: str) -> list[str]:
    labels = list(responses.meta["labels"])
    if context.task is not None and labels != context.task.names:
        raise TruingError(
            f"{where}: the responses are about the labels {some(labels)}",
            f"the corpus' labels, in its order: {some(context.task.names)}",
            "ask the probe about this corpus",
        )
    return labels


def _arms(cfg: NullPriorParams, responses: ResponsesTable, where: str) -> list[str]:
    asked = set(responses.answers["arm"])
    arms = [arm for arm in NULL_ARMS if arm in asked] if cfg.arms is None else list(dict.fromkeys(cfg.arms))
    absent = [arm for arm in arms if arm not in asked]
    if absent or not arms:
        raise TruingError(
            f"{where}: the responses hold no answers in the arms {some(absent or NULL_ARMS, 10)}",
            f"some of the arms that were asked: {some(sorted(asked), 20)}",
            f"edit `arms` of {where}, or ask the probe about more arms",
        )
    return arms


def _arm_priors(answers: pd.DataFrame, arms: Sequence[str], labels: int, where: str) -> Floats:
    """Mean label probabilities of each arm, [arms, labels]."""
    chosen = answers[answers["arm"].isin(arms)]
    probabilities = pd.DataFrame(_probabilities(chosen, labels, where))
    probabilities["arm"], probabilities["item_id"] = chosen["arm"].to_numpy(), chosen["item_id"].to_numpy()
    by_item = probabilities.groupby(["arm", "item_id"], sort=True).mean()
    by_arm = by_item.groupby(level="arm", sort=True).mean()
    return by_arm.loc[list(arms)].to_numpy(dtype=np.float64)


def _probabilities(answers: pd.DataFrame, labels: int, where: str) -> Floats:
    bad = [item for item, value in zip(answers["item_id"], answers["label_logprobs"], strict=True) if not _readable(value, labels)]
    if bad:
        raise TruingError(
            f"{where}: items {some(bad)} lack label log-probabilities",
            f"{labels} finite numbers for every answer",
            "run a probe that scores labels (`null_inputs`)",
        )
    logs = np.array([list(value) for value in answers["label_logprobs"]], dtype=np.float64)
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    result: Floats = shares / shares.sum(axis=1, keepdims=True)
    return result


def _readable(value: Any, labels: int) -> bool:
    return hasattr(value, "__len__") and len(value) == labels and bool(np.isfinite(np.asarray(value, dtype=np.float64)).all())


def _facts(labels: Sequence[str], arms: Sequence[str], table: Floats, prior: Floats) -> dict[str, Any]:
    first, second = np.argsort(-prior, kind="stable")[:2].tolist()
    return {
        "prior": dict(zip(labels, prior.tolist(), strict=True)),
        "default_label": labels[first],
        "runner_up": labels[second],
        "margin": float(prior[first] - prior[second]),
        "arms": {arm: dict(zip(labels, row, strict=True)) for arm, row in zip(arms, table.tolist(), strict=True)},
    }


def _frames(context: SignalContext, labels: Sequence[str], prior: Floats, default: str) -> Iterator[pd.DataFrame]:
    for rows in chunks(row["doc_id"] for row in context.rows()):
        columns = {f"null_prior.{label}": np.full(len(rows), share) for label, share in zip(labels, prior, strict=True)}
        yield pd.DataFrame({"doc_id": rows, **columns, "default_label": [default] * len(rows)})
