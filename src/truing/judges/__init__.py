"""Judges: verdicts on answers, parsed against a closed vocabulary; unparsable is missing, never a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from truing.core.files import Row
from truing.core.registry import Registry

if TYPE_CHECKING:
    from truing.judges.cache import ReplyCache


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one answer.

    Attributes:
        verdict: A word of the judge's closed vocabulary; None when the judge failed or gives a number only.
        score: A number the verdict stands for, if it stands for one.
        failure: Why there is no verdict, as a failure class of `schemas/judgement.schema.json`.
    """

    verdict: str | None
    score: float | None
    failure: str | None = None


@dataclass(frozen=True)
class JudgeContext:
    """What a judge is given.

    Attributes:
        key: Key of the node; errors name it.
        root_seed: Root of every random stream.
        items: Iterates over the items, anew at every call.
        answers: Iterates over the answers, anew at every call.
        cache: Replies of earlier runs; None for a judge that asks nobody.
        share: Part of a whole run's budget that this node may spend.
        progress: Whether to show how far it is.
    """

    key: str
    root_seed: int
    items: Callable[[], Iterator[Row]]
    answers: Callable[[], Iterator[Row]]
    cache: ReplyCache | None = None
    share: float = 1.0
    progress: bool = False


class Judge(Protocol):
    """A plug-in: the words it may say, what identifies it, and its verdicts."""

    def facts(self, cfg: Any) -> Row:
        """What identifies the judge: model, prompt and policy digests, sampling, parser, filter, vocabulary, greatest missing share."""
        ...

    def judgements(self, cfg: Any, context: JudgeContext) -> Iterator[Row]:
        """One row of schemas/judgement.schema.json for every answer, in the order of the answers."""
        ...


judge: Registry[Judge] = Registry("judge", "truing.judges")
