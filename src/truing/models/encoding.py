"""One way from a text to token ids, shared by training and scoring, so that both see exactly the same tokens."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from truing.contracts.task import Task
from truing.core.errors import TruingError

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Encoded:
    """A question as the model sees it.

    Attributes:
        prompt: Rendered by the chat template, with the generation cue.
        ids: Its token ids, with one beginning token.
        cut: Whether the text field lost its end.
    """

    prompt: str
    ids: list[int]
    cut: bool


@dataclass(frozen=True)
class Encoder:
    """Renders a task's question about a text in the model's chat template and tokenises it.

    The template writes the special tokens; the tokenizer adds none, but for a beginning token that it would put in
    front and the template does not write. A prompt leaves room for the longest answer within `max_length`: what is
    cut from a longer one is the end of the text field, at a space where there is one, never the cue after it.

    Attributes:
        tokenizer: A transformers tokenizer with a chat template.
        task: What is asked of a text.
        max_length: Most tokens of a prompt together with its answer.
    """

    tokenizer: Any
    task: Task
    max_length: int

    def __post_init__(self) -> None:
        if not getattr(self.tokenizer, "chat_template", None):
            raise TruingError(
                "the tokenizer has no chat template",
                "a model whose tokenizer renders conversations",
                "give the base a chat_template in params.yaml, and build it again",
            )

    def prompt(self, text: str) -> str:
        """The rendered question with the generation cue, its text cut where that is needed to fit."""
        return self.encode(text).prompt

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of `prompt(text)`, with one beginning token."""
        return self.encode(text).ids

    def encode(self, text: str) -> Encoded:
        """`prompt(text)` and `prompt_ids(text)` in one pass.

        Raises:
            TruingError: when the template alone, with the longest answer, exceeds `max_length`.
        """
        prompt = self._render(text)
        ids = rendered_ids(self.tokenizer, prompt)
        if len(ids) <= self._room:
            return Encoded(prompt, ids, cut=False)
        prompt = self._render(self._cut(text))
        return Encoded(prompt, rendered_ids(self.tokenizer, prompt), cut=True)

    def example(self, text: str, label_name: str) -> tuple[list[int], list[int]]:
        """Token ids of a question with its answer, and a mask that is 1 on the answer and its end of turn.

        Raises:
            TruingError: for a label that is not in the task.
        """
        if label_name not in self.task.names:
            raise TruingError(f"label {label_name!r}", f"one of: {', '.join(self.task.names)}", "correct the row, or its corpus' task")
        question = self.prompt_ids(text)
        answer = [*self.answer_ids[label_name], *self._continuations[label_name][1]]
        return [*question, *answer], [0] * len(question) + [1] * len(answer)

    @property
    def answer_ids(self) -> dict[str, tuple[int, ...]]:
        """By label name, the tokens that stand right after the prompt when that label is trained, without the end of turn."""
        return {name: answer for name, (answer, _) in self._continuations.items()}

    def tokens(self, text: str) -> list[int]:
        """Token ids of a piece of text, without special tokens of the tokenizer's own."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _messages(self, text: str) -> Messages:
        system = [{"role": "system", "content": self.task.system}] if self.task.system else []
        return [*system, {"role": "user", "content": self.task.fill(text)}]

    def _render(self, text: str) -> str:
        return render(self.tokenizer, self._messages(text), cue=True)

    @cached_property
    def _continuations(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        """Tokens of each label's answer, and of what the template writes after it."""
        return {label.name: self._continuation(label.answer) for label in self.task.labels}

    def _continuation(self, answer: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        asked = self._messages("")
        prompt = render(self.tokenizer, asked, cue=True)
        full = render(self.tokenizer, [*asked, {"role": "assistant", "content": answer}], cue=False)
        said = full.removeprefix(prompt)
        if not full.startswith(prompt) or answer not in said:
            raise TruingError(
                f"the chat template renders the answer {answer!r} otherwise than its generation prompt announces",
                "a conversation that begins with the rendered prompt and goes on with the answer",
                "give the base a chat_template of its own in params.yaml",
            )
        end = said.index(answer) + len(answer)
        whole, own = self.tokens(said), self.tokens(said[:end])
        # Tokenised as one where the end of turn does not merge into the answer: an answer has the same tokens in either case.
        rest = whole[len(own) :] if whole[: len(own)] == own else self.tokens(said[end:])
        return tuple(own), tuple(rest)

    @cached_property
    def _room(self) -> int:
        """Most tokens of a prompt."""
        longest = max(len(answer) + len(end) for answer, end in self._continuations.values())
        empty = len(rendered_ids(self.tokenizer, self._render("")))
        if empty + longest > self.max_length:
            raise TruingError(
                f"max_length {self.max_length}: the question without any text and its longest answer take {empty + longest} tokens",
                f"a max_length above {empty + longest}",
                "raise max_length, or shorten the task's template",
            )
        return self.max_length - longest

    def _fits(self, text: str) -> bool:
        return len(rendered_ids(self.tokenizer, self._render(text))) <= self._room

    def _cut(self, text: str) -> str:
        """The longest prefix that fits and ends before a space; without such a space, the longest that fits."""
        ends = [end for end, (a, b) in enumerate(pairwise(text), start=1) if b.isspace() and not a.isspace()]
        words = _last(len(ends), lambda index: self._fits(text[: ends[index]]))
        if words >= 0:
            return text[: ends[words]]
        return text[: _last(len(text), lambda index: self._fits(text[: index + 1])) + 1]


def _last(count: int, holds: Callable[[int], bool]) -> int:
    """The last of 0..count-1 for which a condition holds, given that it holds up to some point; -1 for none."""
    return bisect_right(range(count), False, key=lambda index: not holds(index)) - 1


def render(tokenizer: Any, messages: Messages, *, cue: bool) -> str:
    """Render a conversation in the tokenizer's chat template.

    Args:
        tokenizer: A transformers tokenizer.
        messages: `role` and `content` of each turn.
        cue: Whether to end with what opens the assistant's turn.

    Raises:
        TruingError: when the tokenizer has no template, or the template refuses the conversation (a system turn, say).
    """
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=cue))
    except (TemplateError, ValueError) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise TruingError(
            f"the chat template refuses a conversation of {roles}: {error}",
            "a template that takes these turns",
            "give the base a chat_template in params.yaml, or leave the system turn out of the task",
        ) from error


def rendered_ids(tokenizer: Any, rendered: str) -> list[int]:
    """Token ids of a rendered conversation, with one beginning token: the template's, or the one that the tokenizer would add."""
    ids = list(tokenizer(rendered, add_special_tokens=False)["input_ids"])
    beginning = tokenizer.bos_token_id
    if beginning is None or ids[:1] == [beginning]:
        return ids
    return [beginning, *ids] if list(tokenizer("")["input_ids"])[:1] == [beginning] else ids
