"""Which token sequences count as which label, checked so that no two labels can be mistaken for each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from truing.core.errors import Exit, TruingError, some
from truing.models.encoding import Encoder

Sequences = Mapping[str, tuple[tuple[int, ...], ...]]


def label_sequences(encoder: Encoder) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Token sequences of each label's answer, in task order: the trained form first, then its spacing variants.

    A variant is the answer with and without a leading space. Variants that are equal, hold an unknown token, or extend or open
    another variant of the same label are left out, so that the variants are disjoint events whose probabilities add up.

    Raises:
        TruingError: when an answer is unknown to the tokenizer or has no tokens, when two labels share a sequence, or when one
            label's sequence opens another's.
    """
    found = {label.name: _variants(encoder, label.name, label.answer) for label in encoder.task.labels}
    clashes = [f"{a} {list(first)} / {b} {list(second)}" for a, first, b, second in _clashes(found)]
    if clashes:
        raise TruingError(
            f"labels whose answers begin with the same tokens: {some(clashes)}",
            "answers of which none is the beginning of another",
            "change the answers in the corpus' task",
            Exit.REFUSED,
        )
    return found


def _variants(encoder: Encoder, name: str, answer: str) -> tuple[tuple[int, ...], ...]:
    trained = encoder.answer_ids[name]
    unknown = encoder.tokenizer.unk_token_id
    if not trained or (unknown is not None and unknown in trained):
        raise TruingError(
            f"label {name!r}: the tokenizer does not know the answer {answer!r} (tokens {list(trained)})",
            "an answer made of tokens of the vocabulary",
            "change the label's answer in the corpus' task, or take another base",
            Exit.REFUSED,
        )
    kept = [trained]
    for text in (answer, f" {answer}"):
        ids = tuple(encoder.tokens(text))
        if ids and unknown not in ids and not any(_opens(ids, other) or _opens(other, ids) for other in kept):
            kept.append(ids)
    return tuple(kept)


def _opens(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return second[: len(first)] == first


def _clashes(found: Sequences) -> Iterator[tuple[str, tuple[int, ...], str, tuple[int, ...]]]:
    every: Iterable[tuple[str, tuple[int, ...]]] = [(name, sequence) for name, variants in found.items() for sequence in variants]
    # In sorted order, a sequence that opens others stands directly before one of them.
    ranked = sorted(every, key=lambda pair: (pair[1], pair[0]))
    for (a, first), (b, second) in pairwise(ranked):
        if a != b and _opens(first, second):
            yield a, first, b, second
