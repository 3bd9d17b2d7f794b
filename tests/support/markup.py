"""What a reader sees of a page."""

from __future__ import annotations

import re


def words(markup: str) -> str:
    """The text of some markup, without styles and drawings, its white space folded."""
    markup = re.sub(r"<(style|svg).*?</\1>", " ", markup, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup)).strip()
