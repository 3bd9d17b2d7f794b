"""What a judge is shown of a row: each text fenced as data, cut to a stated length, and free of what UTF-8 cannot hold."""

from __future__ import annotations

import re
from dataclasses import dataclass

from truing.core.digests import digest_bytes

_TAG_LENGTH = 16
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Shown:
    """A field as the judge sees it.

    Attributes:
        text: What stands in the prompt.
        cut: Whether only the beginning is shown.
        mended: Whether halves of surrogate pairs were replaced by U+FFFD.
    """

    text: str
    cut: bool
    mended: bool


def shown(name: str, value: str, max_chars: int, *, fence: bool) -> Shown:
    """Fence a text between lines that carry a tag of its own digest, and cut it to `max_chars` characters.

    A text cannot hold the tag of its own digest, so it cannot close its fence; what it says of verdicts and instructions stays inside. How
    much was cut is said outside of the fence. Unfenced text, as in published prompts, says it in a line of its own.
    """
    whole = _SURROGATE.sub("\ufffd", value)
    kept = whole[:max_chars]
    note = f"only the first {len(kept)} of {len(whole)} characters are shown" if len(kept) < len(whole) else ""
    if fence:
        tag = _tag(name, kept)
        text = f"<<{name} {tag}>>\n{kept}\n<<end of {name} {tag}>>" + (f"\n({note})" if note else "")
    else:
        text = f"{kept}\n[{note}]" if note else kept
    return Shown(text, bool(note), whole != value)


def _tag(name: str, text: str) -> str:
    tag = digest_bytes(f"{name}\n{text}".encode())[:_TAG_LENGTH]
    while tag in text:  # a short digest could be met by chance or by trying; its digest in turn is a new draw
        tag = digest_bytes(f"{tag}\n{text}".encode())[:_TAG_LENGTH]
    return tag
