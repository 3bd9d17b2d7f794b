"""The trainer of preference pairs: TRL's, with roles, weights and a reference that is the model without its adapter.

`trl.DPOTrainer` (1.16) cannot carry these rows, whatever it is configured to do. Its preparation cannot be skipped and drops every column
but the two answers; one list of losses holds for the whole batch, so a row has no role; its weights are the policy's probabilities, not a
manifest's; each row must have both answers scored; and none of its losses is a divergence over the vocabulary. What it does do, the fused
head's log-probabilities and the switched-off adapter as the reference, comes from the libraries here too. So the parent is the one that the
recipe `sft` has, `trl.SFTTrainer`, and what differs is its loss and the order of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from truing.models.chat import Tokens
from truing.models.loading import evaluating
from truing.train.examples import IGNORED
from truing.train.losses import Pairs
from truing.train.losses.kl import chunked_kl
from truing.train.objective import Objective
from truing.train.pairs import TRAINABLE, PairSet
from truing.train.trainer import only_positions

if TYPE_CHECKING:
    import numpy as np
    import torch

CHOSEN, REJECTED = 0, 1
_INVERT = TRAINABLE.index("invert")
Batch = dict[str, Any]


class Wanted(NamedTuple):
    """What is computed of a pair: log-probabilities of its answers, and the divergence on the chosen one."""

    chosen: bool
    rejected: bool
    kl: bool


def wanted(objective: Objective, role: str) -> Wanted:
    """What the losses of a role read, by answer: `invert` promotes the rejected one."""
    needs = objective.needs(role)
    chosen, rejected = ("demoted", "promoted") if role == "invert" else ("promoted", "demoted")
    return Wanted(chosen in needs, rejected in needs, "kl" in needs)


def wanted_of_reference(objective: Objective, role: str) -> Wanted:
    """What the losses of a role read of the reference but for the divergence, which is computed beside the policy."""
    both = wanted(objective, role)
    return both._replace(kl=False) if "reference" in objective.needs(role) else Wanted(chosen=False, rejected=False, kl=False)


@dataclass
class Tally:
    """What a run counts as it goes; it is saved with every checkpoint.

    Attributes:
        multiplier: Factor of the kl terms' weights.
        trained_tokens: Response tokens that a loss was computed on so far, over all processes.
        window: Sums over the current optimizer step of this process: tokens, kl values, and how many of them.
    """

    multiplier: float = 1.0
    trained_tokens: int = 0
    window: list[torch.Tensor] = field(default_factory=list)


@dataclass
class _Sequences:
    """The sequences of a batch, as pairs put theirs in."""

    answers: list[Tokens] = field(default_factory=list)
    scored: list[bool] = field(default_factory=list)
    kl: list[bool] = field(default_factory=list)

    def add(self, pairs: PairSet, index: int, want: Wanted) -> tuple[int, int]:
        """Put in what is wanted of a pair; return the places of its two answers, -1 for one that is not."""
        return self._put(pairs.chosen[index], want.chosen, want.kl), self._put(pairs.rejected[index], want.rejected, False)

    def _put(self, answer: Tokens, score: bool, diverge: bool) -> int:
        if not (score or diverge):
            return -1
        self.answers.append(answer)
        self.scored.append(score)
        self.kl.append(diverge)
        return len(self.answers) - 1


def collator(pairs: PairSet, want: Callable[[str], Wanted], pad_token_id: int, *, always_kl: bool) -> Callable[[Sequence[Any]], Batch]:
    """A collator of rows {"index": i}: the wanted answers of these pairs as one batch of sequences, padded on the right.

    Args:
        pairs: The pairs.
        want: What is computed of a pair of a role.
        pad_token_id: Filler.
        always_kl: Compute the divergence on one sequence even where no pair wants it, so that every process does the same passes.
    """
    import torch

    def collate(rows: Sequence[Any]) -> Batch:
        members = [int(row["index"]) for row in rows]
        taken = _Sequences()
        places = [taken.add(pairs, index, want(pairs.roles[index])) for index in members]
        answers, scored, kl = taken.answers, taken.scored, taken.kl
        if always_kl and not any(kl):
            kl[0] = True
        width = max(len(answer.ids) for answer in answers)
        ids = [[*answer.ids, *[pad_token_id] * (width - len(answer.ids))] for answer in answers]
        attention = [[1] * len(answer.ids) + [0] * (width - len(answer.ids)) for answer in answers]
        # Position t predicts token t + 1, so a response's mask is shifted by one; the last position predicts nothing.
        targets = [[token if on else IGNORED for token, on in zip(answer.ids[1:], answer.mask[1:], strict=True)] for answer in answers]
        roles = torch.tensor([TRAINABLE.index(pairs.roles[index]) for index in members])
        lengths = [[sum(pairs.chosen[index].mask[1:]), sum(pairs.rejected[index].mask[1:])] for index in members]
        return {
            "input_ids": torch.tensor(ids),
            "attention_mask": torch.tensor(attention),
            "targets": torch.tensor([[*row, *[IGNORED] * (width - len(row))] for row in targets]),
            "scored": torch.tensor(scored),
            "kl_rows": torch.tensor([number for number, on in enumerate(kl) if on], dtype=torch.long),
            "places": torch.tensor(places),
            "tokens": torch.tensor(lengths, dtype=torch.float32),
            "weight": torch.tensor(pairs.weights[members], dtype=torch.float32),
            "index": torch.tensor(members),
            # The library counts the labels of a step: one a pair. It would shift them if they were not given as shifted.
            "labels": roles,
            "shift_labels": roles,
        }

    return collate


def response_positions(batch: Batch) -> torch.Tensor:
    """Positions that predict a response token: a mask [sequences, width]."""
    return batch["targets"] != IGNORED


def forward(trainer: Any, model: Any, batch: Batch, scored: torch.Tensor, aside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of the targets summed over the scored positions of each sequence [s], and hidden states set aside [m, width]."""
    import torch

    backbone = trainer.accelerator.unwrap_model(trainer.model).get_base_model().base_model
    with only_positions(backbone, scored, aside) as hidden:
        outputs = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            shift_labels=batch["targets"][scored].unsqueeze(0),
            fused_lm_head=True,
        )
    log_probs = outputs.log_probs.squeeze(0).float()
    # By position rather than by an indexed sum, whose order of additions a GPU does not fix.
    return torch.zeros(scored.shape, device=log_probs.device).masked_scatter(scored, log_probs).sum(1), hidden[0]


