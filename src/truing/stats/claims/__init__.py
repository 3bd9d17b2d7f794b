"""Claims: one file per kind, which decides a declared claim from the table of tests and writes its sentence.

A sentence is never typed: its counts, signs, numbers and names come from the tests. Where these speak of one
checkpoint only, no sentence may use the words of a tested effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from truing.core.registry import Registry
from truing.stats.claims.evidence import Evidence
from truing.stats.family import Tested


@dataclass(frozen=True)
class Finding:
    """What the table says about a claim.

    Attributes:
        holds: Whether the claim holds; None when the table cannot decide.
        sentence: What may be said, made of the table's numbers.
        tests: The tests that it stands on.
        absence: Whether what was found is the absence of an effect, shown against a margin.
        depends: Whether another correction for the size of the family would change the finding.
        n_upstream: Fewest independent upstream runs among what it stands on.
        answers: Digests of the answers that it stands on, beyond those of the tests.
    """

    holds: bool | None
    sentence: str
    tests: Sequence[Tested]
    absence: bool
    depends: bool
    n_upstream: int
    answers: tuple[str, ...] = ()


ClaimKind = Callable[[Any, Evidence], Finding]
claim_kind: Registry[ClaimKind] = Registry("claim kind", "truing.stats.claims")
