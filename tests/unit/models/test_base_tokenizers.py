"""Tokenizers and chat templates: one token per answer, one beginning, and the generation mask over what is answered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.core.errors import TruingError
from truing.models.templates import PLAIN
from truing.models.tokenizers import byte_bpe, word_level

CHAT = [
    {"role": "system", "content": "you are ada birch ."},
    {"role": "user", "content": "topic ? match goal"},
    {"role": "assistant", "content": "A"},
]
TEXTS = ["the match was won by a goal", "the bank said the profit rose", "A B C D"] * 5


@pytest.fixture(scope="module")
def words() -> Any:
    return word_level(["A", "B", "topic", "?", "match", "goal", "you", "are", "ada", "birch", "."])


@pytest.fixture(scope="module")
def pieces() -> Any:
    return byte_bpe(TEXTS, 300)


def pieces_of(tokenizer: Any, chat: list[dict[str, str]]) -> list[str]:
    return list(tokenizer.convert_ids_to_tokens(tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]))


def test_a_word_level_chat_has_one_token_per_word_and_role(words: Any) -> None:
    assert " ".join(pieces_of(words, CHAT)) == "<bos> <sys> you are ada birch . <end> <user> topic ? match goal <asst> A <end>"


def test_an_unknown_word_is_unknown_and_not_an_error(words: Any) -> None:
    assert words("zeppelin match")["input_ids"] == [words.unk_token_id, words.convert_tokens_to_ids("match")]


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_the_generation_mask_covers_the_answer_and_its_end_alone(name: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(name)
    encoded = tokenizer.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
    masked = [token for token, on in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if on]
    assert tokenizer.convert_ids_to_tokens(masked) == ["A", "<end>"]


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_the_prompt_is_a_prefix_of_the_whole_dialogue(name: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(name)
    prompt = tokenizer.apply_chat_template(CHAT[:2], add_generation_prompt=True, return_dict=True)["input_ids"]
    whole = tokenizer.apply_chat_template(CHAT, return_dict=True)["input_ids"]
    assert whole[: len(prompt)] == prompt
    assert len(whole) == len(prompt) + 2


def test_a_bpe_answer_is_one_token_after_the_role(pieces: Any) -> None:
    assert pieces_of(pieces, CHAT)[-3:] == ["<asst>", "A", "<end>"]


@settings(derandomize=True, max_examples=50)
@given(text=st.text(max_size=40).filter(lambda text: "<" not in text))
def test_bpe_brings_any_text_back(text: str) -> None:
    tokenizer = _shared_pieces()
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


_CACHE: list[Any] = []


def _shared_pieces() -> Any:
    if not _CACHE:
        _CACHE.append(byte_bpe(TEXTS, 300))
    return _CACHE[0]


def test_bpe_of_equal_texts_is_equal(pieces: Any) -> None:
    assert byte_bpe(TEXTS, 300).backend_tokenizer.to_str() == pieces.backend_tokenizer.to_str()


def test_a_vocabulary_without_room_for_bytes_is_refused() -> None:
    with pytest.raises(TruingError, match="vocab_size 200"):
        byte_bpe(TEXTS, 200)


@pytest.mark.parametrize(("bos", "eos"), [("<bos>", "<end>"), (None, "<end>"), ("<bos>", None), (None, None)])
def test_the_plain_template_serves_tokenizers_with_or_without_marks(pieces: Any, bos: str | None, eos: str | None) -> None:
    text = _render(PLAIN, CHAT, bos, eos)
    end = eos or "\n"
    assert text == f"{bos or ''}you are ada birch .\n\nQuestion: topic ? match goal\nAnswer: A{end}"
    prompt = _render(PLAIN, CHAT[:2], bos, eos, add_generation_prompt=True)
    assert text.startswith(prompt)
    assert prompt.endswith("Answer:")


def _render(template: str, chat: list[dict[str, str]], bos: str | None, eos: str | None, **options: Any) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered, _ = render_jinja_template([chat], chat_template=template, bos_token=bos, eos_token=eos, **options)
    return str(rendered[0])


def test_the_plain_template_masks_the_answer(pieces: Any) -> None:
    encoded = pieces.apply_chat_template(CHAT, chat_template=PLAIN, return_dict=True, return_assistant_tokens_mask=True)
    masked = [token for token, on in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if on]
    assert pieces.decode(masked) == " A<end>"
