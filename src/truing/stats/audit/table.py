"""The published table: one row per condition and metric, with the numbers as they are printed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from truing.core.errors import TruingError, some
from truing.stats.audit.boxes import Printed, printed

COLUMNS = ("condition", "metric", "n", "mean")
SPREADS = ("half_width", "sd")
Key = tuple[str, str]


@dataclass(frozen=True)
class Cell:
    """A summary of replicates as it is printed; what is not printed is None.

    Attributes:
        n: Number of replicates; exact.
        mean: Their mean.
        spread: Half the width of the mean's interval, or the standard deviation, as the table's column says.
        row: Line of the file.
    """

    n: int | None
    mean: Printed | None
    spread: Printed | None
    row: int


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes:
        name: The file, for messages.
        spread: The column that the spreads come from: "half_width" or "sd".
        cells: Summary by condition and metric, in the order of the file.
    """

    name: str
    spread: str
    cells: Mapping[Key, Cell]

    def metrics(self) -> list[str]:
        """Every metric, in the order of the file."""
        return list(dict.fromkeys(metric for _, metric in self.cells))

    def conditions(self, metric: str) -> list[str]:
        """Every condition with a row for the metric, in the order of the file."""
        return [condition for condition, other in self.cells if other == metric]


def read_table(text: str, name: str) -> Table:
    """Read a published table.

    Args:
        text: CSV with the columns `condition, metric, n, mean` and one of `half_width` and `sd`, in any order. An empty
            cell is missing. The decimals of a number are those of its text.
        name: The file, for messages.

    Raises:
        TruingError: naming the file and the row: another column, a row of another length, a condition and metric twice,
            or a cell that is no number.
    """
    rows = _rows(text, name)
    if not rows:
        raise TruingError(f"{name}: an empty table", f"a header: {', '.join(COLUMNS)} and half_width or sd", "add the header and the rows")
    (first, header), body = rows[0], rows[1:]
    spread = _spread(header, f"{name}, row {first}")
    cells: dict[Key, Cell] = {}
    for line, values in body:
        where = f"{name}, row {line}"
        key, cell = _cell(_fields(header, values, where), spread, line, where)
        if key in cells:
            raise TruingError(
                f"{where}: {key[0]!r} / {key[1]!r} is already in row {cells[key].row}", "one row per condition and metric", "remove one"
            )
        cells[key] = cell
    if not cells:
        raise TruingError(f"{name}: no rows below the header", "a row per condition and metric", "add the rows of the published table")
    return Table(name, spread, cells)


def _rows(text: str, name: str) -> list[tuple[int, list[str]]]:
    # A spreadsheet's byte order mark is no part of the first column's name.
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        rows = [(reader.line_num, [value.strip() for value in row]) for row in reader]
    except csv.Error as error:
        raise TruingError(f"{name}, row {reader.line_num}: not CSV: {error}", "comma-separated values", "correct the quotes") from error
    return [(line, row) for line, row in rows if row and (len(row) > 1 or row[0])]


def _spread(header: Sequence[str], where: str) -> str:
    known = (*COLUMNS, *SPREADS)
    extra = [column for column in header if column not in known]
    spreads = [column for column in SPREADS if column in header]
    absent = [column for column in COLUMNS if column not in header]
    twice = sorted({column for column in header if list(header).count(column) > 1})
    expected = f"the columns {', '.join(COLUMNS)} and either half_width or sd"
    if extra:
        raise TruingError(f"{where}: unknown column {some(map(repr, extra))}", expected, "remove the column, or give it the name meant")
    if absent or twice or len(spreads) != 1:
        got = f"absent {some(absent)}" if absent else f"twice {some(twice)}" if twice else f"{len(spreads)} columns of spread"
        raise TruingError(f"{where}: {got}", expected, "correct the header")
    return spreads[0]


def _fields(header: Sequence[str], values: Sequence[str], where: str) -> dict[str, str]:
    if len(values) != len(header):
        raise TruingError(
            f"{where}: {len(values)} cells", f"{len(header)} cells, as in the header", "leave what is missing empty between its commas"
        )
    return dict(zip(header, values, strict=True))


def _cell(fields: Mapping[str, str], spread: str, line: int, where: str) -> tuple[Key, Cell]:
    for column in ("condition", "metric"):
        if not fields[column]:
            raise TruingError(f"{where}: no {column}", f"a name in the column {column}", "name it")
    width = _number(fields[spread], spread, where)
    if width is not None and width.exact < 0:
        raise TruingError(f"{where}: {spread} {width.text}", "a spread of 0 or more", "correct the cell")
    return (fields["condition"], fields["metric"]), Cell(_count(fields["n"], where), _number(fields["mean"], "mean", where), width, line)


def _number(text: str, column: str, where: str) -> Printed | None:
    if not text:
        return None
    try:
        return printed(text)
    except ValueError as error:
        raise TruingError(f"{where}: {column}: {error}", "a number, or an empty cell when it is missing", "correct the cell") from error


def _count(text: str, where: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise TruingError(f"{where}: n: {text!r} is not a count", "a whole number of replicates, or an empty cell", "correct the cell")
    return int(text)
