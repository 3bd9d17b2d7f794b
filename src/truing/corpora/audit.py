"""Does another assignment of names to classes fit the text better than the declared one?

A text that speaks of a class ("coach", "shares") tends to belong to it. Mentions of each label's words are counted per
gold class and compared with what independence predicts; the assignment of label names to classes with the highest
summed log-lift is found by the Hungarian method (Kuhn 1955) and set against the declared one. Its gain is judged by
a bootstrap over documents (Efron 1979). Since the rival was chosen among all K! - 1 others, it has to pass a
Bonferroni level; the declared assignment, chosen beforehand, only has to beat its runner-up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truing.contracts.task import Task
from truing.core.errors import Exit, TruingError
from truing.core.seeds import stream

MIN_MENTIONS = 20
RESAMPLES = 200
FLAG_LEVEL = 0.01
AGREE_LEVEL = 0.05
# Pseudo-mentions on both sides of the lift: a word seen twice moves it little, one seen a hundred times freely.
_PRIOR = 1.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mentions:
    """Documents counted by gold class and by which labels they mention.

    Attributes:
        gold: Class of each distinct (class, mentions) cell, int64 `[C]`.
        mentions: Whether its documents mention each label, float64 `[C, K]`.
        counts: Documents in it, int64 `[C]`.
    """

    gold: npt.NDArray[np.int64]
    mentions: Floats
    counts: npt.NDArray[np.int64]

    @property
    def documents(self) -> int:
        """Documents that mention any label."""
        return int(self.counts[self.mentions.any(axis=1)].sum())


def count_mentions(texts: Sequence[str], labels: Sequence[str], words: Mapping[str, Sequence[str]]) -> Mentions:
    """Count whole-word, case-insensitive mentions of each label's words.

    Args:
        texts: The documents.
        labels: Gold label name of each.
        words: Words and phrases of each label, by its name; the names' order is the order of the K classes.
    """
    names = list(words)
    patterns = [re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words[name]))})(?!\w)", re.IGNORECASE) for name in names]
    place = {name: index for index, name in enumerate(names)}
    table = [[place[label], *(pattern.search(text) is not None for pattern in patterns)] for text, label in zip(texts, labels, strict=True)]
    cells, counts = np.unique(np.asarray(table, dtype=np.int64), axis=0, return_counts=True)
    return Mentions(cells[:, 0], cells[:, 1:].astype(np.float64), counts.astype(np.int64))


def lifts(found: Mentions, counts: npt.NDArray[Any]) -> Floats:
    """Shrunken log-lift of mentions of label k in class g, in nats.

    `log((n_gk + 1) / (n_g n_k / n + 1))`: zero where mentions are as frequent as independence of class and mention predicts.

    Args:
        found: The cells.
        counts: Documents per cell, `[..., C]`; leading axes are resamples.

    Returns:
        float64 `[..., K, K]`.
    """
    size = found.mentions.shape[1]
    member = (found.gold[:, None] == np.arange(size)).astype(np.float64)
    joint = np.einsum("...c,cg,ck->...gk", counts, member, found.mentions, optimize=True)
    classes, labels = counts @ member, counts @ found.mentions
    expected = classes[..., :, None] * labels[..., None, :] / counts.sum(axis=-1)[..., None, None]
    return np.asarray(np.log((joint + _PRIOR) / (expected + _PRIOR)))


def best_assignment(score: Floats) -> npt.NDArray[np.int64]:
    """Label of each class that maximises the summed score `[K, K]` (rows: classes)."""
    from scipy.optimize import linear_sum_assignment

    return np.asarray(linear_sum_assignment(score, maximize=True)[1], dtype=np.int64)


def runner_up(score: Floats) -> npt.NDArray[np.int64]:
    """The best assignment other than the declared one (the diagonal)."""
    rivals = []
    for index in range(len(score)):
        barred = score.copy()
        barred[index, index] = -1e6
        rivals.append(best_assignment(barred))
    return max(rivals, key=lambda rival: _total(score, rival))


def _total(score: Floats, assignment: npt.NDArray[np.int64]) -> float:
    return float(score[np.arange(len(score)), assignment].sum())


def label_audit(
    texts: Sequence[str], labels: Sequence[str], task: Task, audit_words: Mapping[str, Sequence[str]], root_seed: int, key: str
) -> dict[str, Any]:
    """Audit the declared map from classes to names.

    Args:
        texts: The documents.
        labels: Gold label name of each.
        task: Its labels' names and aliases are words of the labels.
        audit_words: Further words, by label name.
        root_seed: Root of the bootstrap's stream.
        key: Corpus key; names the stream and the error.

    Returns:
        The card's `label_audit`: status, best (name that fits each class best; the declared one where it is best), gain over the declared
        map (nats, 0 when that is best, None when undecidable) and n, the documents that mention a label.

    Raises:
        TruingError: when `audit_words` names a label that the task does not have.
    """
    stray = sorted(set(audit_words) - set(task.names))
    if stray:
        raise TruingError(f"corpora.{key}: audit_words: {', '.join(stray)}", f"names of: {', '.join(task.names)}", "correct the names")
    words = {label.name: (*label.words, *audit_words.get(label.name, ())) for label in task.labels}
    found = count_mentions(texts, labels, words)
    if int(((found.counts @ found.mentions) >= MIN_MENTIONS).sum()) < 2:
        return {"status": "undecided", "best": {}, "gain": None, "n": found.documents}
    score = lifts(found, found.counts)
    best = best_assignment(score)
    own = np.arange(len(score))
    declared_best = _total(score, own) >= _total(score, best)
    rival = runner_up(score) if declared_best else best
    gain = _total(score, rival) - _total(score, own)
    z = gain / _spread(found, rival, root_seed, key)
    status = _status(z, len(score))
    names = task.names
    chosen = own if declared_best else best
    mapping = {names[index]: names[int(chosen[index])] for index in own}
    return {"status": status, "best": mapping, "gain": round(max(gain, 0.0), 9), "n": found.documents}


def _spread(found: Mentions, rival: npt.NDArray[np.int64], root_seed: int, key: str) -> float:
    """Bootstrap standard error of the rival's gain; infinite when the resamples do not vary."""
    rng = stream(root_seed, "corpus", key, "label_audit")
    total = int(found.counts.sum())
    draws = rng.multinomial(total, found.counts / total, size=RESAMPLES).astype(np.float64)
    score = lifts(found, draws)
    own = np.arange(score.shape[-1])
    gains = score[:, own, rival].sum(axis=1) - score[:, own, own].sum(axis=1)
    spread = float(gains.std(ddof=1))
    return spread if spread > 0 else math.inf


def _status(z: float, size: int) -> str:
    from scipy.stats import norm

    rivals = math.factorial(size) - 1
    if z > norm.isf(FLAG_LEVEL / rivals):
        return "flagged"
    return "agrees" if z < norm.ppf(AGREE_LEVEL) else "undecided"


def check_audit(audit: Mapping[str, Any], where: str) -> None:
    """Refuse a corpus whose declared map was flagged.

    Raises:
        TruingError: exit code 3, with every class whose text speaks of another name.
    """
    if audit["status"] != "flagged":
        return
    moved = "; ".join(f"rows labelled {own!r} speak of {other!r}" for own, other in audit["best"].items() if own != other)
    raise TruingError(
        f"{where}: another assignment of names to classes fits the text better by {audit['gain']:.2f} nats: {moved}",
        "labels whose own words are the most frequent in their rows",
        f"correct the order of the class names in the source; if it is right, set {where}: audit: warn",
        Exit.REFUSED,
    )
