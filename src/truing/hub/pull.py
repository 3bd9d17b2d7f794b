"""Bring published outputs back: by the exact commit, each file checked, all of them or none."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from truing.core.errors import Exit, TruingError, some
from truing.core.files import atomic_file, atomic_folder, read_yaml
from truing.hub.ancestry import ancestors
from truing.hub.receipts import Receipt
from truing.models.hub_files import fetch
from truing.planning.experiments import command
from truing.planning.project import Project

LOCK = "dvc.lock"


def pull(receipt: Receipt, root: Path, outputs: Sequence[Path], *, force: bool = False) -> list[Path]:
    """Write the outputs that a receipt was made of, from the Hub, and return those that were written.

    All files are downloaded and verified first; then every output is put in place as a whole. What dvc.lock records of an output
    must be what the receipt brings. The content goes into DVC's cache too, so that `dvc status` is clean for the outputs and nothing
    has to be run again.

    Args:
        receipt: What was published.
        root: The project's folder.
        outputs: Outputs of the receipt's nodes (`outputs_of`); nothing is written outside of them.
        force: Write even where dvc.lock records something else.

    Raises:
        TruingError: a file cannot be had or was tampered with, a path outside the outputs, another content in dvc.lock, a full disk.
            Nothing was written then.
    """
    if receipt.revision is None or not receipt.restore:
        raise TruingError(
            f"{receipt.key}: nothing to restore", "a receipt that names outputs and a commit", "name another receipt of metrics/published/"
        )
    placed = _placed(receipt, root, outputs)
    wanted = {name: receipt.files[name] for files in placed.values() for name in files.values()}
    found = fetch(receipt.repo, receipt.repo_type, receipt.revision, wanted)
    sources = {output: {inner: found[name] for inner, name in files.items()} for output, files in placed.items()}
    if not force:
        _require_locked(receipt, root, sources)
    if (root / ".dvc").is_dir():
        # First: an object that nothing refers to yet does no harm when the disk is full afterwards.
        fill_cache(cache_folder(root), sources)
    _write(sources)
    return sorted(sources)


def behind(project: Project, receipt: Receipt, known: Sequence[Receipt]) -> tuple[list[Receipt], list[str]]:
    """The receipts that restore what a receipt's nodes were made from, the farthest first, and the nodes that nothing restores.

    A node whose outputs this checkout has already is not among those.

    Args:
        project: The checkout.
        receipt: What is pulled.
        known: Every receipt of the project.
    """
    nodes = [node for node in reversed(ancestors(project, receipt.nodes)) if node not in receipt.nodes]
    restoring = {node: one for one in known if one.restore for node in one.nodes}
    found = {restoring[node].key: restoring[node] for node in nodes if node in restoring}
    outputs = {node: project.outputs(*node.split("/", 1)) for node in nodes if node not in restoring}
    return list(found.values()), [node for node, paths in outputs.items() if not all(path.exists() for path in paths)]


def outputs_of(project: Project, receipt: Receipt) -> list[Path]:
    """Outputs of a receipt's nodes in the plan of this checkout.

    Raises:
        TruingError: a node is not in the plan.
    """
    pairs = [name.split("/", 1) for name in receipt.nodes]
    missing = [f"{verb}/{key}" for verb, key in pairs if key not in project.plan.get(verb, {})]
    if missing:
        raise TruingError(
            f"{receipt.key}: {some(missing)} not in plan.yaml", "nodes of this plan", "check out the commit that the receipt was written at"
        )
    return [path for verb, key in pairs for path in project.outputs(verb, key)]


def _placed(receipt: Receipt, root: Path, outputs: Sequence[Path]) -> dict[Path, dict[str, str]]:
    """Path in the repository of every file to write, by output and by the file's place within it ("" for the output itself)."""
    placed: dict[Path, dict[str, str]] = {}
    for relative, name in sorted(receipt.restore.items()):
        output = _output_of(root / relative, outputs) if ".." not in PurePosixPath(relative).parts else None
        if output is None or name not in receipt.files:
            raise TruingError(
                f"{receipt.key}: would write {relative} from {name}",
                f"files of the receipt, written to outputs of {some(receipt.nodes)}",
                "restore the receipt from git; do not use it otherwise",
                Exit.REFUSED,
            )
        inner = (root / relative).relative_to(output).as_posix()
        placed.setdefault(output, {})["" if inner == "." else inner] = name
    return placed


