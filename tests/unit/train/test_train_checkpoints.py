from __future__ import annotations

from pathlib import Path

from truing.train.checkpoints import mark, newest_complete


def checkpoint(folder: Path, step: int) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "weights").write_text(f"step {step}")
    return path


def test_the_newest_whole_checkpoint_is_found_by_number(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        mark(checkpoint(tmp_path, step), "run")
    assert newest_complete(tmp_path, "run") == tmp_path / "checkpoint-100"


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    assert newest_complete(tmp_path / "absent", "run") is None


def test_a_checkpoint_without_marker_is_removed(tmp_path: Path) -> None:
    mark(checkpoint(tmp_path, 1), "run")
    partial = checkpoint(tmp_path, 2)
    assert newest_complete(tmp_path, "run") == tmp_path / "checkpoint-1"
    assert not partial.exists()


def test_a_checkpoint_with_a_damaged_file_is_removed(tmp_path: Path) -> None:
    damaged = checkpoint(tmp_path, 1)
    mark(damaged, "run")
    (damaged / "weights").write_text("step")
    assert newest_complete(tmp_path, "run") is None
    assert not damaged.exists()


def test_a_checkpoint_of_another_run_is_removed(tmp_path: Path) -> None:
    mark(checkpoint(tmp_path, 1), "other")
    assert newest_complete(tmp_path, "run") is None


def test_marking_twice_keeps_a_checkpoint_whole(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 1)
    mark(path, "run")
    mark(path, "run")
    assert newest_complete(tmp_path, "run") == path
