"""Passes over pairs outside the training loop: the reference's log-probabilities, cached, and what the end of a run is measured by."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from truing.core.digests import digest_bytes
from truing.core.errors import Exit, TruingError
from truing.core.files import write_bytes
from truing.models.loading import evaluating
from truing.train.losses.kl import chunked_kl
from truing.train.objective import Objective
from truing.train.pair_trainer import (
    CHOSEN,
    REJECTED,
    Batch,
    Wanted,
    as_reference,
    collator,
    forward,
    head_of,
    part_of,
    response_positions,
    wanted_of_reference,
)
from truing.train.pairs import PairSet

# Batches between two writes of the cache.
_GROUP = 64
# Rounding in half precision; a forgotten scale of the logits is off by far more.
_HEAD_TOLERANCE = 0.05
_ALL = Wanted(chosen=True, rejected=True, kl=True)


def reference_log_probs(trainer: Any, pairs: PairSet, objective: Objective, pad: int, folder: Path) -> np.ndarray:
    """The reference's log-probabilities of the answers that some loss compares with the reference: float32 [rows, 2], NaN elsewhere.

    The reference is the model without its adapter, dropout off. Finished groups of batches are kept in `folder`, which is named by what
    they depend on, and are not computed again by a run that goes on from there.
    """
    found = np.full((len(pairs), 2), np.nan, dtype=np.float32)
    members = [index for index in range(len(pairs)) if any(wanted_of_reference(objective, pairs.roles[index]))]
    batches = _batches(pairs, members, trainer.args.per_device_train_batch_size)
    collate = collator(pairs, lambda role: wanted_of_reference(objective, role), pad, always_kl=False)
    for number, start in enumerate(range(0, len(batches), _GROUP)):
        group = batches[start : start + _GROUP]
        rows = [index for batch in group for index in batch]
        found[rows] = _cached(trainer, folder / f"{number}.npy", (len(rows), 2), partial(_spread, trainer, group, collate, _score))
    unread = np.array([[not on for on in wanted_of_reference(objective, role)[:2]] for role in pairs.roles])
    return np.where(unread, np.float32(np.nan), found)


def _batches(pairs: PairSet, members: Sequence[int], size: int) -> list[list[int]]:
    """Rows of like length together, in an order that only they decide."""
    ordered = sorted(members, key=lambda index: (max(len(pairs.chosen[index].ids), len(pairs.rejected[index].ids)), index))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _cached(trainer: Any, path: Path, shape: tuple[int, int], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """A group from its file if the main process has one, else computed by all and written by the main process."""
    import torch

    main = trainer.accelerator.is_main_process
    held = np.load(path, allow_pickle=False) if main and path.is_file() else None
    flag = torch.tensor([float(held is not None)], device=trainer.accelerator.device)
    if trainer.accelerator.reduce(flag, "sum").item():
        return _summed(trainer, np.zeros(shape, np.float32) if held is None else held)
    values = compute()
    if main:
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        write_bytes(path, buffer.getvalue())
    return values


def _spread(trainer: Any, batches: Sequence[Sequence[int]], collate: Any, score: Callable[[Any, Batch], np.ndarray]) -> np.ndarray:
    """A function of every batch, the batches dealt to the processes: float32 [rows in order, columns]. Every process makes equally many."""
    processes, rank = trainer.accelerator.num_processes, trainer.accelerator.process_index
    rounds = -(-len(batches) // processes)
    ends = np.cumsum([0, *(len(batch) for batch in batches)])
    values: np.ndarray | None = None
    for turn in range(rounds):
        number = turn * processes + rank
        # A process without a batch of its own in the last round repeats the last batch and throws the result away.
        members = batches[min(number, len(batches) - 1)]
        batch = {key: value.to(trainer.accelerator.device) for key, value in collate([{"index": index} for index in members]).items()}
        made = score(trainer, batch)
        values = np.zeros((int(ends[-1]), made.shape[1]), dtype=np.float32) if values is None else values
        if number < len(batches):
            values[ends[number] : ends[number + 1]] = made
    return _summed(trainer, np.zeros((0, 2), np.float32) if values is None else values)


def _summed(trainer: Any, values: np.ndarray) -> np.ndarray:
    import torch

    total = trainer.accelerator.reduce(torch.from_numpy(values).to(trainer.accelerator.device), "sum")
    return np.asarray(total.cpu().numpy(), dtype=np.float32)


def _score(trainer: Any, batch: Batch) -> np.ndarray:
    """The reference's log-probabilities of a batch: float32 [n, 2], 0 where an answer is not in it."""
    import torch

    response = response_positions(batch)
    with as_reference(trainer):
        sums, _ = forward(trainer, trainer.model, batch, response & batch["scored"].unsqueeze(1), torch.zeros_like(response))
    return _by_pair(batch, sums)


