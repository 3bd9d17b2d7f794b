"""Scoring: equal to the full forward, and equal for any batch size, order and padding side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny import tiny_tokenizer

from truing.contracts.task import Label, Task
from truing.core.errors import TruingError
from truing.models.encoding import Encoder
from truing.models.labels import label_sequences
from truing.models.scoring import score_labels, score_prompts
from truing.models.templates import PLAIN

VOCABULARY = 60
ONE = {"x": ((5,),), "y": ((6,), (7,)), "z": ((8,),)}
MANY = {"x": ((5, 6, 7), (9,)), "y": ((5, 6, 8),), "z": ((5, 10), (11, 6)), "w": ((12,),)}
TOLERANCE = 1e-5
STORIES = Path(__file__).parents[4] / "shared/data/lm_stories260K/hf_derived"


def _config(kind: str) -> Any:
    import transformers as t

    small = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.3}
    ffn = {"intermediate_size": 48, "num_key_value_heads": 1}
    match kind:
        case "llama":
            return t.LlamaConfig(**small, **ffn, max_position_embeddings=64)
        case "qwen2":
            return t.Qwen2Config(**small, **ffn, max_position_embeddings=64)
        case "neox":
            return t.GPTNeoXConfig(**small, intermediate_size=48, max_position_embeddings=64)
        case "gpt2":
            return t.GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3)
        case _:
            # A window shorter than the prompts, so that local attention and padding meet.
            layers = ["sliding_attention", "full_attention"]
            return t.Gemma3TextConfig(**small, **ffn, head_dim=16, sliding_window=4, layer_types=layers, max_position_embeddings=64)


def _model(kind: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(_config(kind)).eval()


@pytest.fixture(scope="module")
def llama() -> Any:
    return _model("llama")


def _prompts(rng: np.random.Generator, count: int) -> list[list[int]]:
    return [rng.integers(13, VOCABULARY, size=rng.integers(1, 14)).tolist() for _ in range(count)]


def _brute(model: Any, prompt: Sequence[int], variants: Sequence[Sequence[int]]) -> float:
    """The label's log-probability from one full forward for each variant, without padding or batching."""
    import torch

    total = []
    for variant in variants:
        with torch.inference_mode():
            logs = model(input_ids=torch.tensor([[*prompt, *variant]])).logits[0].double().log_softmax(-1)
        total.append(sum(float(logs[len(prompt) - 1 + place, token]) for place, token in enumerate(variant)))
    return float(np.logaddexp.reduce(total))


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt2", "neox", "qwen2"])
def test_equal_to_full_forwards_for_any_batch_and_order(kind: str) -> None:
    model = _model(kind)
    prompts = _prompts(np.random.default_rng(1), 17)
    for sequences in (ONE, MANY):
        alone = score_prompts(model, prompts, sequences, batch_size=1)
        together = score_prompts(model, prompts, sequences, batch_size=16)
        order = np.random.default_rng(2).permutation(len(prompts))
        mixed = score_prompts(model, [prompts[index] for index in order], sequences, batch_size=5)
        brute = np.array([[_brute(model, prompt, variants) for variants in sequences.values()] for prompt in prompts])
        assert np.abs(alone.logprobs - together.logprobs).max() < TOLERANCE
        assert np.abs(together.logprobs[order] - mixed.logprobs).max() < TOLERANCE
        assert np.abs(together.logprobs - brute).max() < TOLERANCE
        assert np.allclose(together.mass, np.exp(together.logprobs).sum(axis=1), atol=1e-12)
    assert np.ptp(together.logprobs, axis=0).min() > 0.01


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt2", "neox", "qwen2"])
def test_in_float64_batching_and_padding_are_exact(kind: str) -> None:
    model = _model(kind).double()
    prompts = _prompts(np.random.default_rng(4), 17)
    alone, together = (score_prompts(model, prompts, MANY, batch_size=size).logprobs for size in (1, 16))
    brute = np.array([[_brute(model, prompt, variants) for variants in MANY.values()] for prompt in prompts])
    assert np.abs(alone - together).max() < 1e-9
    assert np.abs(together - brute).max() < 1e-9


@settings(derandomize=True, max_examples=12, deadline=None)
@given(seed=st.integers(0, 999), batch=st.integers(1, 9))
def test_results_are_in_the_order_of_the_prompts(seed: int, batch: int) -> None:
    model = _model("llama")
    prompts = _prompts(np.random.default_rng(seed), 8)
    scores = score_prompts(model, prompts, ONE, batch_size=batch)
    single = [score_prompts(model, [prompt], ONE).logprobs[0] for prompt in prompts]
    assert np.abs(scores.logprobs - np.stack(single)).max() < TOLERANCE


class Stub:
    """A model whose next-token logits are fixed; it counts the rows that it is given."""

    def __init__(self, logits: Sequence[float]) -> None:
        self.logits, self.rows, self.training = list(logits), 0, True
        self.config, self.device = SimpleNamespace(max_position_embeddings=32), None

    def forward(self, input_ids: Any, attention_mask: Any, use_cache: bool) -> Any:
        import torch

        assert not self.training
        self.rows += len(input_ids)
        return SimpleNamespace(logits=torch.tensor(self.logits).expand(*input_ids.shape, -1))

    def __call__(self, **inputs: Any) -> Any:
        return self.forward(**inputs)

    def eval(self) -> None:
        self.training = False

    def train(self, mode: bool) -> None:
        self.training = mode


