"""Loading: bases, adapters, chains of adapters, and files that do not belong together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny import tiny_base

from truing.core.errors import Exit, TruingError
from truing.models import loading
from truing.models.loading import adapter_digest, attach_adapter, load_model, load_tokenizer, read_base, swap_adapter

IDS = [[3, 9, 11, 12], [4, 8]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("models") / "base")


def save_adapter(base: Path, target: Path, seed: int, rank: int = 2) -> Path:
    """Write a random adapter that changes what the base computes."""
    import torch
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        get_peft_model(load_model(base), config).save_pretrained(target, save_embedding_layers=False)
    return target


@pytest.fixture(scope="module")
def adapters(base: Path) -> list[Path]:
    return [save_adapter(base, base.parent / f"adapter{seed}", seed) for seed in (1, 2)]


def _logits(model: Any) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return np.concatenate([model(input_ids=torch.tensor([ids])).logits[0].numpy() for ids in IDS])


def test_a_base_is_loaded_in_float32_and_evaluation_mode(base: Path) -> None:
    model = load_model(base, attention="eager")
    assert {str(p.dtype) for p in model.parameters()} == {"torch.float32"}
    assert not model.training
    assert model.config._attn_implementation == "eager"
    assert read_base(base)["key"] == "tiny"
    assert load_tokenizer(base).chat_template


def test_a_folder_without_its_document_is_refused(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "half", ignore=shutil.ignore_patterns("base.json"))
    for load in (load_model, load_tokenizer, read_base):
        with pytest.raises(TruingError, match=r"base\.json"):
            load(tmp_path / "half")


def test_swapping_equals_loading_afresh_and_leaves_the_global_stream_alone(base: Path, adapters: list[Path]) -> None:
    import torch

    state = torch.random.get_rng_state()
    model = attach_adapter(load_model(base), adapters[0])
    first = _logits(model)
    swap_adapter(model, adapters[1])
    assert np.array_equal(_logits(model), _logits(load_model(base, adapter=adapters[1])))
    swap_adapter(model, adapters[0])
    assert np.array_equal(_logits(model), first)
    with model.disable_adapter():
        assert np.array_equal(_logits(model), _logits(load_model(base)))
    assert torch.equal(state, torch.random.get_rng_state())


def test_ancestors_are_merged_in_order(base: Path, adapters: list[Path], tmp_path: Path) -> None:
    child = tmp_path / "child"
    shutil.copytree(adapters[1], child)
    shutil.copytree(adapters[0], child / "ancestors" / "0")
    expected = attach_adapter(attach_adapter(load_model(base), adapters[0]).merge_and_unload(), adapters[1])
    assert np.allclose(_logits(load_model(base, adapter=child)), _logits(expected), atol=1e-6)
    assert np.abs(_logits(expected) - _logits(load_model(base, adapter=adapters[1]))).max() > 1e-3
    (child / "ancestors" / "0").rename(child / "ancestors" / "1")
    with pytest.raises(TruingError, match="numbered from 0"):
        load_model(base, adapter=child)


def test_an_adapter_of_another_shape_is_refused(base: Path, adapters: list[Path], tmp_path: Path) -> None:
    other = tiny_base(tmp_path / "other", hidden=16)
    with pytest.raises(TruingError, match="does not fit this base") as caught:
        load_model(other, adapter=adapters[0])
    assert caught.value.code == Exit.REFUSED
    deeper = tiny_base(tmp_path / "deeper", layers=3)
    with pytest.raises(TruingError, match="does not fit this base"):
        load_model(deeper, adapter=adapters[0])


def test_an_incomplete_adapter_is_refused(base: Path, adapters: list[Path], tmp_path: Path) -> None:
    shutil.copytree(adapters[0], tmp_path / "half", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(TruingError, match=r"no adapter_model\.safetensors"):
        load_model(base, adapter=tmp_path / "half")


def test_the_digest_of_an_adapter_covers_what_it_computes_with(adapters: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(adapters[0], copy)
    (copy / "lineage.json").write_text("{}")
    assert adapter_digest(copy) == adapter_digest(adapters[0]) != adapter_digest(adapters[1])
    shutil.copytree(adapters[1], copy / "ancestors" / "0")
    assert adapter_digest(copy) != adapter_digest(adapters[0])


def test_the_weights_of_an_external_base_are_resolved_and_verified(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from truing.models.sources import hub

    document = {**json.loads((base / "base.json").read_text()), "external": True}
    outside = tmp_path / "outside"
    shutil.copytree(base, outside, ignore=shutil.ignore_patterns("model.safetensors", "config.json"))
    (outside / "base.json").write_text(json.dumps(document))
    asked: list[Any] = []

    def resolve(found: Any) -> Path:
        asked.append(found)
        return base

    monkeypatch.setattr(hub, "resolve", resolve)
    assert np.array_equal(_logits(load_model(outside)), _logits(load_model(base)))
    assert asked == [document]
    assert loading.load_tokenizer(outside).chat_template