class AdapterSwitch:
    """Switches a model's adapter off and on again, in every layer that has one.

    `PeftModel.disable_adapter` first asks the state of every module, which takes longer than the pass of a small model.

    Args:
        model: A `peft.PeftModel`.
    """

    def __init__(self, model: Any) -> None:
        import torch
        from peft.tuners.tuners_utils import BaseTunerLayer
        from peft.utils.other import AuxiliaryTrainingWrapper

        self.layers = [module for module in model.modules() if isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper))]
        inside = {id(part) for layer in self.layers for part in layer.modules()}
        outside = (module for module in model.modules() if id(module) not in inside)
        rates = [value for key, value in model.config.get_text_config().to_dict().items() if "drop" in key and isinstance(value, float)]
        # Whether the model without its adapter drops anything in training mode.
        self.noisy = any(rates) or any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in outside)

    @contextmanager
    def off(self) -> Iterator[None]:
        """While open, the adapter is off."""
        for layer in self.layers:
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in self.layers:
                layer.enable_adapters(True)


@contextmanager
def as_reference(trainer: Any) -> Iterator[None]:
    """While open, the model is the reference: its adapter off, dropout off, no gradient."""
    import torch

    quiet = evaluating(trainer.model) if trainer.switch.noisy else nullcontext()
    with torch.no_grad(), quiet, trainer.switch.off():
        yield


