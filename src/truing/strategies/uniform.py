"""Every document counts the same: the control that any other strategy must beat."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from truing.strategies import StrategyContext, StrategyParams, strategy


class UniformParams(StrategyParams):
    """The control has nothing to set."""

    control: ClassVar[bool] = True


@strategy("uniform", UniformParams)
def uniform(cfg: UniformParams, context: StrategyContext) -> pd.DataFrame:
    """Weight 1 for every document."""
    return pd.DataFrame({"doc_id": context.docs["doc_id"].to_numpy(), "weight": 1.0, "why": "uniform"})
