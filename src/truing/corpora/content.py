"""The texts of a row, whatever its form, and the form in which two texts are compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any


def contents(row: Mapping[str, Any]) -> dict[str, str]:
    """Every text of a row by its place (`text`; `messages/0`, ...; `prompt`, `chosen`, `rejected`)."""
    found = {name: row[name] for name in ("text", "prompt", "chosen", "rejected") if name in row}
    for index, message in enumerate(row.get("messages", ())):
        found[f"messages/{index}"] = message["content"]
    return found


def question(row: Mapping[str, Any]) -> str:
    """What a model is shown: the text, the prompt, or the user's turns; held-out items are recognised by it."""
    if "messages" in row:
        return "\n".join(message["content"] for message in row["messages"] if message["role"] == "user")
    return str(row["text"] if "text" in row else row["prompt"])


def normalised(text: str) -> str:
    """Case-folded, NFC, runs of white space as one space, none at the ends."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(folded.split())
