"""The measures of the null-input probe.

On every arm: `dcb_mean_max` (mean over items of the greatest class probability), `dcb_max_mean` (greatest of the mean class
probabilities), both also as `_norm` ((x - 1/K) / (1 - 1/K)); `entropy_nats` and `entropy_norm` (over ln K); `abstention`; `nrs` and
`nrs_legacy` (truing.probes.metrics); `tv_uniform` (total variation between mean and even distribution, Reif & Schwartz 2024, arXiv
2405.02743); `p_mean.<label>`; `argmax_share.<label>`; `label_mass`; `unknown_share` (of the text's tokens).
On real texts, also shuffled or masked: `accuracy`. On whole texts: `macro_f1`, `mcc`, `recall.<label>`, `brier`, `ece`,
`accuracy_best_permutation`. The arm `null` is the families with equal weight each.

Probabilities are label log-probabilities renormalised over the labels; `label_mass` says what that leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from truing.core.errors import Exit, TruingError, some
from truing.probes import Measure
from truing.probes import metrics as m
from truing.probes.metrics import Floats, Interval, Ints
from truing.probes.null_families import FAMILIES

if TYPE_CHECKING:
    import pandas as pd

POOL = "null"
WHOLE = "masked_000"
EMPTIED = "masked_100"
# The one family that is all there is of its kind: no other empty input could have been drawn.
_COMPLETE = ("empty",)
_LEGACY_THRESHOLD = 0.3
_UNITS = {
    "entropy_nats": "nats",
    "entropy_norm": "share",
    "dcb_mean_max_norm": "share",
    "dcb_max_mean_norm": "share",
    "unknown_share": "share",
    "nrs": "score",
    "nrs_legacy": "score",
}


@dataclass(frozen=True)
class Arm:
    """The answers of one model to one arm.

    Attributes:
        name: Name of the arm.
        p: Label probabilities [n, K].
        mass: Probability of any label [n].
        gold: Index of the gold label [n]; -1 without one.
        unknown: Share of the text's tokens that the tokenizer does not know [n]; NaN where that was not counted.
        missing: Items without a usable answer.
    """

    name: str
    p: Floats
    mass: Floats
    gold: Ints
    unknown: Floats
    missing: int

    @property
    def n(self) -> int:
        """Items with an answer."""
        return len(self.p)


def measures(
    items: pd.DataFrame, answers: pd.DataFrame, labels: list[str], *, abstention: float, ece_bins: int, ci_level: float
) -> list[Measure]:
    """All measures of one model.

    Args:
        items: schemas/item.schema.json.
        answers: schemas/answer.schema.json, of one model.
        labels: Label names, in the order of the log-probabilities.
        abstention: Threshold, as a multiple of 1/K.
        ece_bins: Bins of the calibration error.
        ci_level: Coverage of the intervals.

    Raises:
        TruingError: for answers to unknown items, twice to one item, or of another number of labels.
    """
    arms = _arms(items, answers, labels)
    found = [measure for arm in arms for measure in _prior(arm, labels, abstention, ci_level)]
    found += [measure for arm in arms if _is_text(arm.name) for measure in _accuracy(arm, ci_level)]
    found += [measure for arm in arms if arm.name == WHOLE for measure in _quality(arm, labels, ece_bins, ci_level)]
    by_name = {arm.name: arm for arm in arms}
    return [*found, *_pooled([by_name.get(family) or _unasked(family, labels) for family in FAMILIES], labels, abstention, ci_level)]


def _is_text(name: str) -> bool:
    return name == "shuffled" or (name.startswith("masked_") and name != EMPTIED)


def _arms(items: pd.DataFrame, answers: pd.DataFrame, labels: list[str]) -> list[Arm]:
    given = {row["item_id"]: row for row in answers.to_dict("records")}
    unknown = sorted(set(given) - set(items["item_id"]))
    if unknown or len(given) < len(answers):
        raise TruingError(
            f"answers to unknown items ({some(unknown)}), or {len(answers) - len(given)} repeated ones",
            "one answer to each item",
            "run the respond stage again",
            Exit.REFUSED,
        )
    rows: dict[str, list[Mapping[Any, Any]]] = {}
    for item in items.to_dict("records"):
        rows.setdefault(item["arm"], []).append(item)
    return [_arm(name, members, given, labels) for name, members in rows.items()]


def _arm(name: str, items: Sequence[Mapping[Any, Any]], given: Mapping[str, Mapping[Any, Any]], labels: list[str]) -> Arm:
    usable = [item for item in items if item["item_id"] in given and given[item["item_id"]]["label_logprobs"] is not None]
    logs = [np.asarray(given[item["item_id"]]["label_logprobs"], dtype=np.float64) for item in usable]
    fits = [row.shape == (len(labels),) and bool(np.isfinite(row).all()) for row in logs]
    misshapen = [item["item_id"] for item, fit in zip(usable, fits, strict=True) if not fit]
    if misshapen:
        raise TruingError(
            f"answers to {some(misshapen)} are not {len(labels)} finite log-probabilities",
            f"one for each of: {', '.join(labels)}",
            "run the respond stage again",
            Exit.REFUSED,
        )
    return Arm(
        name,
        m.renormalised(np.array(logs)) if logs else np.zeros((0, len(labels))),
        np.array([given[item["item_id"]]["label_mass"] for item in usable], dtype=np.float64),
        np.array([_gold(item["reference"], labels) for item in usable], dtype=np.int64),
        np.array([_unknown_share(item["metadata"]) for item in usable], dtype=np.float64),
        len(items) - len(usable),
    )


def _unasked(name: str, labels: list[str]) -> Arm:
    nothing = np.zeros(0)
    return Arm(name, np.zeros((0, len(labels))), nothing, nothing.astype(np.int64), nothing, 0)


def _gold(reference: Any, labels: list[str]) -> int:
    return labels.index(reference) if isinstance(reference, str) else -1


def _unknown_share(metadata: Mapping[str, Any]) -> float:
    if "text_tokens" not in metadata:
        return math.nan
    # A text without tokens has none that are unknown.
    return metadata["unknown_tokens"] / metadata["text_tokens"] if metadata["text_tokens"] else 0.0


def _columns(arm: Arm, labels: list[str], abstention: float) -> dict[str, Floats]:
    """By metric, the values of single items that it is the mean of."""
    p, classes = arm.p, len(labels)
    top = p.max(axis=1)
    entropy = m.entropies(p)
    answers = p.argmax(axis=1)
    known = arm.unknown if not np.isnan(arm.unknown).any() else np.zeros(0)
    return {
        "dcb_mean_max": top,
        "dcb_mean_max_norm": m.above_chance(top, classes),
        "entropy_nats": entropy,
        "entropy_norm": entropy / math.log(classes),
        "abstention": (top < abstention / classes).astype(np.float64),
        "label_mass": arm.mass,
        "unknown_share": known,
        **{f"p_mean.{label}": p[:, k] for k, label in enumerate(labels)},
        **{f"argmax_share.{label}": (answers == k).astype(np.float64) for k, label in enumerate(labels)},
    }


def _is_rate(metric: str) -> bool:
    return metric == "abstention" or metric.startswith("argmax_share.")


def _unit(metric: str) -> str:
    return "rate" if _is_rate(metric) else _UNITS.get(metric, "probability")


def _measure(arm: str, metric: str, unit: str, interval: Interval, n: int, missing: int, level: float) -> Measure:
    has = interval.method is not None
    return Measure(
        arm,
        metric,
        interval.value,
        unit,
        n,
        missing,
        se=interval.se,
        ci_lo=interval.lo,
        ci_hi=interval.hi,
        ci_level=level if has else None,
        ci_method=interval.method,
        ci_unit="item" if has else None,
        ci_distribution=interval.distribution,
        ci_df=interval.df,
    )


def _prior(arm: Arm, labels: list[str], abstention: float, level: float) -> Iterator[Measure]:
    means: dict[str, float | None] = {}
    for metric, values in _columns(arm, labels, abstention).items():
        interval = m.wilson(int(values.sum()), len(values), level) if _is_rate(metric) else m.mean_interval(values, level)
        means[metric] = interval.value
        yield _measure(arm.name, metric, _unit(metric), interval, len(values), arm.missing + arm.n - len(values), level)
    yield from _derived(arm.name, means, _legacy_abstention(arm), labels, arm.n, arm.missing)


def _legacy_abstention(arm: Arm) -> float | None:
    return float((arm.p.max(axis=1) < _LEGACY_THRESHOLD).mean()) if arm.n else None


def _pooled(arms: Sequence[Arm], labels: list[str], abstention: float, level: float) -> Iterator[Measure]:
    columns = [_columns(arm, labels, abstention) for arm in arms]
    complete = [arm.name in _COMPLETE for arm in arms]
    n, missing = sum(arm.n for arm in arms), sum(arm.missing for arm in arms)
    means: dict[str, float | None] = {}
    for metric in columns[0]:
        strata = [column[metric] for column in columns]
        interval = m.stratified_interval(strata, complete, level)
        used = sum(len(values) for values in strata)
        means[metric] = interval.value
        yield _measure(POOL, metric, _unit(metric), interval, used, missing + n - used, level)
    yield from _derived(POOL, means, _mean([_legacy_abstention(arm) for arm in arms]), labels, n, missing)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _derived(
    arm: str, means: Mapping[str, float | None], legacy: float | None, labels: list[str], n: int, missing: int
) -> Iterator[Measure]:
    """Measures that are functions of means; they have no interval in closed form."""
    values: dict[str, float] = {}
    entropy, norm, abstains = means["entropy_nats"], means["entropy_norm"], means["abstention"]
    shares = [share for share in (means[f"p_mean.{label}"] for label in labels) if share is not None]
    if entropy is not None and norm is not None and abstains is not None and legacy is not None:
        top, classes = max(shares), len(labels)
        lean = m.above_chance(top, classes)
        values = {
            "dcb_max_mean": top,
            "dcb_max_mean_norm": lean,
            "tv_uniform": sum(abs(share - 1 / classes) for share in shares) / 2,
            "nrs": m.null_robustness(norm, abstains, lean),
            "nrs_legacy": m.null_robustness_legacy(entropy, legacy, top, classes),
        }
    for metric in ("dcb_max_mean", "dcb_max_mean_norm", "tv_uniform", "nrs", "nrs_legacy"):
        yield Measure(arm, metric, values.get(metric), _unit(metric), n, missing)


def _labelled(arm: Arm) -> tuple[Floats, Ints, int]:
    """Probabilities and gold labels of the items that have both, and how many have not."""
    has = arm.gold >= 0
    return arm.p[has], arm.gold[has], arm.missing + int((~has).sum())


def _accuracy(arm: Arm, level: float) -> Iterator[Measure]:
    p, gold, missing = _labelled(arm)
    right = int((p.argmax(axis=1) == gold).sum())
    yield _measure(arm.name, "accuracy", "rate", m.wilson(right, len(gold), level), len(gold), missing, level)


def _quality(arm: Arm, labels: list[str], bins: int, level: float) -> Iterator[Measure]:
    p, gold, missing = _labelled(arm)
    n = len(gold)
    table = m.confusion(gold, p.argmax(axis=1), len(labels))
    yield Measure(arm.name, "macro_f1", m.macro_f1(table), "score", n, missing)
    yield Measure(arm.name, "mcc", m.matthews(table), "score", n, missing)
    yield Measure(arm.name, "ece", m.calibration_error(p, gold, bins), "probability", n, missing)
    yield Measure(arm.name, "accuracy_best_permutation", m.best_permutation_accuracy(table), "rate", n, missing)
    yield _measure(arm.name, "brier", "score", m.mean_interval(m.brier(p, gold), level), n, missing, level)
    for k, label in enumerate(labels):
        of_class = int(table[k].sum())
        yield _measure(arm.name, f"recall.{label}", "rate", m.wilson(int(table[k, k]), of_class, level), of_class, missing, level)
