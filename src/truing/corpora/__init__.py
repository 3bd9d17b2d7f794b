"""Where text comes from: one module per source, found by its name, and what every source accepts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from truing.contracts.task import Task
from truing.core.files import Row
from truing.core.registry import Params, Registry


class SplitParams(Params):
    """One named part of a corpus that is cut in parts by its text.

    Every corpus of one source that names the same `of` sees the same cut, so that its parts are disjoint.

    Attributes:
        name: The part to keep; a key of `of`.
        of: Share of the rows of each part, by name; the shares add up to 1.
    """

    name: str
    of: dict[str, Annotated[float, Field(gt=0, le=1)]]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.name not in self.of:
            raise ValueError(f"part {self.name!r} is not one of {', '.join(self.of)}")
        if abs(sum(self.of.values()) - 1) > 1e-9:
            raise ValueError(f"the shares add up to {sum(self.of.values()):g}, not to 1")
        return self


class CommonParams(Params):
    """What every corpus source accepts, applied in this order: rows, split, max_rows, then the checks.

    Attributes:
        rows: `[start, stop)` of the source's rows, counted from 0.
        split: Keep one part of a seeded cut by text.
        max_rows: At most so many rows, drawn by a seeded sample that keeps the shares of labels, or of metadata.category without any.
        on_overlap: What a text that is also among the held-out items does: fail the build, or drop the row.
        near_threshold: Jaccard similarity of word 3-shingles from which two texts count as one.
        audit: What a label audit that flags the declared map does: fail the build, or warn in the card.
        class_share: Smallest and largest share of the rows that any class may hold.
    """

    rows: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] | None = None
    split: SplitParams | None = None
    max_rows: Annotated[int, Field(ge=1)] | None = None
    on_overlap: Literal["fail", "drop"] = "fail"
    near_threshold: Annotated[float, Field(ge=0.3, le=1)] = 0.8
    audit: Literal["fail", "warn"] = "fail"
    class_share: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (0.005, 0.95)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.rows is not None and self.rows[0] >= self.rows[1]:
            raise ValueError(f"rows {list(self.rows)}: start must lie before stop")
        if self.class_share[0] > self.class_share[1]:
            raise ValueError(f"class_share {list(self.class_share)}: the smallest share must not exceed the largest")
        return self


@dataclass(frozen=True)
class Answered:
    """Answers of a model that a corpus is made of.

    Attributes:
        items: What was asked: rows of schemas/item.schema.json.
        answers: What was answered: rows of schemas/answer.schema.json.
        base: Key of the base that answered.
        base_digest: Digest of its files.
        adapters: Digests of the adapters that answered, by seed; empty for the base itself.
    """

    items: Sequence[Row]
    answers: Sequence[Row]
    base: str
    base_digest: str
    adapters: Mapping[str, str]


@dataclass(frozen=True)
class CorpusContext:
    """What surrounds the building of one corpus.

    Attributes:
        key: The corpus' key in the plan; errors name it.
        root_seed: Root of every random stream.
        project: Folder that relative source paths are resolved against.
        answered: Answers that the plan hands to the corpus; None where it hands none.
    """

    key: str
    root_seed: int
    project: Path
    answered: Answered | None = None


@dataclass(frozen=True)
class CorpusDraft:
    """What a source gives: its rows and what only the source knows about them.

    Attributes:
        rows: Corpus rows (schemas/corpus_row) in source order; read once.
        task: The closed label set and the prompt, or None when the corpus has none.
        licence: Licence of the text, in words.
        source_revision: Pinned upstream revision, the source file's sha256, or None for generated text.
        redistribution: Whether the text may be published again.
        notes: What a reader of the card should know (rows that the source had to leave out, ...).
        audit_words: Further words that speak for a label, by label name; used by the label audit only.
        restricted: Why no model trained on the corpus may be deployed; None where there is no such reason.
        gold: Whether the rows carry labels of the task; False for texts that are only asked about.
        parts: Cards of the corpora that this one is put together from, by name.
    """

    rows: Iterable[Row]
    task: Task | None
    licence: str
    source_revision: str | None
    redistribution: bool
    notes: tuple[str, ...] = ()
    audit_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    restricted: str | None = None
    gold: bool = True
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def labelled(self) -> Task | None:
        """The task whose labels the rows carry."""
        return self.task if self.gold else None


class CorpusSource(Protocol):
    """Read or generate the rows of one corpus."""

    def __call__(self, cfg: Any, context: CorpusContext, /) -> CorpusDraft:
        """Draft the corpus; `cfg` is an instance of the params that the source was registered with (a CommonParams)."""
        ...


corpus: Registry[CorpusSource] = Registry("corpus", "truing.corpora")
