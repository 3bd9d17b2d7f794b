from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from truing.core.digests import file_digests
from truing.core.environment import pinned

REPOSITORY = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("killed_run.py")


def start(base: Path, scratch: Path, target: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(REPOSITORY / "tests"), str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **pinned(1), "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, SCRIPT, base, scratch, target], env=environment, stdout=subprocess.PIPE)


def finish(base: Path, scratch: Path, target: Path) -> int:
    """Run to the end and return how many losses were computed."""
    process = start(base, scratch, target)
    output, _ = process.communicate()
    assert process.returncode == 0
    return int(output)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes_as_an_uninterrupted_one(base: Path, tmp_path: Path) -> None:
    scratch, target = tmp_path / "scratch", tmp_path / "killed"
    process = start(base, scratch, target)
    marker = scratch / "checkpoints" / "checkpoint-9" / "complete.json"
    while process.poll() is None and not marker.exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    # What a process leaves that is killed while it saves.
    partial = scratch / "checkpoints" / "checkpoint-21"
    partial.mkdir()
    (partial / "adapter_model.safetensors").write_bytes(b"cut off")

    resumed = finish(base, scratch, target)
    whole = finish(base, tmp_path / "other", tmp_path / "whole")
    # 15 batches an epoch, two a step: the last whole checkpoint was made at step 9, after 17 batches, or later.
    assert whole == 45
    assert resumed <= whole - 17
    assert file_digests(target) == file_digests(tmp_path / "whole")
    assert not scratch.exists()
