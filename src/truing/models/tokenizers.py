"""Tokenizers made here: one token per word for the micro-world, byte-level BPE for any other text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from truing.core.errors import TruingError
from truing.models.templates import TURNS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BOS, END, USER, ASSISTANT, SYSTEM, PAD, UNKNOWN = "<bos>", "<end>", "<user>", "<asst>", "<sys>", "<pad>", "<unk>"
ROLE_TOKENS = {"user": USER, "assistant": ASSISTANT, "system": SYSTEM}
_SPECIAL = (PAD, BOS, END, USER, ASSISTANT, SYSTEM)
_BYTES = 256


def word_level(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with one token per space-separated word, in the given order after the special tokens; others are `<unk>`."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    special = (*_SPECIAL, UNKNOWN)
    known = dict.fromkeys((*special, *words))
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(known)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.add_special_tokens(list(special))
    return _wrapped(tokenizer, unk_token=UNKNOWN)


def byte_bpe(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer learned from texts: any text has tokens, none is unknown (Sennrich et al. 2016, arXiv 1508.07909).

    Raises:
        TruingError: when the vocabulary has no room for the 256 bytes and the special tokens.
    """
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    if vocab_size <= _BYTES + len(_SPECIAL):
        raise TruingError(
            f"vocab_size {vocab_size}", f"more than {_BYTES + len(_SPECIAL)}: every byte and the special tokens", "raise vocab_size"
        )
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(vocab_size=vocab_size, special_tokens=list(_SPECIAL), initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer)


def _wrapped(tokenizer: Any, **names: str) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT, SYSTEM],
        chat_template=TURNS,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        **names,
    )
