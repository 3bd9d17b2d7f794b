"""Run a signal over a corpus: frame by frame, with the columns of an earlier signal carried over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import pandas as pd

from truing.core.errors import Exit, TruingError, some
from truing.signals import SignalContext, signal

CHUNK = 65_536

T = TypeVar("T")


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Yield the items in lists of `size`; only the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def compute(plugin: str, values: Mapping[str, Any], context: SignalContext) -> tuple[Iterator[pd.DataFrame], Callable[[], dict[str, Any]]]:
    """Start the named signal on a corpus.

    Args:
        plugin: Registered name of the signal.
        values: Its parameters.
        context: The corpus and what else the signal reads.

    Returns:
        The frames (`doc_id`, the columns of `context.after`, the signal's own columns) in the order of the corpus,
        and a function that gives the facts about the corpus once the frames are consumed.

    Raises:
        TruingError: for an unknown signal or parameter; while iterating, when the documents of `context.after`
            are not those of the corpus in its order, or when both have a column of one name.
    """
    where = f"signal {context.key}"
    found = signal.get(plugin, where)
    evidence = found.target(found.configure(values, where), context)
    finished: list[bool] = []

    def frames() -> Iterator[pd.DataFrame]:
        yield from evidence.frames if context.after is None else _carried(evidence.frames, context.after(), where)
        finished.append(True)

    def facts() -> dict[str, Any]:
        if not finished:
            raise TruingError(f"{where}: facts asked for before the last frame", "every frame to be consumed", "write the frames first")
        return evidence.facts()

    return frames(), facts


class _Rows:
    """Hands out the rows of a stream of frames in pieces of any size."""

    def __init__(self, frames: Iterable[pd.DataFrame]) -> None:
        self._frames = iter(frames)
        self._rest: pd.DataFrame | None = None

    def take(self, count: int) -> pd.DataFrame | None:
        """The next `count` rows, fewer at the end of the stream, None after it."""
        pieces: list[pd.DataFrame] = []
        while count > 0 and (piece := self._piece(count)) is not None:
            pieces.append(piece)
            count -= len(piece)
        return pd.concat(pieces, ignore_index=True) if pieces else None

    def _piece(self, count: int) -> pd.DataFrame | None:
        frame = self._rest if self._rest is not None else next(self._frames, None)
        if frame is None:
            return None
        self._rest = frame.iloc[count:] if len(frame) > count else None
        return frame.iloc[:count]


def _carried(frames: Iterable[pd.DataFrame], earlier: Iterable[pd.DataFrame], where: str) -> Iterator[pd.DataFrame]:
    rows = _Rows(earlier)
    for frame in frames:
        before = rows.take(len(frame))
        yield _joined(before, frame.reset_index(drop=True), where)
    left = rows.take(1)
    if left is not None:
        raise _misaligned(where, f"the signal before it goes on with {left['doc_id'].iloc[0]!r} after the corpus' last document")


def _joined(before: pd.DataFrame | None, frame: pd.DataFrame, where: str) -> pd.DataFrame:
    if before is None or len(before) < len(frame):
        first = frame["doc_id"].iloc[0 if before is None else len(before)]
        raise _misaligned(where, f"the signal before it ends before document {first!r}")
    differ = (before["doc_id"] != frame["doc_id"]).to_numpy()
    if differ.any():
        pairs = zip(before["doc_id"][differ], frame["doc_id"][differ], strict=True)
        raise _misaligned(where, f"the signal before it has {some(f'{a!r} where the corpus has {b!r}' for a, b in pairs)}")
    own = frame.drop(columns="doc_id")
    twice = [column for column in own.columns if column in before.columns]
    if twice:
        raise TruingError(
            f"{where}: the signal before it already has the columns {some(twice)}",
            "signals in one chain to have columns of different names",
            "take one of the two signals out of the chain",
        )
    return pd.concat([before, own], axis=1)


def _misaligned(where: str, what: str) -> TruingError:
    return TruingError(f"{where}: {what}", "both signals to be of one corpus, in its order", "run `dvc repro`", Exit.REFUSED)
