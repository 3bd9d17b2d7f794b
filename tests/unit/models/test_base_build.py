"""Building a base: what base.json pins, and which folders are refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from truing.core.digests import digest_bytes, digest_file, file_digests
from truing.core.errors import Exit, TruingError
from truing.core.registry import Params
from truing.models import base as base_module
from truing.models.base import build_base, parameter_count
from truing.models.sources import BaseFacts, BuildContext, base_source
from truing.models.templates import BUILT_IN


def safetensors(shapes: dict[str, list[int]]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    data = json.dumps(header).encode()
    return struct.pack("<Q", len(data)) + data + bytes(end)


class FilesParams(Params):
    """A source that writes whatever it is told."""

    files: Mapping[str, str] = Field(default_factory=dict)
    weights: str = "model.safetensors"
    outside: Mapping[str, str] = Field(default_factory=dict)
    chat_template: str | None = None


def write_files(cfg: FilesParams, target: Path, context: BuildContext) -> BaseFacts:
    del context
    (target / "config.json").write_text("{}")
    if cfg.weights:
        (target / cfg.weights).write_bytes(safetensors({"a": [3, 4], "b": [5]}))
    for name, text in cfg.files.items():
        (target / name).write_text(text)
    return BaseFacts(external=bool(cfg.outside), files=dict(cfg.outside), training={"steps": 2})


@pytest.fixture(autouse=True)
def _source() -> Iterator[None]:
    base_source("files", FilesParams)(write_files)
    yield
    base_source._found.pop("files")


def context(project: Path, **more: Any) -> BuildContext:
    return BuildContext("b", 1, project, **more)


def build(tmp_path: Path, more: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    return build_base("b", "files", values, tmp_path / "base", context(tmp_path, **(more or {})))


TEMPLATE = {"files": {"chat_template.jinja": "{{ messages }}"}}


def test_base_json_pins_every_other_file(tmp_path: Path) -> None:
    document = build(tmp_path, **TEMPLATE)
    on_disk = file_digests(tmp_path / "base")
    assert json.loads((tmp_path / "base" / "base.json").read_text()) == document
    assert document["files"] == {name: value for name, value in on_disk.items() if name != "base.json"}
    assert document["parameters"] == 17
    assert document["chat_template_digest"] == digest_bytes(b"{{ messages }}")
    assert document["training"] == {"steps": 2}
    assert document["inputs"] == {}
    assert document["params"]["weights"] == "model.safetensors"


def test_base_json_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise TruingError("no", "yes", "mend")

    monkeypatch.setattr(base_module, "check_document", refuse)
    with pytest.raises(TruingError):
        build(tmp_path, **TEMPLATE)
    assert not (tmp_path / "base" / "base.json").exists()


def test_the_corpus_of_a_base_is_an_input(tmp_path: Path) -> None:
    document = build(tmp_path, {"card": {"digest": "a" * 64}}, **TEMPLATE)
    assert document["inputs"] == {"corpus": "a" * 64}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "extra.pt", "sub.pkl"])
def test_pickled_weights_are_refused_even_beside_safetensors(tmp_path: Path, name: str) -> None:
    with pytest.raises(TruingError, match=name) as caught:
        build(tmp_path, files={name: "x", **TEMPLATE["files"]})
    assert caught.value.code == Exit.REFUSED


def test_a_base_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match="no safetensors weights"):
        build(tmp_path, weights="", **TEMPLATE)


def test_external_weights_count_and_their_digests_are_kept(tmp_path: Path) -> None:
    document = build(tmp_path, weights="", outside={"model.safetensors": "b" * 64}, **TEMPLATE)
    assert document["external"] is True
    assert document["files"]["model.safetensors"] == "b" * 64
    assert document["parameters"] is None


def test_a_file_inside_and_outside_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match=r"config\.json both in the folder and outside"):
        build(tmp_path, outside={"config.json": "b" * 64}, **TEMPLATE)


def test_a_base_without_chat_template_is_refused_and_told_how(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match="no chat template") as caught:
        build(tmp_path)
    assert "plain" in caught.value.fix


def test_a_template_in_the_tokenizers_configuration_counts(tmp_path: Path) -> None:
    document = build(tmp_path, files={"tokenizer_config.json": json.dumps({"chat_template": "{{ x }}"})})
    assert document["chat_template_digest"] == digest_bytes(b"{{ x }}")


def test_a_built_in_template_replaces_the_models_own(tmp_path: Path) -> None:
    document = build(tmp_path, files={"tokenizer_config.json": json.dumps({"chat_template": "{{ x }}", "a": 1})}, chat_template="plain")
    assert document["chat_template_digest"] == digest_bytes(BUILT_IN["plain"].encode())
    assert json.loads((tmp_path / "base" / "tokenizer_config.json").read_text()) == {"a": 1}
    assert document["params"]["chat_template"] == "plain"


def test_a_template_file_is_read_from_the_project(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("{{ mine }}")
    document = build(tmp_path, chat_template="mine.jinja")
    assert document["chat_template_digest"] == digest_file(tmp_path / "mine.jinja")


def test_an_unknown_template_lists_the_built_in_ones(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match="plain, turns"):
        build(tmp_path, chat_template="fancy")


def test_parameters_are_counted_over_all_shards(tmp_path: Path) -> None:
    (tmp_path / "model-1.safetensors").write_bytes(safetensors({"a": [2, 3]}))
    (tmp_path / "model-2.safetensors").write_bytes(safetensors({"b": [4], "scalar": []}))
    assert parameter_count(tmp_path) == 11


@pytest.mark.parametrize("data", [b"", b"abc", struct.pack("<Q", 4) + b"oops", struct.pack("<Q", 2**60)])
def test_a_damaged_weight_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(TruingError, match="not a safetensors file"):
        parameter_count(tmp_path)


def test_the_world_source_builds_a_base_that_answers(tmp_path: Path) -> None:
    values = {"tokens": 8192, "hidden": 32, "layers": 1, "heads": 2, "ffn": 32}
    document = build_base("tiny", "world", values, tmp_path / "base", context(tmp_path))
    assert document["source"] == "world"
    assert document["training"]["steps"] == 8
    assert set(document["files"]) == {
        "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    }  # fmt: skip
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "base").glob("*.json"))
