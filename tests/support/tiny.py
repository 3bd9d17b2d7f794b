"""A random, tiny Llama with a word-level tokenizer and a chat template: a complete base folder in a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from truing.core.digests import digest_bytes, file_digests
from truing.core.files import write_json

SPECIALS = ("<bos>", "<sys>", "<user>", "<asst>", "<end>", "<pad>", "<unk>")

WORDS = (
    *("A", "B", "C", "D", "yes", "no", "maybe", "good", "bad"),
    *("classify", "news", "text", "the", "a", "is", "of", "in", "and", "to", "question", "answer", "empty", "class", "topic"),
    *("world", "global", "foreign", "sports", "game", "team", "business", "market", "trade", "science", "space", "lab"),
    *("alpha", "beta", "gamma", "delta", "epsilon", "red", "green", "blue", "one", "two", "three", "four", "five"),
    *(".", ",", ":", "?", "!"),
)

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %} <sys> {{ message['content'] }} <end>"
    "{% elif message['role'] == 'user' %} <user> {{ message['content'] }}"
    "{% else %} <asst> {% generation %}{{ message['content'] }} <end>{% endgeneration %}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} <asst>{% endif %}"
)


def tiny_tokenizer(words: Sequence[str] = WORDS) -> Any:
    """A word-level tokenizer: split at spaces and punctuation, words in the given order after the seven special tokens."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(dict.fromkeys((*SPECIALS, *words)))}
    core = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<bos>",
        eos_token="<end>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<sys>", "<user>", "<asst>"],
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def tiny_base(folder: Path, *, words: Sequence[str] = WORDS, seed: int = 0, hidden: int = 32, layers: int = 2, key: str = "tiny") -> Path:
    """Write a base folder (weights, config, tokenizer, chat template, base.json) with random weights, and return it.

    Equal arguments give equal bytes.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer(words)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # Large enough that answers differ between prompts, as they do in a trained model.
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "base.json", _document(folder, key, seed, sum(p.numel() for p in model.parameters())))
    return folder


def _document(folder: Path, key: str, seed: int, parameters: int) -> dict[str, Any]:
    files = {name: value for name, value in file_digests(folder).items() if name != "base.json"}
    template = (folder / "chat_template.jinja").read_bytes()
    return {
        "schema": 1,
        "key": key,
        "source": "tiny",
        "revision": None,
        "params": {"seed": seed},
        "files": files,
        "external": False,
        "parameters": parameters,
        "chat_template_digest": digest_bytes(template),
        "inputs": {},
        "training": None,
    }
