"""Every read and write of the project: canonical bytes, atomic renames, and the layout of outputs.

A writer writes under a scratch folder of the same project and renames into place, so that a killed
process or a full disk leaves nothing half-written under `data/`, `models/` or `metrics/`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from truing.core.digests import canonical_json
from truing.core.errors import TruingError

Row = dict[str, Any]

# An edge that a node does not have points at this file, since a DVC stage has a fixed list of dependencies.
ABSENT = "stages/absent"


def project_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (default: the working directory) that holds a `dvc.yaml`."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise TruingError(
        f"{here}: no dvc.yaml here or above",
        "a checkout of a truing project",
        "change into the project's folder and run the command again",
    )


@dataclass(frozen=True)
class Layout:
    """Where a project keeps each output. Only stages, commands and this module know these paths."""

    root: Path

    @property
    def params(self) -> Path:
        """Values that a person edits."""
        return self.root / "params.yaml"

    @property
    def plan(self) -> Path:
        """The generated plan."""
        return self.root / "plan.yaml"

    @property
    def scratch(self) -> Path:
        """Resumable state and caches; never an output."""
        return self.root / ".scratch"

    def base(self, key: str) -> Path:
        """Folder of a base model."""
        return self.root / "models" / "base" / key

    def corpus(self, key: str) -> Path:
        """Rows of a corpus."""
        return self.root / "data" / "corpora" / f"{key}.jsonl"

    def card(self, key: str) -> Path:
        """Card of a corpus, written after its rows."""
        return self.root / "data" / "corpora" / f"{key}.card.json"

    def signal(self, key: str) -> Path:
        """Table of a signal."""
        return self.root / "data" / "signals" / f"{key}.parquet"

    def manifest(self, key: str) -> Path:
        """Table of a manifest."""
        return self.root / "data" / "manifests" / f"{key}.parquet"

    def train(self, group: str, seed: int) -> Path:
        """Folder of one seed's adapter."""
        return self.root / "models" / group / str(seed)

    def responses(self, key: str) -> Path:
        """Folder of a respond node."""
        return self.root / "data" / "responses" / key

    def judgements(self, key: str) -> Path:
        """Folder of a judge node."""
        return self.root / "data" / "judgements" / key

    @property
    def metrics(self) -> Path:
        """Folder of the result table, plots, summary and report."""
        return self.root / "metrics"

    @property
    def verdicts(self) -> Path:
        """The append-only log of verdicts; in git."""
        return self.root / "metrics" / "verdicts.jsonl"

    def imported(self, name: str) -> Path:
        """A result table from elsewhere."""
        return self.root / "metrics" / "imported" / f"{name}.parquet"

    @property
    def report(self) -> Path:
        """Folder of the pages."""
        return self.root / "metrics" / "report"


def meta_path(table: Path) -> Path:
    """The JSON document beside a Parquet table; it is written last and means the table is complete."""
    return table.with_name(f"{table.stem}.meta.json")


def _scratch_for(target: Path) -> Path:
    for folder in target.absolute().parents:
        if (folder / "dvc.yaml").is_file():
            scratch = folder / ".scratch" / "tmp"
            scratch.mkdir(parents=True, exist_ok=True)
            if os.stat(scratch).st_dev == os.stat(_existing(target.parent)).st_dev:
                return scratch
            break
    # Outside a project, or with data/ mounted from another disk, only the target's own folder can be renamed from.
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.parent


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)


