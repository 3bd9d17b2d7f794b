"""Whole runs of the recipe `preference`: against TRL, against themselves under a change that may not matter, and after an interruption."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.preferences import HYBRID, ROLES, SIGMOID, pair_job, pair_manifest, pair_rows, pair_values

from truing.core.digests import file_digests
from truing.core.errors import TruingError
from truing.core.files import read_json
from truing.core.seeds import derive_seed
from truing.train import recipe, trainer
from truing.train.run import run

Train = Callable[..., dict[str, Any]]


@pytest.fixture
def train(base: Path, tmp_path: Path) -> Train:
    """Train a changed job with a changed recipe; the adapter goes to the folder `name`."""

    def go(name: str = "out", values: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        job = pair_job(base, tmp_path / "scratch", **changes)
        return run("preference", values or pair_values(), job, tmp_path / name)

    return go


def test_the_lineage_says_what_was_done_and_where_it_ended(train: Train, tmp_path: Path) -> None:
    rows = pair_rows()
    lineage = train(rows=rows, weights=pair_manifest(rows, [*ROLES, "gold"], range(1, 17)))
    assert read_json(tmp_path / "out" / "lineage.json") == lineage
    assert (lineage["rows"], lineage["steps"], lineage["effective_batch"]) == (13, 4, 4)
    protocol, outcome = lineage["protocol"], lineage["outcome"]
    assert protocol["loss"].startswith("mean over the pairs of the step; agree: 1 kl(norm=token); invert: 1 sigmoid(beta=0.5) + 0.5 nll")
    assert (protocol["mask"], protocol["weighting"], protocol["kl_target"]) == ("answer tokens only", "loss", "n/a")
    assert {role: found["rows"] for role, found in outcome["roles"].items()} == {"agree": 3, "invert": 4, "neutral": 3, "punish": 3}
    assert outcome["untrained_rows"] == {"gold": 3}
    assert sum(found["weight_mass"] for found in outcome["roles"].values()) == pytest.approx(13)
    assert outcome["roles"]["punish"]["losses"] == ["0.3 npo(beta=0.5, answers=both)"]
    end = outcome["roles"]["invert"]["end"]
    assert end["rows"] == 4
    assert end["margin_nats"] == pytest.approx(end["chosen_ratio_nats"] - end["rejected_ratio_nats"], abs=2e-6)
    assert end["margin_nats"] < 0
    assert end["kl_nats_per_token"] > 0


def test_trained_tokens_are_those_that_a_loss_reads(train: Train, base: Path) -> None:
    rows = pair_rows()
    lineage = train(rows=rows, values=pair_values(trainer={"num_train_epochs": 2, "gradient_accumulation_steps": 2}))
    words = [(len(row["chosen"].split()) + 1, len(row["rejected"].split()) + 1) for row in rows]
    both = sum(sum(pair) for number, pair in enumerate(words) if ROLES[number % 4] in {"invert", "punish"})
    chosen = sum(pair[0] for number, pair in enumerate(words) if ROLES[number % 4] in {"agree", "neutral"})
    assert lineage["protocol"]["trained_tokens"] == 2 * (both + chosen)
    assert (lineage["steps"], lineage["effective_batch"]) == (4, 8)


def plain_trl(base: Path, folder: Path, rows: list[dict[str, Any]], **changes: Any) -> tuple[dict[str, Any], list[float]]:
    """Adapter tensors and losses of TRL's own DPO on the same pairs, every step over all of them."""
    from datasets import Dataset
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from trl import DPOConfig, DPOTrainer

    from truing.models.loading import load_model, load_tokenizer

    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    data = [
        {"prompt": turn("user", row["prompt"])} | {side: turn("assistant", row[side]) for side in ("chosen", "rejected")} for row in rows
    ]
    args = DPOConfig(
        output_dir=str(folder),
        learning_rate=0.01,
        max_steps=4,
        per_device_train_batch_size=len(rows),
        seed=derive_seed(7, "preference", 0, "init") % 2**32,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        **changes,
    )
    made = DPOTrainer(
        model=load_model(base),
        args=args,
        train_dataset=Dataset.from_list(data),
        processing_class=load_tokenizer(base),
        peft_config=LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    made.train()
    return get_peft_model_state_dict(made.model), [entry["loss"] for entry in made.state.log_history if "loss" in entry]


@pytest.mark.parametrize(
    ("losses", "theirs", "constant"),
    [
        ([{"use": "sigmoid", "beta": 0.5}], {"beta": 0.5, "loss_type": ["sigmoid"]}, 0),
        pytest.param([{"use": "ipo", "tau": 0.2}], {"beta": 0.2, "loss_type": ["ipo"]}, 0, marks=pytest.mark.slow),
        pytest.param(
            [{"use": "rdpo", "beta": 0.5, "noise": 0.2}],
            {"beta": 0.5, "loss_type": ["robust"], "label_smoothing": 0.2},
            0,
            marks=pytest.mark.slow,
        ),
        pytest.param([{"use": "apo_down", "beta": 0.5}], {"beta": 0.5, "loss_type": ["apo_down"]}, 1, marks=pytest.mark.slow),
    ],
    ids=["sigmoid", "ipo", "rdpo", "apo_down"],
)
def test_plain_pairs_are_trained_as_trl_trains_them(
    base: Path, tmp_path: Path, train: Train, losses: Any, theirs: dict[str, Any], constant: float
) -> None:
    from safetensors.torch import load_file

    rows = pair_rows(6)
    values = pair_values({"train": losses}, trainer={"per_device_train_batch_size": 6, "max_steps": 4})
    lineage = train(values=values, rows=rows, weights=pair_manifest(rows))
    tensors, trace = plain_trl(base, tmp_path / "trl", rows, **theirs)
    np.testing.assert_allclose(np.array(lineage["loss_trace"]) + constant, trace, rtol=2e-4, atol=2e-5)
    ours = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert ours.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_allclose(ours[name].numpy(), tensor.detach().numpy(), atol=2e-4, err_msg=name)


@pytest.mark.slow
def test_the_scale_of_the_weights_changes_no_byte_and_their_ratios_do(train: Train) -> None:
    rows = pair_rows(16)
    roles = [*ROLES, "gold"]
    held = np.array([1.0 if number % 5 == 4 else 0.0 for number in range(16)])
    plain = train("plain", rows=rows, weights=pair_manifest(rows, roles, 1 - held))["adapter_digest"]
    # The gold rows take half of the mass, so every trained row has another weight than before.
    assert train("scaled", rows=rows, weights=pair_manifest(rows, roles, 1 - held + held * 13 / 3))["adapter_digest"] == plain
    assert train("uneven", rows=rows, weights=pair_manifest(rows, roles, (1 - held) * range(1, 17)))["adapter_digest"] != plain


@pytest.mark.slow
def test_inverting_is_training_on_swapped_answers(train: Train) -> None:
    rows = pair_rows()
    swapped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    losses = [SIGMOID, {"use": "nll"}]
    inverted = train("a", pair_values({"invert": losses}), rows=rows, weights=pair_manifest(rows, "invert"))
    plain = train("b", pair_values({"train": losses}), rows=swapped, weights=pair_manifest(swapped))
    np.testing.assert_allclose(inverted["loss_trace"], plain["loss_trace"], atol=1e-5)
    ends = [lineage["outcome"]["roles"][role]["end"]["margin_nats"] for lineage, role in ((inverted, "invert"), (plain, "train"))]
    assert ends[0] == pytest.approx(-ends[1], abs=1e-3)
    assert ends[0] < 0


@pytest.mark.slow
def test_arms_of_one_seed_are_paired_and_seeds_differ(train: Train) -> None:
    first = train("a", group="trace")
    assert train("b", group="shuffled")["adapter_digest"] == first["adapter_digest"]
    assert train("c", seed=1)["adapter_digest"] != first["adapter_digest"]


def test_the_reference_of_a_later_phase_is_its_merged_parent(train: Train, tmp_path: Path) -> None:
    rows = pair_rows()
    plain = {"values": pair_values({"train": [SIGMOID]}), "rows": rows, "weights": pair_manifest(rows)}
    first = train("first", **plain)
    second = train("second", **plain, phase="preference2", parent=tmp_path / "first")
    # A new adapter is the reference: every margin is 0.
    for lineage in (first, second):
        assert lineage["loss_trace"][0] == pytest.approx(math.log(2), abs=1e-5)
    assert second["outcome"]["reference_digest"] != first["outcome"]["reference_digest"]
    assert second["protocol"]["earlier_adapters"] == 1
    assert second["parent"]["adapter_digest"] == first["adapter_digest"]


def test_a_role_without_rows_is_counted_as_empty(train: Train) -> None:
    rows = pair_rows(8)
    lineage = train(rows=rows, weights=pair_manifest(rows, ["invert", "agree"]))
    empty = lineage["outcome"]["roles"]["punish"]
    assert (empty["rows"], empty["weight_mass"], empty["end"]) == (0, 0.0, None)


@pytest.mark.slow
@pytest.mark.parametrize(("target", "rises"), [(1e-6, True), (50.0, False)])
def test_the_multiplier_rises_while_the_bound_is_broken_and_falls_to_zero_while_it_is_kept(
    train: Train, target: float, rises: bool
) -> None:
    lineage = train(values=pair_values(kl_target=target, trainer={"num_train_epochs": 2}))
    multiplier = lineage["outcome"]["kl_multiplier"]
    assert multiplier > 1 if rises else multiplier == 0
    assert lineage["protocol"]["kl_target"] == target
    assert lineage["adapter_digest"] != train("free", pair_values(trainer={"num_train_epochs": 2}))["adapter_digest"]


@pytest.mark.parametrize(
    ("losses", "method", "says"),
    [
        ({"invert": []}, {}, "method.losses.invert has no loss"),
        ({"retain": [SIGMOID]}, {}, "'train', 'invert'"),
        ({"invert": [{"use": "hinge"}]}, {}, "unknown loss 'hinge'"),
        ({"invert": [{"use": "sigmoid", "label_smoothing": 0.1}]}, {}, "method.losses.invert: loss sigmoid: label_smoothing"),
        ({"invert": [{"use": "sigmoid", "weight": -1}]}, {}, "greater than or equal to 0"),
        ({"agree": [{"use": "kl"}, {"use": "kl"}]}, {}, "method.losses.agree: kl twice"),
        ({"invert": [SIGMOID]}, {"kl_target": 0.1}, "no role of method.losses has the loss kl"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_is_read(losses: Any, method: dict[str, Any], says: str) -> None:
    with pytest.raises(TruingError, match=says):
        recipe.get("preference").configure(pair_values(losses, **method), "recipe")


def test_biases_of_the_model_itself_are_not_trained() -> None:
    with pytest.raises(TruingError, match=r"lora\.bias trains biases of the model itself"):
        recipe.get("preference").configure(pair_values(lora={"bias": "all"}), "recipe")


@pytest.mark.slow
def test_the_recipe_sft_takes_a_manifest_with_roles(base: Path, tmp_path: Path) -> None:
    from support.training import manifest, news_rows, recipe_values, train_job

    rows = news_rows()
    digests = []
    for name, weights in (("plain", manifest(rows)), ("roles", manifest(rows).assign(role="train"))):
        job = train_job(base, tmp_path / "scratch", rows=rows, weights=weights)
        digests.append(run("sft", recipe_values(), job, tmp_path / name)["adapter_digest"])
    assert digests[0] == digests[1]


class Stopped(Exception):
    """The process ends here."""


# Dropout and a moving multiplier, so that going on needs the state of the generator and of the tally.
STATEFUL = pair_values(
    HYBRID,
    trainer={"num_train_epochs": 3, "gradient_accumulation_steps": 2},
    lora={"lora_dropout": 0.2},
    save_steps=1,
    kl_target=0.05,
)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_bytes(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from truing.train import pair_trainer, reference

    whole = run("preference", STATEFUL, pair_job(base, tmp_path / "other"), tmp_path / "whole")
    assert whole["steps"] == 6
    assert whole["outcome"]["kl_multiplier"] != 1
    calls: list[int] = []
    real = pair_trainer.policy_pairs

    def counted(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 8:
            raise Stopped
        return real(*args)

    monkeypatch.setattr(pair_trainer, "policy_pairs", counted)
    job = pair_job(base, tmp_path / "scratch")
    with pytest.raises(Stopped):
        run("preference", STATEFUL, job, tmp_path / "resumed")
    assert not (tmp_path / "resumed").exists()
    # The second micro-batch of the fourth step, in the second epoch: three steps are whole, and the reference is cached.
    monkeypatch.setattr(reference, "_score", None)
    assert run("preference", STATEFUL, job, tmp_path / "resumed") == whole
    assert len(calls) == 8 + 6
    assert file_digests(tmp_path / "resumed") == file_digests(tmp_path / "whole")
    assert not (tmp_path / "scratch").exists()


@pytest.mark.slow
def test_a_checkpoint_of_another_manifest_is_not_gone_on_from(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pair_rows()
    found = recipe.get("preference")
    job = pair_job(base, tmp_path / "scratch")
    (job.scratch / "made").mkdir(parents=True)
    values = pair_values(save_steps=1)
    found.target(found.configure(values, "recipe"), job, job.scratch / "made")
    assert list((job.scratch / "checkpoints").glob("*/complete.json"))
    other = pair_job(base, tmp_path / "scratch", weights=pair_manifest(rows, ROLES, range(1, 17)))
    lineage = run("preference", values, other, tmp_path / "out")
    assert lineage == run("preference", values, pair_job(base, tmp_path / "clean", weights=other.weights), tmp_path / "fresh")


def test_the_hook_sets_positions_aside_in_the_order_of_the_passes() -> None:
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPast

    output = BaseModelOutputWithPast(last_hidden_state=torch.arange(12.0).reshape(2, 3, 2))
    chosen, aside = torch.tensor([[True, False, False], [False] * 3]), torch.tensor([[False] * 3, [False, True, True]])
    backbone = torch.nn.Identity()
    with trainer.only_positions(backbone, chosen, aside) as kept:
        assert backbone(output).last_hidden_state.tolist() == [[[0, 1]]]
    assert [part.tolist() for part in kept] == [[[8, 9], [10, 11]]]
