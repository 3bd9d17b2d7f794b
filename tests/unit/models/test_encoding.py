"""Encoding: one way for training and scoring, one beginning token, and truncation that never touches the cue."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny import tiny_tokenizer

from truing.contracts.task import Label, Task
from truing.core.errors import TruingError
from truing.models.encoding import Encoder
from truing.models.labels import label_sequences
from truing.models.templates import PLAIN
from truing.models.tokenizers import byte_bpe, word_level

AB = (Label(name="world", answer="A"), Label(name="sports", answer="B"))
TASK = Task(name="topic", template="topic {text} ?", labels=AB)


def _words(**changes: Any) -> Any:
    tokenizer = tiny_tokenizer()
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    return tokenizer


def _bytes() -> Any:
    tokenizer = byte_bpe(["topic question answer the game of the team"] * 20, 300)
    tokenizer.chat_template = PLAIN
    return tokenizer


def _adding_beginning(template: str) -> Any:
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer()
    beginning = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", beginning)])
    tokenizer.chat_template = template
    assert tokenizer("the")["input_ids"][0] == beginning
    return tokenizer


@pytest.mark.parametrize("own", ["", "{{ bos_token }}"], ids=["tokenizer", "both"])
def test_one_beginning_token_whoever_adds_it(own: str) -> None:
    tokenizer = _adding_beginning(_words().chat_template.replace("{{ bos_token }}", own))
    ids = Encoder(tokenizer, TASK, 64).prompt_ids("the game")
    assert ids == _words()("<bos> <user> topic the game ? <asst>")["input_ids"]


def test_no_beginning_token_where_neither_template_nor_tokenizer_adds_one() -> None:
    tokenizer = _words(chat_template=_words().chat_template.replace("{{ bos_token }}", ""))
    assert tokenizer.bos_token_id not in Encoder(tokenizer, TASK, 64).prompt_ids("the game")


@pytest.mark.parametrize("tokenizer", [_words(), _bytes()], ids=["words", "bytes"])
def test_training_and_scoring_see_the_same_tokens(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, TASK, 128)
    ids, mask = encoder.example("the game", "sports")
    prompt = encoder.prompt_ids("the game")
    answer = label_sequences(encoder)["sports"][0]
    assert ids[: len(prompt)] == prompt
    assert tuple(ids[len(prompt) :][: len(answer)]) == answer
    assert mask == [0] * len(prompt) + [1] * (len(ids) - len(prompt))
    messages = [{"role": "user", "content": TASK.fill("the game")}, {"role": "assistant", "content": "B"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    assert tokenizer.decode(ids) == tokenizer.decode(tokenizer(rendered, add_special_tokens=False)["input_ids"])
    assert ids[-1] == tokenizer.eos_token_id


def test_a_long_text_loses_whole_words_at_its_end_and_nothing_else() -> None:
    tokenizer = _words()
    encoder = Encoder(tokenizer, TASK, 12)
    # <bos> <user> topic ... ? <asst>, then an answer and <end>: 12 - 5 - 2 words of text are left.
    encoded = encoder.encode("alpha beta gamma delta epsilon red green")
    assert encoded.cut
    assert encoded.prompt == encoder.prompt("alpha beta gamma delta epsilon")
    assert len(encoded.ids) == 10
    assert len(encoder.example("alpha beta gamma delta epsilon red green", "world")[0]) == 12
    assert not encoder.encode("alpha beta gamma delta epsilon").cut


def test_a_word_that_does_not_fit_is_cut_inside() -> None:
    encoder = Encoder(_bytes(), TASK, 40)
    encoded = encoder.encode("z" * 100)
    kept = encoded.prompt.count("z")
    assert 0 < kept < 100
    assert len(encoded.ids) == encoder._room
    assert encoded.prompt.endswith("?\nAnswer:")


@settings(derandomize=True, max_examples=40, deadline=None)
@given(text=st.text(max_size=200), max_length=st.integers(30, 60))
def test_any_text_fits_and_keeps_the_cue(text: str, max_length: int) -> None:
    encoder = Encoder(BYTES, TASK, max_length)
    encoded = encoder.encode(text)
    assert len(encoder.example(text, "world")[0]) <= max_length
    assert encoded.prompt.endswith(" ?\nAnswer:")
    assert encoded.ids[0] == BYTES.bos_token_id


BYTES = _bytes()


def test_braces_in_a_text_are_text() -> None:
    assert "{x} {text}" in Encoder(_words(), TASK, 64).prompt("{x} {text}")


def test_a_system_turn_is_rendered() -> None:
    task = TASK.model_copy(update={"system": "classify news"})
    assert "<sys> classify news <end>" in Encoder(_words(), task, 64).prompt("the game")


def test_no_chat_template_is_refused() -> None:
    with pytest.raises(TruingError, match="no chat template"):
        Encoder(_words(chat_template=None), TASK, 64)


def test_a_template_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(TruingError, match="max_length 6"):
        Encoder(_words(), TASK, 6).prompt("the game")
    assert len(Encoder(_words(), TASK, 7).prompt_ids("the game")) == 5


def test_a_label_outside_the_task_is_refused() -> None:
    with pytest.raises(TruingError, match="'weather'"):
        Encoder(_words(), TASK, 64).example("the game", "weather")


def test_a_template_that_refuses_a_turn_is_named() -> None:
    template = "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}{% endfor %}"
    with pytest.raises(TruingError, match="no system"):
        Encoder(_words(chat_template=template), TASK.model_copy(update={"system": "classify"}), 64).prompt("the")


def test_a_template_whose_answers_do_not_follow_its_cue_is_refused() -> None:
    template = "{% for m in messages %}{{ m['content'] }} {% endfor %}{% if add_generation_prompt %}<asst>{% endif %}"
    with pytest.raises(TruingError, match="otherwise than its generation prompt"):
        Encoder(_words(chat_template=template), TASK, 64).example("the", "world")


def test_nothing_stands_between_a_role_token_and_the_answer_of_the_world() -> None:
    tokenizer = word_level(["A", "B", "topic", "?", "game"])
    task = Task(name="topic", template="topic ? {text}", labels=AB)
    ids, mask = Encoder(tokenizer, task, 64).example("game", "sports")
    assert tokenizer.convert_ids_to_tokens(ids) == ["<bos>", "<user>", "topic", "?", "game", "<asst>", "B", "<end>"]
    assert mask == [0, 0, 0, 0, 0, 0, 1, 1]
