"""Parquet bytes depend on the table alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from truing.core.errors import TruingError
from truing.core.tables import read_parquet, read_parquet_batches, records, write_parquet, write_parquet_stream


def test_equal_tables_have_equal_bytes_whatever_their_index(tmp_path: Path) -> None:
    frame = pd.DataFrame({"doc_id": ["a", "b"], "weight": [0.5, 1.5]})
    write_parquet(tmp_path / "x.parquet", frame)
    write_parquet(tmp_path / "y.parquet", frame.set_index(pd.Index([7, 8])))
    assert (tmp_path / "x.parquet").read_bytes() == (tmp_path / "y.parquet").read_bytes()
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "x.parquet"), frame)


def test_a_stream_of_frames_is_one_table(tmp_path: Path) -> None:
    frames = (pd.DataFrame({"doc_id": [str(i)], "n": [i]}) for i in range(5))
    assert write_parquet_stream(tmp_path / "x.parquet", frames) == 5
    assert list(read_parquet(tmp_path / "x.parquet")["n"]) == list(range(5))
    assert sum(len(batch) for batch in read_parquet_batches(tmp_path / "x.parquet", rows=2)) == 5


def test_records_keep_missing_cells_missing(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", pd.DataFrame({"id": ["a"], "score": [float("nan")], "list": [[1.0, 2.0]]}))
    assert list(records(tmp_path / "x.parquet")) == [{"id": "a", "score": None, "list": [1.0, 2.0]}]


def test_no_rows_and_no_table_are_errors(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match="no rows"):
        write_parquet_stream(tmp_path / "x.parquet", [])
    assert not (tmp_path / "x.parquet").exists()
    (tmp_path / "y.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(TruingError, match=r"y\.parquet"):
        read_parquet(tmp_path / "y.parquet")
