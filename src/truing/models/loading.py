"""Load what a base folder and an adapter folder hold, in evaluation mode, without running code of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truing.core.digests import digest, digest_file
from truing.core.errors import Exit, TruingError, some
from truing.core.files import read_json

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BASE_FILE = "base.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
ANCESTORS = "ancestors"
# How every model is loaded that nothing else is said of.
ATTENTION = "sdpa"
PRECISION = "float32"
DEVICE = "cpu"
_NAME = "current"
_TYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Held:
    """Where a model's weights lie ("cpu" or "cuda"), and the name of the torch type that they have."""

    device: str = DEVICE
    precision: str = PRECISION


def hold(base: Path, device: str = "auto", precision: str = "auto") -> Held:
    """Device and type of a model that is asked; "auto" is CUDA where there is any, float32 on the CPU, and elsewhere the base's own type.

    Raises:
        TruingError: for CUDA where there is none.
    """
    import torch

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise TruingError("device: cuda", "a CUDA device that torch sees", "set device to auto or cpu, or install torch with CUDA")
    where = device if device != "auto" else "cuda" if there else "cpu"
    if precision != "auto":
        return Held(where, precision)
    own = str(_config(base).dtype).removeprefix("torch.")
    return Held(where, own if where != "cpu" and own in _TYPES else PRECISION)


def context_window(base: Path) -> int | None:
    """Most tokens that a base can see, as its configuration says; None where it says nothing."""
    window = getattr(_config(base), "max_position_embeddings", None)
    return None if window is None else int(window)


def _config(base: Path) -> Any:
    from transformers import AutoConfig

    read_base(base)
    return AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False).get_text_config()


def read_base(base: Path) -> dict[str, Any]:
    """The document of a base folder; its presence means that the folder is complete.

    Raises:
        TruingError: when it is absent or not of schemas/base.schema.json.
    """
    from truing.contracts.schemas import check_document

    document: dict[str, Any] = read_json(base / BASE_FILE)
    check_document("base", document, base / BASE_FILE)
    return document


