"""Judged items with planted labels, scores and judges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truing.stats.judged import Corrected, Judged, judged

Floats = NDArray[np.float64]
DIFFERENCE = ("a", "b")
Z = 1.959963984540054


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def table(stream: int = 0, n: int = 600, share: float = 0.3, **labels: Any) -> Judged:
    """Two arms at 50 and 30 %, whose judge misses a fifth of the positives of arm a."""
    draws = rng(stream)
    arm = np.array(["a", "b"] * (n // 2))
    truth = draws.random(n) < np.where(arm == "a", 0.5, 0.3)
    verdict = truth & ~((arm == "a") & (draws.random(n) < 0.2))
    gold = np.full(n, np.nan)
    drawn = draws.choice(n, round(share * n), replace=False)
    gold[drawn] = truth[drawn]
    return judged(verdict, gold, np.full(n, share), arm=arm.tolist(), **labels)


def scores(seed: int = 0, n: int = 400, n_gold: int = 100) -> Judged:
    """One condition on a continuous scale."""
    draws = rng(seed)
    truth = draws.normal(1.0, 1.0, n)
    gold = np.full(n, np.nan)
    drawn = draws.choice(n, n_gold, replace=False)
    gold[drawn] = truth[drawn]
    return judged(truth + draws.normal(0.4, 0.7, n), gold, np.full(n, n_gold / n))


def known(found: Corrected) -> tuple[float, float]:
    assert found.value is not None
    assert found.se is not None
    return found.value, found.se


def clustered(seed: int = 0) -> Judged:
    return table(seed, seed=np.repeat(np.arange(6), 100).tolist(), question=np.tile(np.arange(50), 12).tolist())


def unequal(seed: int, by_scale: bool) -> Judged:
    """Positives verdicts are labelled six times as often; the judge is wrong, on a scale or in 0/1, in one direction."""
    draws = rng(seed)
    n = 1500
    truth = (draws.random(n) < 0.4).astype(float)
    verdict = np.where(truth == 1, draws.random(n) < 0.7, False).astype(float)
    pi = np.where(verdict == 1, 0.6, 0.1)
    gold = np.where(draws.random(n) < pi, truth, np.nan)
    return judged(verdict + draws.normal(0, 0.2, n) if by_scale else verdict, gold, pi)
