"""What a training run really did, read off the trainer's state after it ended."""

from __future__ import annotations

import math
from typing import Any

from truing.core.digests import digest
from truing.core.environment import versions
from truing.core.errors import Exit, TruingError

_DECIMALS = 6


def loss_trace(log: list[dict[str, Any]]) -> list[float]:
    """The loss of every optimizer step, in nats a token, rounded to 6 decimals.

    Raises:
        TruingError: a loss is not finite.
    """
    losses = [float(entry["loss"]) for entry in log if "loss" in entry]
    broken = next((step for step, loss in enumerate(losses, start=1) if not math.isfinite(loss)), None)
    if broken:
        raise TruingError(
            f"the loss of step {broken} is {losses[broken - 1]}", "a finite loss at every step", "lower trainer.learning_rate", Exit.FAILED
        )
    return [round(loss, _DECIMALS) for loss in losses]


def training_facts(trainer: Any) -> dict[str, Any]:
    """Steps, batch, rows, loss trace and environment of a finished run, as its trainer counted them.

    Raises:
        TruingError: it made no step, or a loss is not finite.
    """
    state, args = trainer.state, trainer.args
    if state.global_step < 1:
        raise TruingError("the run made no optimizer step", "at least one", "raise trainer.num_train_epochs or max_steps", Exit.FAILED)
    trace = loss_trace(state.log_history)
    return {
        "steps": state.global_step,
        "effective_batch": state.train_batch_size * args.gradient_accumulation_steps * trainer.accelerator.num_processes,
        "rows": len(trainer.train_dataset),
        "loss_trace": trace,
        "loss_trace_digest": digest(trace),
        "environment": environment(trainer),
    }


def protocol_facts(trainer: Any) -> dict[str, Any]:
    """The part of the protocol that every recipe on a library trainer has in common."""
    state, args = trainer.state, trainer.args
    rates = [entry["learning_rate"] for entry in state.log_history if "learning_rate" in entry]
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    group = optimizer.param_groups[0]
    return {
        "per_device_batch": state.train_batch_size,
        "accumulation": args.gradient_accumulation_steps,
        "world_size": trainer.accelerator.num_processes,
        "epochs": round(state.epoch, _DECIMALS),
        "input_tokens": state.num_input_tokens_seen,
        "trained_tokens": round(sum(entry.get("trained_tokens", 0) for entry in state.log_history)),
        "learning_rate": max(rates),
        "learning_rates_digest": digest(rates),
        "schedule": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
        "warmup_steps": args.get_warmup_steps(state.max_steps),
        "optimizer": type(optimizer).__name__,
        "betas": list(group.get("betas", ())),
        "epsilon": group.get("eps"),
        "weight_decay": args.weight_decay,
        "max_grad_norm": args.max_grad_norm,
        "sharding": sharding(trainer),
        "precision": "float32" if trainer.accelerator.mixed_precision == "no" else str(trainer.accelerator.mixed_precision),
        "attention": trainer.model.config._attn_implementation,
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
    }


def sharding(trainer: Any) -> str:
    """How weights and optimizer state are split over processes: "none", "fsdp", or "deepspeed-zero-N"."""
    accelerator = trainer.accelerator
    kind = str(getattr(accelerator.distributed_type, "value", accelerator.distributed_type)).lower()
    if kind == "deepspeed":
        return f"deepspeed-zero-{accelerator.state.deepspeed_plugin.zero_stage}"
    return "fsdp" if kind == "fsdp" else "none"


def environment(trainer: Any) -> dict[str, Any]:
    """Library versions and what of the machine decides the bytes of the result. No host, no path."""
    import torch

    return {
        "versions": dict(versions()),
        "device": trainer.args.device.type,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
