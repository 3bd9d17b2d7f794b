"""One DVC experiment per seed, so that seeds are rows of `dvc exp show`. DVC is run as a command, never imported."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from truing.core.errors import Exit, TruingError, some

# What an experiment changes in the workspace, and what is put back afterwards.
TRACKED = ("params.yaml", "plan.yaml", "dvc.lock", "metrics/summary.json", "metrics/sketches.json", "metrics/verdicts.jsonl")


def command(root: Path, *arguments: str) -> str:
    """Run git or dvc in the project and return what it printed.

    Raises:
        TruingError: with the end of its error output, when it fails.
    """
    done = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TruingError(
            f"`{' '.join(arguments)}` failed: {done.stderr.strip()[-800:]}",
            "the command to succeed",
            "run it by hand to see more",
            Exit.FAILED,
        )
    return done.stdout


def each_seed(root: Path, seeds: Sequence[int], rewrite: Callable[[int], None], say: Callable[[str], None]) -> list[str]:
    """Run the pipeline once per seed as the experiment `seed-N`; the workspace ends as it began.

    Args:
        root: The project.
        seeds: One experiment each.
        rewrite: Puts params.yaml and plan.yaml of one seed into the workspace.
        say: Receives a line of progress per experiment.

    Raises:
        TruingError: exit 3, when the tracked files have uncommitted changes, which restoring would lose.
    """
    dirty = command(root, "git", "status", "--porcelain", "--", *TRACKED).splitlines()
    if dirty:
        raise TruingError(
            f"uncommitted changes: {some(line[3:] for line in dirty)}",
            "a clean workspace: experiments start from the last commit",
            "commit or revert them, then run the command again",
            Exit.REFUSED,
        )
    names = []
    try:
        for seed in seeds:
            rewrite(seed)
            name = f"seed-{seed}"
            say(f"experiment {name}")
            command(root, "dvc", "exp", "run", "--name", name)
            names.append(name)
    finally:
        command(root, "git", "checkout", "--", *_tracked(root))
        command(root, "dvc", "checkout", "--quiet", "--force", "--relink")
    return names


def _tracked(root: Path) -> list[str]:
    return command(root, "git", "ls-files", "--", *TRACKED).split()
