"""Judges: verdicts on answers, parsed against a closed vocabulary; unparsable is missing, never a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from truing.core.files import Row
from truing.core.registry import Registry


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one answer.

    Attributes:
        verdict: A word of the judge's closed vocabulary; None when the judge failed.
        score: A number the verdict stands for, if it stands for one.
        failure: Why there is no verdict, as a failure class of `schemas/judgement.schema.json`.
    """

    verdict: str | None
    score: float | None
    failure: str | None = None


Judge = Callable[[Any, Row, Row], Verdict]
judge: Registry[Judge] = Registry("judge", "truing.judges")
