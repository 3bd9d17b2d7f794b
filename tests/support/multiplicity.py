"""Adjusted p-values by another library, to compare ours with."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Literal
from unittest.mock import patch

from statsmodels.stats.multitest import multipletests

Method = Literal["bonferroni", "holm", "fdr_bh"]


def adjusted_by_statsmodels(p: Sequence[float], method: Method) -> list[float]:
    """The adjusted values of statsmodels, which for Holm collects garbage at each call: half a second in a process that holds torch."""
    with patch.object(gc, "collect", lambda: 0):
        return [float(value) for value in multipletests(p, method=method)[1]]
