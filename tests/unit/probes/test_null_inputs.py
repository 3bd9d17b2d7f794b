"""The null-input probe: its items, and planted priors that its measures give back exactly."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest

from truing.contracts.schemas import check_rows, schema
from truing.contracts.task import Label, Task
from truing.core.errors import TruingError
from truing.core.files import Row
from truing.probes import Measure, ProbeContext, probe
from truing.probes.null_families import FAMILIES
from truing.probes.null_inputs import NullParams, items, score

NAMES = ["world", "sports", "business", "science"]
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def _task(names: list[str]) -> Task:
    return Task(name="t", template="{text}", labels=tuple(Label(name=name, answer=chr(65 + k)) for k, name in enumerate(names)))


def _rows(names: list[str], count: int = 24) -> list[Row]:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.permutation(WORDS)[: 3 + k % 5]) for k in range(count)]
    return [
        {"doc_id": f"d{k}", "source": "s", "text": text, "label": names[k % len(names)], "metadata": {}} for k, text in enumerate(texts)
    ]


def _context(names: list[str] = NAMES, rows: list[Row] | None = None, **changes: Any) -> ProbeContext:
    values: dict[str, Any] = {"root_seed": 7, "key": "k", "card": {}, "rows": _rows(names) if rows is None else rows, "task": _task(names)}
    return ProbeContext(**{**values, **changes})


def _answers(rows: list[Row], logs: Any) -> pd.DataFrame:
    given = [np.asarray(logs(row), dtype=float) for row in rows]
    return pd.DataFrame(
        [
            {
                "item_id": row["item_id"],
                "arm": row["arm"],
                "seed": 1,
                "sample": 0,
                "label_logprobs": log,
                "label_mass": float(np.exp(log).sum()),
            }
            for row, log in zip(rows, given, strict=True)
        ]
    )


def _leaning(row: Row) -> Any:
    return np.log([0.4, 0.3, 0.2, 0.1])


def _measures(names: list[str], logs: Any, **params: Any) -> dict[tuple[str, str], Measure]:
    cfg = NullParams(**params)
    rows = items(cfg, _context(names))
    found = score(cfg, pd.DataFrame(rows), _answers(rows, logs), names)
    table = {(measure.arm, measure.metric): measure for measure in found}
    assert len(table) == len(found)
    return table


def test_items_fit_their_schema_and_are_the_same_for_every_node() -> None:
    cfg = NullParams()
    rows = list(check_rows("item", items(cfg, _context()), "items"))
    assert rows == items(cfg, _context(key="another"))
    assert rows != items(cfg, _context(root_seed=8))
    assert list(dict.fromkeys(row["arm"] for row in rows)) == [*FAMILIES, "shuffled", *(f"masked_{s:03d}" for s in cfg.masking)]
    pairs = Counter((row["arm"], row["text"], row["reference"]) for row in rows)
    assert max(pairs.values()) == 1


def test_real_texts_keep_their_reference_until_nothing_is_left_of_them() -> None:
    rows = items(NullParams(), _context())
    source = {row["doc_id"]: row for row in _rows(NAMES)}
    whole = [row for row in rows if row["arm"] == "masked_000"]
    assert {(row["text"], row["reference"]) for row in whole} == {(row["text"], row["label"]) for row in source.values()}
    assert {row["reference"] for row in rows if row["arm"] == "masked_100"} == {None}
    assert {row["reference"] for row in rows if row["arm"] in FAMILIES} == {None}


def test_a_sample_of_texts_is_drawn_by_seed() -> None:
    rows = [row for row in items(NullParams(texts=5), _context()) if row["arm"] == "masked_000"]
    assert len(rows) == 5
    assert rows == [row for row in items(NullParams(texts=5), _context()) if row["arm"] == "masked_000"]


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c"], NAMES, list("abcdefghij")], ids=lambda names: f"K={len(names)}")
def test_a_planted_prior_is_reported_exactly(names: list[str]) -> None:
    rng = np.random.default_rng(len(names))
    letter, label = rng.normal(size=len(names)), rng.normal(size=len(names))
    prior = np.exp(letter + label) / np.exp(letter + label).sum()
    # The labels hold four fifths of the whole distribution.
    found = _measures(names, lambda row: np.log(0.8 * prior))
    for arm in ("null", "empty", "random_words", "masked_000"):
        assert [found[arm, f"p_mean.{name}"].value for name in names] == pytest.approx(prior.tolist())
        assert found[arm, "dcb_mean_max"].value == pytest.approx(prior.max())
        assert found[arm, "dcb_max_mean"].value == pytest.approx(prior.max())
        assert found[arm, "dcb_mean_max_norm"].value == pytest.approx((prior.max() - 1 / len(names)) / (1 - 1 / len(names)))
        assert found[arm, "entropy_norm"].value == pytest.approx(-(prior * np.log(prior)).sum() / np.log(len(names)))
        assert found[arm, "label_mass"].value == pytest.approx(0.8)
        assert found[arm, f"argmax_share.{names[int(prior.argmax())]}"].value == 1.0
        assert found[arm, "tv_uniform"].value == pytest.approx(abs(prior - 1 / len(names)).sum() / 2)
        assert 0 <= found[arm, "nrs"].value <= 1  # type: ignore[operator]


@pytest.mark.parametrize("names", [["a", "b"], NAMES, list("abcdefghij")], ids=lambda names: f"K={len(names)}")
def test_an_even_answer_scores_alike_for_any_number_of_classes(names: list[str]) -> None:
    found = _measures(names, lambda row: np.log(np.full(len(names), 1 / len(names))))
    values = {metric: found["null", metric].value for metric in ("dcb_mean_max_norm", "entropy_norm", "abstention", "nrs")}
    assert values == pytest.approx({"dcb_mean_max_norm": 0, "entropy_norm": 1, "abstention": 1, "nrs": 1}, abs=1e-12)


def test_sure_answers_that_differ_have_a_high_mean_of_max_and_a_low_max_of_mean() -> None:
    def sure(row: Row) -> np.ndarray:
        return np.log(np.eye(4)[sum(map(ord, row["item_id"])) % 4] * 0.999 + 0.00025)

    found = _measures(NAMES, sure)
    assert found["null", "dcb_mean_max"].value == pytest.approx(0.99925)
    assert found["stopwords", "dcb_max_mean"].value < 0.5  # type: ignore[operator]


def test_families_weigh_the_same_and_shuffled_texts_do_not_enter() -> None:
    def lean(row: Row) -> np.ndarray:
        share = {"empty": 0.9, "stopwords": 0.6, "shuffled": 0.99, "masked_100": 0.99}.get(row["arm"], 0.3)
        return np.log([share, *[(1 - share) / 3] * 3])

    found = _measures(NAMES, lean)
    assert found["null", "dcb_mean_max"].value == pytest.approx((0.9 + 0.6 + 5 * 0.3) / 7)
    assert found["shuffled", "dcb_mean_max"].value == pytest.approx(0.99)


def test_accuracy_recall_and_the_label_audit_on_real_texts() -> None:
    def oracle(row: Row) -> np.ndarray:
        # A model that is right but for one class, which it takes for its neighbour.
        k = NAMES.index(row["reference"]) if row["reference"] else 0
        return np.log(np.eye(4)[{3: 1}.get(k, k)] * 0.96 + 0.01)

    found = _measures(NAMES, oracle)
    assert found["masked_000", "accuracy"].value == 0.75
    assert found["masked_000", "accuracy"].n == 24
    assert found["masked_000", "accuracy"].ci_method == "wilson"
    assert found["masked_000", "recall.science"].value == 0.0
    assert found["masked_000", "recall.sports"].value == 1.0
    assert found["masked_000", "recall.sports"].n == 6
    assert found["masked_060", "accuracy"].value == pytest.approx(0.75, abs=0.05)
    assert ("masked_100", "accuracy") not in found
    swapped = _measures(NAMES, lambda row: np.log(np.eye(4)[[1, 0, 2, 3][NAMES.index(row["reference"] or "world")]] * 0.96 + 0.01))
    assert swapped["masked_000", "accuracy"].value == 0.5
    assert swapped["masked_000", "accuracy_best_permutation"].value == 1.0


def test_missing_is_never_zero() -> None:
    cfg = NullParams()
    rows = items(cfg, _context(NAMES, _rows(NAMES[:3])))
    answers = _answers([row for row in rows if row["arm"] != "filler" and row["item_id"] != "masked_000/d0"], _leaning)
    found = {(m.arm, m.metric): m for m in score(cfg, pd.DataFrame(rows), answers, NAMES)}
    absent = found["masked_000", "recall.science"]
    assert (absent.value, absent.n, absent.ci_lo) == (None, 0, None)
    assert (found["masked_000", "accuracy"].n, found["masked_000", "accuracy"].n_missing) == (23, 1)
    assert (found["filler", "dcb_mean_max"].value, found["filler", "dcb_mean_max"].n) == (None, 0)
    # A family without answers leaves the pool without a value, not with that of the others.
    assert found["null", "dcb_mean_max"].value is None
    assert found["null", "nrs"].value is None


def test_measures_fit_the_result_schema_and_are_the_same_for_every_model() -> None:
    rule = schema("result")["properties"]
    cfg = NullParams()
    rows = items(cfg, _context())
    full = score(cfg, pd.DataFrame(rows), _answers(rows, _leaning), NAMES)
    empty = score(cfg, pd.DataFrame(rows), _answers(rows[:1], _leaning), NAMES)
    assert [(m.arm, m.metric, m.unit) for m in full] == [(m.arm, m.metric, m.unit) for m in empty]
    assert set(vars(full[0])) - {"missing"} <= set(rule)
    assert all(m.value is None or np.isfinite(m.value) for m in [*full, *empty])
    ends = ("ci_lo", "ci_method", "ci_level", "ci_unit", "ci_distribution")
    assert all(len({getattr(m, end) is None for end in ends}) == 1 for m in full)
    assert {m.ci_distribution for m in full} == {None, "t", "normal"}


def test_unknown_words_are_visible() -> None:
    cfg = NullParams()
    rows = items(cfg, _context())
    for row in rows:
        row["metadata"] = {"text_tokens": 4, "unknown_tokens": 4 if row["arm"] == "placeholder" else 0, "cut": False}
    found = {(m.arm, m.metric): m for m in score(cfg, pd.DataFrame(rows), _answers(rows, _leaning), NAMES)}
    assert found["placeholder", "unknown_share"].value == 1.0
    assert found["null", "unknown_share"].value == pytest.approx(1 / 7)


def test_answers_that_do_not_belong_are_refused() -> None:
    cfg = NullParams()
    rows = items(cfg, _context())
    answers = _answers(rows, _leaning)
    frame = pd.DataFrame(rows)
    with pytest.raises(TruingError, match="repeated"):
        score(cfg, frame, pd.concat([answers, answers]), NAMES)
    with pytest.raises(TruingError, match="not 3 finite"):
        score(cfg, frame, answers, NAMES[:3])
    with pytest.raises(TruingError, match="unknown items"):
        score(cfg, frame[frame["arm"] != "empty"], answers, NAMES)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (_context(task=None), "no task"),
        (_context(rows=[{"doc_id": "m", "source": "s", "messages": [], "label": None, "metadata": {}}]), "documents m are not texts"),
        (_context(rows=[{"doc_id": "m", "source": "s", "text": "one two", "label": "weather", "metadata": {}}]), "m='weather'"),
        (_context(rows=[{"doc_id": "m", "source": "s", "text": " ", "label": "world", "metadata": {}}]), "no words"),
    ],
    ids=["task", "kind", "label", "words"],
)
def test_a_corpus_that_does_not_fit_is_refused(context: ProbeContext, message: str) -> None:
    with pytest.raises(TruingError, match=message):
        items(NullParams(), context)


def test_the_probe_is_found_by_its_name() -> None:
    assert "null_inputs" in probe.names()
    found = probe.get("null_inputs")
    assert found.target.engine == "choices"
    with pytest.raises(TruingError, match="unknown_key"):
        found.configure({"unknown_key": 1}, "params.yaml: probes.null_inputs")