def head_of(trainer: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Hidden states to logits, as the model's own forward computes them: head, scale, soft cap."""
    model = trainer.accelerator.unwrap_model(trainer.model).get_base_model()
    config = model.config.get_text_config()
    scale, cap = getattr(config, "logit_scale", None), getattr(config, "final_logit_softcapping", None)
    divisor = getattr(config, "logits_scaling", None)
    factor = (1.0 if scale is None else scale) / (1.0 if divisor is None else divisor)

    def head(hidden: torch.Tensor) -> torch.Tensor:
        logits = model.get_output_embeddings()(hidden) * factor
        return logits if cap is None else cap * (logits / cap).tanh()

    return head


def part_of(batch: Batch, rows: torch.Tensor) -> Batch:
    """The sequences of a batch that `rows` names, without what is said of pairs."""
    return {key: batch[key][rows] for key in ("input_ids", "attention_mask", "targets")}


def policy_pairs(trainer: Any, model: Any, batch: Batch, reference: torch.Tensor, chunk: int) -> Pairs:
    """The pairs of a batch under the policy, in one forward pass, and the divergence from the reference in one more of its rows alone.

    Args:
        trainer: Of the model.
        model: The policy as its trainer wraps it.
        batch: Of `collator`.
        reference: The reference's log-probabilities of the pairs of this batch [n, 2].
        chunk: Positions that have logits at a time.
    """
    import torch

    response, rows = response_positions(batch), batch["kl_rows"]
    aside = torch.zeros_like(response)
    aside[rows] = response[rows]
    sums, hidden = forward(trainer, model, batch, response & batch["scored"].unsqueeze(1), aside)
    kl = torch.full_like(sums, torch.nan)
    if len(rows):
        part = part_of(batch, rows)
        kept = response_positions(part)
        with as_reference(trainer):
            _, reference_hidden = forward(trainer, trainer.model, part, torch.zeros_like(kept), kept)
        divergence = chunked_kl(head_of(trainer), hidden, reference_hidden, chunk)
        kl = kl.index_copy(0, rows, torch.zeros(kept.shape, device=kl.device).masked_scatter(kept, divergence).sum(1))
    return _pairs(batch, sums, kl, reference)


def _pairs(batch: Batch, sums: torch.Tensor, kl: torch.Tensor, reference: torch.Tensor) -> Pairs:
    import torch

    absent = torch.full_like(sums[:1], torch.nan)
    # Place -1, an answer that is not in the batch, is the last entry: missing is NaN.
    scores = torch.cat([torch.where(batch["scored"], sums, torch.nan), absent])[batch["places"]]
    divergence = torch.cat([kl, absent])[batch["places"][:, CHOSEN]]
    inverted = (batch["labels"] == _INVERT).unsqueeze(1)

    def by_preference(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ordered = torch.where(inverted, values.flip(1), values)
        return ordered[:, 0], ordered[:, 1]

    promoted, demoted = by_preference(scores)
    promoted_reference, demoted_reference = by_preference(reference)
    promoted_tokens, demoted_tokens = by_preference(batch["tokens"])
    return Pairs(
        promoted=promoted,
        demoted=demoted,
        promoted_reference=promoted_reference,
        demoted_reference=demoted_reference,
        promoted_tokens=promoted_tokens,
        demoted_tokens=demoted_tokens,
        chosen_kl=divergence,
        chosen_tokens=batch["tokens"][:, CHOSEN],
    )


@cache
def pair_trainer() -> Any:
    """The subclass of `trl.SFTTrainer` for pairs. its attributes are set on an instance."""
    from trl import SFTTrainer

    class PairTrainer(SFTTrainer):
        switch: AdapterSwitch
        objective: Objective
        tally: Tally
        order: Callable[[int], np.ndarray]
        kl_chunk: int
        reference: torch.Tensor  # log-probabilities of every pair's answers [rows, 2]

        def compute_loss(self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            pairs = policy_pairs(self, model, inputs, self.reference[inputs["index"]], self.kl_chunk)
            values, divergence = self.objective(pairs, inputs["labels"], self.tally.multiplier)
            self.tally.window.append(_counted(inputs, divergence))
            count = len(values) if num_items_in_batch is None else num_items_in_batch
            loss = (values * inputs["weight"]).sum() / count
            # Ranks average their gradients, while the count of pairs is that of all ranks.
            loss = loss * self.accelerator.num_processes if self.args.average_tokens_across_devices else loss
            return (loss, {"losses": values.detach()}) if return_outputs else loss

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return EpochSampler(self.order, len(self.train_dataset))

    return PairTrainer


def _counted(batch: Batch, divergence: torch.Tensor) -> torch.Tensor:
    """Tokens, sum of kl values and their count of one micro-batch [3], in float64."""
    import torch

    present = ~divergence.isnan()
    used = batch["scored"].clone()
    used[batch["kl_rows"]] = True
    tokens = (response_positions(batch) & used.unsqueeze(1)).sum()
    return torch.stack([tokens.double(), divergence.double().nan_to_num(0.0).sum(), present.sum().double()])


class EpochSampler:
    """Rows in the order of their epoch. The libraries tell it the epoch, and split its batches over processes.

    Args:
        order: Epoch to indices.
        length: Rows an epoch.
    """

    def __init__(self, order: Callable[[int], np.ndarray], length: int) -> None:
        self.order = order
        self.length = length
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next pass is."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(self.epoch).tolist())

    def __len__(self) -> int:
        return self.length
