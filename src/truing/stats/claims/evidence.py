"""What a claim may look at: the study's tests, each in either direction, and the values of single conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from truing.contracts.declaration import Family
from truing.core.errors import TruingError, some
from truing.core.registry import Params
from truing.stats.family import Tested


class Measure(Params):
    """The quantity that a claim is about.

    Attributes:
        metric: Name of the metric.
        arm: Part of the items that it is over.
    """

    metric: str
    arm: str


@dataclass(frozen=True)
class Value:
    """A metric of one condition and seed."""

    condition: str
    seed: int | None
    value: float | None
    n: int | None
    unit: str
    n_upstream: int
    answers: str | None


@dataclass(frozen=True)
class Evidence:
    """One study's tests and values.

    Attributes:
        study: Its name.
        family: What it declared.
        tests: The tests of the family.
        rows: Rows of the result table, as dictionaries.
    """

    study: str
    family: Family
    tests: Sequence[Tested]
    rows: Sequence[dict[str, Any]]

    def test(self, a: str, b: str, measure: Measure) -> Tested:
        """The test of `a - b`.

        Raises:
            TruingError: the family holds no such test; a claim may not look outside it.
        """
        mine = [test for test in self.tests if (test.metric, test.arm) == (measure.metric, measure.arm)]
        for test in mine:
            if (test.a, test.b) == (a, b):
                return test
            if (test.a, test.b) == (b, a):
                return test.flipped()
        raise TruingError(
            f"study {self.study}: a claim asks for {a} - {b} in {measure.metric} ({measure.arm})",
            f"tests of the declared family: {some([f'{test.a} - {test.b}' for test in mine], 20)}",
            "add the contrast and the outcome to the family, or correct the claim",
        )

    def values(self, condition: str, measure: Measure) -> list[Value]:
        """The metric of one condition, seed by seed.

        Raises:
            TruingError: nothing was measured.
        """
        wanted = (condition, measure.metric, measure.arm)
        found = [
            Value(condition, row["seed"], row["value"], _count(row["n"]), row["unit"], int(row["n_upstream"]), row["answers_digest"])
            for row in self.rows
            if (row["condition"], row["metric"], row["arm"]) == wanted
        ]
        if not found:
            known = sorted({row["condition"] for row in self.rows})
            raise TruingError(
                f"study {self.study}: a claim asks for {measure.metric} ({measure.arm}) of {condition}",
                f"a measured condition: {some(known, 20)}",
                "correct the claim",
            )
        return found


def _count(value: Any) -> int | None:
    return None if value is None else int(value)
