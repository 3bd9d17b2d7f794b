"""Shared by the kinds that claim a direction."""

from __future__ import annotations

from collections.abc import Sequence

from truing.stats.claims import Finding
from truing.stats.claims.wording import conditional, counted, guarded, listed, standard
from truing.stats.family import CORRECTIONS, Tested


def one_sided(tests: Sequence[Tested], sign: int, metric: str) -> Finding:
    """Whether every difference has the claimed sign by its two-sided test.

    Args:
        tests: Oriented as `a - b`.
        sign: +1 for `a` above `b`, -1 for below.
        metric: What the differences are of.
    """
    upstream = min(test.n_upstream for test in tests)
    side = "above" if sign > 0 else "below"
    shown = [_shown(test, sign) for test in tests]
    if upstream < 2:
        points = sum(test.diff is not None and test.diff * sign > 0 for test in tests)
        text = f"{counted(points, len(tests), metric)} {side} zero in the mean, {conditional(tests)}: {listed(tests)}."
        return Finding(None, guarded(text, upstream), tests, False, False, upstream)
    found = sum(verdict is True for verdict in shown)
    text = f"{counted(found, len(tests), metric)} {side} zero {standard(tests[0])}: {listed(tests)}."
    return Finding(_all(shown), guarded(text, upstream), tests, False, _depends(tests, sign), upstream)


def _shown(test: Tested, sign: int, correction: str | None = None) -> bool | None:
    """True or False once the test finds a difference; None while it finds none, since that is not evidence of none."""
    if test.diff is None or not test.rejects(correction):
        # Within the margin there is no difference worth the name, so the claimed one is not there.
        return False if test.equivalent else None
    return test.diff * sign > 0


def _all(shown: Sequence[bool | None]) -> bool | None:
    if False in shown:
        return False
    return None if None in shown else True


def _depends(tests: Sequence[Tested], sign: int) -> bool:
    return len({_all([_shown(test, sign, name) for test in tests]) for name in CORRECTIONS if name != "none"}) > 1
