"""Training on preference pairs: each role of a pair has its own losses, all in one forward pass; the reference is the adapter switched off.

Every pair says by its role what is to be done with it: keep its order (train), reverse it (invert), make both answers rarer (punish), stay
near the reference (agree, neutral). With one role and one loss this is plain DPO, IPO or NPO.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from truing.core.digests import digest, digest_bytes, digest_file
from truing.core.errors import Exit, TruingError
from truing.core.files import read_json, write_json
from truing.core.registry import Params
from truing.models.loading import BASE_FILE, WEIGHTS, load_tokenizer
from truing.train import TrainJob, recipe
from truing.train.adapters import chain, copy_chain, save_adapter
from truing.train.checkpoints import marking_callback
from truing.train.facts import protocol_facts, sharding, training_facts
from truing.train.library_run import build_trainer, resume_point, start_identity, start_protocol
from truing.train.objective import Objective, build_objective
from truing.train.pair_trainer import AdapterSwitch, Tally, collator, pair_trainer, wanted, wanted_of_reference
from truing.train.pairs import PairSet, Role, build_pairs, epoch_order
from truing.train.reference import check_head, end_measures, reference_log_probs, values_digest
from truing.train.settings import LibraryMaps

_WHERE = "method.losses"
_TALLY = "tally.json"


class Entry(BaseModel):
    """One loss of a role: its name, its weight in the role's sum, and its own parameters beside them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    use: str
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)


class PreferenceMethod(Params):
    """What is ours and not the libraries'.

    Attributes:
        losses: Of each role its losses, such as {invert: [{use: sigmoid, beta: 0.1}, {use: nll, weight: 1}]}. A role without an entry is
            not trained on.
        max_length: Tokens of a prompt with one answer at most; a longer prompt loses its beginning.
        save_steps: Optimizer steps between two resumable checkpoints; null makes none.
        attention: Attention implementation of the model.
        kl_target: Bound on the mean of the kl terms, in their unit. With one, their weights are multiplied by a number that starts at 1
            and rises while the bound is broken and falls while it is kept; null leaves the weights as they are.
        kl_rate: Rise of that multiplier a step, by nat beyond the bound.
        kl_chunk: Response positions that have logits over the whole vocabulary at a time, for the divergence.
        measured_rows: Rows of a role, at most, that the end of the run is measured on.
    """

    losses: dict[Role, list[Entry]] = Field(min_length=1)
    max_length: int = Field(default=1024, ge=8)
    save_steps: int | None = Field(default=None, ge=1)
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    kl_target: float | None = Field(default=None, gt=0)
    kl_rate: float = Field(default=1.0, gt=0)
    kl_chunk: int = Field(default=2048, ge=1)
    measured_rows: int = Field(default=256, ge=1)

    @model_validator(mode="after")
    def _losses(self) -> PreferenceMethod:
        empty = [role for role, entries in self.losses.items() if not entries]
        if empty:
            raise ValueError(f"{_WHERE}.{', '.join(empty)} has no loss; leave the role out if it is not to be trained on")
        objective = self.objective()  # refuses what is no loss or no parameter of one
        if self.kl_target is not None and not objective.has_kl:
            raise ValueError(f"kl_target is set, and no role of {_WHERE} has the loss kl")
        return self

    def objective(self) -> Objective:
        """The losses of each role as functions with their parameters."""
        return build_objective({role: [entry.model_dump() for entry in entries] for role, entries in self.losses.items()}, _WHERE)


