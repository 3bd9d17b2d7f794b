"""How often a question set was used to compare things: every comparison is a question, and a set answers only so many.

Source of the concern: Dwork et al. (2015), Science 349(6248): a hold-out set that decides what is tried next is
no longer held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from truing.core.files import Layout, read_jsonl, read_yaml, write_jsonl
from truing.planning.params import settings
from truing.stats.holdout import Ledger


class Question(NamedTuple):
    """One metric of two sets of answers to one question set."""

    items_digest: str
    metric: str
    answers: tuple[str, ...]


def ask(layout: Layout, asked: Sequence[Question]) -> tuple[int, int]:
    """Enter questions in metrics/questions.jsonl; one that was asked before is free.

    Returns:
        Questions that the set which was asked most has answered, and the budget of each set.

    Raises:
        TruingError: exit 4, when the budget is out; what fitted in it is recorded.
    """
    budget = settings(read_yaml(layout.params)).report.questions
    path = layout.metrics / "questions.jsonl"
    ledger = Ledger.from_rows(read_jsonl(path) if path.exists() else [], budget)
    try:
        for question in asked:
            ledger = ledger.query(question.items_digest, question.metric, question.answers, "compare")
    finally:
        write_jsonl(path, ledger.rows())
    return max(ledger.spent(question.items_digest) for question in asked), budget
