"""Results from elsewhere beside a study's own: all of them, how each was made, and where one does not fit the replicates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from truing.contracts.protocol import Difference, differences, from_text
from truing.core import numbers
from truing.core.errors import Exit, TruingError, some
from truing.report.blocks import Block, Cell, Folded, Part, Prose, Table, head, joined, missing, number, text
from truing.report.comparable import agree
from truing.report.footnotes import values
from truing.report.inputs import ReportInputs
from truing.report.measured import records
from truing.stats.hypotheses import NO_SPREAD, prediction_t
from truing.stats.summary import aggregate

if TYPE_CHECKING:
    import pandas as pd

KEY = "siblings"
CHECK = "check for a confound"
# A new value further from its replicates than this is taken for another experiment until its protocol says otherwise.
MOST_T = 4.0
_MOST_ROWS = 24

Row = Mapping[str, Any]
# Condition, phase and probe: results of one such group share how they were made.
Group = tuple[str, str, str]

_GROUP_COLUMNS = (
    ("condition", "after phase", False),
    ("probe", "", False),
    ("seeds", "", True),
    ("seeds vary", "", False),
    ("upstream runs", "", True),
    ("protocol", "against this study\u2019s", False),
    ("values", "", True),
)
_VALUE_COLUMNS = (
    ("condition", "after phase", False),
    ("metric", "arm, probe", False),
    ("mean over seeds", "95 % interval", True),
    ("seeds vary", "", False),
    ("upstream runs", "", True),
    ("protocol", "against this study\u2019s", False),
    ("as one more seed", "prediction t against this study\u2019s seeds", False),
)


@dataclass(frozen=True)
class Alarm:
    """Values of one condition of one table that do not belong with this study's replicates."""

    name: str
    group: Group
    values: int
    fields: Sequence[Difference]

    def words(self) -> str:
        """What to look at: every field in which the two protocols are not known to be equal."""
        apart = [
            f"{one.field} ({' against '.join(values({'value_a': one.a, 'value_b': one.b}))})" for one in self.fields if not one.unknown
        ]
        unknown = [one.field for one in self.fields if one.unknown]
        told = [
            f"Its protocol differs in {', '.join(apart)}" if apart else "No field of its protocol is known to differ",
            f"unknown: {', '.join(unknown)}" if unknown else "no field is unknown",
        ]
        count = "a value lies" if self.values == 1 else f"{self.values} values lie"
        return f"{CHECK}: {count} beyond what one more seed of {self.group[0]} would give. {'; '.join(told)}."


@dataclass(frozen=True)
class Siblings:
    """What a study's section says of the tables beside it.

    Attributes:
        listed: Names of the tables that it lists.
        part: The part of the section; None when there is nothing to list.
        alarms: Values that may be confounded.
    """

    listed: frozenset[str]
    part: Part | None
    alarms: Sequence[Alarm]

    def warnings(self, study: str) -> list[Markup]:
        """What a reader must know first."""
        url = f"index.html#{study}-{KEY}"
        return [
            joined([Markup('<a href="{}">{}</a>,').format(url, f"{alarm.name}, {alarm.group[0]}"), alarm.words()]) for alarm in self.alarms
        ]


def siblings(study: str, inputs: ReportInputs) -> Siblings:
    """Every result of the study in every imported table."""
    own = records(inputs.results, study)
    tables = {name: table[table["study"] == study] for name, table in sorted(inputs.imported.items())}
    found = {name: _Sibling(name, table, own) for name, table in tables.items() if len(table)}
    blocks = [block for one in found.values() for block in one.blocks()]
    part = Part(KEY, "The same conditions elsewhere", [_prose(), *blocks]) if blocks else None
    return Siblings(frozenset(found), part, [alarm for one in found.values() for alarm in one.alarms()])