class PreferenceParams(LibraryMaps):
    """The maps for the libraries and one for the method."""

    method: PreferenceMethod

    @field_validator("lora")
    @classmethod
    def _unbiased(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("bias", "none") != "none":
            raise ValueError("lora.bias trains biases of the model itself, which is the reference when the adapter is off; leave it out")
        return value


@recipe("preference", PreferenceParams)
def preference(cfg: PreferenceParams, job: TrainJob, target: Path) -> dict[str, Any]:
    """Train one adapter on weighted pairs by role; a killed run goes on from its last whole checkpoint, bit for bit.

    The loss of a step is the mean over its pairs of weight times the pair's loss. The parent's adapters are merged first, so the reference
    is the parent. Streams are common random numbers, as in the recipe `sft`: arms of one seed start from the same adapter, and see the rows
    of a role that they share in the same order; every batch holds the roles in their shares.

    Returns:
        The training's part of the lineage (schemas/lineage.schema.json).

    Raises:
        TruingError: for rows, roles or weights that do not fit, an argument that a library does not have, a loss that is not finite.
    """
    tokenizer = load_tokenizer(job.base)
    objective = cfg.method.objective()
    pairs = build_pairs(job.rows, job.weights, trained=cfg.method.losses, tokenizer=tokenizer, max_length=cfg.method.max_length)
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    identity = digest(
        [cfg.model_dump(mode="json"), *start_identity(job), pairs.doc_ids, *_arrays(pairs), digest_bytes(pairs.weights.tobytes())]
    )
    trainer = _build_trainer(cfg, job, tokenizer, pairs, objective, identity)
    _require_whole_weights(trainer, objective)
    checkpoint = resume_point(trainer, identity)
    if checkpoint:
        trainer.tally.__dict__.update(read_json(checkpoint / _TALLY))
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    protocol = {**protocol_facts(trainer), **_protocol(cfg, job, tokenizer, pairs, objective, trainer)}
    measured = end_measures(trainer, pairs, pad, cfg.method.measured_rows)
    facts = {**training_facts(trainer), "protocol": protocol, "outcome": _outcome(pairs, objective, trainer, measured)}
    adapter_digest = save_adapter(trainer.model, target, job.base_key, job.scratch)
    copy_chain(chain(job.parent), target)
    return {**facts, "adapter_digest": adapter_digest}


def _build_trainer(cfg: PreferenceParams, job: TrainJob, tokenizer: Any, pairs: PairSet, objective: Objective, identity: str) -> Any:
    from datasets import Dataset

    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    tally = Tally()
    constraint, begin = _callbacks(cfg, tally)
    trainer = build_trainer(
        pair_trainer(),
        cfg,
        job,
        save_steps=cfg.method.save_steps,
        attention=cfg.method.attention,
        tokenizer=tokenizer,
        collate=collator(pairs, lambda role: wanted(objective, role), pad, always_kl=objective.has_kl),
        dataset=Dataset.from_dict({"index": list(range(len(pairs)))}),
        # The tally is a file of the checkpoint: written before that is marked as whole.
        callbacks=[begin, constraint, marking_callback(identity)],
    )
    trainer.switch = AdapterSwitch(trainer.accelerator.unwrap_model(trainer.model))
    trainer.objective, trainer.tally, trainer.kl_chunk = objective, tally, cfg.method.kl_chunk
    trainer.order = lambda epoch: epoch_order(pairs, job.root_seed, job.phase, job.seed, epoch)
    folder = job.scratch / "reference" / _reference_identity(cfg, job, tokenizer, pairs, objective)
    begin.prepare = lambda: _prepare(trainer, pairs, objective, pad, folder)
    constraint.trainer = trainer
    return trainer


def _callbacks(cfg: PreferenceParams, tally: Tally) -> tuple[Any, Any]:
    """What happens at the end of a step and at a save, and what happens once the libraries have placed the model."""
    import torch
    from transformers import TrainerCallback

    class Constraint(TrainerCallback):
        trainer: Any

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            tokens, total, count = self.trainer.accelerator.reduce(torch.stack(tally.window).sum(0), "sum").tolist()
            tally.window.clear()
            tally.trained_tokens += round(tokens)
            if cfg.method.kl_target is not None and count:
                tally.multiplier = max(0.0, tally.multiplier + cfg.method.kl_rate * (total / count - cfg.method.kl_target))

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                values = {"multiplier": tally.multiplier, "trained_tokens": tally.trained_tokens}
                write_json(Path(args.output_dir) / f"checkpoint-{state.global_step}" / _TALLY, values)

    class Begin(TrainerCallback):
        prepare: Any

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.prepare()

    return Constraint(), Begin()


def _prepare(trainer: Any, pairs: PairSet, objective: Objective, pad: int, folder: Path) -> None:
    import torch

    if objective.has_kl:
        check_head(trainer, pairs, pad)
    values = reference_log_probs(trainer, pairs, objective, pad, folder)
    trainer.reference = torch.from_numpy(values).to(trainer.accelerator.device)


def _require_whole_weights(trainer: Any, objective: Objective) -> None:
    """The divergence reads the head's weights outside of a forward pass, so they may not be split over processes."""
    kind = sharding(trainer)
    if objective.has_kl and kind in {"fsdp", "deepspeed-zero-3"}:
        raise TruingError(
            f"the loss kl with weights split over processes ({kind})",
            "whole weights on every process: one process, data parallel, or ZeRO up to stage 2",
            "launch without parameter sharding, or leave the kl terms out of method.losses",
            Exit.USAGE,
        )


def _arrays(pairs: PairSet) -> list[str]:
    answers = [*pairs.chosen, *pairs.rejected]
    ids, masks = (np.concatenate([np.asarray(part, dtype=np.int64) for part in parts]) for parts in zip(*answers, strict=True))
    lengths = np.array([len(answer.ids) for answer in answers], dtype=np.int64)
    return [*(digest_bytes(values.tobytes()) for values in (ids, masks, lengths, pairs.positions)), digest(pairs.roles)]


def _reference_identity(cfg: PreferenceParams, job: TrainJob, tokenizer: Any, pairs: PairSet, objective: Objective) -> str:
    """Everything that the reference's log-probabilities depend on: model, template, data, and how they are batched and computed."""
    model = [digest_file(job.base / BASE_FILE), *(digest_file(adapter / WEIGHTS) for adapter in chain(job.parent))]
    read = {role: list(wanted_of_reference(objective, role)) for role in sorted(set(pairs.roles))}
    how = [cfg.method.attention, {key: cfg.trainer.get(key) for key in ("bf16", "fp16", "per_device_train_batch_size")}]
    return digest([model, digest_bytes(tokenizer.get_chat_template().encode()), _arrays(pairs), read, how])


def _protocol(cfg: PreferenceParams, job: TrainJob, tokenizer: Any, pairs: PairSet, objective: Objective, trainer: Any) -> dict[str, Any]:
    return {
        "recipe": "preference",
        "loss": f"mean over the pairs of the step; {objective.text()}",
        "mask": "answer tokens only",
        "weighting": "loss",
        "reference": "the adapter switched off",
        "kl_target": "n/a" if cfg.method.kl_target is None else cfg.method.kl_target,
        "kl_rate": "n/a" if cfg.method.kl_target is None else cfg.method.kl_rate,
        "max_length": cfg.method.max_length,
        "truncated_rows": pairs.cut_rows,
        "trained_tokens": trainer.tally.trained_tokens,
        **start_protocol(cfg, job, tokenizer, trainer),
    }


def _outcome(pairs: PairSet, objective: Objective, trainer: Any, measured: Mapping[str, Any]) -> dict[str, Any]:
    """What the run found and where it ended; no part of the protocol."""
    roles = np.asarray(pairs.roles)
    return {
        "roles": {
            role: {
                "losses": [term.text() for term in objective.terms[role]],
                "rows": int((roles == role).sum()),
                "weight_mass": round(float(pairs.weights[roles == role].sum()), 6),
                "end": measured.get(role),
            }
            for role in sorted(objective.terms)
        },
        "untrained_rows": pairs.untrained,
        "cut_prompts": pairs.cut_prompts,
        "cut_answers": pairs.cut_answers,
        "equal_answers": pairs.equal_answers,
        "kl_multiplier": round(trainer.tally.multiplier, 9),
        "reference_digest": values_digest(trainer.reference.cpu().numpy()),
    }
