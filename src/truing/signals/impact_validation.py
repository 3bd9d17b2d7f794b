"""What training on a part of the pairs really does to the gold loss: the other side of the linear datamodelling score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from truing.core.seeds import stream
from truing.models.impact_answers import Answer, log_likelihoods
from truing.models.impact_gradients import trainable
from truing.models.loading import evaluating
from truing.signals import SignalContext
from truing.signals.impact_gold import AGREE, INVERT, PUNISH, Gold
from truing.signals.impact_params import ImpactParams
from truing.signals.impact_scoring import Scoring

if TYPE_CHECKING:
    import torch

# A pair as it is trained on: its category, chosen and rejected.
Pair = tuple[str, Answer, Answer]


def pair_losses(categories: Sequence[str], ratios: torch.Tensor, beta: float, *, prefactor: bool) -> torch.Tensor:
    """Each pair's own loss [pairs] from the log-ratios of its answers [pairs, 2 (chosen, rejected)].

    The sigmoid loss promotes the rejected answer of INVERT and the chosen one of AGREE and NEUTRAL; NPO makes both of PUNISH rarer.
    """
    import torch
    from torch.nn.functional import logsigmoid

    signs = torch.tensor([-1.0 if category == INVERT else 1.0 for category in categories]).to(ratios)
    relational = -logsigmoid(beta * signs * (ratios[:, 0] - ratios[:, 1]))
    rarer = -(2 / beta if prefactor else 1.0) * logsigmoid(-beta * ratios).sum(dim=1)
    punished = torch.tensor([category == PUNISH for category in categories], device=ratios.device)
    return torch.where(punished, rarer, relational)


@dataclass(frozen=True)
class Retraining:
    """Trainings on parts of the scored pairs, all from the first seed's start.

    Attributes:
        cfg: Parameters of the signal.
        context: Its context.
        gold: Its gold pairs.
        rate: Learning rate.
        epochs: Passes over a part.
        batch_size: Pairs of a step.
        optimizer: "sgd" is what impact under the identity speaks of; "adamw" is what training does.
    """

    cfg: ImpactParams
    context: SignalContext
    gold: Gold
    rate: float
    epochs: int = 1
    batch_size: int = 8
    optimizer: Literal["sgd", "adamw"] = "adamw"

    def __call__(self, part: Sequence[int]) -> list[float]:
        """By how much training on the pairs of these numbers, counted among the scored ones, lowers the gold loss, nats."""
        import torch

        model = self._model
        pairs = [self._pairs[index] for index in part]
        with evaluating(model), trainable(model) as parameters:
            before = [value.detach().clone() for value in parameters.values()]
            try:
                self._train(pairs, list(parameters.values()))
                after = self._gold_loss()
            finally:
                with torch.no_grad():
                    for value, start in zip(parameters.values(), before, strict=True):
                        value.copy_(start)
        # Log 2 a pair is the gold loss at the start, where every ratio is zero.
        return [float(np.log(2.0)) - after]

    def _train(self, pairs: Sequence[Pair], parameters: Sequence[Any]) -> None:
        import torch

        optimizer = (torch.optim.SGD if self.optimizer == "sgd" else torch.optim.AdamW)(parameters, lr=self.rate)
        rng = stream(self.context.root_seed, "impact", "retraining")
        for _ in range(self.epochs):
            order = rng.permutation(len(pairs)).tolist()
            for start in range(0, len(order), self.batch_size):
                batch = [pairs[index] for index in order[start : start + self.batch_size]]
                with torch.enable_grad():
                    self._losses(batch).mean().backward()
                optimizer.step()
                optimizer.zero_grad()

    def _losses(self, batch: Sequence[Pair]) -> torch.Tensor:
        answers = [answer for _, *both in batch for answer in both]
        ratios = (log_likelihoods(self._model, answers) - self._reference(answers)).reshape(-1, 2)
        return pair_losses([category for category, *_ in batch], ratios, self.cfg.beta, prefactor=self.cfg.npo_prefactor)

    def _gold_loss(self) -> float:
        import torch

        with torch.no_grad():
            losses = [self._losses(self._gold_pairs[start : start + 16]) for start in range(0, len(self._gold_pairs), 16)]
        return float(torch.cat(losses).mean())

    def _reference(self, answers: Sequence[Answer]) -> torch.Tensor:
        """Log-likelihoods at the start, which is the reference; remembered."""
        import torch

        return torch.tensor([self._references[answer.digest] for answer in answers], device=self._model.device)

    @cached_property
    def _references(self) -> dict[str, float]:
        import torch

        answers = {answer.digest: answer for _, *both in [*self._pairs, *self._gold_pairs] for answer in both}
        with torch.no_grad():
            return {name: float(log_likelihoods(self._model, [answer])) for name, answer in answers.items()}

    @cached_property
    def _scoring(self) -> Scoring:
        return Scoring(self.cfg, self.context, self.gold)

    @cached_property
    def _model(self) -> Any:
        seed, adapter = next(iter(self.context.adapters), (0, None))
        return self._scoring.model(seed, adapter)

    @cached_property
    def _pairs(self) -> list[Pair]:
        scored = self._scoring.scored()
        return [(category, *self._scoring.answers(row)) for row, category in scored]

    @cached_property
    def _gold_pairs(self) -> list[Pair]:
        pairs = [pair for batch in self.gold.batches for pair in batch]
        return [(AGREE, *self._scoring.gold_answers(pair)) for pair in pairs]
