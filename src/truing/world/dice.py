"""Fast draws from one named random stream.

Scalar calls of a numpy generator cost microseconds each, and a pretraining text needs millions; drawing uniforms in
blocks and dividing them up in Python is several times faster and as deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_BLOCK = 4096


class Dice:
    """Draws from a generator, which it consumes in blocks: give each consumer a stream of its own."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._block: list[float] = []

    def uniform(self) -> float:
        """One draw from [0, 1)."""
        if not self._block:
            self._block = self._rng.random(_BLOCK).tolist()
        return self._block.pop()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.uniform() < probability

    def below(self, bound: int) -> int:
        """An integer from 0 to `bound - 1`, all equally likely."""
        return int(self.uniform() * bound)

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, values: Sequence[T]) -> T:
        """One of the values, all equally likely."""
        return values[self.below(len(values))]

    def weighted(self, values: Sequence[T], shares: Sequence[float]) -> T:
        """One of the values, with probabilities proportional to `shares`."""
        rest = self.uniform() * sum(shares)
        for value, share in zip(values, shares, strict=True):
            rest -= share
            if rest < 0:
                return value
        return values[-1]

    def sample(self, values: Sequence[T], count: int) -> list[T]:
        """`count` different positions of `values`, in random order."""
        return self.shuffled(values)[:count]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """The values in random order (Fisher-Yates); `values` itself stays as it is."""
        deck = list(values)
        for last in range(len(deck) - 1, 0, -1):
            other = self.below(last + 1)
            deck[last], deck[other] = deck[other], deck[last]
        return deck
