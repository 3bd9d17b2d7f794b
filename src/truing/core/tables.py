"""Parquet in and out: atomic, byte-deterministic, and streamed where a table may not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from truing.core.errors import TruingError
from truing.core.files import atomic_file, write_text

if TYPE_CHECKING:
    import pandas as pd


def write_parquet(target: Path, frame: pd.DataFrame) -> None:
    """Write a table atomically. Index and pandas metadata are left out, so equal tables have equal bytes."""
    write_parquet_stream(target, [frame])


def write_csv(target: Path, frame: pd.DataFrame) -> None:
    """Write a table as CSV atomically: UTF-8, one header line, a missing cell left empty, floats in their shortest exact form."""
    write_text(target, frame.to_csv(index=False, lineterminator="\n"))


def write_parquet_stream(target: Path, frames: Iterable[pd.DataFrame]) -> int:
    """Write frames of one schema as row groups of one file, in the memory of one frame; return the row count."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    writer: pq.ParquetWriter | None = None
    with atomic_file(target) as path:
        try:
            for frame in frames:
                table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table.cast(writer.schema))
                rows += table.num_rows
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise TruingError(f"{target}: no rows to write", "at least one frame", "check the inputs of this stage")
    return rows


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a whole table."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pd.DataFrame(pq.read_table(path).to_pandas())
    except FileNotFoundError as error:
        raise TruingError(f"{path}: no such file", "the output of an earlier stage", "run `dvc repro`") from error
    except pa.ArrowInvalid as error:
        raise TruingError(f"{path}: not a Parquet file: {error}", "an undamaged table", "run `dvc repro` again") from error


def read_parquet_batches(path: Path, rows: int = 65_536) -> Iterator[pd.DataFrame]:
    """Yield a table in frames of at most `rows` rows."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(rows):
            yield batch.to_pandas()


def records(path: Path) -> Iterator[dict[str, object]]:
    """Yield a table's rows as plain JSON values, null where a cell is missing."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches():
            yield from batch.to_pylist()
