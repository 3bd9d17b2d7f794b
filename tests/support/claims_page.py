"""Pages of the report as words."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from markupsafe import Markup

from truing.report import ReportInputs, figures, render

Make = Callable[..., ReportInputs]


def undrawn(inputs: ReportInputs) -> dict[str, bytes]:
    """The pages with empty figures, for tests that look at none: drawing is most of the time that a render takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw", lambda *_: Markup("<svg></svg>"))
        return render(inputs)


def between(source: str, start: str, end: str) -> str:
    return source[source.index(start) : source.index(end, source.index(start))]


def captions(source: str) -> list[str]:
    return re.findall(r"<(?:fig)?caption>.*?</(?:fig)?caption>", source, re.DOTALL)
