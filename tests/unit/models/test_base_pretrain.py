"""The pretraining loop: packing with loss weights, the schedule, learning, and equal bytes on a rerun."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from truing.core.digests import file_digests
from truing.core.errors import TruingError
from truing.core.seeds import torch_stream
from truing.models.pretrain import TinyParams, _loss, learning_rate, new_model, pack, pretrain
from truing.models.tokenizers import word_level

WORDS = ("a", "b", "c", "d", "e", "f", "g", "h", "?", ".")
DIALOGUE = [("s", "system"), ("a b ?", "user"), ("c .", "assistant")]
TINY = TinyParams(tokens=16000, hidden=32, layers=1, heads=2, ffn=32, length=16, batch=4, warmup=20, learning_rate=1e-2)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_level(("s", *WORDS))


def said(tokenizer: Any, ids: Any) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(ids.tolist()))


def one_row(length: int, **more: Any) -> TinyParams:
    return TINY.model_copy(update={"length": length, "batch": 1, "tokens": length, **more})


def test_a_dialogue_is_laid_out_as_its_chat_template_does(tokenizer: Any) -> None:
    packed = pack(tokenizer, [DIALOGUE], one_row(12))
    chat = [{"role": role, "content": text} for text, role in DIALOGUE]
    assert packed.ids[0].tolist() == tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]


def test_answers_and_their_end_weigh_one_and_prompts_a_tenth(tokenizer: Any) -> None:
    packed = pack(tokenizer, [DIALOGUE], one_row(12))
    assert said(tokenizer, packed.ids[0]) == "<bos> <sys> s <end> <user> a b ? <asst> c . <end>"
    assert packed.weights[0].tolist() == pytest.approx([0.0] + [0.1] * 8 + [1.0] * 3)


def test_plain_text_weighs_one_after_its_beginning(tokenizer: Any) -> None:
    packed = pack(tokenizer, [[("a b", "text")]], one_row(6))
    assert said(tokenizer, packed.ids[0]) == "<bos> a b <end> <pad> <pad>"
    assert packed.weights[0].tolist() == pytest.approx([0, 1, 1, 1, 0, 0])


def test_plain_text_can_weigh_less(tokenizer: Any) -> None:
    packed = pack(tokenizer, [[("a b", "text")]], one_row(6, text_weight=0.25))
    assert packed.weights[0].tolist() == [0, 0.25, 0.25, 0.25, 0, 0]


def test_documents_share_a_sequence_uncut_and_positions_start_afresh(tokenizer: Any) -> None:
    packed = pack(tokenizer, [[("a b c", "text")], [("a", "text")], [("b", "text")]], one_row(9, tokens=18))
    assert said(tokenizer, packed.ids[0]) == "<bos> a b c <end> <bos> a <end> <pad>"
    assert packed.positions[0].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 0]
    assert said(tokenizer, packed.ids[1][:3]) == "<bos> b <end>"
    assert packed.documents == 3


def test_a_document_longer_than_a_sequence_is_cut(tokenizer: Any) -> None:
    packed = pack(tokenizer, [[("a b c d e", "text")]], one_row(4, tokens=8))
    assert [said(tokenizer, row) for row in packed.ids] == ["<bos> a b c", "d e <end> <pad>"]


def test_an_endless_source_is_read_no_further_than_needed(tokenizer: Any) -> None:
    packed = pack(tokenizer, itertools.repeat([("a b", "text")]), TINY)
    assert packed.ids.size == 16000
    assert packed.documents == 4000


def test_a_text_below_one_batch_is_refused(tokenizer: Any) -> None:
    with pytest.raises(TruingError, match="pretraining text of 1 sequences"):
        pack(tokenizer, [DIALOGUE], TINY)


def test_a_token_sees_its_own_document_alone(tokenizer: Any) -> None:
    import torch

    model = new_model(TINY, tokenizer, torch_stream(0, "test"))
    losses = []
    for first in ("a", "b"):
        # The longer document comes first; only the second one's words are weighed.
        packed = pack(tokenizer, [[(f"{first} {first} c", "text")], [("d e", "text")]], one_row(9))
        weights = torch.from_numpy(packed.weights) * torch.tensor([0.0] * 5 + [1.0] * 4)
        assert said(tokenizer, packed.ids[0]) == f"<bos> {first} {first} c <end> <bos> d e <end>"
        with torch.no_grad():
            losses.append(float(_loss(model, torch.from_numpy(packed.ids), weights, torch.from_numpy(packed.positions))))
    assert losses[0] == losses[1]


def test_the_schedule_warms_up_peaks_and_ends_at_its_share() -> None:
    cfg = TinyParams(warmup=10, learning_rate=1.0, min_lr_share=0.05)
    rates = [learning_rate(step, 101, cfg) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.525)
    assert rates[100] == pytest.approx(0.05)


def documents() -> Any:
    """A rule that can be learned: the answer is the question's word."""
    rng = np.random.default_rng(0)
    for _ in itertools.count():
        word = WORDS[rng.integers(8)]
        yield [(f"{word} ?", "user"), (word, "assistant")]


def test_training_learns_and_repeats_bit_for_bit(tokenizer: Any, tmp_path: Path) -> None:
    facts = [pretrain(tokenizer, documents(), TINY, 7, tmp_path / name) for name in ("one", "two")]
    assert facts[0] == facts[1]
    assert file_digests(tmp_path / "one") == file_digests(tmp_path / "two")
    assert facts[0]["steps"] == 16000 // 64
    assert _asked(tmp_path / "one", "e ?") == "e"


def test_another_seed_gives_another_model(tokenizer: Any, tmp_path: Path) -> None:
    short = TINY.model_copy(update={"tokens": 640})
    one = pretrain(tokenizer, documents(), short, 7, tmp_path / "one")
    other = pretrain(tokenizer, documents(), short.model_copy(update={"seed": 1}), 7, tmp_path / "two")
    assert one["loss_trace_digest"] != other["loss_trace_digest"]


def test_the_global_generator_is_left_alone(tokenizer: Any, tmp_path: Path) -> None:
    import torch

    before = torch.random.get_rng_state()
    pretrain(tokenizer, documents(), TINY.model_copy(update={"tokens": 640}), 7, tmp_path / "one")
    assert torch.equal(torch.random.get_rng_state(), before)


def _asked(folder: Path, question: str) -> str:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True)["input_ids"]
    with torch.no_grad():
        best = model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()
    return str(tokenizer.decode([int(best)]))
