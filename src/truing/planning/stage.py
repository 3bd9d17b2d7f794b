"""The frame around every stage script: one key, one pinned environment, one way to fail."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truing.core.digests import digest, digest_path
from truing.core.environment import pin
from truing.core.errors import Exit, TruingError
from truing.core.files import ABSENT, Layout, project_root, read_yaml, sweep

if TYPE_CHECKING:
    from truing.core.registry import Plugin
    from truing.planning.params import Entry
    from truing.planning.project import Project


@dataclass(frozen=True)
class Stage:
    """What a stage script gets: its node, its parameters, and the paths of its edges."""

    verb: str
    key: str
    project: Project
    node: Any

    @property
    def layout(self) -> Layout:
        """Where outputs lie."""
        return self.project.layout

    @property
    def root_seed(self) -> int:
        """The root of every random stream."""
        return self.project.settings.run.root_seed

    @property
    def plugin(self) -> Plugin[Any]:
        """The plug-in that does this node's work."""
        return self._entry.plugin

    @property
    def values(self) -> dict[str, Any]:
        """The plug-in's values from params.yaml, and from the node where it overrides them."""
        return self._entry.values

    @property
    def _entry(self) -> Entry:
        return self.project.settings.entry(self.verb, self.node.config, self.node.overrides)

    def dep(self, name: str) -> Path | None:
        """The path of an edge, or None where the node has none."""
        path = self.node.deps[name]
        return None if path == ABSENT else self.layout.root / path

    def need(self, name: str) -> Path:
        """The path of an edge that this verb always has."""
        return self.layout.root / self.node.deps[name]

    def inputs(self) -> dict[str, str]:
        """sha256 of every edge's content, by the edge's name."""
        paths = {name: self.dep(name) for name in sorted(self.node.deps)}
        return {name: digest_path(path) for name, path in paths.items() if path is not None}

    @property
    def scratch(self) -> Path:
        """Resumable state of exactly this node, values and inputs; never an output."""
        identity = [self.verb, self.key, self.node.model_dump(mode="json"), self.values, self.root_seed, self.inputs()]
        return self.layout.scratch / digest(identity)[:16]

    def discard_scratch(self) -> None:
        """Remove the resumable state of a node whose outputs are written."""
        scratch = self.scratch
        if scratch.exists():
            shutil.rmtree(scratch)


def run(verb: str, main: Callable[[Stage], None]) -> None:
    """Run a stage script's `main` for the node whose key is the one argument, and exit with the right code."""
    try:
        if len(sys.argv) != 2:
            raise TruingError(f"stages/{verb}.py got {len(sys.argv) - 1} arguments", "the key of one node", f"dvc repro {verb}@KEY")
        # Before any other import: a process that is not pinned yet replaces itself, and would pay for them twice.
        pin(_threads(read_yaml(Layout(project_root()).params)))
        # Imports make millions of objects that live to the end; looking through them every 700 costs a stage some 4 % of its time.
        gc.set_threshold(50_000)
        from truing.planning.project import Project

        project = Project.open()
        # PEFT's own call, on every adapter that is attached; nothing that a user could mend.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        sweep(project.layout.root)
        main(Stage(verb, sys.argv[1], project, project.node(verb, sys.argv[1])))
    except TruingError as error:
        if os.environ.get("TRUING_DEBUG"):
            traceback.print_exc()
        sys.stderr.write(f"error: {error}\n")
        sys.exit(int(error.code))
    sys.exit(int(Exit.OK))


def _threads(params: Any) -> int:
    try:
        return int(params["run"]["threads"])
    except (KeyError, TypeError, ValueError) as error:
        raise TruingError("params.yaml: run.threads is missing or no number", "a whole number of CPU threads", "set run.threads") from error
