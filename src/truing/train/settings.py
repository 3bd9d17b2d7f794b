"""A recipe's `trainer` and `lora` maps as the libraries' own configuration objects."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, Literal

from pydantic import Field, field_validator

from truing.core.errors import MAX_EXAMPLES, Exit, TruingError, some
from truing.core.registry import Params

_WHERE = "recipe"

# What a person may not set among the library's arguments, and why. A key counts as owned by its prefix too.
_OWNED = {
    "output_dir": "outputs go where the stage says",
    "seed": "it derives from the run's root seed, the phase and the seed",
    "data_seed": "it derives from the run's root seed, the phase and the seed",
    "save_": "set method.save_steps",
    "resume_": "a run resumes by itself",
    "max_length": "set method.max_length",
    "logging_": "every step is logged, for the loss trace",
    "report_to": "nothing is reported to a service",
    "run_name": "nothing is reported to a service",
    "disable_tqdm": "progress bars are off",
    "push_to_hub": "publishing is a command of its own",
    "hub_": "publishing is a command of its own",
    "eval_": "models are measured by probes",
    "do_": "a training run trains",
    "load_best_model_at_end": "models are measured by probes",
    "use_cpu": "a CUDA device is used where there is one",
    "remove_unused_columns": "the weights are a column",
    "dataset_": "rows arrive tokenised",
    "dataloader_num_workers": "rows are in memory",
    "packing": "a weight belongs to one row",
    "padding_free": "a weight belongs to one row",
    "truncation_mode": "rows arrive truncated",
    "completion_only_loss": "the loss is on answers only",
    "assistant_only_loss": "the loss is on answers only",
    "loss_type": "the loss is the weighted log-likelihood",
    "label_smoothing_factor": "the loss is the weighted log-likelihood",
    "router_aux_loss_coef": "the loss is the weighted log-likelihood",
    "use_liger_kernel": "it replaces the forward pass that the loss is computed from",
    "model_init_kwargs": "set method.attention; the base is a node of its own",
    "trust_remote_code": "bases run no code of their own",
    "chat_template_path": "the chat template is the base's",
    "eos_token": "the tokens are the base's",
    "pad_token": "the tokens are the base's",
    "include_num_input_tokens_seen": "tokens are always counted",
    "train_sampling_strategy": "the order is a seeded permutation",
    "ignore_data_skip": "a resumed run repeats no row",
    "auto_find_batch_size": "the batch size is part of the protocol",
}
_OWNED_LORA = {
    "task_type": "it is always CAUSAL_LM",
    "inference_mode": "the adapter is trained",
    "base_model_name_or_path": "it is the base's key",
    "revision": "the base is pinned by its own node",
}


class LibraryMaps(Params):
    """What a recipe hands to the libraries: `trainer` to `trl.SFTConfig`, `lora` to `peft.LoraConfig`; what is ours to set is refused.

    Cheap: a recipe is checked without importing either library.
    """

    trainer: dict[str, Any] = Field(default_factory=dict)
    lora: dict[str, Any] = Field(default_factory=lambda: {"target_modules": "all-linear"})

    @field_validator("trainer")
    @classmethod
    def _trainer(cls, value: dict[str, Any]) -> dict[str, Any]:
        _refuse_owned(value, _OWNED, "trainer")
        return value

    @field_validator("lora")
    @classmethod
    def _lora(cls, value: dict[str, Any]) -> dict[str, Any]:
        _refuse_owned(value, _OWNED_LORA, "lora")
        return value


def _refuse_owned(values: Mapping[str, Any], owned: Mapping[str, str], kind: str) -> None:
    hits = {key: why for key in values for name, why in owned.items() if key == name or (name.endswith("_") and key.startswith(name))}
    if hits:
        raise ValueError("; ".join(f"{kind}.{key} is not yours to set: {why}" for key, why in sorted(hits.items())))


def trainer_config(values: Mapping[str, Any], ours: Mapping[str, Any]) -> Any:
    """A `trl.SFTConfig` from a recipe's `trainer` map and the arguments that we own.

    Library defaults that do not fit are replaced where the map is silent: float32, no gradient checkpointing.

    Raises:
        TruingError: naming a key that `SFTConfig` does not have with the nearest that it has, or a value it refuses.
    """
    from trl import SFTConfig

    known = {field.name: field.default for field in fields(SFTConfig) if field.init}
    check_known(values, known, "trainer", "trl.SFTConfig")
    defaults = {"bf16": False, "gradient_checkpointing": False}
    numbers = {key: _number(key, value, known[key]) for key, value in values.items()}
    try:
        with without_deprecations():
            return SFTConfig(**{**defaults, **numbers, **ours})
    except (TypeError, ValueError) as error:
        raise TruingError(f"{_WHERE}: trainer: {error}", "values that trl.SFTConfig takes", "correct the recipe's trainer map") from error


@contextmanager
def without_deprecations() -> Iterator[None]:
    """Silence one deprecation that the libraries raise about each other: TRL's default sets an old name of transformers'."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)
        yield


