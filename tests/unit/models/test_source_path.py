"""Bases from a folder: what is taken, what is refused, and a real pretrained model that then speaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from truing.core.digests import digest_file
from truing.core.errors import Exit, TruingError
from truing.models.base import build_base
from truing.models.sources import BuildContext

STORIES = Path(__file__).parents[3] / ".." / "shared" / "data" / "lm_stories260K" / "hf_derived"


def build(folder: str | Path, target: Path, project: Path, **values: Any) -> dict[str, Any]:
    context = BuildContext(key="mine", root_seed=1, project=project)
    return build_base("mine", "path", {"path": str(folder), **values}, target, context)


def refusal(folder: Path, target: Path) -> TruingError:
    with pytest.raises(TruingError) as caught:
        build(folder, target, target.parent)
    assert not (target / "base.json").exists()
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of a model; nothing opens the weights."""
    made = tmp_path / "model"
    made.mkdir()
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        (made / name).write_text("{}")
    (made / "chat_template.jinja").write_text("{{ messages }}")
    save_file({"w": np.ones((2, 5), dtype=np.float32)}, made / "model.safetensors")
    return made


def test_only_what_a_base_needs_is_copied(folder: Path, tmp_path: Path) -> None:
    for name in ("README.md", "modeling_x.py", "optimizer.pt", "pytorch_model.bin", "other.safetensors", "trainer_state.json"):
        (folder / name).write_text("no")
    got = build(folder, tmp_path / "base", tmp_path)
    wanted = [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert got["files"] == {name: digest_file(folder / name) for name in wanted}
    assert sorted(path.name for path in (tmp_path / "base").iterdir()) == sorted([*wanted, "base.json"])
    assert (got["external"], got["revision"], got["parameters"], got["training"]) == (False, None, 10, None)


def test_the_copy_is_independent_of_its_source(folder: Path, tmp_path: Path) -> None:
    build(folder, tmp_path / "base", tmp_path)
    assert (tmp_path / "base" / "model.safetensors").stat().st_nlink == 1
    (tmp_path / "base" / "config.json").chmod(0o444)
    (folder / "config.json").write_text('{"changed": 1}')
    assert (tmp_path / "base" / "config.json").read_text() == "{}"


def test_a_relative_path_starts_at_the_project(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    got = build("model", tmp_path / "base", tmp_path)
    assert got["params"]["path"] == "model"


def test_shards_are_copied_with_their_index(folder: Path, tmp_path: Path) -> None:
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (folder / "model.safetensors").unlink()
    for name in names:
        save_file({name: np.ones(3, dtype=np.float32)}, folder / name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {name: name for name in names}}))
    got = build(folder, tmp_path / "base", tmp_path)
    assert {*names, "model.safetensors.index.json"} <= set(got["files"])
    (folder / names[1]).unlink()
    assert names[1] in refusal(folder, tmp_path / "torn").what


@pytest.mark.parametrize("listed", ["../model.safetensors", "weights.bin", "/etc/passwd", 7])
def test_an_index_may_only_name_safetensors_of_its_own_folder(folder: Path, tmp_path: Path, listed: object) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": listed}}))
    error = refusal(folder, tmp_path / "base")
    assert str(listed) in error.what
    assert error.code == Exit.REFUSED


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path / "absent", tmp_path / "base")
    assert "no such folder" in error.what
    assert error.code == Exit.USAGE


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_only_pickled_weights_are_refused_with_the_way_to_convert(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    error = refusal(folder, tmp_path / "base")
    assert f"only pickled weights ({name})" in error.what
    assert "save_pretrained" in error.fix
    assert error.code == Exit.REFUSED


def test_a_folder_without_any_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "no model.safetensors" in refusal(folder, tmp_path / "base").what


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_the_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).write_text(json.dumps({"auto_map": {"AutoTokenizer": ["mine.Tok", None]}}))
    error = refusal(folder, tmp_path / "base")
    assert f"{name} asks for code of its own (auto_map: AutoTokenizer)" in error.what
    assert error.code == Exit.REFUSED


@pytest.mark.parametrize(
    ("missing", "what"),
    [("config.json", "no config.json"), ("tokenizer.json", "no tokenizer files"), ("chat_template.jinja", "no chat template")],
)
def test_a_missing_part_is_refused_by_name(folder: Path, tmp_path: Path, missing: str, what: str) -> None:
    (folder / missing).unlink()
    assert what in refusal(folder, tmp_path / "base").what


def test_half_a_vocabulary_is_no_tokenizer(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "vocab.json")
    assert "no tokenizer files" in refusal(folder, tmp_path / "base").what
    (folder / "merges.txt").write_text("")
    build(folder, tmp_path / "whole", tmp_path)


def test_an_adapter_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    assert "this is an adapter" in refusal(folder, tmp_path / "base").what


def test_a_configuration_that_is_no_object_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_text("[]")
    assert "config.json: holds list" in refusal(folder, tmp_path / "base").what


@pytest.mark.skipif(not STORIES.is_dir(), reason="the story model of shared/data is absent")
def test_a_pretrained_model_without_chat_template_is_refused_with_the_mend(tmp_path: Path) -> None:
    error = refusal(STORIES, tmp_path / "base")
    assert "no chat template" in error.what
    assert "plain" in error.fix
    assert error.code == Exit.REFUSED


@pytest.mark.slow
@pytest.mark.skipif(not STORIES.is_dir(), reason="the story model of shared/data is absent")
def test_a_pretrained_model_with_a_built_in_template_loads_and_tells_a_story(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    got = build(STORIES, tmp_path / "base", tmp_path, chat_template="plain")
    assert got["parameters"] == 260_032
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Who?"}], tokenize=False, add_generation_prompt=True)
    assert prompt.startswith(tokenizer.bos_token)
    assert prompt.endswith("Question: Who?\nAnswer:")
    ids = tokenizer("Once upon a time", return_tensors="pt")
    with torch.no_grad():
        said = tokenizer.decode(model.generate(**ids, max_new_tokens=40, do_sample=False)[0], skip_special_tokens=True)
    assert len(set(said.split()) & {"there", "was", "a", "little", "girl", "boy", "named", "She", "He", "to", "the"}) >= 5, said
