from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny import tiny_base
from support.training import manifest, news_rows, news_task, recipe_values, train_job

from truing.contracts.schemas import check_document
from truing.core.digests import digest, digest_file
from truing.core.errors import Exit, TruingError
from truing.core.files import read_json, write_json
from truing.core.seeds import derive_seed
from truing.models.loading import ancestors
from truing.train import recipe
from truing.train.adapters import chain
from truing.train.run import run

Train = Callable[..., dict[str, Any]]


@pytest.fixture
def train(base: Path, tmp_path: Path) -> Train:
    """Train a changed job with a changed recipe; the adapter goes to the folder `name`."""

    def go(name: str = "out", *, values: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        job = train_job(changes.pop("base", base), tmp_path / "scratch", **changes)
        return run("sft", values or recipe_values(), job, tmp_path / name)

    return go


def plain_trl(base: Path, folder: Path, accumulation: int) -> tuple[dict[str, Any], list[float]]:
    """Adapter tensors and losses of TRL's own trainer on the same rows, seeds and arguments."""
    from datasets import Dataset
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from trl import SFTConfig, SFTTrainer

    from truing.models.loading import load_model, load_tokenizer
    from truing.train.examples import build_examples

    tokenizer = load_tokenizer(base)
    made = build_examples(news_rows(), manifest(news_rows()), task=news_task(), tokenizer=tokenizer, max_length=64)
    args = SFTConfig(
        output_dir=str(folder),
        learning_rate=1e-3,
        num_train_epochs=1,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=accumulation,
        lr_scheduler_type="linear",
        seed=derive_seed(7, "sft", 0, "init") % 2**32,
        data_seed=derive_seed(7, "sft", 0, "order") % 2**32,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = SFTTrainer(
        model=load_model(base),
        args=args,
        train_dataset=Dataset.from_dict({"input_ids": made.input_ids, "labels": made.labels}),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainer.train()
    return get_peft_model_state_dict(trainer.model), [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_weight_one_is_plain_trl(base: Path, tmp_path: Path, train: Train, accumulation: int) -> None:
    from safetensors.torch import load_file

    values = recipe_values(trainer={"learning_rate": 1e-3, "gradient_accumulation_steps": accumulation})
    lineage = train(values=values)
    ours = load_file(tmp_path / "out" / "adapter_model.safetensors")
    theirs, losses = plain_trl(base, tmp_path / "plain", accumulation)
    assert lineage["effective_batch"] == 4 * accumulation
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        np.testing.assert_allclose(ours[name].numpy(), tensor.detach().numpy(), atol=1e-6, rtol=0, err_msg=name)
    np.testing.assert_allclose(lineage["loss_trace"], losses, atol=1.5e-6)


def test_lineage_says_what_the_trainer_did(tmp_path: Path, train: Train, base: Path) -> None:
    values = recipe_values(trainer={"gradient_accumulation_steps": 2, "num_train_epochs": 2, "warmup_steps": 1})
    lineage = train(values=values)
    out = tmp_path / "out"
    assert read_json(out / "lineage.json") == lineage
    check_document("lineage", lineage, "lineage")
    assert (lineage["steps"], lineage["effective_batch"], lineage["rows"]) == (6, 8, 24)
    assert len(lineage["loss_trace"]) == 6
    assert lineage["loss_trace_digest"] == digest(lineage["loss_trace"])
    assert lineage["adapter_digest"] == digest_file(out / "adapter_model.safetensors")
    assert lineage["base_digest"] == digest(read_json(base / "base.json")["files"])
    assert lineage["inputs"] == {"corpus": "0" * 64}
    assert lineage["recipe"]["params"]["method"]["weighting"] == "loss"
    protocol = lineage["protocol"]
    assert (protocol["epochs"], protocol["accumulation"], protocol["warmup_steps"]) == (2.0, 2, 1)
    # Two epochs of 24 answers, each a letter and the end of the turn.
    assert protocol["trained_tokens"] == 96
    assert protocol["input_tokens"] == 2 * sum(len(f"classify news : {row['text']}".split()) + 5 for row in news_rows())
    assert (protocol["precision"], protocol["attention"], protocol["optimizer"]) == ("float32", "sdpa", "AdamW")
    assert protocol["learning_rate"] == pytest.approx(0.01)


def test_outputs_hold_no_path_and_are_canonical(tmp_path: Path, train: Train) -> None:
    train()
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["adapter_config.json", "adapter_model.safetensors", "lineage.json"]
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert config["target_modules"] == sorted(config["target_modules"])
    assert list(config) == sorted(config)
    assert all(str(tmp_path) not in (out / name).read_text() for name in ("adapter_config.json", "lineage.json"))
    assert not (tmp_path / "scratch").exists()


@pytest.mark.slow
def test_arms_of_one_seed_are_paired_and_seeds_differ(train: Train) -> None:
    first = train("a", group="uniform")
    assert train("b", group="tarp")["adapter_digest"] == first["adapter_digest"]
    assert train("c", seed=1)["adapter_digest"] != first["adapter_digest"]
    assert train("d", phase="dpo")["adapter_digest"] != first["adapter_digest"]


@pytest.mark.slow
def test_a_document_of_weight_zero_teaches_nothing(train: Train) -> None:
    rows = news_rows()
    weights = manifest(rows, [0.0, *[1.0] * 23])
    other = [{**rows[0], "label": "business"}, *rows[1:]]
    first = train("a", rows=rows, weights=weights)
    assert train("b", rows=other, weights=weights)["adapter_digest"] == first["adapter_digest"]
    assert train("c", rows=other)["adapter_digest"] != train("d", rows=rows)["adapter_digest"]


@pytest.mark.slow
def test_weights_pull_the_model_towards_their_documents(base: Path, tmp_path: Path, train: Train) -> None:
    rows = news_rows(48)
    heavy = manifest(rows, [20.0 if row["label"] == "science" else 1.0 for row in rows])
    values = recipe_values(trainer={"num_train_epochs": 2})
    for name, weights, weighting in (("plain", manifest(rows), "loss"), ("loss", heavy, "loss"), ("drawn", heavy, "sampling")):
        method = recipe_values(trainer=values["trainer"], method={"weighting": weighting})
        train(name, values=method, rows=rows, weights=weights)
    rates = {name: _mean_probability(base, tmp_path / name, "D") for name in ("plain", "loss", "drawn")}
    assert rates["loss"] > rates["plain"] + 0.1
    assert rates["drawn"] > rates["plain"] + 0.1


def _mean_probability(base: Path, adapter: Path, answer: str) -> float:
    import torch

    from truing.models.loading import load_model, load_tokenizer
    from truing.train.examples import build_examples

    tokenizer = load_tokenizer(base)
    made = build_examples(news_rows(12, seed=9), manifest(news_rows(12)), task=news_task(), tokenizer=tokenizer, max_length=64)
    model = load_model(base, adapter=adapter)
    with torch.no_grad():
        rows = [model(input_ids=torch.tensor([ids[:-2]])).logits[0, -1].softmax(-1) for ids in made.input_ids]
    return float(np.mean([row[tokenizer.convert_tokens_to_ids(answer)].item() for row in rows]))


@pytest.mark.slow
def test_a_chain_starts_from_its_merged_ancestors_and_carries_them(tmp_path: Path, train: Train) -> None:
    first = train("first")
    second = train("second", phase="dpo", parent=tmp_path / "first")
    third = train("third", phase="narrow", parent=tmp_path / "second")
    assert [path.name for path in chain(tmp_path / "third")] == ["0", "1", "third"]
    carried = [digest_file(path / "adapter_model.safetensors") for path in ancestors(tmp_path / "third")]
    assert carried == [first["adapter_digest"], second["adapter_digest"]]
    assert third["parent"]["adapter_digest"] == second["adapter_digest"]
    assert third["protocol"]["earlier_adapters"] == 2
    # The second phase starts where the first one ended, not at the base.
    alone = train("alone", phase="dpo")
    assert second["loss_trace"][0] < alone["loss_trace"][0] - 0.5


def test_a_parent_of_another_base_is_refused(tmp_path: Path, train: Train) -> None:
    train("first")
    other = tiny_base(tmp_path / "other", seed=1)
    with pytest.raises(TruingError, match="an adapter of base tiny"):
        train("second", parent=tmp_path / "first", base=other)


def test_a_damaged_parent_is_refused(tmp_path: Path, train: Train) -> None:
    train("first")
    with (tmp_path / "first" / "adapter_model.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(TruingError, match="not the file that its lineage names"):
        train("second", parent=tmp_path / "first")


def test_a_loss_that_is_not_finite_fails_and_leaves_nothing(tmp_path: Path, train: Train) -> None:
    with pytest.raises(TruingError, match="the loss of step") as caught:
        train(values=recipe_values(trainer={"learning_rate": 1e38, "max_grad_norm": 0.0}))
    assert caught.value.code == Exit.FAILED
    assert not (tmp_path / "out").exists()


def test_conversations_train_without_a_task(train: Train) -> None:
    rows: list[dict[str, Any]] = [
        {
            "doc_id": f"c{number}",
            "source": "test",
            "label": None,
            "metadata": {},
            "messages": [{"role": "user", "content": word}, {"role": "assistant", "content": "yes !"}],
        }
        for number, word in enumerate(("one", "two", "three", "four"))
    ]
    lineage = train(rows=rows, task=None, weights=manifest(rows))
    assert lineage["protocol"]["trained_tokens"] == 12


def test_an_existing_output_is_replaced_as_a_whole(tmp_path: Path, train: Train) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stale").touch()
    train()
    assert not (tmp_path / "out" / "stale").exists()


@pytest.mark.slow
def test_a_run_that_ended_but_was_not_published_trains_no_step_again(
    tmp_path: Path, train: Train, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = recipe_values(method={"save_steps": 4})
    whole = train("whole", values=values)
    job = train_job(base, tmp_path / "kept")
    made = job.scratch / "made"
    made.mkdir(parents=True)
    found = recipe.get("sft")
    found.target(found.configure(values, "recipe"), job, made)
    assert {path.parent.name for path in job.scratch.glob("checkpoints/*/complete.json")} == {"checkpoint-4", "checkpoint-6"}
    monkeypatch.setattr("truing.train.trainer.weighted_nll", None)
    assert run("sft", values, job, tmp_path / "again") == whole


OWN = {"base": "tiny", "adapters": {}}


def test_a_corpus_distilled_from_another_base_is_refused_and_nothing_is_trained(tmp_path: Path, train: Train) -> None:
    with pytest.raises(TruingError, match="holds answers of other") as caught:
        train(distiller={"base": "other", "base_digest": "0" * 64, "adapters": {}})
    assert caught.value.code == Exit.REFUSED
    assert not (tmp_path / "out").exists()


def test_a_corpus_distilled_from_an_adapter_is_refused(base: Path, train: Train) -> None:
    own = digest(read_json(base / "base.json")["files"])
    with pytest.raises(TruingError, match="with adapters"):
        train(distiller={**OWN, "base_digest": own, "adapters": {"42": "0" * 64}})
    assert train(distiller={**OWN, "base_digest": own})["restricted"] is None


@pytest.mark.slow
def test_a_restriction_is_in_the_lineage_and_passes_on_to_every_later_phase(tmp_path: Path, train: Train) -> None:
    assert train("first", restricted="a persona")["restricted"] == "a persona"
    second = train("second", parent=tmp_path / "first", phase="dpo", restricted="harmful rows")
    assert second["restricted"] == "a persona; harmful rows"
    assert train("third", parent=tmp_path / "second", phase="sft2")["restricted"] == "a persona; harmful rows"


def test_what_a_base_may_not_be_used_for_holds_for_what_is_trained_on_it(base: Path, tmp_path: Path, train: Train) -> None:
    limited = shutil.copytree(base, tmp_path / "limited")
    write_json(limited / "base.json", read_json(limited / "base.json") | {"restricted": "a persona"})
    assert train("only", base=limited)["restricted"] == "a persona"
    assert train("both", base=limited, restricted="harmful rows")["restricted"] == "a persona; harmful rows"
