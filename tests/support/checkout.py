"""A project in a temporary folder: a git checkout of the working tree, without the committed run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENV = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "DVC_NO_ANALYTICS": "1",
    "COLUMNS": "200",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "GIT_AUTHOR_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@example.org",
    "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@example.org",
}


@dataclass(frozen=True)
class Checkout:
    """A project in a temporary folder, and the commands that a user types in it."""

    root: Path

    def run(self, *arguments: str, code: int | None = 0) -> str:
        """Run a command; its package is this checkout's own. Returns stdout and stderr together."""
        env = {**ENV, "PYTHONPATH": str(self.root / "src")}
        done = subprocess.run(arguments, cwd=self.root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert code is None or done.returncode == code, done.stdout[-4000:]
        return done.stdout

    def ran(self, output: str) -> set[str]:
        """Names of the stages that a `dvc repro` or `truing repro` ran."""
        return set(re.findall(r"^(?:\S+: )?Running stage '([^']+)'", output, re.MULTILINE))

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message, "--allow-empty")


def copy_of_the_tree(target: Path) -> Checkout:
    """Every tracked or new file of this repository, in another folder."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    # The committed run's lock and numbers belong to the default run, not to this small one.
    for name in [n for n in tracked if n and n != "dvc.lock" and not n.startswith("metrics/")]:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return Checkout(target)
