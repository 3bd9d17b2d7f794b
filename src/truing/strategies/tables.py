"""What strategies read from their tables: columns in the order of the documents, and classes with their sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from truing.core.errors import Exit, TruingError, some
from truing.strategies import StrategyContext

UNLABELLED = "(unlabelled)"

Floats = NDArray[np.float64]


def aligned(table: pd.DataFrame, docs: pd.DataFrame, what: str) -> pd.DataFrame:
    """The rows of a table in the order of the documents, indexed from 0.

    Raises:
        TruingError: when the table lacks a document, has one twice, or knows one that the corpus lacks.
            Documents of the corpus are taken to be distinct.
    """
    wanted, found = docs["doc_id"].tolist(), table["doc_id"].tolist()
    if wanted == found:
        return table.reset_index(drop=True)
    place = {name: row for row, name in enumerate(found)}
    known = set(wanted)
    twice = [name for row, name in enumerate(found) if place[name] != row]
    missing = [name for name in wanted if name not in place]
    foreign = [name for name in found if name not in known]
    for ids, problem in ((twice, "has twice"), (missing, "lacks"), (foreign, "has, unlike the corpus,")):
        if ids:
            raise TruingError(
                f"{what} {problem} the documents {some(ids)}", "each document of the corpus once", "run `dvc repro`", Exit.REFUSED
            )
    return table.iloc[[place[name] for name in wanted]].reset_index(drop=True)


def evidence_columns(context: StrategyContext, columns: Sequence[str], signal: str) -> pd.DataFrame:
    """Columns of the evidence in the order of the documents.

    Raises:
        TruingError: naming the signal that yields the columns, when there is no evidence or a column is not in it;
            naming documents, when a value is missing.
    """
    known = [] if context.evidence is None else list(context.evidence.columns)
    absent = [column for column in columns if column not in known]
    if context.evidence is None or absent:
        raise TruingError(
            f"the evidence lacks the columns {some(absent or columns, 10)}",
            f"the columns of the signal {signal!r}",
            f"add {signal!r} to the evidence of this condition in params.yaml",
        )
    table = aligned(context.evidence[["doc_id", *columns]], context.docs, "the evidence")
    gaps = table["doc_id"][table.isna().any(axis=1)]
    if len(gaps):
        raise TruingError(
            f"the evidence has no value for the documents {some(gaps)}", "a value for every document", "run `dvc repro`", Exit.REFUSED
        )
    return table


def classes(docs: pd.DataFrame) -> pd.Series[str]:
    """The gold class of every document; documents without one are a class of their own."""
    return docs["label"].astype(object).where(docs["label"].notna(), UNLABELLED).astype(str)


def class_order(gold: pd.Series[str], labels: Sequence[str]) -> list[str]:
    """Every label of the task in its order, then the other classes that occur, sorted."""
    return [*labels, *sorted(set(gold) - set(labels))]


def exact_sum(values: Floats) -> float:
    """The correctly rounded sum, the same in every order of the values."""
    return math.fsum(values.tolist())
