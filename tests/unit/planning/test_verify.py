"""`verify` tells equal bytes, equal numbers and different results apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from truing.core.files import write_json
from truing.core.tables import write_parquet
from truing.planning.sketches import SIZE, distance, project, sketch
from truing.planning.verify import compare


def test_a_projection_keeps_distances() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200_000)
    gaps = []
    for trial in range(40):
        y = x + 0.01 * rng.normal(size=len(x))
        a, b = np.array(project(x, f"v{trial}")), np.array(project(y, f"v{trial}"))
        gaps.append(np.sum((a - b) ** 2) / np.sum((x - y) ** 2))
    # The mean of 40 ratios with relative variance 2/SIZE each.
    assert np.mean(gaps) == pytest.approx(1.0, abs=4 * np.sqrt(2 / SIZE / 40))


def _table(path: Path, shift: float, name: str = "a") -> Path:
    write_parquet(path, pd.DataFrame({"doc_id": [name, "b"], "weight": [0.5 + shift, 1.5]}))
    return path


def test_small_numeric_changes_are_near_and_other_changes_are_not_comparable(tmp_path: Path) -> None:
    base = sketch(_table(tmp_path / "x.parquet", 0.0))
    assert distance(base, sketch(_table(tmp_path / "y.parquet", 0.0))) == 0.0
    near = distance(base, sketch(_table(tmp_path / "x.parquet", 1e-6)))
    assert near is not None
    assert 0 < near < 1e-5
    assert distance(base, sketch(_table(tmp_path / "x.parquet", 0.0, name="c"))) is None


def test_a_digest_inside_a_document_does_not_hide_that_the_numbers_agree(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"loss": 0.5, "digest": "0" * 64, "steps": 3})
    first = sketch(tmp_path / "x.json")
    write_json(tmp_path / "x.json", {"loss": 0.5, "digest": "1" * 64, "steps": 3})
    assert distance(first, sketch(tmp_path / "x.json")) == 0.0
    write_json(tmp_path / "x.json", {"loss": 0.5, "digest": "1" * 64, "steps": 4})
    assert distance(first, sketch(tmp_path / "x.json")) is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_tensor_file_is_sketched_without_torch_as_with_it(tmp_path: Path, dtype: str) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {
        name: torch.randn(40, 5, generator=torch.Generator().manual_seed(seed)).to(getattr(torch, dtype)) for seed, name in enumerate("ba")
    }
    save_file(tensors, tmp_path / "x.safetensors")
    expected = project(torch.cat([tensors["a"].flatten(), tensors["b"].flatten()]).float().numpy(), ".safetensors")
    assert list(sketch(tmp_path / "x.safetensors")["numbers"].values()) == [expected]


def _lock(**digests: str) -> dict[str, object]:
    return {"stages": {name.replace("_", "@"): {"outs": [{"path": name, "md5": value}]} for name, value in digests.items()}}


def test_each_node_gets_one_verdict(tmp_path: Path) -> None:
    near, far = sketch(_table(tmp_path / "x.parquet", 1e-6)), sketch(_table(tmp_path / "x.parquet", 50.0))
    here = sketch(_table(tmp_path / "x.parquet", 0.0))
    rows = compare(
        _lock(corpus_a="1", manifest_b="1", manifest_c="1", train_new="1"),
        _lock(corpus_a="1", manifest_b="2", manifest_c="2", base_gone="1"),
        {"manifest/b": here, "manifest/c": here},
        {"manifest/b": near, "manifest/c": far},
    )
    assert {row.node: row.verdict for row in rows} == {
        "corpus/a": "identical",
        "manifest/b": "equal",
        "manifest/c": "different",
        "train/new": "missing",
        "base/gone": "missing",
    }
