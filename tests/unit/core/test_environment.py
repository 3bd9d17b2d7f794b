"""A process runs under the pinned environment before torch is imported, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from truing.core.environment import pinned, versions

SCRIPT = """
import json, os, sys
from truing.core.environment import pin
if "early" in sys.argv:
    import torch
pin(1)
import torch
print(json.dumps([os.environ["PYTHONHASHSEED"], torch.get_num_threads(), torch.backends.cpu.get_cpu_capability(), hash("x")]))
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if name not in pinned(1)}
    return subprocess.run([sys.executable, "-c", SCRIPT, *arguments], env=bare, capture_output=True, text=True, check=False)


def test_a_bare_process_replaces_itself_by_a_pinned_one() -> None:
    first, second = _run(), _run()
    assert first.returncode == 0, first.stderr
    seed, threads, capability, _ = json.loads(first.stdout)
    assert (seed, threads, capability) == ("0", 1, "AVX2")
    assert first.stdout == second.stdout


def test_torch_imported_too_early_is_refused() -> None:
    done = _run("early")
    assert done.returncode != 0
    assert "torch was imported before" in done.stderr


def test_versions_carry_no_local_part() -> None:
    assert "torch" in versions()
    assert all("+" not in version for version in versions().values())