def _by_pair(batch: Batch, sums: Any) -> np.ndarray:
    import torch

    return np.asarray(torch.cat([sums, sums.new_zeros(1)])[batch["places"]].cpu().numpy(), dtype=np.float32)


def check_head(trainer: Any, pairs: PairSet, pad: int) -> None:
    """Compare the logits that the divergence is computed from with the log-probabilities of the model's own head, on one pair.

    Raises:
        TruingError: they differ by more than rounding: the model does something to its logits that is not known here.
    """
    batch = collator(pairs, lambda role: _ALL, pad, always_kl=False)([{"index": 0}])
    batch = {key: value.to(trainer.accelerator.device) for key, value in batch.items()}
    response = response_positions(batch)
    with as_reference(trainer):
        sums, hidden = forward(trainer, trainer.model, batch, response, response)
        own = head_of(trainer)(hidden).float().log_softmax(-1).gather(1, batch["targets"][response].unsqueeze(1)).squeeze(1)
    off = float((own.sum() - sums.sum()).abs() / len(own))
    if not off <= _HEAD_TOLERANCE:
        raise TruingError(
            f"{type(trainer.model.get_base_model()).__name__}: log-probabilities from its head are off by {off:.3g} nats a token",
            f"the model's own to {_HEAD_TOLERANCE} nats a token",
            "leave the loss kl out of method.losses for this model",
            Exit.FAILED,
        )


def end_measures(trainer: Any, pairs: PairSet, pad: int, at_most: int) -> dict[str, dict[str, Any]]:
    """Where each role ended, under the trained adapter with dropout off: means over its rows, at most so many, evenly spaced.

    Returns:
        By role: rows measured; kl_nats_per_token, KL(pi_ref || pi) on the chosen answers; chosen_ratio_nats and rejected_ratio_nats,
        log pi - log pi_ref; margin_nats, the chosen ratio minus the rejected one, whichever the role promotes.
    """
    members = {role: _evenly([index for index, own in enumerate(pairs.roles) if own == role], at_most) for role in sorted(set(pairs.roles))}
    batches = _batches(pairs, [index for some in members.values() for index in some], trainer.args.per_device_train_batch_size)
    values = _spread(trainer, batches, collator(pairs, lambda role: _ALL, pad, always_kl=False), _measure)
    place = {index: number for number, index in enumerate(index for batch in batches for index in batch)}
    return {role: _means(values[[place[index] for index in some]]) for role, some in members.items()}


def _evenly(members: Sequence[int], at_most: int) -> list[int]:
    return [members[number * len(members) // at_most] for number in range(at_most)] if len(members) > at_most else list(members)


def _measure(trainer: Any, batch: Batch) -> np.ndarray:
    """Chosen log-ratio, rejected log-ratio, KL a token on the chosen answer: float32 [n, 3]."""
    import torch

    response, rows = response_positions(batch), batch["kl_rows"]
    aside = torch.zeros_like(response)
    aside[rows] = response[rows]
    with torch.no_grad(), evaluating(trainer.model):
        sums, hidden = forward(trainer, trainer.model, batch, response, aside)
    with as_reference(trainer):
        reference, reference_hidden = forward(trainer, trainer.model, batch, response, aside)
        divergence = chunked_kl(head_of(trainer), hidden, reference_hidden, trainer.kl_chunk)
    kept = response_positions(part_of(batch, rows))
    kl = torch.zeros(kept.shape, device=sums.device).masked_scatter(kept, divergence).sum(1) / batch["tokens"][:, CHOSEN]
    return np.column_stack([_by_pair(batch, sums) - _by_pair(batch, reference), kl.cpu().numpy()])


def _means(values: np.ndarray) -> dict[str, Any]:
    chosen, rejected, kl = (round(float(value), 6) for value in values.astype(np.float64).mean(0))
    margin = round(float((values[:, CHOSEN] - values[:, REJECTED]).astype(np.float64).mean()), 6)
    return {
        "rows": len(values),
        "kl_nats_per_token": kl,
        "chosen_ratio_nats": chosen,
        "rejected_ratio_nats": rejected,
        "margin_nats": margin,
    }


def values_digest(values: np.ndarray) -> str:
    """Digest of cached log-probabilities, whatever byte order the machine has."""
    return digest_bytes(values.astype("<f4").tobytes())
