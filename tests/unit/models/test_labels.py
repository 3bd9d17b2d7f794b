"""Label sequences: the trained form, its spacing variants, and what can't be told apart."""

from __future__ import annotations

from typing import Any

import pytest
from support.tiny import tiny_tokenizer

from truing.contracts.task import Label, Task
from truing.core.errors import Exit, TruingError
from truing.models.encoding import Encoder
from truing.models.labels import label_sequences
from truing.models.templates import PLAIN
from truing.models.tokenizers import byte_bpe


def _encoder(tokenizer: Any, *answers: str) -> Encoder:
    labels = tuple(Label(name=f"class{k}", answer=answer) for k, answer in enumerate(answers))
    return Encoder(tokenizer, Task(name="t", template="text {text}", labels=labels), 128)


def _bytes(*texts: str, size: int = 300) -> Any:
    tokenizer = byte_bpe(texts, size)
    tokenizer.chat_template = PLAIN
    return tokenizer


def test_word_tokens_have_one_form() -> None:
    tokenizer = tiny_tokenizer()
    found = label_sequences(_encoder(tokenizer, "A", "B"))
    assert found == {"class0": ((tokenizer.convert_tokens_to_ids("A"),),), "class1": ((tokenizer.convert_tokens_to_ids("B"),),)}


def test_spacing_variants_are_kept_with_the_trained_form_first() -> None:
    tokenizer = _bytes("x A A A A x B B B B")
    found = label_sequences(_encoder(tokenizer, "A", "B"))
    spaced, bare = (tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (" A", "A"))
    assert spaced != bare
    assert found["class0"] == (spaced, bare)


def test_variants_of_a_label_are_disjoint_events() -> None:
    tokenizer = _bytes("plain words only")
    for variants in label_sequences(_encoder(tokenizer, "yes", "no")).values():
        assert not any(a != b and b[: len(a)] == a for a in variants for b in variants)


def test_an_unknown_answer_is_refused() -> None:
    with pytest.raises(TruingError, match="does not know the answer 'Z'") as caught:
        label_sequences(_encoder(tiny_tokenizer(), "A", "Z"))
    assert caught.value.code == Exit.REFUSED


def test_two_labels_with_one_sequence_are_refused() -> None:
    with pytest.raises(TruingError, match=r"class0 .* class1"):
        label_sequences(_encoder(tiny_tokenizer(), "A", "A "))


@pytest.mark.parametrize("answers", [("A", "A B"), ("A B", "A"), ("yes no", "yes")])
def test_a_label_that_opens_another_is_refused(answers: tuple[str, str]) -> None:
    with pytest.raises(TruingError, match="begin with the same tokens"):
        label_sequences(_encoder(tiny_tokenizer(), *answers))


def test_labels_may_share_a_beginning() -> None:
    found = label_sequences(_encoder(tiny_tokenizer(), "good A", "good B"))
    assert found["class0"][0][0] == found["class1"][0][0]
