"""Scores of a corpus' answers at one model after another: gold directions, curvature, batches, and what is kept of them on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truing.core.digests import digest_file, source_digest
from truing.core.environment import versions
from truing.core.errors import TruingError
from truing.core.files import Row
from truing.core.seeds import derive_seed, stream
from truing.models.gates import Stack, gated
from truing.models.impact_answers import Answer, by_length, encode_answers
from truing.models.impact_checkpoints import open_checkpoint
from truing.models.impact_curvature import adam_diagonal, datainf
from truing.models.impact_gradients import Gradient, likelihood_gradient, stacked
from truing.models.impact_store import ScoreStore, Shard, identity_folder
from truing.models.loading import BASE_FILE, adapter_digest, load_tokenizer
from truing.signals import SignalContext
from truing.signals.compute import chunks
from truing.signals.impact_gold import Gold, GoldPair, categorised
from truing.signals.impact_params import ImpactParams, is_scored

Floats = NDArray[np.float64]

# Pairs that are sorted by length together. Fixed, so that batches, and with them the last bits, depend on the corpus alone.
WINDOW = 2048


class Scoring:
    """The scored pairs of a corpus along the gold directions of a model.

    Args:
        cfg: Parameters of the signal.
        context: The corpus, its categories and the base.
        gold: The gold pairs.

    Attributes:
        cut: Answers that lost their end, of those that were scored last.
    """

    def __init__(self, cfg: ImpactParams, context: SignalContext, gold: Gold) -> None:
        self.cfg, self.context, self.gold = cfg, context, gold
        self.cut = 0

    def scored(self) -> Iterator[tuple[Row, str]]:
        """The pairs that are scored, with their categories, in the order of the corpus."""
        for row, category in categorised(self.context):
            if is_scored(self.cfg, self.gold, row["doc_id"], category):
                yield row, category

    def scores(self, seed: int, adapter: Path | None, shard: Shard | None = None) -> Floats:
        """Scores [pairs, 2 (chosen, rejected), K] at one model; NaN where another shard's batches are not on disk yet."""
        shard = shard or Shard()
        model = self.model(seed, adapter)
        store = ScoreStore(identity_folder(self.context.scratch, self._identity(seed, adapter)))
        directions = store.directions()
        if directions is None:
            directions = self._directions(model)
            store.keep_directions(directions)
        directions = {name: value.to(model.device) for name, value in directions.items()}
        parts: list[Floats] = []
        number = cut = 0
        with gated(model, directions) as score:
            for window in chunks(self.scored(), WINDOW):
                answers = [answer for row, _ in window for answer in self.answers(row)]
                cut += sum(answer.cut for answer in answers)
                found = np.full((len(answers), len(self.gold.batches)), np.nan)
                for batch in by_length(answers, self.cfg.batch_size):
                    kept = _batch(store, [answers[index] for index in batch], score, compute=shard.takes(number))
                    number += 1
                    if kept is not None:
                        found[batch] = kept
                parts.append(found.reshape(len(window), 2, -1))
        self.cut = cut
        return np.concatenate(parts) if parts else np.zeros((0, 2, len(self.gold.batches)))

    def model(self, seed: int, adapter: Path | None) -> Any:
        """The model that a seed's impact is measured at."""
        cfg = self.cfg
        return open_checkpoint(self._base, adapter, start=cfg.adapter, seed=self._init_seed(seed), lora=cfg.lora, precision=cfg.precision)

    def answers(self, row: Row) -> tuple[Answer, Answer]:
        """The chosen and the rejected answer of a pair as tokens."""
        return encode_answers(self._tokenizer, row["prompt"], (row["chosen"], row["rejected"]), str(row["doc_id"]), self.cfg.max_length)

    def gold_answers(self, pair: GoldPair) -> tuple[Answer, Answer]:
        """The better and the worse answer of a gold pair as tokens."""
        return encode_answers(self._tokenizer, pair.prompt, (pair.better, pair.worse), pair.name, self.cfg.max_length)

    @property
    def _base(self) -> Path:
        if self.context.base is None:
            where = f"signal {self.context.key}"
            raise TruingError(f"{where}: no model", "a base, and every seed of the model in use", "give the signal a model")
        return self.context.base

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._base)

    def _init_seed(self, seed: int) -> int:
        return derive_seed(self.context.root_seed, "impact", "init", seed)

    def _identity(self, seed: int, adapter: Path | None) -> list[Any]:
        """All that decides a score but the answer's own tokens."""
        settings = self.cfg.model_dump(mode="json", exclude={"batch_size", "draws"})
        model = [digest_file(self._base / BASE_FILE), None if adapter is None else adapter_digest(adapter), self._init_seed(seed)]
        sample = [row["doc_id"] for row, _ in self._curvature_rows] if self.cfg.curvature != "identity" else []
        return [settings, model, self.gold.facts["digest"], sample, source_digest("models", "signals"), dict(versions())]

    def _directions(self, model: Any) -> Stack:
        """Minus the gradient of each gold batch's loss, divided by the curvature: K directions."""
        half = self.cfg.beta / 2
        found = [self._gold_gradient(model, index, half) for index in range(len(self.gold.batches))]
        directions = stacked(found)
        if self.cfg.curvature == "adam":
            # The gold gradients are among them, so that no coordinate is divided by nothing.
            return adam_diagonal(directions, [*found, *self._pair_gradients(model)])
        if self.cfg.curvature == "datainf":
            return datainf(directions, lambda: self._pair_gradients(model), damping=self.cfg.damping)
        return directions

    def _gold_gradient(self, model: Any, index: int, half: float) -> Gradient:
        batch = self.gold.batches[index]
        answers = [answer for pair in batch for answer in self.gold_answers(pair)]
        factors = [half / len(batch), -half / len(batch)] * len(batch)
        return likelihood_gradient(model, answers, factors, batch_size=self.cfg.batch_size)

    def _pair_gradients(self, model: Any) -> Iterable[Gradient]:
        coefficients = self.cfg.coefficients()
        for row, category in self._curvature_rows:
            yield likelihood_gradient(model, self.answers(row), coefficients[category])

    @cached_property
    def _curvature_rows(self) -> list[tuple[Row, str]]:
        """A seeded draw of the scored pairs."""
        ids = sorted(row["doc_id"] for row, _ in self.scored())
        rng = stream(self.context.root_seed, "impact", "curvature")
        drawn = {ids[index] for index in rng.permutation(len(ids))[: self.cfg.curvature_pairs].tolist()}
        return [(row, category) for row, category in self.scored() if row["doc_id"] in drawn]


def _batch(store: ScoreStore, batch: Sequence[Answer], score: Callable[[Sequence[Answer]], Floats], *, compute: bool) -> Floats | None:
    kept = store.get(batch)
    if kept is None and compute:
        kept = score(batch)
        store.put(batch, kept)
    return kept
