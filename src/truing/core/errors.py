"""The one error type that users meet, and the exit codes it maps to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

MAX_EXAMPLES = 5


class Exit(IntEnum):
    """Process exit codes of every command and stage."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    BUDGET = 4


class TruingError(Exception):
    """A problem that the user can mend: what was got, what was expected, what to do.

    Args:
        what: What was found, naming the file, the row or the key.
        expected: What should have been there.
        fix: The next thing to type or edit.
        code: Exit code of the process that fails on it.
    """

    def __init__(self, what: str, expected: str, fix: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(what, expected, fix, code)
        self.what = what
        self.expected = expected
        self.fix = fix
        self.code = code

    def __str__(self) -> str:
        return f"{self.what}\n  expected: {self.expected}\n  to mend:  {self.fix}"


def some(values: Iterable[object], limit: int = MAX_EXAMPLES) -> str:
    """Join at most `limit` values for an error message and count the rest."""
    items: Sequence[object] = list(values)
    shown = ", ".join(str(item) for item in items[:limit])
    rest = len(items) - limit
    return f"{shown} (and {rest} more)" if rest > 0 else shown


def unknown(kind: str, name: str, known: Iterable[str], where: str) -> TruingError:
    """The error for a name that nothing is registered under."""
    names = sorted(known)
    return TruingError(
        f"{where}: unknown {kind} {name!r}",
        f"one of: {', '.join(names) or '(none registered)'}",
        f"correct the name, or add the {kind} as one new file",
    )
