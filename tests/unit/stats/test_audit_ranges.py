"""Ranges of effects over the box hold every table that prints the same, and no more than that."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from truing.core.seeds import stream
from truing.stats.audit import Answer, Verdict, audit

CELLS = [("one", 10, "0.627", "0.028"), ("two", 8, "0.713", "0.031"), ("three", 12, "0.671", "0.019"), ("four", 9, "0.686", "0.036")]
N = {name: n for name, n, _, _ in CELLS}
ALL = tuple(N)
TABLE = "condition,metric,n,mean,half_width\n" + "".join(f"{name},acc,{n},{mean},{width}\n" for name, n, mean, width in CELLS)
QUANTILES = {("t", name): float(stats.t.ppf(0.975, N[name] - 1)) for name in ALL} | {
    ("z", name): float(stats.norm.ppf(0.975)) for name in ALL
}


def ask(claims: list[dict[str, object]], table: str, by: str = "t") -> list[Answer]:
    body = "".join(f"- {json.dumps({'id': f'c{i}', **claim})}\n" for i, claim in enumerate(claims))
    return audit(table, f"interval: {{level: 0.95, distribution: {by}}}\nclaims:\n{body}", "t.csv", "c.yaml")


def summaries(rng: np.random.Generator, by: str, corner: bool) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation by condition of a table that prints like `TABLE`: a corner of the box, or any point."""
    found = {}
    for row in CELLS:
        name, n, *numbers = row
        share = rng.choice((-1.0, 1.0), 2) if corner else rng.uniform(-1.0, 1.0, 2)
        mean, width = (float(text) + 0.0005 * float(end) for text, end in zip(numbers, share, strict=True))
        found[name] = (mean, width * math.sqrt(int(n)) / QUANTILES[by, name])
    return found


def exact_numbers(cells: dict[str, tuple[float, float]]) -> list[float]:
    """The numbers that `RANGES` claims, from a table without rounding."""
    means, sds = ({name: cell[i] for name, cell in cells.items()} for i in (0, 1))
    weights = [N[name] - 1 for name in ALL]
    spread = max(means.values()) - min(means.values())
    pair = math.sqrt(float(np.average([sds["two"] ** 2, sds["one"] ** 2], weights=[N["two"] - 1, N["one"] - 1])))
    return [
        (means["two"] - means["one"]) / pair,
        means["two"] - means["one"],
        spread / float(np.median(list(sds.values()))),
        spread / float(np.mean(list(sds.values()))),
        spread / math.sqrt(float(np.average([sds[name] ** 2 for name in ALL], weights=weights))),
        (0.75 - means["one"]) / (sds["one"] * math.sqrt(1 + 1 / N["one"])),
    ]


RANGES: list[dict[str, object]] = [
    {"kind": "cohen_d", "metric": "acc", "a": "two", "b": "one"},
    {"kind": "difference", "metric": "acc", "a": "two", "b": "one"},
    {"kind": "range_over_sd", "metric": "acc", "sd": "median"},
    {"kind": "range_over_sd", "metric": "acc", "sd": "mean"},
    {"kind": "range_over_sd", "metric": "acc", "sd": "pooled"},
    {"kind": "prediction", "metric": "acc", "condition": "one", "observed": "0.75000000"},
]


@pytest.mark.parametrize("by", ["t", "z"])
def test_ranges_hold_every_table_that_prints_the_same(by: str) -> None:
    answers = ask([{"value": "1", **claim} for claim in RANGES], TABLE, by)
    rng = stream(3, "tables", by)
    seen = np.array([exact_numbers(summaries(rng, by, corner)) for corner in (True, False) for _ in range(1000)])
    for answer, numbers in zip(answers, seen.T, strict=True):
        assert answer.low is not None
        assert answer.high is not None
        assert answer.low - 1e-7 <= numbers.min() <= numbers.max() <= answer.high + 1e-7, answer
        assert np.ptp(numbers) > 0.9 * (answer.high - answer.low), answer


def test_the_ends_of_a_range_are_two_conditions() -> None:
    # The coarse mean can be far from the fine one either way, and never from itself.
    text = "condition,metric,n,mean,sd\na,acc,10,0.5,0.100\nb,acc,10,0.50,0.100\n"
    answer = ask([{"kind": "range_over_sd", "metric": "acc", "sd": "mean", "value": "0.5"}], text)[0]
    assert [answer.low, answer.high] == pytest.approx([0.0, 0.055 / 0.0995])


def test_only_a_significant_difference_of_the_right_sign_counts() -> None:
    # Over the box a - b goes from -0.095, which is significant, to 0.015, which is not.
    text = "condition,metric,n,mean,sd\na,acc,10,0.5,0.020\nb,acc,10,0.54,0.020\n"
    claim: dict[str, object] = {"kind": "each_greater", "metric": "acc", "conditions": ["a"], "than": "b"}
    answer, loose = ask([{**claim, "alpha": 0.05}, {**claim, "alpha": 0.2}], text)
    assert answer.verdict is Verdict.NOT_REPRODUCED
    assert answer.low is not None
    assert answer.low < 0.05
    assert loose.verdict is Verdict.UNDECIDABLE
