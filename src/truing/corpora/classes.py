"""Labels by name: the map from a source's own classes to the answers of a task, and nothing by position."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from truing.contracts.task import Label, Task
from truing.core.errors import Exit, TruingError, some
from truing.core.files import Row
from truing.corpora import CommonParams

CHOICES_FIELD = "{choices}"


class LabelledParams(CommonParams):
    """Parameters of a source with a closed label set.

    Attributes:
        labels: Answer of each class by its name IN THE SOURCE, all of them; default: A, B, ... in source order.
        aliases: Other words for a class, by its name in the source; default: the source's own.
        template: User turn with `{text}` once and, if wanted, `{choices}` (a line "answer. name" per class).
        system: System turn, if any.
        context_patterns: Phrases with `{label}` that make a mention count more.
    """

    labels: dict[str, str] | None = None
    aliases: dict[str, tuple[str, ...]] | None = None
    template: str | None = None
    system: str | None = None
    context_patterns: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskDefaults:
    """What a source says of its task where the parameters are silent."""

    name: str
    template: str
    aliases: Mapping[str, tuple[str, ...]]


def make_task(cfg: LabelledParams, names: Sequence[str], defaults: TaskDefaults, where: str) -> Task:
    """The task of a corpus whose source names its classes `names`, in that order.

    Raises:
        TruingError: when `labels` does not name exactly these classes, or `aliases` names another one; both lists are shown.
    """
    answers = cfg.labels if cfg.labels is not None else _letters(names, where)
    _same_names(answers, names, where)
    aliases = defaults.aliases if cfg.aliases is None else cfg.aliases
    stray = sorted(set(aliases) - set(names)) if cfg.aliases is not None else []
    if stray:
        raise TruingError(
            f"{where}: aliases: {some(stray)}", f"names of the source's classes: {', '.join(names)}", f"edit {where}: aliases"
        )
    labels = tuple(Label(name=name, answer=answers[name], aliases=tuple(aliases.get(name, ()))) for name in names)
    choices = "\n".join(f"{label.answer}. {label.name}" for label in labels)
    template = (cfg.template or defaults.template).replace(CHOICES_FIELD, choices)
    try:
        return Task(name=defaults.name, template=template, labels=labels, system=cfg.system, context_patterns=cfg.context_patterns)
    except ValidationError as error:
        problems = "; ".join(str(e["msg"]) for e in error.errors())
        raise TruingError(f"{where}: {problems}", "a usable task", f"edit {where}: labels, template") from error


def _letters(names: Sequence[str], where: str) -> dict[str, str]:
    if len(names) > len(string.ascii_uppercase):
        raise TruingError(
            f"{where}: {len(names)} classes and no `labels`", "an answer for every class", f"list the answers in {where}: labels"
        )
    return dict(zip(names, string.ascii_uppercase, strict=False))


def _same_names(answers: Mapping[str, str], names: Sequence[str], where: str) -> None:
    if set(answers) == set(names):
        return
    raise TruingError(
        f"{where}: labels names the classes: {', '.join(answers)}",
        f"exactly the classes that the source names: {', '.join(names)}",
        f"edit {where}: labels; classes are matched by name, never by position",
        Exit.REFUSED,
    )


def class_at(names: Sequence[str], value: object, first: int, at: str) -> str:
    """The name of the class with number `value`, where the source counts from `first`.

    Args:
        names: The source's class names in its own order.
        value: An integer, or its decimal string.
        first: Number of the first class.
        at: File and row, for the error.

    Raises:
        TruingError: when the number is none of the source's.
    """
    number = _number(value)
    if number is not None and first <= number < first + len(names):
        return names[number - first]
    pairs = ", ".join(f"{first + index} = {name}" for index, name in enumerate(names))
    hint = "; this part of the source was published without labels: take another one" if number == -1 else ""
    raise TruingError(
        f"{at}: label {value!r}", f"one of: {pairs}", f"mend the row, or restore the file from its source{hint}", Exit.REFUSED
    )


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.strip().removeprefix("-").isascii() and value.strip().removeprefix("-").isdigit():
        return int(value)
    return None


def class_named(names: Sequence[str], value: object, at: str) -> str:
    """The class of that name; anything else is an error that shows the value and the known names."""
    if isinstance(value, str) and value in names:
        return value
    raise TruingError(
        f"{at}: label {value!r}", f"one of: {', '.join(names)}", "mend the row, or restore the file from its source", Exit.REFUSED
    )


def words_for(names: Sequence[str], words: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The audit words of the classes that a source names; a class under another name than expected has none."""
    return {name: words[name] for name in names if name in words}


def labelled_row(source: str, doc_id: str, text: str, label: str, metadata: Mapping[str, Any] | None = None) -> Row:
    """A corpus row with one text and the name of its class."""
    return {"doc_id": doc_id, "source": source, "text": text, "label": label, "metadata": dict(metadata or {})}