def require_listed(inputs: ReportInputs, found: Mapping[str, Siblings]) -> None:
    """Refuse pages that leave out a registered table, or part of it.

    Raises:
        TruingError: exit 3, naming the tables and the studies that no section lists.
    """
    left = [
        f"{name} ({study})"
        for name, table in sorted(inputs.imported.items())
        for study in sorted(set(table["study"])) or ["no study"]
        if study not in found or name not in found[study].listed
    ]
    if left:
        raise TruingError(
            f"imported results that no page would show: {some(left)}",
            f"results of the studies in the report: {some(sorted(found)) or '(none)'}",
            "correct the study in the map that they were imported with, or take the table out of report.imported",
            Exit.REFUSED,
        )


def _prose() -> Prose:
    words = (
        "Results of the same conditions that were not made by this plan, all that are registered. They enter no test and no figure. "
        f"A single value beyond prediction t = {MOST_T:.0f} of this study\u2019s own seeds is marked: {CHECK}."
    )
    return Prose(escape(words), "note")


class _Sibling:
    """One imported table beside one study."""

    def __init__(self, name: str, table: pd.DataFrame, own: Sequence[Row]) -> None:
        self._name = name
        self._rows = _grouped(records(table), _value_key)
        self._own = _grouped(own, _cell_key)
        self._groups = _grouped(records(table), _group_key)
        self._own_groups = _grouped(own, _group_key) | _grouped(own, lambda row: _group_key(row)[:2])
        self._fields = {group: self._differences(group) for group in sorted(self._groups)}
        self._cells = records(aggregate(table, [])[0])
        self._checked = {_value_key(cell): self._check(cell) for cell in self._cells}

    def _differences(self, group: Group) -> list[Difference] | None:
        """Fields in which any protocol there is not known to equal one here; None without such a condition here."""
        there = {row["protocol"] for row in self._groups[group]}
        # A probe of another name is held against whatever asked this condition here.
        mine = self._own_groups.get(group) or self._own_groups.get(group[:2]) or []
        here = {row["protocol"] for row in mine}
        if not here:
            return None
        pairs = [(from_text(a), from_text(b)) for a in sorted(there) for b in sorted(here)]
        return list({one.field: one for a, b in pairs for one in differences(a, b)}.values())

    def _check(self, cell: Row) -> tuple[str, bool]:
        """What a value is as one more seed of this study, and whether that calls for a check."""
        there = [row for row in self._rows[_value_key(cell)] if row["value"] is not None]
        here = [row for row in self._own.get(_cell_key(cell), ()) if row["seed"] is not None and row["value"] is not None]
        if len(there) != 1 or there[0]["seed"] is None:
            return ("", False)
        point = there[0]["value"]
        if any(row["seed"] == there[0]["seed"] and agree(row["value"], point) for row in here):
            return ("the same seed, with the same value", False)
        if not here:
            return ("no seed here", False)
        return _predicted(point, [row["value"] for row in here])

    def blocks(self) -> list[Block]:
        """A row per condition, a row per value, and a note per alarm."""
        values, conditions = _counted(len(self._cells), "value"), _counted(len({group[0] for group in self._groups}), "condition")
        caption = Markup("<b>{}</b>: {} of {}.").format(self._name, values, conditions)
        table = Table(Markup("<b>{}</b>: every value.").format(self._name), _VALUE_COLUMNS, [self._value_row(cell) for cell in self._cells])
        notes = [Prose(joined([Markup("<b>{}</b>,").format(self._name), alarm.words()])) for alarm in self.alarms()]
        every: Block = Folded(f"All {values} of {self._name}", [table]) if len(self._cells) > _MOST_ROWS else table
        return [Table(caption, _GROUP_COLUMNS, [self._group_row(group) for group in self._fields]), *notes, every]

    def _group_row(self, group: Group) -> list[Cell]:
        rows = self._groups[group]
        seeds = {row["seed"] for row in rows if row["seed"] is not None}
        return [
            head(_condition(group)),
            text(group[2]),
            number(len(seeds)) if seeds else missing("none"),
            text(_scopes(rows)),
            number(_upstream(rows)),
            text(_protocol_words(self._fields[group])),
            number(sum(_group_key(cell) == group for cell in self._cells)),
        ]

    def _value_row(self, cell: Row) -> list[Cell]:
        rows = self._rows[_value_key(cell)]
        words, alarm = self._checked[_value_key(cell)]
        return [
            head(_condition(_group_key(cell))),
            Cell(escape(cell["metric"]), "text", f"{cell['arm']}, {cell['probe']}"),
            _mean(cell),
            text(_scopes(rows)),
            number(_upstream(rows)),
            text(_protocol_words(self._fields[_group_key(cell)])),
            Cell(Markup("<strong>{}</strong>").format(CHECK), "text", words) if alarm else text(words or "not a single value"),
        ]

    def alarms(self) -> list[Alarm]:
        """One per condition with values that call for a check."""
        counts = {
            group: sum(_group_key(cell) == group and self._checked[_value_key(cell)][1] for cell in self._cells) for group in self._fields
        }
        return [Alarm(self._name, group, count, self._fields[group] or ()) for group, count in counts.items() if count]


