"""One JSON object, of which a named key holds a word of the vocabulary or a number of the scale."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from pydantic import Field, model_validator

from truing.core.registry import Params
from truing.judges import Verdict
from truing.judges.parsers import Exits, Scale, Scores, Vocabulary, WordSpec, failed, parser, unreadable
from truing.judges.requests import Reply

_FENCE = "```"
_FRACTION = re.compile(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*")


class JsonSpec(Params):
    """Where in the object the verdict stands and what it may be.

    Attributes:
        key: Key of the verdict.
        vocabulary: Its words; or
        scale: its numbers, whole or not.
        scores: Number of a word.
        exits: Words that say why there is no verdict.
        exit_key: Key that holds an exit, or `no_exit`, where exits stand apart from the verdict.
        no_exit: What `exit_key` holds when there is a verdict; null and absence say the same.
        fractions: Whether "3/5" says 3 on a scale that ends at 5.
    """

    key: str = Field(min_length=1)
    vocabulary: Vocabulary | None = None
    scale: Scale | None = None
    scores: Scores = Field(default_factory=dict)
    exits: Exits = Field(default_factory=dict)
    exit_key: str | None = None
    no_exit: str = "NONE"
    fractions: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> JsonSpec:
        if (self.vocabulary is None) == (self.scale is None):
            raise ValueError("neither a vocabulary nor a scale, or both; a judge has one of them")
        self.words()
        return self

    def words(self) -> WordSpec | None:
        """The vocabulary as a spec of words, where there is one."""
        return None if self.vocabulary is None else WordSpec(vocabulary=self.vocabulary, exits=self.exits, scores=self.scores)

    def exit(self, value: object) -> Verdict | None:
        """The failure that a string names, if it is an exit."""
        classes = {word.casefold(): why for word, why in self.exits.items()}
        name = value.strip().casefold() if isinstance(value, str) else None
        return failed(classes[name]) if name in classes else None


@parser("json", JsonSpec)
def json_object(reply: Reply, spec: JsonSpec) -> Verdict:
    """The word or number under the key of a reply that is one JSON object, bare or in one code fence.

    Text around the object, a key that stands twice, NaN, a boolean or a string where a number is wanted ("high", "true", "3/5" unless the
    spec says so) are `parse`; a number outside the scale is `off_scale`. The string "false" is the word "false", never a truth value.
    """
    if (failure := unreadable(reply)) is not None or reply.text is None:
        return failure or failed("parse")
    found = _object(reply.text.strip())
    if found is None:
        return failed("parse")
    if (marked := _exit(found, spec)) is not None:
        return marked
    value = found.get(spec.key)
    if (named := spec.exit(value)) is not None:
        return named
    words = spec.words()
    return _number(value, spec) if words is None else _word(value, words)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(_unfenced(text), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # the parser's way to say that the reply is not JSON; its class is `parse`
        return None
    return value if isinstance(value, dict) else None


def _unfenced(text: str) -> str:
    if not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return text
    language, _, inside = text.removeprefix(_FENCE).removesuffix(_FENCE).partition("\n")
    return inside if not language.strip() or language.strip().isalnum() else text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _exit(found: dict[str, Any], spec: JsonSpec) -> Verdict | None:
    if spec.exit_key is None or (value := found.get(spec.exit_key)) is None:
        return None
    if isinstance(value, str) and value.strip().casefold() == spec.no_exit.casefold():
        return None
    return spec.exit(value) or failed("parse")


def _word(value: object, words: WordSpec) -> Verdict:
    # JSON's own true and whole numbers are words as they are written; 1.0 is not the word "1".
    said = json.dumps(value) if isinstance(value, int) else value
    return (words.outcome(said.strip()) if isinstance(said, str) else None) or failed("parse")


def _number(value: object, spec: JsonSpec) -> Verdict:
    if spec.scale is None:
        return failed("parse")
    if spec.fractions and isinstance(value, str) and (parts := _FRACTION.fullmatch(value)) is not None:
        value = int(parts.group(1)) if int(parts.group(2)) == spec.scale.high else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return failed("parse")
    return Verdict(None, float(value)) if spec.scale.holds(value) else failed("off_scale")
