"""The shapes that results were written in: one module a shape, found by its name.

A shape says whether a document's structure is its own, and reads it. Two shapes never claim one document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from truing.core.registry import Registry
from truing.legacy.layouts import Place
from truing.legacy.maps import Map


@dataclass(frozen=True)
class Source:
    """One file.

    Attributes:
        name: Its name as it was given.
        digest: sha256 of its bytes.
        root: The whole document.
        content: What a shape reads: the document, or the rows that the map says stand in it.
        place: The seed that its path states.
        seed: The seed that its path or the map's `seed_from` states.
    """

    name: str
    digest: str
    root: Any
    content: Any
    place: Place | None
    seed: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one seed, as the file has it: before the map's scale.

    Attributes:
        name: Name of the metric in the file.
        seed: Training seed; None for a model without training.
        value: The value with its printed digits; None when it is missing.
        se: Standard error in the unit of the value.
        n: Items that entered; None when the file does not say.
        missing: Items that were left out, by class.
        fields: Texts that the map's templates may name: columns of the rows behind the value.
    """

    name: str
    seed: int | None
    value: Decimal | None
    se: Decimal | None = None
    n: int | None = None
    missing: Mapping[str, int] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """A plug-in: a structure and its reader.

    Attributes:
        looks: The structure in a line, for messages.
        recognises: Whether a parsed document has it.
        read: The values of a document that has it.
    """

    looks: str
    recognises: Callable[[Any], bool]
    read: Callable[[Source, Map], Iterable[Reading]]


shape: Registry[Shape] = Registry("shape", "truing.legacy.shapes")
