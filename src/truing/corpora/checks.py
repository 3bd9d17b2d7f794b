"""What no corpus may have although it fits the schema: a one-class gold column, a missing label, an empty text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from truing.contracts.task import Task
from truing.core.errors import Exit, TruingError, some
from truing.core.files import Row
from truing.corpora.content import contents, normalised, question


def check_corpus(rows: Sequence[Row], task: Task | None, where: str) -> None:
    """Refuse a corpus that training or scoring on would silently mislead.

    Raises:
        TruingError: exit code 3, with a bounded number of row numbers and identifiers.
    """
    _not_empty(rows, where)
    if task is not None:
        _labelled(rows, task, where)


def _at(number: int, row: Row) -> str:
    return f"row {number} ({row['doc_id']})"


def _not_empty(rows: Sequence[Row], where: str) -> None:
    empty = [
        f"{_at(number, row)}: {place}"
        for number, row in enumerate(rows, start=1)
        for place, text in contents(row).items()
        if not text.strip()
    ]
    if empty:
        raise TruingError(
            f"{where}: empty text in {some(empty)}", "text in every row", "mend or remove these rows in the source", Exit.REFUSED
        )


def _labelled(rows: Sequence[Row], task: Task, where: str) -> None:
    missing = [_at(number, row) for number, row in enumerate(rows, start=1) if row["label"] is None]
    if missing:
        raise TruingError(
            f"{where}: no label in {some(missing)}", "a label in every row", "label or remove these rows in the source", Exit.REFUSED
        )
    known = set(task.names)
    strange = [f"{_at(number, row)}: {row['label']!r}" for number, row in enumerate(rows, start=1) if row["label"] not in known]
    if strange:
        raise TruingError(
            f"{where}: unknown label in {some(strange)}", f"one of: {some(task.names)}", "mend these rows in the source", Exit.REFUSED
        )
    seen = {row["label"] for row in rows}
    if len(seen) == 1:
        raise TruingError(
            f"{where}: all {len(rows)} rows have the label {seen.pop()!r}",
            f"rows of more than one of: {some(task.names)}",
            "is the source sorted by class? take `max_rows` (a stratified sample) instead of `rows`; otherwise its gold column is broken",
            Exit.REFUSED,
        )


def label_counts(rows: Sequence[Row], task: Task | None) -> dict[str, int]:
    """Rows per label, with a zero for a class of the task that has none; rows without a label are not counted."""
    counts = Counter(row["label"] for row in rows if row["label"] is not None)
    names = task.names if task is not None else sorted(counts)
    return {name: counts[name] for name in names}


def repetition_notes(rows: Sequence[Row]) -> list[str]:
    """Notes on texts that occur more than once, and on those that do so under different labels."""
    labels: dict[str, set[str | None]] = {}
    for row in rows:
        labels.setdefault(normalised(question(row)), set()).add(row["label"])
    repeated = len(rows) - len(labels)
    disputed = sum(len(found) > 1 for found in labels.values())
    notes = [f"{repeated} rows repeat the text of an earlier row"] if repeated else []
    return [*notes, f"{disputed} texts occur under different labels"] if disputed else notes
