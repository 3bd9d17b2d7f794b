"""Foreign files that are cut, wrongly encoded or wrongly shaped are refused with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from truing.core.errors import TruingError
from truing.corpora.readers import local_file, read_csv, read_json_value, read_names, read_text, read_tsv


def file(folder: Path, data: bytes, name: str = "data.txt") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_csv_keeps_quotes_commas_and_line_breaks_inside_fields(tmp_path: Path) -> None:
    path = file(tmp_path, b'"1","a ""b"", c","two\nlines"\r\n"2","d","e\\f"\r\n')
    records = list(read_csv(path, 3))
    assert [record.fields for record in records] == [["1", 'a "b", c', "two\nlines"], ["2", "d", "e\\f"]]
    assert [(record.number, record.line) for record in records] == [(1, 2), (2, 3)]


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b'"1","a","b"\n"2","cut in the mid', ("data.txt", "row 2", "line 2", "cut off")),
        (b'"1","a","b"\n"2","cut"', ("line 2 (row 2)", "2 columns instead of 3", "cut off")),
        (b'"1","a","b","more"\n', ("line 1 (row 1)", "4 columns instead of 3", "more")),
        (b'"1","a" x,"b"\n', ("row 1",)),
        (b"", ("is empty",)),
    ],
)
def test_csv_refuses(tmp_path: Path, data: bytes, names: tuple[str, ...]) -> None:
    with pytest.raises(TruingError) as caught:
        list(read_csv(file(tmp_path, data), 3))
    assert all(name in str(caught.value) for name in names), str(caught.value)


def test_tsv_takes_quotes_literally_skips_the_header_and_needs_no_final_newline(tmp_path: Path) -> None:
    path = file(tmp_path, b'sentence\tlabel\n"quoted \t1\r\nlast\t0')
    assert [(record.line, record.fields) for record in read_tsv(path, ("sentence", "label"))] == [
        (2, ['"quoted ', "1"]),
        (3, ["last", "0"]),
    ]


@pytest.mark.parametrize(
    ("data", "line"), [(b"a\t1\nb\n", "line 2 (row 2)"), (b"a\t1\nb\t1\t2\n", "line 2 (row 2)"), (b"a\t1\n\nb\t1\n", "line 2 (row 2)")]
)
def test_tsv_names_the_line_of_a_wrong_column_count(tmp_path: Path, data: bytes, line: str) -> None:
    with pytest.raises(TruingError, match="columns instead of 2") as caught:
        list(read_tsv(file(tmp_path, data), ("sentence", "label")))
    assert line in caught.value.what


def test_byte_order_mark_and_bad_utf8_are_located(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match="byte-order mark"):
        read_text(file(tmp_path, b"\xef\xbb\xbfabc"))
    with pytest.raises(TruingError, match=r"line 3, byte 6: not UTF-8 .*0xff"):
        read_text(file(tmp_path, b"ab\ncd\n\xff\n"))


def test_json_breaks_are_located_and_kinds_are_checked(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match="line 2, column"):
        read_json_value(file(tmp_path, b'[["a", "b"],\n["c", '), list)
    with pytest.raises(TruingError, match="holds a JSON dict") as caught:
        read_json_value(file(tmp_path, b"{}"), list)
    assert "a JSON list" in caught.value.expected


def test_names_must_exist_and_differ(tmp_path: Path) -> None:
    assert read_names(file(tmp_path, b"World\nSports\n\n")) == ["World", "Sports"]
    with pytest.raises(TruingError, match="twice"):
        read_names(file(tmp_path, b"World\nWorld\n"))
    with pytest.raises(TruingError, match="no such file"):
        read_names(tmp_path / "classes.txt")


def test_a_relative_source_lies_in_the_project(tmp_path: Path) -> None:
    path = file(tmp_path, b"x")
    assert local_file("data.txt", tmp_path, "corpora.x") == path
    with pytest.raises(TruingError, match="no such file"):
        local_file("other.txt", tmp_path, "corpora.x")
