"""Writers are atomic and canonical; readers name the file, the line and the mend."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from truing.core.errors import TruingError
from truing.core.files import atomic_file, atomic_folder, read_json, read_jsonl, sweep, write_json, write_jsonl


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    return tmp_path


def test_json_lines_are_canonical_and_round_trip(project: Path) -> None:
    target = project / "data" / "rows.jsonl"
    rows: list[dict[str, object]] = [{"b": "é", "a": 1}, {"a": None}]
    assert write_jsonl(target, iter(rows)) == 2
    assert target.read_bytes() == '{"a":1,"b":"é"}\n{"a":null}\n'.encode()
    assert list(read_jsonl(target)) == rows


def test_a_failing_writer_leaves_the_old_output_and_nothing_else(project: Path) -> None:
    target = project / "data" / "rows.jsonl"
    write_jsonl(target, [{"a": 1}])

    def rows() -> Iterator[dict[str, int]]:
        yield {"a": 2}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write_jsonl(target, rows())
    assert list(read_jsonl(target)) == [{"a": 1}]
    assert [path.name for path in (project / "data").iterdir()] == ["rows.jsonl"]
    assert not any((project / ".scratch" / "tmp").iterdir())


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(project: Path) -> None:
    target = project / "data" / "x.json"
    with pytest.raises(TruingError, match="No space left") as caught, atomic_file(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "free space" in caught.value.fix
    assert not target.exists()
    assert not any((project / ".scratch" / "tmp").iterdir())


def _fill(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/full")
    path.write_bytes(b"x" * 100_000)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_really_full_device_is_reported(project: Path) -> None:
    with pytest.raises(TruingError, match="No space left"), atomic_file(project / "data" / "x") as path:
        _fill(path)
    assert not (project / "data" / "x").exists()


def test_a_killed_writer_leaves_nothing_under_the_outputs_and_its_scratch_is_swept(project: Path) -> None:
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from truing.core.files import atomic_folder
        with atomic_folder(Path({str(project)!r}) / "models" / "base" / "tiny") as folder:
            (folder / "model.safetensors").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (project / "models").exists()
    assert len(list((project / ".scratch" / "tmp").iterdir())) == 1
    sweep(project)
    assert not any((project / ".scratch" / "tmp").iterdir())


def test_sweeping_spares_what_a_running_process_is_writing(project: Path) -> None:
    with atomic_folder(project / "models" / "x") as folder:
        sweep(project)
        assert folder.exists()
    assert (project / "models" / "x").is_dir()


@pytest.mark.parametrize("left", [True, False], ids=["half removed", "removed"])
def test_remains_that_another_stage_sweeps_meanwhile_are_no_error(project: Path, monkeypatch: pytest.MonkeyPatch, left: bool) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    remains = project / ".scratch" / "tmp" / f".tmp-{ended.pid}-x"
    (remains / "part").mkdir(parents=True)
    remove, calls = shutil.rmtree, []

    def meanwhile(path: Path) -> None:
        calls.append(path)
        if len(calls) == 1:
            remove(path / "part" if left else path)
            raise FileNotFoundError(path)
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", meanwhile)
    sweep(project)
    assert not remains.exists()
    assert len(calls) == 1 + left


def test_a_folder_replaces_the_old_one_as_a_whole(project: Path) -> None:
    target = project / "models" / "x"
    for name in ("old", "new"):
        with atomic_folder(target) as folder:
            (folder / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbf{}\n", "byte-order mark"),
        (b'{"a": 1}\n{"a": ', "line 2 is not JSON"),
        (b'{"a": 1}\n{"a": "\xff"}\n', "line 2 is not UTF-8"),
        (b"[1]\n", "line 1 holds list"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(content)
    with pytest.raises(TruingError, match=message) as caught:
        list(read_jsonl(path))
    assert str(path) in caught.value.what


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(TruingError, match="dvc repro"):
        read_json(tmp_path / "absent.json")


def test_json_documents_are_sorted_and_end_in_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1, "a": [1]})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": [\n    1\n  ],\n  "b": 1\n}\n'