def load_tokenizer(base: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a base, with its chat template. It lies in the folder for every kind of base."""
    from transformers import AutoTokenizer

    read_base(base)
    return AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)


def load_model(
    base: Path, *, adapter: Path | None = None, attention: str = ATTENTION, quantization: Any = None, held: Held | None = None
) -> PreTrainedModel | PeftModel:
    """A causal language model in evaluation mode, with an adapter attached if one is given.

    The adapters under `adapter/ancestors/` (earlier phases) are merged into the base in order first. Weights of an external
    base come from the Hub client's cache at the pinned revision, verified against the digests of `base.json`.

    Args:
        base: Folder of a base.
        adapter: Folder of an adapter.
        attention: Name of the attention implementation; equal bytes over runs need one named.
        quantization: A transformers quantisation config; the weights that it leaves out are then in its compute type. For training
            only: models are asked as they are.
        held: Device and type; None for float32 on the CPU. With `quantization` the type is its compute type.

    Raises:
        TruingError: when weights are absent or differ from their digest, or an adapter does not fit the base.
    """
    import torch
    from transformers import AutoModelForCausalLM

    place = held or Held()
    model = AutoModelForCausalLM.from_pretrained(
        _weights_folder(base, read_base(base)),
        dtype=getattr(torch, place.precision) if quantization is None else quantization.bnb_4bit_compute_dtype,
        quantization_config=quantization,
        attn_implementation=attention,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    if place.device != DEVICE:
        model = model.to(place.device)
    if adapter is not None:
        for earlier in ancestors(adapter):
            model = attach_adapter(model, earlier).merge_and_unload()
        model = attach_adapter(model, adapter)
    return model.eval()


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Put a model into evaluation mode, without dropout, and back into the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _weights_folder(base: Path, document: Mapping[str, Any]) -> Path:
    if not document["external"]:
        _refuse_changed(base, document["files"])
        return base
    from truing.models.sources.hub import resolve

    return resolve(document)


def _refuse_changed(base: Path, files: Mapping[str, str]) -> None:
    changed = [name for name, wanted in files.items() if not (base / name).is_file() or digest_file(base / name) != wanted]
    if changed:
        raise TruingError(
            f"{base}: {some(changed)} not as base.json records",
            "every file with its recorded digest",
            "run `dvc checkout`, or `dvc repro` to build the base again",
            Exit.REFUSED,
        )


def ancestors(adapter: Path) -> list[Path]:
    """The adapters of earlier phases that an adapter folder carries, oldest first.

    Raises:
        TruingError: when their folders are not numbered 0, 1, ... without a gap.
    """
    folder = adapter / ANCESTORS
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    wanted = [str(number) for number in range(len(found))]
    if found != set(wanted):
        raise TruingError(
            f"{folder}: holds {some(sorted(found))}", "folders numbered from 0 without a gap", "run the earlier phase again (`dvc repro`)"
        )
    return [folder / name for name in wanted]


def attach_adapter(model: PreTrainedModel, adapter: Path) -> PeftModel:
    """Wrap a base model in an adapter, frozen and active. The base is changed in place.

    Raises:
        TruingError: when the adapter is incomplete or does not fit the base.
    """
    from peft import PeftModel

    _require(adapter)
    return _checked(adapter, lambda: PeftModel.from_pretrained(model, adapter, adapter_name=_NAME, is_trainable=False)).eval()


def swap_adapter(model: PeftModel, adapter: Path) -> None:
    """Put an adapter of equal configuration in the place of the attached one; the base weights are not read again.

    Raises:
        TruingError: when the adapter is incomplete or does not fit the base.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    _require(adapter)

    def load() -> PeftModel:
        # Same configuration, so the modules are there: only their weights change.
        set_peft_model_state_dict(model, load_file(adapter / WEIGHTS), adapter_name=_NAME)
        return model

    _checked(adapter, load)


def _require(adapter: Path) -> None:
    absent = [name for name in (WEIGHTS, CONFIG) if not (adapter / name).is_file()]
    if absent:
        raise TruingError(f"{adapter}: no {' and no '.join(absent)}", "an adapter folder of a train stage", "run `dvc repro`")


def _checked(adapter: Path, load: Any) -> Any:
    """Run a load that draws from no global stream, and compare what the model holds with what the file holds."""
    import torch
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    try:
        # The library initialises the adapter's modules at random before it fills them.
        with torch.random.fork_rng(devices=[]):
            model = load()
    except (RuntimeError, ValueError, KeyError) as error:
        raise _misfit(adapter, str(error).strip().splitlines()[0]) from error
    with safe_open(adapter / WEIGHTS, framework="pt") as file:
        stored = set(file.keys())
    held = set(get_peft_model_state_dict(model, adapter_name=_NAME, save_embedding_layers=False))
    if stored != held:
        raise _misfit(adapter, f"tensors in one but not the other: {some(sorted(stored ^ held))}")
    return model


def _misfit(adapter: Path, what: str) -> TruingError:
    fix = "run `dvc repro`: the base or the adapter is older than the other"
    return TruingError(f"{adapter} does not fit this base: {what}", "an adapter that was trained on this base", fix, Exit.REFUSED)


def adapter_digest(adapter: Path) -> str:
    """Digest of what an adapter computes with: weights and configuration, its ancestors' included."""
    parts = [*ancestors(adapter), adapter]
    return digest([[_file_digest(part / name) for name in (CONFIG, WEIGHTS)] for part in parts])


def _file_digest(path: Path) -> str:
    _require(path.parent)
    state = path.stat()
    return _digest_once(path.resolve(), state.st_size, state.st_mtime_ns)


@cache
def _digest_once(path: Path, size: int, mtime_ns: int) -> str:
    # Size and time are part of the key, so that a file changed under a running process is read again.
    del size, mtime_ns
    return digest_file(path)