def test_a_planted_prior_is_reported_exactly() -> None:
    letter, label = np.array([0.5, 0.1, 0.3]), np.array([0.2, 0.7, 0.1])
    shares = letter * label
    logits = np.full(10, -50.0)
    logits[[5, 6, 8]] = np.log(letter) + np.log(label)
    scores = score_prompts(Stub(logits.tolist()), [[1], [1, 2, 3]], {"x": ((5,),), "y": ((6,),), "z": ((8,),)})
    assert np.allclose(scores.logprobs, np.log(shares / shares.sum()), atol=1e-6)
    assert np.allclose(scores.mass, 1.0, atol=1e-6)


def test_variants_add_up_and_the_rest_of_the_vocabulary_is_not_mass() -> None:
    scores = score_prompts(Stub([0.0] * 10), [[1]], {"x": ((5,), (6,)), "y": ((7,),)})
    assert np.allclose(scores.logprobs, np.log([[0.2, 0.1]]), atol=1e-6)
    assert scores.mass == pytest.approx([0.3], abs=1e-6)


def test_single_tokens_cost_one_forward_for_each_distinct_prompt() -> None:
    model = Stub([0.0] * 20)
    score_prompts(model, [[1], [2], [1], [1]], ONE)
    assert model.rows == 2
    assert model.training


def test_longer_labels_cost_one_forward_for_each_longest_run() -> None:
    model = Stub([0.0] * 20)
    score_prompts(model, [[1], [2]], MANY)
    # Runs before a last token: (5, 6), which holds (5,), and (11,); the empty run is on the way to both.
    assert model.rows == 4


def test_no_prompts_give_no_scores(llama: Any) -> None:
    assert score_prompts(llama, [], MANY).logprobs.shape == (0, 4)


def test_dropout_is_off_and_the_mode_is_put_back(llama: Any) -> None:
    model = _model("gpt2").train()
    first, second = (score_prompts(model, [[14, 15, 16]], ONE).logprobs for _ in range(2))
    assert np.array_equal(first, second)
    assert model.training


def test_an_adapter_changes_the_scores_and_batching_still_does_not() -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    prompts = _prompts(np.random.default_rng(3), 9)
    plain = score_prompts(_model("llama"), prompts, MANY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = get_peft_model(_model("llama"), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    alone, together = (score_prompts(model, prompts, MANY, batch_size=size) for size in (1, 16))
    assert np.abs(alone.logprobs - together.logprobs).max() < TOLERANCE
    assert np.abs(alone.logprobs - plain.logprobs).max() > 0.01


def test_the_padding_side_of_the_tokenizer_does_not_matter(llama: Any) -> None:
    labels = (Label(name="x", answer="A"), Label(name="y", answer="B"))
    task = Task(name="t", template="topic {text} ?", labels=labels)
    texts = ["the game", "", "alpha beta gamma delta", "one"]
    scores = []
    for side in ("left", "right"):
        tokenizer = tiny_tokenizer(["topic", "?", "A", "B", "the", "game", "alpha", "beta", "gamma", "delta", "one"])
        tokenizer.padding_side = side
        scores.append(score_labels(llama, Encoder(tokenizer, task, 64), texts).logprobs)
    assert np.array_equal(scores[0], scores[1])


def test_prompts_beyond_the_positions_are_refused(llama: Any) -> None:
    with pytest.raises(TruingError, match="65 tokens"):
        score_prompts(llama, [[14] * 65], ONE)


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(TruingError, match="prompts 0, 1 are not finite"):
        score_prompts(Stub([float("nan")] * 10), [[1], [2]], {"x": ((5,),), "y": ((6,),)})


@pytest.fixture(scope="module")
def stories() -> tuple[Any, Any]:
    if not STORIES.is_dir():
        pytest.skip("needs ../shared/data/lm_stories260K")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    tokenizer.chat_template = PLAIN
    return AutoModelForCausalLM.from_pretrained(STORIES).eval(), tokenizer


def test_a_real_model_prefers_the_likely_word_and_batching_changes_nothing(stories: tuple[Any, Any]) -> None:
    model, tokenizer = stories
    labels = (Label(name="animal", answer="dog"), Label(name="nonsense", answer="qxj"))
    encoder = Encoder(tokenizer, Task(name="t", template="{text}", labels=labels), 256)
    texts = ["Tim saw a big", "Once upon a time there was a little", "", "He ran to the park and played with his friend the"]
    alone, together = (score_labels(model, encoder, texts, batch_size=size) for size in (1, 16))
    # These labels lie 12 to 37 nats down, where float32 forwards of different shapes differ by more than 1e-5 nats:
    # the bound is relative here, and absolute on the shares, which is what is reported.
    assert np.allclose(alone.logprobs, together.logprobs, rtol=2e-6, atol=0)
    assert np.abs(np.exp(alone.logprobs) - np.exp(together.logprobs)).max() < 1e-9
    assert (together.logprobs[:, 0] > together.logprobs[:, 1]).all()
    prompts = [encoder.prompt_ids(text) for text in texts]
    brute = [[_brute(model, prompt, variants) for variants in label_sequences(encoder).values()] for prompt in prompts]
    assert np.abs(together.logprobs - np.array(brute)).max() < 1e-4


def test_a_real_model_in_float64_does_not_see_the_batch(stories: tuple[Any, Any]) -> None:
    import copy

    model = copy.deepcopy(stories[0]).double()
    prompts = _prompts(np.random.default_rng(5), 12)
    alone, together = (score_prompts(model, prompts, MANY, batch_size=size).logprobs for size in (1, 16))
    assert np.abs(alone - together).max() < 1e-9
