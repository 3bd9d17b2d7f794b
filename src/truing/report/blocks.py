"""The few things that a page is built of. A study's section returns these; the templates alone know HTML structure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        html: Its content.
        kind: "text", "number", "head" (names the row) or "missing".
        note: Small print under the content.
    """

    html: Markup
    kind: str = "text"
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; `columns` are (heading, small print, is numeric)."""

    template: ClassVar[str] = "table"
    caption: Markup
    columns: Sequence[tuple[str, str, bool]]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Figure:
    """A figure: inline SVG, what it shows in one sentence for those who cannot see it, and its numbers as a table."""

    key: str
    title: str
    svg: Markup
    label: str


@dataclass(frozen=True)
class Figures:
    """Panels side by side where there is room, one caption, one table of the numbers drawn."""

    template: ClassVar[str] = "figures"
    panels: Sequence[Figure]
    caption: Markup
    data: Table | None = None
    columns: int = 2


@dataclass(frozen=True)
class Prose:
    """A paragraph; `kind` is "plain", "lead" or "note"."""

    template: ClassVar[str] = "prose"
    html: Markup
    kind: str = "plain"


@dataclass(frozen=True)
class Folded:
    """Blocks that are closed until asked for."""

    template: ClassVar[str] = "folded"
    summary: str
    blocks: Sequence[Table | Prose]


Block = Table | Figures | Prose | Folded


@dataclass(frozen=True)
class Part:
    """A headed part of a study's section; `key` is unique within the section."""

    key: str
    title: str
    blocks: Sequence[Block]


def text(value: object) -> Cell:
    """A plain cell."""
    return Cell(escape(str(value)))


def head(html: object) -> Cell:
    """The cell that names its row."""
    return Cell(escape(html), "head")


def number(html: object, note: str = "") -> Cell:
    """A cell with a number."""
    return Cell(escape(html), "number", note)


def missing(word: str = "missing", note: str = "") -> Cell:
    """A cell whose value does not exist; it says so."""
    return Cell(escape(word), "missing", note)


def joined(parts: Iterable[object], separator: str = " ") -> Markup:
    """Join pieces of text and markup, escaping the text."""
    return escape(separator).join(map(escape, parts))
