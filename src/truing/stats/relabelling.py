"""The relabellings that a randomised experiment could have had: all of them when they are few.

A relabelling is made at the level that was randomised: one label, or one sign, per run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK_ELEMENTS = 4_000_000
# A float with 52 bits of mantissa makes ties of sums differ in the last bits; they are ties.
TIE_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Relabellings:
    """How many relabellings there are to look at, and whether those are all.

    Attributes:
        kind: "signs", or "groups".
        n_runs: Runs that carry a sign or a label.
        n_a: Runs that are labelled a; of signs, all.
        count: Relabellings that `chunks` yields.
        exact: Every relabelling once; otherwise random ones.
    """

    kind: str
    n_runs: int
    n_a: int
    count: int
    exact: bool

    @property
    def total(self) -> int:
        """How many relabellings exist."""
        return 2**self.n_runs if self.kind == "signs" else math.comb(self.n_runs, self.n_a)

    def p_value(self, as_extreme: int) -> float:
        """Share of the relabellings that are as extreme as what was seen.

        The observed labelling is one of all; with random draws it is added to both counts, so that p is
        never zero. Source: Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9(1), on (b+1)/(m+1).
        """
        return as_extreme / self.count if self.exact else (as_extreme + 1) / (self.count + 1)

    @property
    def floor(self) -> float:
        """The smallest two-sided p that these relabellings can give.

        The mirror image of the observed labelling is as extreme, when it exists: equal groups, or signs.
        """
        mirrored = self.kind == "signs" or 2 * self.n_a == self.n_runs
        return self.p_value(1 + mirrored) if self.exact else self.p_value(0)

    def describe(self) -> str:
        """The words of the method: exact, or Monte Carlo with its correction."""
        return f"exact, {self.count} relabellings" if self.exact else f"Monte Carlo, {self.count} draws, +1 corrected"

    def chunks(self, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
        """Arrays [relabellings, runs] of +-1, or of 1 for a and 0 for b, of bounded size."""
        rows = max(1, CHUNK_ELEMENTS // max(1, self.n_runs))
        for start in range(0, self.count, rows):
            size = min(rows, self.count - start)
            yield self._exact(start, size) if self.exact else self._random(rng, size)

    def _exact(self, start: int, size: int) -> NDArray[np.float64]:
        if self.kind == "signs":
            bits = (np.arange(start, start + size)[:, None] >> np.arange(self.n_runs)) & 1
            return np.where(bits == 1, -1.0, 1.0)
        labels = np.zeros((size, self.n_runs))
        chosen = itertools.islice(itertools.combinations(range(self.n_runs), self.n_a), start, start + size)
        for row, members in enumerate(chosen):
            labels[row, list(members)] = 1.0
        return labels

    def _random(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        if self.kind == "signs":
            return np.where(rng.integers(0, 2, size=(size, self.n_runs)) == 1, -1.0, 1.0)
        labels = np.zeros((size, self.n_runs))
        labels[:, : self.n_a] = 1.0
        return rng.permuted(labels, axis=1)


def sign_flips(n_runs: int, draws: int) -> Relabellings:
    """Signs of paired differences: 2^n, all of them when that is at most `draws`."""
    exact = n_runs < 63 and 2**n_runs <= draws
    return Relabellings("signs", n_runs, n_runs, 2**n_runs if exact else draws, exact)


def group_labels(n_a: int, n_b: int, draws: int) -> Relabellings:
    """Which runs are called a: n over n_a ways, all of them when that is at most `draws`."""
    ways = math.comb(n_a + n_b, n_a)
    return Relabellings("groups", n_a + n_b, n_a, ways if ways <= draws else draws, ways <= draws)
