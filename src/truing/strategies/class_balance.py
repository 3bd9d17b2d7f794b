"""Every class counts the same, however many documents it has."""

from __future__ import annotations

import pandas as pd

from truing.core.errors import TruingError, some
from truing.core.registry import Params
from truing.strategies import StrategyContext, strategy


@strategy("class_balance")
def class_balance(cfg: Params, context: StrategyContext) -> pd.DataFrame:
    """N / (K n_c) for the N documents in K classes of sizes n_c (King & Zeng 2001, Political Analysis 9(2)).

    Raises:
        TruingError: when a document has no label.
    """
    docs = context.docs
    bare = docs["doc_id"][docs["label"].isna()]
    if len(bare):
        raise TruingError(
            f"documents {some(bare)} have no label", "a gold label for every document", "take a labelled corpus, or another strategy"
        )
    sizes = docs["label"].value_counts()
    weights = docs["label"].map(len(docs) / (len(sizes) * sizes)).astype("float64")
    why = [
        f"class {label!r} has {sizes[label]} of {len(docs)} documents: weight {w:.2f}"
        for label, w in zip(docs["label"], weights, strict=True)
    ]
    return pd.DataFrame({"doc_id": docs["doc_id"].to_numpy(), "weight": weights.to_numpy(), "why": why})
