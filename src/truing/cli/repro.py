"""The command that reproduces the plan with several stages at once."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Callable
from typing import Annotated

import typer

from truing.cli.app import app
from truing.core.errors import Exit, TruingError


@app.command()
def repro(
    targets: Annotated[list[str] | None, typer.Argument(help="Stages to reproduce, with all that they rest on; by default all.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Stages at once; by default one per GPU, else as many as the processors allow.")] = None,
    devices: Annotated[str | None, typer.Option(help="GPUs to spread the stages over, as CUDA numbers them: 0,1,2.")] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", "-k", help="Leave out only what rests on a failed stage.")] = False,
) -> None:
    """Do what `dvc repro` does, to the same bytes, with several stages at once."""
    from joblib import cpu_count

    from truing.planning.project import Project
    from truing.planning.reproduce import dvc_start, places, require_success, run_stages, stage_graph, to_run

    project = Project.open()
    root = project.layout.root
    slots = places(jobs, project.settings.run.threads, _devices(devices), cpu_count())
    graph = to_run(root, stage_graph(root, targets or ()))
    require_success(run_stages(graph, slots, _counted(dvc_start(root, typer.echo), len(graph)), keep_going))
    # DVC has the last word: it runs what is left, or says that there is nothing.
    if subprocess.run(["dvc", "repro", *(targets or ())], cwd=root, check=False).returncode != 0:
        raise TruingError("`dvc repro` failed after all stages had run", "nothing left to do", "see its lines above", Exit.FAILED)


def _devices(chosen: str | None) -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES") if chosen is None else chosen
    if named is not None:
        return [part.strip() for part in named.split(",") if part.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _counted(start: Callable[[str, str | None], int], total: int) -> Callable[[str, str | None], int]:
    numbers = itertools.count(1)

    def counted(stage: str, device: str | None) -> int:
        began = time.monotonic()
        status = start(stage, device)
        outcome = "done" if status == 0 else f"FAILED ({status})"
        typer.echo(f"[{next(numbers)}/{total}] {stage} {outcome} in {time.monotonic() - began:.1f} s")
        return status

    return counted
