"""A tiny base that knows the micro-world: word-level tokenizer and a Llama pretrained from scratch on generated text."""

from __future__ import annotations

from pathlib import Path

from truing.core.seeds import stream
from truing.models.pretrain import TinyParams, pretrain
from truing.models.sources import BaseFacts, BuildContext, base_source
from truing.models.tokenizers import word_level
from truing.world.pretraining import pretraining_documents
from truing.world.world import World


class WorldBaseParams(TinyParams):
    """Which world to learn, and how.

    Attributes:
        world_seed: Seed of the world; a corpus of the same world must name the same one.
    """

    world_seed: int = 0


@base_source("world", WorldBaseParams)
def build(cfg: WorldBaseParams, target: Path, context: BuildContext) -> BaseFacts:
    """Generate the world's text, pretrain on it and save model and tokenizer into `target`."""
    world = World.generate(cfg.world_seed)
    text = stream(context.root_seed, "base", cfg.seed, "text")
    documents = pretraining_documents(world, text, cfg.tokens)
    return BaseFacts(training=pretrain(word_level(world.vocabulary), documents, cfg, context.root_seed, target))
