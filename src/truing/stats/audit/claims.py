"""The claims file: what was published about the table, with every number as it was written."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from truing.core.errors import TruingError
from truing.core.registry import Params, parse
from truing.stats.audit.kinds import ClaimParams, Kind, kind

NULLS = ("", "~", "null", "Null", "NULL")


class IntervalParams(Params):
    """How the half widths of the table were made: half_width = q * sd / sqrt(n).

    Attributes:
        level: Coverage of the interval.
        distribution: q is Student's with n - 1 degrees of freedom ("t"), the normal's ("z"), or one of the two ("unknown").
    """

    level: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
    distribution: Literal["t", "z", "unknown"]


@dataclass(frozen=True)
class Claim:
    """One claim, read and checked.

    Attributes:
        id: Its name in the answers.
        where: The file and the claim, for messages.
        judge: The kind that judges it.
        params: What is claimed.
    """

    id: str
    where: str
    judge: Kind
    params: ClaimParams


@dataclass(frozen=True)
class Claims:
    """A claims file: how the half widths were made, if it says so, and the claims in their order."""

    interval: IntervalParams | None
    claims: tuple[Claim, ...]


class _File(Params):
    interval: IntervalParams | None = None
    claims: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]


class _Head(Params):
    id: Annotated[str, Field(min_length=1)]
    kind: Annotated[str, Field(min_length=1)]


class _TextLoader(yaml.BaseLoader):
    """YAML in which every scalar stays the text that it is written as, and a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_claims(text: str, name: str) -> Claims:
    """Read a claims file.

    Args:
        text: YAML with `interval` (level and distribution of the half widths) and `claims`, each with `id`, `kind` and
            the fields of its kind.
        name: The file, for messages.

    Raises:
        TruingError: naming the file, the claim and the known names: no YAML, a repeated id, an unknown kind, or a field
            that is unknown, absent or of a wrong form.
    """
    try:
        # The loader makes text, lists and mappings, and nothing else.
        document = yaml.load(text, Loader=_TextLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise TruingError(
            f"{name}: not valid YAML: {error}", "a mapping with interval and claims", "correct the line named above"
        ) from error
    if not isinstance(document, dict):
        raise TruingError(f"{name}: no mapping", "the keys: claims, interval", f"edit {name}")
    file = parse(_File, _written(document), name)
    claims = tuple(_claim(fields, i, name) for i, fields in enumerate(file.claims))
    ids = [claim.id for claim in claims]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise TruingError(f"{name}: two claims with the id {twice!r}", "an id of its own for each claim", "rename one")
    return Claims(file.interval, claims)


def _claim(fields: dict[str, Any], i: int, name: str) -> Claim:
    fields = _written(fields)
    label = repr(fields["id"]) if "id" in fields else f"number {i + 1}"
    where = f"{name}, claim {label}"
    head = parse(_Head, {key: fields[key] for key in _Head.model_fields if key in fields}, where)
    plugin = kind.get(head.kind, where)
    params = plugin.configure({key: value for key, value in fields.items() if key not in _Head.model_fields}, where)
    return Claim(head.id, where, plugin.target, params)


def _written(value: Any) -> Any:
    # A null field is one that was left out; everything is text, so null is a word here.
    if not isinstance(value, dict):
        return value
    return {key: field for key, field in value.items() if not (isinstance(field, str) and field in NULLS)}
