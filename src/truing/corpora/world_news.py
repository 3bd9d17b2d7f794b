"""News of the embedded micro-world: generated, so that what a reweighting can and cannot mend is known by design.

A quarter of the documents tells nothing of its topic and is mostly labelled with the first class; most of those open
by naming a class. A model learns from them to answer the first class when it knows nothing, and a strategy that looks
for mentions can find them. Without such openings (`mention` 0) it can't: the negative control.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from truing.core.files import Row
from truing.core.seeds import stream
from truing.corpora import CommonParams, CorpusContext, CorpusDraft, corpus
from truing.world.news import NewsDesign, NewsDocument, news_documents
from truing.world.world import World

NAME = "world_news"
LICENCE = "CC0-1.0: generated text"


class WorldNewsParams(CommonParams):
    """Which world, and how its news are composed.

    Attributes:
        world_seed: Seed of the world; the base must name the same one.
        documents: Number of documents.
        stream: Which third of all texts to draw from; two streams never share a text.
        draw: Varies the documents of a stream.
        low_signal: Share of documents without any topic word.
        low_signal_default: Share of those that are labelled with the first class; the rest falls evenly on the others.
        mention: Share of low-signal documents that open with "<label word> desk" of their own class.
        ordinary_mention: The same share among the ordinary documents.
        balance: What holds equally many documents of each class: the whole corpus, or its ordinary documents.
    """

    world_seed: int = 0
    documents: int = Field(1200, ge=4)
    stream: Literal["train", "dev", "eval"] = "train"
    draw: int = 0
    low_signal: float = Field(0.25, ge=0, lt=1)
    low_signal_default: float = Field(0.85, ge=0, le=1)
    mention: float = Field(0.8, ge=0, le=1)
    ordinary_mention: float = Field(0.1, ge=0, le=1)
    balance: Literal["overall", "ordinary"] = "overall"

    def design(self) -> NewsDesign:
        """The parameters as the world's generator takes them."""
        return NewsDesign(
            rows=self.documents,
            low_signal=self.low_signal,
            low_signal_default=self.low_signal_default,
            mention=self.mention,
            ordinary_mention=self.ordinary_mention,
            balance=self.balance,
            split=self.stream,
        )


@corpus(NAME, WorldNewsParams)
def world_news(cfg: WorldNewsParams, context: CorpusContext) -> CorpusDraft:
    """Generated news with their topic; metadata says which documents tell nothing and which open by naming a class.

    Corpora that differ in `mention` alone hold the same classes in the same order.
    """
    world = World.generate(cfg.world_seed)
    rng = stream(context.root_seed, "corpus", NAME, cfg.world_seed, cfg.stream, cfg.draw)
    rows = _rows(news_documents(world.lexicon, rng, cfg.design()), cfg.stream)
    return CorpusDraft(rows, world.task, LICENCE, None, redistribution=True, audit_words=world.lexicon.topics)


def _rows(documents: Iterator[NewsDocument], part: str) -> Iterator[Row]:
    for number, document in enumerate(documents):
        yield {
            "doc_id": f"{NAME}-{part}-{number:05d}",
            "source": NAME,
            "text": document.text,
            "label": document.label,
            "metadata": {"low_signal": document.low_signal, "mention": document.mention},
        }
