"""What a labelled corpus asks of a model: the prompt around the text, and how each label is answered and named."""

from __future__ import annotations

from typing import Self

from pydantic import field_validator, model_validator

from truing.core.errors import some
from truing.core.registry import Params

TEXT_FIELD = "{text}"


class Label(Params):
    """One class: its name in the source, the string a model answers with, other words for it."""

    name: str
    answer: str
    aliases: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The name and every alias: what counts as a mention of the label in a text."""
        return (self.name, *self.aliases)


class Task(Params):
    """A closed-set classification task.

    Attributes:
        template: The user turn, with `{text}` once where the document goes.
        labels: In the order in which every table lists them.
        context_patterns: Phrases with `{label}` that make a mention count more ("{label} desk").
    """

    name: str
    template: str
    labels: tuple[Label, ...]
    system: str | None = None
    context_patterns: tuple[str, ...] = ()

    @field_validator("template")
    @classmethod
    def _one_field(cls, value: str) -> str:
        if value.count(TEXT_FIELD) != 1:
            raise ValueError(f"the template must hold {TEXT_FIELD} exactly once")
        return value

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what in ("name", "answer"):
            values = [getattr(label, what) for label in self.labels]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"labels share the {what} {some(twice)}")
        return self

    def fill(self, text: str) -> str:
        """The user turn for one document. Braces in the document are left alone."""
        return self.template.replace(TEXT_FIELD, text)

    @property
    def names(self) -> list[str]:
        """Label names, in table order."""
        return [label.name for label in self.labels]

    def answer(self, name: str) -> str:
        """What a model answers for a label name."""
        return next(label.answer for label in self.labels if label.name == name)
