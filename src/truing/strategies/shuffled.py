"""The placebo: another manifest's weights dealt out anew within each gold class.

It has the same weights, effective sample size and class mix; only the choice of documents is gone. A strategy that
does no better than its placebo gained from fewer effective documents or another class mix, not from its evidence.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from truing.core.errors import TruingError
from truing.core.registry import Params
from truing.strategies import StrategyContext, strategy
from truing.strategies.tables import aligned, class_order, classes


@strategy("shuffled")
def shuffled(cfg: Params, context: StrategyContext) -> pd.DataFrame:
    """Permute the weights of `context.source` within each gold class; documents without a label are one class.

    Raises:
        TruingError: without a source, or when it is about other documents.
    """
    if context.source is None:
        raise TruingError("a placebo has no weights of its own", "the manifest whose weights it deals out", "name a condition under `of`")
    docs = context.docs
    source = aligned(context.source[["doc_id", "weight"]], docs, "the source manifest")["weight"].to_numpy(dtype=np.float64)
    gold = classes(docs)
    ids = docs["doc_id"].to_numpy()
    weights = np.empty(len(docs))
    donors = np.empty(len(docs), dtype=object)
    for name in class_order(gold, context.labels):
        rows = np.flatnonzero((gold == name).to_numpy())
        rows = rows[np.argsort(ids[rows], kind="stable")]  # the draw must not depend on the order of the documents
        taken = rows[context.rng.permutation(len(rows))]
        weights[rows], donors[rows] = source[taken], ids[taken]
    why = [f"placebo: the weight of {donor!r}, dealt within class {name!r}" for donor, name in zip(donors, gold, strict=True)]
    return pd.DataFrame({"doc_id": ids, "weight": weights, "why": why})
