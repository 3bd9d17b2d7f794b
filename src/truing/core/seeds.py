"""Random streams derived from the run's root seed; nothing draws from a global generator.

A stream is named by what it is for (node, purpose, item, sample), so that resuming, reordering or
batching changes no draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from truing.core.digests import digest

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive_seed(root: int, *parts: object) -> int:
    """A 63-bit seed from the root seed and the names of the stream."""
    return int(digest([root, *(str(part) for part in parts)])[:16], 16) >> 1


def stream(root: int, *parts: object) -> np.random.Generator:
    """A numpy generator for the named stream."""
    import numpy as np

    return np.random.default_rng(derive_seed(root, *parts))


def torch_stream(root: int, *parts: object) -> torch.Generator:
    """A CPU torch generator for the named stream."""
    import torch

    generator = torch.Generator()
    generator.manual_seed(derive_seed(root, *parts))
    return generator
