from __future__ import annotations

from typing import Any

import pytest

from truing.core.errors import TruingError
from truing.train import recipe
from truing.train.settings import lora_config, trainer_config


@pytest.mark.parametrize("key", ["output_dir", "seed", "data_seed", "save_steps", "eval_strategy", "hub_model_id", "max_length", "packing"])
def test_arguments_that_are_ours_are_refused_by_name(key: str) -> None:
    with pytest.raises(TruingError, match=rf"trainer\.{key} is not yours to set"):
        recipe.get("sft").configure({"trainer": {key: 1}}, "params.yaml: recipes.sft")


def test_lora_arguments_that_are_ours_are_refused_by_name() -> None:
    with pytest.raises(TruingError, match=r"lora\.task_type is not yours to set"):
        recipe.get("sft").configure({"lora": {"task_type": "SEQ_CLS"}}, "params.yaml: recipes.sft")


@pytest.mark.parametrize("values", [{"method": {"weighting": "odds"}}, {"method": {"save_steps": 0}}, {"methods": {}}])
def test_wrong_parameters_name_their_place(values: dict[str, Any]) -> None:
    with pytest.raises(TruingError, match=r"params.yaml: recipes.sft"):
        recipe.get("sft").configure(values, "params.yaml: recipes.sft")


def test_a_misspelt_trainer_key_gets_the_nearest_names() -> None:
    with pytest.raises(TruingError) as caught:
        trainer_config({"learning_rat": 0.1}, {})
    assert "no learning_rat" in caught.value.what
    assert "learning_rate" in caught.value.expected
    assert len(caught.value.expected.split(",")) <= 6


def test_a_misspelt_lora_key_gets_the_nearest_names() -> None:
    with pytest.raises(TruingError, match="lora_alpha"):
        lora_config({"lora_alfa": 4})


def test_a_value_that_a_library_refuses_is_a_user_error() -> None:
    with pytest.raises(TruingError, match="trainer"):
        trainer_config({"lr_scheduler_type": "zigzag"}, {})


def test_exponents_that_yaml_reads_as_text_are_numbers(tmp_path: Any) -> None:
    config = trainer_config({"learning_rate": "1e-4"}, {"output_dir": str(tmp_path), "use_cpu": True})
    assert config.learning_rate == 1e-4
    assert (config.bf16, config.gradient_checkpointing) == (False, False)


def test_text_where_a_number_belongs_is_refused() -> None:
    with pytest.raises(TruingError, match="'fast'"):
        trainer_config({"learning_rate": "fast"}, {})
