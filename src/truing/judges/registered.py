"""Names of published metrics, usable only for the prompt and the questions that they were published with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from truing.core.digests import digest
from truing.core.errors import Exit, TruingError, unknown
from truing.core.files import dump_yaml
from truing.core.registry import Params, parse
from truing.judges.prompt_files import PromptFile, load_text
from truing.judges.versioned_files import decoded, mapping

_FILE = "registered.yaml"


class Registered(Params):
    """What a name is bound to.

    Attributes:
        prompt_digest: `PromptFile.digest` of its prompt.
        items_digest: `question_set_digest` of its questions.
        source: Where prompt and questions were published.
        front: Front matter of the prompt; its text belongs to its authors and is brought by the user.
    """

    prompt_digest: str
    items_digest: str
    source: str
    front: dict[str, Any]


def registered() -> dict[str, Registered]:
    """Every registered name."""
    text = decoded(files("truing.judges").joinpath(_FILE).read_bytes(), _FILE)
    return {name: parse(Registered, value, f"{_FILE}: {name}") for name, value in mapping(text, _FILE).items()}


def question_set_digest(questions: Iterable[tuple[str | None, str]]) -> str:
    """Digest of a set of questions, each a system prompt or None, and the text asked; order and repetition do not matter."""
    distinct = {(system or "", question) for system, question in questions}
    return digest(sorted(distinct))


def registered_prompt(name: str, published: str) -> PromptFile:
    """The prompt of a registered name, from the published text with its `{question}` and `{answer}`.

    The text is one user message. Whether it is the published one, `require_registered` decides.

    Raises:
        TruingError: the name is not registered, or the text makes no prompt file.
    """
    body = re.sub(r"\{(question|answer)\}", r"{{ \1 }}", published)
    return load_text(f"---\n{dump_yaml(_entry(name).front)}---\n## user\n{body}\n", name)


def require_registered(name: str, prompt_digest: str, items_digest: str) -> None:
    """Refuse a registered name for any other prompt or any other questions.

    Raises:
        TruingError: the name is not registered (lists the known ones), or one of the digests is another.
    """
    entry = _entry(name)
    pairs = {"prompt": (prompt_digest, entry.prompt_digest), "question set": (items_digest, entry.items_digest)}
    if wrong := [f"{what} {got[:12]}" for what, (got, bound) in pairs.items() if got != bound]:
        raise TruingError(
            f"{name} is asked for with another {' and another '.join(wrong)}",
            f"prompt {entry.prompt_digest[:12]} and question set {entry.items_digest[:12]}, as in {entry.source}",
            "use the published prompt and questions, or give the metric a name of its own",
            Exit.REFUSED,
        )


def _entry(name: str) -> Registered:
    names = registered()
    if name not in names:
        raise unknown("registered metric", name, names, _FILE)
    return names[name]