def _output_of(path: Path, outputs: Sequence[Path]) -> Path | None:
    return next((output for output in outputs if output in (path, *path.parents)), None)


def _write(sources: Mapping[Path, Mapping[str, Path]]) -> None:
    # The contexts rename when they are left: by then every copy of every output is made.
    with ExitStack() as stack:
        for output, files in sources.items():
            if "" in files:
                shutil.copyfile(files[""], stack.enter_context(atomic_file(output)))
            else:
                folder = stack.enter_context(atomic_folder(output))
                for inner, source in files.items():
                    (folder / inner).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, folder / inner)


def _require_locked(receipt: Receipt, root: Path, sources: Mapping[Path, Mapping[str, Path]]) -> None:
    """Refuse what would make `dvc status` dirty.

    Raises:
        TruingError: naming the outputs, what dvc.lock records, and what the receipt brings.
    """
    locked = locked_outputs(root)
    strange = []
    for output, files in sources.items():
        relative = output.relative_to(root).as_posix()
        recorded, brought = locked.get(relative), dvc_hash(files)
        if recorded != brought:
            strange.append(f"{relative} (recorded: {recorded or 'nothing'}, published: {brought})")
    if strange:
        raise TruingError(
            f"{receipt.key}: {LOCK} records another output: {some(strange)}",
            "the outputs that dvc.lock records",
            "check out the commit that the receipt was written at, or pass --force and expect `dvc repro` to run the node again",
            Exit.REFUSED,
        )


def locked_outputs(root: Path) -> dict[str, str]:
    """What dvc.lock records of every output, by its project-relative path; empty without a dvc.lock."""
    lock = root / LOCK
    stages = (read_yaml(lock) or {}).get("stages") or {} if lock.is_file() else {}
    return {out["path"]: str(out.get("md5", "")) for stage in stages.values() for out in stage.get("outs", [])}


def dvc_hash(files: Mapping[str, Path]) -> str:
    """The id that DVC 3 gives to an output: md5 of a file's bytes, or of the sorted JSON list of a folder's files, with ".dir".

    Args:
        files: Place within the output -> file; the place is "" for an output that is one file.
    """
    if "" in files:
        return _md5(files[""])
    return hashlib.md5(_listing(files), usedforsecurity=False).hexdigest() + ".dir"


def _listing(files: Mapping[str, Path]) -> bytes:
    entries = [{"md5": _md5(path), "relpath": inner} for inner, path in sorted(files.items())]
    return json.dumps(entries, sort_keys=True).encode()


def cache_folder(root: Path) -> Path:
    """Where DVC keeps the content of this project."""
    return Path(command(root, "dvc", "cache", "dir").strip())


def fill_cache(cache: Path, sources: Mapping[Path, Mapping[str, Path]]) -> None:
    """Put outputs into a DVC cache: each file at `files/md5/<2 digits>/<rest>`, then the list of a folder's files beside them.

    The layout is that of DVC 3 (https://dvc.org/doc/user-guide/project-structure/internal-files).
    """
    for files in sources.values():
        for path in files.values():
            _keep(cache, _md5(path), path)
        if "" not in files:
            _keep(cache, dvc_hash(files), _listing(files))


def _keep(cache: Path, name: str, content: Path | bytes) -> None:
    target = cache / "files" / "md5" / name[:2] / name[2:]
    if target.exists():
        return
    with atomic_file(target) as path:
        path.write_bytes(content) if isinstance(content, bytes) else shutil.copyfile(content, path)
    # Outputs may be links to it.
    target.chmod(0o444)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
