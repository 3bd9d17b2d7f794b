"""Conversations as token ids that say which tokens are an assistant's, shared by training and by what reads gradients of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from truing.core.errors import TruingError

# Of a pair that is too long, the prompt keeps this part of the room whatever the answers need.
_PROMPT_SHARE = 4


class Tokens(NamedTuple):
    """Token ids of a prompt with an answer, and 1 for each token of the answer, its end mark included."""

    ids: list[int]
    mask: list[int]


class PairTokens(NamedTuple):
    """One prompt with each of two answers, within a number of tokens.

    Attributes:
        answers: The prompt with either answer.
        cut_prompt: Whether the prompt lost its beginning.
        cut_answers: Whether each answer lost its end.
    """

    answers: tuple[Tokens, Tokens]
    cut_prompt: bool
    cut_answers: tuple[bool, bool]


def encode_chat(tokenizer: Any, messages: Sequence[Mapping[str, str]], doc_id: str) -> tuple[list[int], list[int]]:
    """Token ids of a conversation and, for each, 1 if it belongs to an assistant's turn.

    A token belongs to a turn when its characters overlap what the template's generation markers enclose. (The mask
    of `apply_chat_template` loses a whole turn when the first enclosed character is a space that no token covers.)

    Raises:
        TruingError: the tokenizer has no chat template, or the template refuses the conversation.
    """
    if not tokenizer.chat_template:
        raise TruingError("the base's tokenizer has no chat template", "a chat_template.jinja", "add one to the base model's source")
    text, spans = _render(tokenizer, messages, doc_id)
    # The template writes the special tokens itself, but for a beginning token that only the tokenizer adds.
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = list(tokens["input_ids"])
    mask = [int(any(start < end and low < end and start < high for low, high in spans)) for start, end in tokens["offset_mapping"]]
    beginning = list(tokenizer("")["input_ids"])[:1]
    if beginning == [tokenizer.bos_token_id] and ids[:1] != beginning:
        return [*beginning, *ids], [0, *mask]
    return ids, mask


def _render(tokenizer: Any, messages: Sequence[Mapping[str, str]], doc_id: str) -> tuple[str, list[tuple[int, int]]]:
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        texts, spans = render_jinja_template(
            [[dict(message) for message in messages]],
            chat_template=tokenizer.get_chat_template(),
            return_assistant_tokens_mask=True,
            **tokenizer.special_tokens_map,
        )
    except (TemplateError, ValueError) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise TruingError(
            f"row {doc_id}: the base's chat template refuses a conversation of {roles}: {error}",
            "turns that the template takes",
            "mend the row, or give the base another chat template",
        ) from error
    return texts[0], spans[0]


def encode_reply(tokenizer: Any, prompt: str, reply: str, doc_id: str) -> tuple[list[int], list[int]]:
    """Token ids of one question with one reply to it, and 1 for each token of the reply, its end mark included.

    Raises:
        TruingError: as `encode_chat`.
    """
    return encode_chat(tokenizer, [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}], doc_id)


def encode_pair(tokenizer: Any, prompt: str, replies: tuple[str, str], doc_id: str, max_length: int) -> PairTokens:
    """One question with each of two replies to it, at most `max_length` tokens long.

    What is too long loses the beginning of its prompt, the same for both replies and inside the chat template's marks; a reply loses its
    end only where a quarter of the length would not be left to the prompt. What a pair's gradients are taken of is what it is trained on.

    Raises:
        TruingError: as `encode_chat`, and when the template marks no token of a reply or the length leaves none.
    """
    first, second = _rendered(tokenizer, prompt, replies, doc_id)
    excess = max(len(first.ids), len(second.ids)) - max_length
    if excess <= 0:
        return PairTokens((first, second), cut_prompt=False, cut_answers=(False, False))
    starts = [start for start, _ in tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]]
    lost = min(excess, max(0, len(starts) - max(1, max_length // _PROMPT_SHARE)))
    if lost:
        first, second = _rendered(tokenizer, prompt[starts[lost] :].lstrip(), replies, doc_id)
    kept = Tokens(first.ids[:max_length], first.mask[:max_length]), Tokens(second.ids[:max_length], second.mask[:max_length])
    if not all(any(answer.mask[1:]) for answer in kept):
        raise TruingError(
            f"row {doc_id}: {max_length} tokens leave nothing of an answer",
            "room for prompt and answer",
            "raise max_length, or take the row out",
        )
    return PairTokens(kept, cut_prompt=lost > 0, cut_answers=(len(first.ids) > max_length, len(second.ids) > max_length))


def _rendered(tokenizer: Any, prompt: str, replies: tuple[str, str], doc_id: str) -> tuple[Tokens, Tokens]:
    first, second = (Tokens(*encode_reply(tokenizer, prompt, reply, doc_id)) for reply in replies)
    unmarked = [place for place, answer in (("first", first), ("second", second)) if not any(answer.mask[1:])]
    if unmarked:
        raise TruingError(
            f"row {doc_id}: no token of the {' and the '.join(unmarked)} answer is an assistant's",
            "a chat template with generation markers around assistant turns",
            "mend the base's chat template",
        )
    return first, second
