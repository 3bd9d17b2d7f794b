"""Supervised fine-tuning of a LoRA adapter on answers alone, documents weighted in the loss or by drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from truing.core.digests import digest, digest_bytes
from truing.core.registry import Params
from truing.core.seeds import stream
from truing.models.loading import load_tokenizer
from truing.train import TrainJob, recipe
from truing.train.adapters import chain, copy_chain, save_adapter
from truing.train.checkpoints import marking_callback
from truing.train.examples import Examples, build_examples
from truing.train.facts import protocol_facts, training_facts
from truing.train.library_run import build_trainer, resume_point, start_identity, start_protocol
from truing.train.settings import LibraryMaps, quantization_config
from truing.train.trainer import collator, dataset, weighted_trainer


class SftMethod(Params):
    """What is ours and not the libraries'.

    Attributes:
        weighting: "loss" multiplies each document's loss by its weight; "sampling" draws documents in proportion to
            their weights, as many as there are, and trains on the plain loss.
        max_length: Tokens of a row at most.
        save_steps: Optimizer steps between two resumable checkpoints; null makes none.
        attention: Attention implementation of the model.
        quantize: "nf4" trains on a base in 4 bits (QLoRA), which takes a GPU; null on one in float32. Models are asked in float32
            in either case.
    """

    weighting: Literal["loss", "sampling"] = "loss"
    max_length: int = Field(default=1024, ge=2)
    save_steps: int | None = Field(default=None, ge=1)
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    quantize: Literal["nf4"] | None = None


class SftParams(LibraryMaps):
    """The maps for the libraries and one for the method."""

    method: SftMethod = SftMethod()


@recipe("sft", SftParams)
def sft(cfg: SftParams, job: TrainJob, target: Path) -> dict[str, Any]:
    """Train one adapter on a weighted corpus; a killed run goes on from its last whole checkpoint, bit for bit.

    Streams are common random numbers: the adapter's initialisation ("init", dropout included), the order of the rows
    ("order") and the draw of "sampling" are seeded by (root seed, phase, seed) and never by the group or its
    condition. Two arms with one seed start from the same adapter and see the rows in the same order, so their
    difference is the weights'. The seed varies this phase only.

    Returns:
        The training's part of the lineage (schemas/lineage.schema.json).

    Raises:
        TruingError: for weights or rows that do not fit, an argument that a library does not have, a loss that is
            not finite; before anything else, for a machine that cannot quantise as asked.
    """
    quantization = quantization_config(cfg.method.quantize)
    tokenizer = load_tokenizer(job.base)
    examples = build_examples(job.rows, job.weights, task=job.task, tokenizer=tokenizer, max_length=cfg.method.max_length)
    if cfg.method.weighting == "sampling":
        examples = examples.drawn(stream(job.root_seed, job.phase, job.seed, "sampling"))
    trainer = _build_trainer(cfg, job, tokenizer, examples, quantization)
    checkpoint = resume_point(trainer, _identity(cfg, job, examples))
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    common = protocol_facts(trainer)
    protocol = {**common, **_protocol(cfg, job, tokenizer, examples, trainer), "precision": _precision(cfg, common["precision"])}
    facts = {**training_facts(trainer), "protocol": protocol}
    adapter_digest = save_adapter(trainer.model, target, job.base_key, job.scratch)
    copy_chain(chain(job.parent), target)
    return {**facts, "adapter_digest": adapter_digest}


def _build_trainer(cfg: SftParams, job: TrainJob, tokenizer: Any, examples: Examples, quantization: Any) -> Any:
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return build_trainer(
        weighted_trainer(),
        cfg,
        job,
        save_steps=cfg.method.save_steps,
        attention=cfg.method.attention,
        quantization=quantization,
        tokenizer=tokenizer,
        collate=collator(pad),
        dataset=dataset(examples),
        callbacks=[marking_callback(_identity(cfg, job, examples))],
    )


def _identity(cfg: SftParams, job: TrainJob, examples: Examples) -> str:
    # Everything that a checkpoint's continuation depends on.
    rows = [np.concatenate([np.asarray(row, dtype=np.int64) for row in part]) for part in (examples.input_ids, examples.labels)]
    lengths = np.array([len(row) for row in examples.input_ids], dtype=np.int64)
    arrays = [digest_bytes(values.tobytes()) for values in (*rows, lengths, examples.weights)]
    return digest([cfg.model_dump(mode="json"), *start_identity(job), arrays])


def _precision(cfg: SftParams, trainer: str) -> str:
    """Precision of the run: the trainer's, and what the base is in where that is another."""
    if cfg.method.quantize is None:
        return trainer
    mixed = "" if trainer == "float32" else f", trainer {trainer}"
    return f"{cfg.method.quantize} base, double quantisation, bfloat16 compute and adapter{mixed}"


def _protocol(cfg: SftParams, job: TrainJob, tokenizer: Any, examples: Examples, trainer: Any) -> dict[str, Any]:
    return {
        "recipe": "sft",
        "loss": "nll over the trained tokens of the step",
        "mask": "answer tokens only",
        "weighting": cfg.method.weighting,
        "max_length": cfg.method.max_length,
        "truncated_rows": examples.truncated,
        **start_protocol(cfg, job, tokenizer, trainer),
    }
