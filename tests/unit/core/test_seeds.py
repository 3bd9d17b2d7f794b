"""Streams are named: order, batching and the global generator change no draw."""

from __future__ import annotations

import numpy as np

from truing.core.seeds import derive_seed, stream, torch_stream


def test_a_stream_depends_on_every_part_of_its_name_and_on_nothing_else() -> None:
    np.random.seed(0)
    first = stream(1, "node", "order").random(4)
    np.random.seed(1)
    assert np.array_equal(first, stream(1, "node", "order").random(4))
    others = [stream(2, "node", "order"), stream(1, "other", "order"), stream(1, "node", "init"), stream(1, "node", "order", 0)]
    assert all(not np.array_equal(first, other.random(4)) for other in others)


def test_seeds_fit_numpy_and_torch_and_never_change() -> None:
    seed = derive_seed(20251120, "train", "sft", 42)
    assert 0 <= seed < 2**63
    assert torch_stream(20251120, "train", "sft", 42).initial_seed() == seed
    assert derive_seed(7, "a", "b") == 5773517347442590640
