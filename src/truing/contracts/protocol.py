"""The protocol of a result: everything about how it was made that must be equal before two results may be compared.

A protocol is a flat mapping of field to JSON value. A field that is absent or None is unknown, and unknown
equals nothing, not even another unknown. What cannot apply (the temperature of a scored answer) is "n/a",
which is known and equal to itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import Field

from truing.core.digests import canonical_json, digest
from truing.core.errors import Exit, TruingError, some
from truing.core.registry import Params

Protocol = Mapping[str, Any]

NOT_APPLICABLE = "n/a"
PHASES = "phases"
BASE_FIELDS = ("base.model", "base.digest")
# Of each training phase, as "sft.world_size"; a second phase of one name is "sft2".
PHASE_FIELDS = (
    "recipe", "corpus_digest", "manifest_digest", "rows", "per_device_batch", "accumulation", "world_size", "effective_batch", "steps",
    "epochs", "learning_rate", "schedule", "warmup_steps", "optimizer", "weight_decay", "max_grad_norm", "loss", "mask", "weighting",
    "max_length", "adapter", "precision", "attention", "sharding", "chat_template_digest", "libraries", "device",
)  # fmt: skip
EVAL_FIELDS = (
    "eval.probe", "eval.params", "eval.items_digest", "eval.items", "eval.engine", "eval.samples", "eval.temperature", "eval.top_p",
    "eval.top_k", "eval.repetition_penalty", "eval.max_new_tokens", "eval.max_length", "eval.precision", "eval.attention",
    "eval.chat_template_digest", "eval.libraries", "eval.device",
)  # fmt: skip
JUDGE_FIELDS = ("judge.id", "judge.prompt_digest", "judge.sampling", "judge.parser", "judge.filter")
# Claims about how many rows of a source were used; optional, and checked against `rows` where they are given.
_CLAIMED = ("rows_fraction", "rows_available")
_MAX_SHOWN = 60


class Allowance(Params):
    """A difference between two protocols that somebody vouches for.

    Attributes:
        field: The field, or a shell-style pattern over fields ("sft.libraries", "eval.*").
        reason: Why the comparison still stands; printed wherever it is used.
        a: Condition that it holds for; None for any.
        b: Condition that it is compared with; None for any.
    """

    field: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    a: str | None = None
    b: str | None = None

    def covers(self, a: str, b: str) -> bool:
        """Whether it speaks of these two conditions, in either order."""
        wanted = {name for name in (self.a, self.b) if name is not None}
        return wanted <= {a, b}


@dataclass(frozen=True)
class Difference:
    """A field in which two protocols are not known to be equal; None is unknown."""

    field: str
    a: Any
    b: Any

    @property
    def unknown(self) -> bool:
        """Whether either value is unknown."""
        return self.a is None or self.b is None


def phases(protocol: Protocol) -> tuple[str, ...] | None:
    """Names of the training phases, in order; None when they are unknown."""
    value = protocol.get(PHASES)
    return None if value is None else tuple(value)


def phase_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names that tell repeated phases apart: sft, dpo, sft becomes sft, dpo, sft2."""
    found: list[str] = []
    for name in names:
        count = sum(1 for known in found if known.rstrip("0123456789") == name)
        found.append(name if count == 0 else f"{name}{count + 1}")
    return tuple(found)


def required_fields(protocol: Protocol) -> tuple[str, ...]:
    """Every field that must be known before this protocol equals another."""
    known = phases(protocol)
    # Of unknown phases, those that some field speaks of are asked for; that there may be more is why PHASES stays unknown.
    spoken = sorted({name.partition(".")[0] for name in protocol if "." in name} - {"base", "eval", "judge"})
    names = spoken if known is None else known
    return (PHASES, *BASE_FIELDS, *(f"{phase}.{field}" for phase in names for field in PHASE_FIELDS), *EVAL_FIELDS, *JUDGE_FIELDS)


def unknown_fields(protocol: Protocol) -> list[str]:
    """Required fields that have no value."""
    return [field for field in required_fields(protocol) if protocol.get(field) is None]


def fingerprint(protocol: Protocol) -> str | None:
    """sha256 of the protocol; None when a required field is unknown, since an unknown protocol equals no other."""
    return None if unknown_fields(protocol) else digest(dict(protocol))


def as_text(protocol: Protocol) -> str:
    """The one text form, for a column of the result table."""
    return canonical_json(dict(protocol)).decode()


def from_text(text: str) -> dict[str, Any]:
    """The protocol of a column of the result table."""
    found: dict[str, Any] = json.loads(text)
    return found


def differences(a: Protocol, b: Protocol, exempt: Sequence[str] = ()) -> list[Difference]:
    """Fields that are not known to be equal, except those that match a pattern of `exempt`.

    Where the phases are known and differ, only phases that both have are compared field by field.
    """
    both = [phases(a), phases(b)]
    fields = list(dict.fromkeys([*required_fields(a), *required_fields(b), *sorted({*a, *b})]))
    if both[0] is not None and both[1] is not None:
        apart = set(both[0]) ^ set(both[1])
        fields = [field for field in fields if field.partition(".")[0] not in apart]
    found = [Difference(field, a.get(field), b.get(field)) for field in fields if field.rpartition(".")[2] not in _CLAIMED]
    return [d for d in found if (d.unknown or d.a != d.b) and not matches(d.field, exempt)]


def matches(field: str, patterns: Iterable[str]) -> bool:
    """Whether a field matches one of the patterns; a bare name ("world_size") stands for that field of every phase."""
    return any(fnmatchcase(field, pattern) or field.rpartition(".")[2] == pattern for pattern in patterns)