def _full_disk(error: OSError, target: Path) -> TruingError:
    return TruingError(
        f"{target}: {error.strerror or error}",
        "room to write the output; nothing of it was left behind",
        "free space on this disk and run the stage again",
    )


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `target` if the block succeeds, remove it if not."""
    handle, name = tempfile.mkstemp(prefix=_prefix(), suffix=target.suffix, dir=_scratch_for(target))
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; an output has the permissions of any other file.
        temporary.chmod(0o666 & ~_umask())
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, target)
    except OSError as error:
        raise _full_disk(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder; it replaces `target` as a whole if the block succeeds."""
    temporary = Path(tempfile.mkdtemp(prefix=_prefix(), dir=_scratch_for(target)))
    try:
        yield temporary
        _open_up(temporary)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
    except OSError as error:
        raise _full_disk(error, target) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open_up(folder: Path) -> None:
    # Some libraries write private files; an output has the permissions of any other file.
    mask = _umask()
    folder.chmod(0o777 & ~mask)
    for path in folder.rglob("*"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _prefix() -> str:
    return f".tmp-{os.getpid()}-"


def sweep(root: Path) -> None:
    """Remove the temporary outputs of processes that are no longer running; a killed stage leaves some."""
    for path in (root / ".scratch" / "tmp").glob(".tmp-*"):
        if not _running(int(path.name.split("-")[1])):
            _remove(path)


def _remove(path: Path) -> None:
    # Two stages that start at once find the same remains: what the other one removed is as it should be.
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    except FileNotFoundError:
        if path.exists():
            _remove(path)


def _running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_bytes(target: Path, data: bytes) -> None:
    """Write bytes atomically."""
    with atomic_file(target) as path:
        path.write_bytes(data)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically, its line ends as they are."""
    write_bytes(target, text.encode("utf-8"))


def write_json(target: Path, value: object) -> None:
    """Write a JSON document atomically: sorted keys, two spaces, a final newline."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(target, text + "\n")


def write_jsonl(target: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write canonical JSON lines atomically from any iterable, in constant memory; return the row count."""
    count = 0
    with atomic_file(target) as path, path.open("wb") as stream:
        for row in rows:
            stream.write(canonical_json(row) + b"\n")
            count += 1
    return count


def read_json(path: Path) -> Any:
    """Read a JSON document."""
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _damaged(path, str(error)) from error


def read_jsonl(path: Path) -> Iterator[Row]:
    """Yield the rows of a JSON-lines file one by one.

    Raises:
        TruingError: naming the file and the line, for a byte-order mark, invalid UTF-8, a line that is
            not a JSON object, or a last line cut off.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise _missing(path) from error
    with stream:
        for number, line in enumerate(stream, start=1):
            yield _parse_line(path, number, line)


def _parse_line(path: Path, number: int, line: bytes) -> Row:
    if number == 1 and line.startswith(b"\xef\xbb\xbf"):
        raise _damaged(path, "line 1 starts with a byte-order mark", "save it as UTF-8 without a byte-order mark")
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _damaged(path, f"line {number} is not UTF-8: {error}", "convert the file to UTF-8") from error
    except json.JSONDecodeError as error:
        raise _damaged(path, f"line {number} is not JSON: {error}; it may have been cut off") from error
    if not isinstance(row, dict):
        raise _damaged(path, f"line {number} holds {type(row).__name__}, not an object")
    return row


def _missing(path: Path) -> TruingError:
    return TruingError(f"{path}: no such file", "the output of an earlier stage, or a source file", "run `dvc repro`, or correct the path")


def _damaged(path: Path, what: str, fix: str = "restore the file from its source") -> TruingError:
    return TruingError(f"{path}: {what}", "one JSON object a line, in UTF-8", fix)


def read_yaml(path: Path) -> Any:
    """Read a YAML document with the safe loader."""
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _missing(path) from error
    except yaml.YAMLError as error:
        raise TruingError(f"{path}: not valid YAML: {error}", "a YAML mapping", "correct the line named above") from error


def load_yaml(text: str) -> Any:
    """The value of a YAML document, by the safe loader in its fastest form; every stage reads the plan before it begins.

    Raises:
        yaml.YAMLError: the text is not valid YAML.
    """
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader


def dump_yaml(value: object) -> str:
    """The one YAML form that we write: sorted keys, block style, no line folding."""
    return yaml.safe_dump(value, sort_keys=True, default_flow_style=False, allow_unicode=True, width=10_000)
