"""Judges that are Python predicates: exact, free, and in need of no request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from truing.core.errors import Exit, TruingError
from truing.core.files import Row
from truing.judges import JudgeContext, Verdict

NONE = "n/a"


@dataclass(frozen=True)
class Rule:
    """A judge made of one function.

    Attributes:
        name: Its registered name.
        decide: Parameters, item and answer to a verdict.
        vocabulary: The words that it may say.
        max_missing_share: Largest share of failures under which there is an estimate.
    """

    name: str
    decide: Callable[[Any, Row, Row], Verdict]
    vocabulary: tuple[str, ...]
    max_missing_share: float = 0.2

    def facts(self, cfg: Any) -> Row:
        """A rule reads the answer itself: there is no model, prompt or sampling."""
        return {
            "model": NONE,
            "prompt_digest": None,
            "policy_digest": None,
            "sampling": NONE,
            "parser": cfg.model_dump(mode="json"),
            "filter": NONE,
            "vocabulary": list(self.vocabulary),
            "max_missing_share": self.max_missing_share,
        }

    def judgements(self, cfg: Any, context: JudgeContext) -> Iterator[Row]:
        """One row for every answer.

        Raises:
            TruingError: an answer belongs to no item, or the function says a word outside its vocabulary.
        """
        by_id = {item["item_id"]: item for item in context.items()}
        for answer in context.answers():
            found = self.decide(cfg, item_of(by_id, answer, context.key), answer)
            if found.verdict is not None and found.verdict not in self.vocabulary:
                raise TruingError(f"judge {self.name} says {found.verdict!r}", f"one of {', '.join(self.vocabulary)}", "mend the rule")
            yield row(self.name, answer, found)


def item_of(by_id: dict[str, Row], answer: Row, key: str) -> Row:
    """The item of an answer.

    Raises:
        TruingError: exit 3, for an answer to an unknown item.
    """
    if answer["item_id"] not in by_id:
        raise TruingError(
            f"{key}: an answer names the unknown item {answer['item_id']!r}",
            "answers and items of one run",
            "run the respond stage again",
            Exit.REFUSED,
        )
    return by_id[answer["item_id"]]


def row(judge: str, answer: Row, verdict: Verdict, **asked: Any) -> Row:
    """A row of schemas/judgement.schema.json; `asked` holds what a judge that was asked adds."""
    nothing = dict.fromkeys(("judge_model", "prompt_digest", "policy_digest", "request", "raw_reply", "cost_usd"))
    identity = {name: answer[name] for name in ("item_id", "arm", "seed", "sample")}
    said = {"judge": judge, "verdict": verdict.verdict, "score": verdict.score, "failure": verdict.failure}
    return {**nothing, **identity, **said, **asked}
