"""Where judges' requests are answered: one file for each kind of back end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from truing.core.registry import Registry
from truing.judges.requests import Backend, Message, TransportError

BackendFactory = Callable[[Any], Backend]
backend: Registry[BackendFactory] = Registry("back end", "truing.judges.backends")

# What a chat template writes around a turn, and before all turns (some write a system turn of their own).
_PER_MESSAGE = 16
_PER_CONVERSATION = 256


class UnsentError(TransportError):
    """No reply arrived, and none can have been charged for: the connection was never made."""


def most_tokens(messages: Sequence[Message]) -> int:
    """A count that no byte-level tokenizer exceeds: a token is at least one byte of UTF-8, plus room for the chat template."""
    spoken = sum(len(value.encode("utf-8", "replace")) for message in messages for value in message.values())
    return spoken + _PER_MESSAGE * len(messages) + _PER_CONVERSATION