@dataclass(frozen=True)
class Mismatch:
    """A difference that an allowance covers, with its reason."""

    field: str
    a: Any
    b: Any
    reason: str

    def row(self, a: str, b: str) -> dict[str, Any]:
        """As it is recorded in a result."""
        return {"a": a, "b": b, "field": self.field, "value_a": self.a, "value_b": self.b, "reason": self.reason}


def require_comparable(
    a: Protocol, b: Protocol, *, names: tuple[str, str], exempt: Sequence[str] = (), allowed: Sequence[Allowance] = ()
) -> list[Mismatch]:
    """Refuse a comparison of results that were made differently.

    Args:
        a: Protocol of the first.
        b: Protocol of the second.
        names: What the two are called.
        exempt: Patterns of the fields that the contrast manipulates.
        allowed: Differences that somebody vouches for.

    Returns:
        The differences that an allowance covers, each with its reason.

    Raises:
        TruingError: exit 3, with every other differing field and both values.
    """
    mine = [allowance for allowance in allowed if allowance.covers(*names)]
    found = differences(a, b, exempt)
    covered = {d.field: next((one.reason for one in mine if matches(d.field, [one.field])), None) for d in found}
    refused = [d for d in found if covered[d.field] is None]
    if refused:
        raise TruingError(
            f"{names[0]} and {names[1]} were not made by one protocol:\n{difference_lines(refused, names)}",
            "equal protocols in every field that the contrast does not declare as its manipulation; unknown equals nothing",
            "run both under one protocol, or vouch for a field with --allow-mismatch FIELD --reason TEXT",
            Exit.REFUSED,
        )
    return [Mismatch(d.field, d.a, d.b, reason) for d in found if (reason := covered[d.field]) is not None]


def difference_lines(found: Sequence[Difference], names: tuple[str, str]) -> str:
    """A table of differing fields with both values, as indented text."""
    cells = [("field", *names), *((d.field, shown(d.a), shown(d.b)) for d in found)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    return "\n".join("    " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def shown(value: Any) -> str:
    """A value for a person; long ones are cut, and a digest to its first twelve digits."""
    if value is None:
        return "unknown"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return text[:12]
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}\u2026"


def derived(protocol: Protocol, where: str) -> dict[str, Any]:
    """The protocol with its derivable fields filled in, and every claim checked against its derivation.

    `effective_batch` is per-device batch x accumulation x world size. `steps` follows the libraries' count: an
    epoch is ceil(ceil(rows / (batch x world)) / accumulation) optimizer steps. `rows` is int(fraction x available).

    Raises:
        TruingError: exit 3, when a claimed value is not the derived one.
    """
    found = dict(protocol)
    known = {*PHASE_FIELDS, *_CLAIMED}
    spoken = sorted({field.partition(".")[0] for field in protocol if field.rpartition(".")[2] in known} - {"base", "eval", "judge"})
    for phase in phases(protocol) or spoken:
        for field, value, how in _derivations(found, phase):
            claimed = found.setdefault(f"{phase}.{field}", value)
            if claimed != value:
                raise TruingError(
                    f"{where}: {phase}.{field} is claimed to be {claimed}", f"{value}, which is {how}", "correct the claim", Exit.REFUSED
                )
    return found


def _derivations(found: Mapping[str, Any], phase: str) -> Iterable[tuple[str, int, str]]:
    def known(*fields: str) -> list[Any] | None:
        values = [found.get(f"{phase}.{field}") for field in fields]
        return None if None in values or NOT_APPLICABLE in values else values

    if source := known("rows_fraction", "rows_available"):
        yield "rows", int(source[0] * source[1]), f"int({source[0]} x {source[1]})"
    if batch := known("per_device_batch", "accumulation", "world_size"):
        yield "effective_batch", math.prod(batch), f"batch x accumulation x world size = {' x '.join(map(str, batch))}"
    if run := known("rows", "epochs", "per_device_batch", "accumulation", "world_size"):
        rows, epochs, size, accumulation, world = run
        updates = math.ceil(math.ceil(rows / (size * world)) / accumulation)
        # A realised number of epochs is rounded when it is recorded.
        yield "steps", math.ceil(epochs * updates - 1e-3), f"{epochs} epochs of {updates} steps over {rows} rows"
    elif run := known("rows", "epochs", "effective_batch"):
        rows, epochs, batch_size = run
        yield (
            "steps",
            math.ceil(epochs * math.ceil(rows / batch_size) - 1e-3),
            f"{epochs} epochs over {rows} rows in batches of {batch_size}",
        )


def check_fields(names: Iterable[str], where: str) -> None:
    """Refuse a field that no protocol has.

    Raises:
        TruingError: listing the known fields.
    """
    phase = {*PHASE_FIELDS, *_CLAIMED}
    fixed = {PHASES, *BASE_FIELDS, *EVAL_FIELDS, *JUDGE_FIELDS}
    bad = [name for name in names if name not in fixed and not _is_phase_field(name, phase)]
    if bad:
        raise TruingError(
            f"{where}: no such protocol field: {some(bad)}",
            f"{', '.join(sorted(fixed))}, or PHASE.FIELD with FIELD one of {', '.join(sorted(phase))}",
            "correct the name; what is not known is left out",
        )


def _is_phase_field(name: str, fields: set[str]) -> bool:
    phase, dot, field = name.partition(".")
    return bool(dot) and phase not in ("base", "eval", "judge") and phase.isidentifier() and field in fields
