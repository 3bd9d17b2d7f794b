"""`dvc repro` with several stages at once: DVC knows what depends on what and runs each stage; here is only the order.

DVC is run as a command, never imported.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from truing.core.errors import Exit, TruingError, some
from truing.planning.experiments import command

# The stages whose outputs a stage reads.
Graph = Mapping[str, frozenset[str]]
Start = Callable[[str, str | None], int]

# What DVC says after every command, here after every stage; `dvc repro` says it once at the end.
_HINTS = (
    "To track the changes with git, run:",
    "\tgit add ",
    "To enable auto staging, run:",
    "\tdvc config core.autostage ",
    "Use `dvc push` to ",
)
_FRAME = ("strict digraph {", "}")
_LINE = re.compile(r'^"(?P<stage>[^"]+)"(?: -> "(?P<reader>[^"]+)")?;$')


def stage_graph(root: Path, targets: Sequence[str] = ()) -> dict[str, frozenset[str]]:
    """Every stage of the project, or each target and all that it rests on, with the stages whose outputs it reads.

    Raises:
        TruingError: DVC finds the pipeline wrong, does not know a target, or draws its graph in another form than is read here.
    """
    reads: dict[str, set[str]] = {}
    for target in [[target] for target in targets] or [[]]:
        for stage, reader in _drawn(command(root, "dvc", "dag", "--dot", *target)):
            reads.setdefault(stage, set())
            if reader is not None:
                reads.setdefault(reader, set()).add(stage)
    return {stage: frozenset(needs) for stage, needs in reads.items()}


def _drawn(dot: str) -> Iterator[tuple[str, str | None]]:
    """Each stage of a graph by itself, and each with a stage that reads from it."""
    for line in filter(None, dot.splitlines()):
        if line in _FRAME:
            continue
        found = _LINE.match(line)
        if found is None:
            # Left out, a stage would run by itself at the end, and nobody would know why all takes so long.
            raise TruingError(
                f"`dvc dag --dot` printed {line!r}", '"stage"; or "stage" -> "reader";', "use `dvc repro`, or the locked version of DVC"
            )
        yield found["stage"], found["reader"]


def to_run(root: Path, graph: Graph) -> dict[str, frozenset[str]]:
    """The part of a graph that may have to run: what `dvc status` finds changed, and all that reads it."""
    return downstream(graph, json.loads(command(root, "dvc", "status", "--json")))


def downstream(graph: Graph, changed: Iterable[str]) -> dict[str, frozenset[str]]:
    """The stages of `changed` and all that read from them, directly or not, with what they read of each other."""
    found = set(changed) & set(graph)
    while more := {stage for stage, needs in graph.items() if stage not in found and needs & found}:
        found |= more
    return {stage: graph[stage] & found for stage in graph if stage in found}


def longest_first(graph: Graph) -> list[str]:
    """The stages by the length of the longest chain that waits for them, longest first; by name among equals."""
    readers: dict[str, list[str]] = {stage: [] for stage in graph}
    for stage, needs in graph.items():
        for need in needs:
            readers[need].append(stage)
    heights: dict[str, int] = {}

    def height(stage: str) -> int:
        if stage not in heights:
            heights[stage] = 1 + max((height(reader) for reader in readers[stage]), default=0)
        return heights[stage]

    return sorted(graph, key=lambda stage: (-height(stage), stage))


def run_stages(graph: Graph, slots: Sequence[str | None], start: Start, keep_going: bool = False) -> list[str]:
    """Run each stage once, after all that it reads, as many at once as there are slots; return those that failed, in order.

    After a failure nothing more is started, and what runs is waited for; with `keep_going` only what rests on the failed
    stage is left out.

    Args:
        graph: The stages, acyclic; each reads only stages of the graph.
        slots: The device of each place in which one stage runs at a time; None leaves the choice to the stage.
        start: Runs one stage on a device, waits for its end, and returns its exit status; called from several threads.
        keep_going: Whether to go on beside a failed stage.
    """
    waiting = {stage: set(graph[stage]) for stage in longest_first(graph)}
    free = list(slots)
    running: dict[Future[int], tuple[str, str | None]] = {}
    failed: list[str] = []
    with ThreadPoolExecutor(len(slots)) as pool:
        while True:
            ready = [stage for stage, needs in waiting.items() if not needs] if keep_going or not failed else []
            for stage in ready[: len(free)]:
                del waiting[stage]
                slot = free.pop(0)
                running[pool.submit(start, stage, slot)] = (stage, slot)
            if not running:
                return failed
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                stage, slot = running.pop(future)
                free.append(slot)
                if future.result() == 0:
                    for needs in waiting.values():
                        needs.discard(stage)
                else:
                    failed.append(stage)


def dvc_start(root: Path, say: Callable[[str], None]) -> Start:
    """A start that has DVC reproduce one stage and says each line of its output after the stage's name, but for DVC's hints."""

    def start(stage: str, device: str | None) -> int:
        env = os.environ if device is None else {**os.environ, "CUDA_VISIBLE_DEVICES": device}
        # The repository's lock is held while DVC writes dvc.lock, and not while a stage runs.
        arguments = ("dvc", "--wait-for-lock", "repro", "--single-item", stage)
        with subprocess.Popen(arguments, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            for line in process.stdout or ():
                if line.strip() and not line.startswith(_HINTS):
                    say(f"{stage}: {line.rstrip()}")
        return process.returncode

    return start


def places(jobs: int | None, threads: int, devices: Sequence[str], cores: int) -> list[str | None]:
    """The places for stages: one per device where there are any, else as many as the processors have room for.

    Args:
        jobs: How many, where somebody chose; they take turns on the devices.
        threads: CPU threads of a stage.
        devices: What a stage may be given as CUDA_VISIBLE_DEVICES.
        cores: Processors that this process may use.

    Raises:
        TruingError: fewer than one, or more than the processors have room for.
    """
    if jobs is not None and jobs < 1:
        raise TruingError(f"--jobs {jobs}", "1 or more", "leave it out for as many as the machine has room for")
    if devices:
        return [devices[number % len(devices)] for number in range(jobs or len(devices))]
    room = max(1, cores // threads)
    if (jobs or 1) > room:
        raise TruingError(
            f"--jobs {jobs}: with {threads} threads each (run.threads), more than the {cores} processors",
            f"at most {room}: threads that wait for each other in turn make every stage many times slower",
            f"use --jobs {room}",
            Exit.REFUSED,
        )
    return [None] * (jobs or room)


def require_success(failed: Sequence[str]) -> None:
    """Refuse to call a run done in which a stage failed.

    Raises:
        TruingError: exit 1, with their names.
    """
    if failed:
        raise TruingError(
            f"failed: {some(failed)}",
            "every stage to succeed",
            "mend what its lines above say, then run the command again: what is done is not done twice",
            Exit.FAILED,
        )