def lora_config(values: Mapping[str, Any]) -> Any:
    """A `peft.LoraConfig` for a causal language model from a recipe's `lora` map.

    Raises:
        TruingError: naming a key that `LoraConfig` does not have with the nearest that it has, or a value it refuses.
    """
    from peft import LoraConfig

    check_known(values, {field.name: None for field in fields(LoraConfig) if field.init}, "lora", "peft.LoraConfig")
    try:
        return LoraConfig(task_type="CAUSAL_LM", **values)
    except (TypeError, ValueError) as error:
        raise TruingError(f"{_WHERE}: lora: {error}", "values that peft.LoraConfig takes", "correct the recipe's lora map") from error


def quantization_config(kind: Literal["nf4"] | None) -> Any:
    """A `transformers.BitsAndBytesConfig` for a base that is trained on in 4 bits; None for one in float32.

    "nf4" is QLoRA's (Dettmers et al. 2023, arXiv 2305.14314): 4-bit NormalFloat weights whose scales are quantised again,
    computing in bfloat16.

    Raises:
        TruingError: this machine has no CUDA device, or bitsandbytes is not installed.
    """
    if kind is None:
        return None
    import torch

    absent = [
        *([] if torch.cuda.is_available() else ["no CUDA device"]),
        *([] if find_spec("bitsandbytes") else ["no package bitsandbytes"]),
    ]
    if absent:
        raise TruingError(
            f"{_WHERE}: method.quantize {kind}: {' and '.join(absent)} here",
            "a CUDA device and the package bitsandbytes",
            "run this stage where there is a GPU, with `pip install 'truing[qlora]'`; or set method.quantize to null",
            Exit.FAILED,
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )


def check_known(values: Mapping[str, Any], known: Mapping[str, Any], kind: str, owner: str) -> None:
    """Refuse keys that a library's configuration does not have, each with the nearest that it has."""
    strange = sorted(set(values) - set(known))
    if strange:
        near = {name for key in strange for name in get_close_matches(key, known, n=MAX_EXAMPLES, cutoff=0.4)}
        raise TruingError(
            f"{_WHERE}: {kind}: {owner} has no {some(strange)}",
            f"an argument of {owner}, such as {some(sorted(near) or sorted(known))}",
            f"correct the recipe's {kind} map",
        )


def _number(key: str, value: Any, default: Any) -> Any:
    # YAML 1.1 reads 1e-4 as text.
    numeric = isinstance(default, (int, float)) and not isinstance(default, bool) and default is not MISSING
    if not (isinstance(value, str) and numeric):
        return value
    try:
        return float(value)
    except ValueError as error:
        raise TruingError(f"{_WHERE}: trainer.{key} is {value!r}", "a number", "write it as 1.0e-4") from error
