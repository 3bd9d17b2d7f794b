"""Which of a source's rows a corpus holds: a slice, a part of a seeded cut, a stratified sample. Order is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from truing.core.digests import digest
from truing.core.errors import Exit, TruingError
from truing.core.files import Row
from truing.core.seeds import stream
from truing.corpora import CommonParams, CorpusContext, SplitParams
from truing.corpora.content import normalised, question


def select_rows(rows: Sequence[Row], cfg: CommonParams, context: CorpusContext) -> list[Row]:
    """The rows that `rows`, `split` and `max_rows` leave, in source order.

    Raises:
        TruingError: when nothing is left.
    """
    kept = list(rows if cfg.rows is None else rows[cfg.rows[0] : cfg.rows[1]])
    if cfg.split is not None:
        split = cfg.split
        kept = [row for row in kept if part_of(question(row), split, context.root_seed) == split.name]
    if cfg.max_rows is not None and len(kept) > cfg.max_rows:
        kept = _sample(kept, cfg.max_rows, context)
    if not kept:
        raise TruingError(
            f"corpora.{context.key}: no row is left of the source's {len(rows)}",
            "at least one row",
            f"widen corpora.{context.key}: rows, split",
            Exit.REFUSED,
        )
    return kept


def part_of(text: str, split: SplitParams, root_seed: int) -> str:
    """The part that a text belongs to; it depends on the normalised text, the shares and the root seed alone.

    Equal texts fall in one part whatever their source, position or label, so that parts share no text.
    """
    place = int(digest([root_seed, "split", normalised(text)])[:16], 16) / 2.0**64
    names = sorted(split.of)
    edges = np.cumsum([split.of[name] for name in names])
    return names[min(int(np.searchsorted(edges, place, side="right")), len(names) - 1)]


def _sample(rows: Sequence[Row], size: int, context: CorpusContext) -> list[Row]:
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(_stratum(row), []).append(index)
    labels = sorted(groups)
    sizes = allocate([len(groups[label]) for label in labels], size)
    chosen: list[int] = []
    for label, count in zip(labels, sizes, strict=True):
        rng = stream(context.root_seed, "corpus", context.key, "max_rows", label)
        chosen.extend(rng.choice(groups[label], size=count, replace=False).tolist())
    return [rows[index] for index in sorted(chosen)]


def _stratum(row: Row) -> str:
    """The label of a row; of a row without one, such as a preference pair, what it is about."""
    return str(row["label"] or (row["metadata"] or {}).get("category") or "")


def allocate(counts: Sequence[int], size: int) -> list[int]:
    """Split `size` over groups in proportion to `counts` by largest remainders (Hamilton's method); the first wins a tie."""
    exact = np.asarray(counts, dtype=np.float64) * size / sum(counts)
    given = np.floor(exact).astype(int)
    order = np.argsort(-(exact - given), kind="stable")
    given[order[: size - int(given.sum())]] += 1
    return [int(value) for value in given]
