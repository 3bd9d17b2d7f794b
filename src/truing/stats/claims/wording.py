"""How tests are put into words, and the words that a test of one checkpoint may not use."""

from __future__ import annotations

import re
from collections.abc import Sequence

from truing.core import numbers
from truing.core.errors import Exit, TruingError
from truing.stats.family import Tested

# Words that speak of a tested effect of a condition.
RESERVED = re.compile(
    r"\b(significant\w*|protect\w*|prevent\w*|caus\w*|reduc\w*|increase\w*|increasing|improv\w*|lower\w*|raise\w*)\b", re.IGNORECASE
)


def counted(part: int, whole: int, metric: str) -> str:
    """How many of how many, as the table has it: "3 of 4 differences of accuracy lie"."""
    return f"{part} of {whole} {'difference' if part == whole == 1 else 'differences'} of {metric} {'lies' if part == 1 else 'lie'}"


def difference(test: Tested) -> str:
    """A test in a few words: names, difference, interval, p under the declared correction."""
    if test.diff is None:
        return f"{test.a} {numbers.MINUS} {test.b} is missing"
    words = f"{test.a} {numbers.MINUS} {test.b} {numbers.estimate(test.diff, test.ci_lo, test.ci_hi, signed=True)}"
    if test.conditional:
        return words
    if test.p_value is None:
        return f"{words} (no test: {test.reason})"
    return f"{words}, adjusted {numbers.p_value(test.adjusted[test.correction])}"


def listed(tests: Sequence[Tested]) -> str:
    """Tests, one after the other."""
    return "; ".join(difference(test) for test in tests)


def standard(test: Tested) -> str:
    """What the p-values are held to."""
    names = {"bonferroni": "Bonferroni", "holm": "Holm", "bh": "Benjamini-Hochberg"}
    return f"at {numbers.level(test.alpha)} over {test.family_size} tests ({names[test.correction]}, n = {test.n} pairs of seeds)"


def conditional(tests: Sequence[Tested]) -> str:
    """What must be said of tests that stand on fewer than two upstream runs."""
    seeds = max(test.n for test in tests)
    upstream = min(test.n_upstream for test in tests)
    what = "1 seed of it says" if seeds == 1 else f"{seeds} seeds of it say"
    return f"conditional on {upstream} checkpoint{'' if upstream == 1 else 's'}: {what} nothing about another one"


def guarded(sentence: str, n_upstream: int) -> str:
    """The sentence, unless it speaks of a tested effect on fewer than two upstream runs.

    Raises:
        TruingError: it uses a reserved word.
    """
    # Names of conditions and metrics may hold such a word; prose may not.
    found = RESERVED.search(sentence)
    if n_upstream < 2 and found:
        raise TruingError(
            f"a claim that stands on {n_upstream} upstream run says {found.group()!r}: {sentence}",
            "a sentence that is conditional on the checkpoint",
            "train every phase that the condition touches more than once, or word the claim's kind differently",
            Exit.REFUSED,
        )
    return sentence