def _predicted(point: float, replicates: Sequence[float]) -> tuple[str, bool]:
    found = prediction_t(point, replicates)
    if found.statistic is not None:
        return (f"t = {numbers.fixed(found.statistic, 1, signed=True)} against n = {found.n_b}", abs(found.statistic) > MOST_T)
    # Replicates that are all equal predict their own value and no other.
    apart = found.reason == NO_SPREAD and not agree(replicates[0], point)
    return (f"no t: {found.reason}", apart)


def _counted(count: int, noun: str) -> str:
    return f"{numbers.count(count)} {noun if count == 1 else noun + 's'}"


def _grouped(rows: Iterable[Row], key: Any) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def _group_key(row: Row) -> Group:
    return row["condition"], row["phase"], row["probe"]


def _value_key(row: Row) -> tuple[str, ...]:
    return row["condition"], row["phase"], row["probe"], row["arm"], row["metric"], row["unit"]


def _cell_key(row: Row) -> tuple[str, ...]:
    """What a value is of, whatever the probe is called: one study has one probe per arm and metric."""
    return row["condition"], row["phase"], row["arm"], row["metric"], row["unit"]


def _condition(group: Group) -> Markup:
    return Markup("{}<small>{}</small>").format(*group[:2])


def _mean(cell: Row) -> Cell:
    seeds, gone = int(cell["n_seeds"]), int(cell["n_missing"])
    if cell["mean"] is None:
        return missing("missing", numbers.seeds(seeds, gone))
    words = numbers.estimate(cell["mean"], cell["ci_lo"], cell["ci_hi"])
    if seeds == 0:
        return number(words, "no training" if cell["ci_lo"] is not None else "no training, no interval")
    if seeds == 1:
        return number(words, numbers.ONE_SEED)
    return number(words, numbers.seeds(seeds, gone) if cell["ci_lo"] is not None else f"{numbers.seeds(seeds, gone)}, {numbers.NO_SPREAD}")


def _scopes(rows: Iterable[Row]) -> str:
    return ", ".join(sorted({row["seed_scope"] for row in rows}))


def _upstream(rows: Iterable[Row]) -> int:
    return min(int(row["n_upstream"]) for row in rows)


def _protocol_words(found: Sequence[Difference] | None) -> str:
    if found is None:
        return "no such condition here"
    unknown = sum(one.unknown for one in found)
    apart = len(found) - unknown
    told = [f"{apart} {'field differs' if apart == 1 else 'fields differ'}"] * bool(apart)
    told += [f"unknown in {unknown} {'field' if unknown == 1 else 'fields'}"] * bool(unknown)
    return ", ".join(told) or "equal"
