"""Digests of canonical bytes: equal content has one digest, on every machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_CHUNK = 1 << 20


def canonical_json(value: object) -> bytes:
    """Serialise to the one byte form of a JSON value: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON has no form for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def digest_bytes(data: bytes) -> str:
    """sha256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest(value: object) -> str:
    """sha256 of the canonical JSON of a value, hexadecimal."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal, read in chunks."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def file_digests(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, by its POSIX path relative to the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


def digest_path(path: Path) -> str:
    """Digest of a file's bytes, or of the sorted (relative path, digest) pairs of a folder."""
    return digest(file_digests(path)) if path.is_dir() else digest_file(path)


def source_digest(*rooms: str) -> str:
    """Digest of the Python files of rooms of this package ("train", "probes"), whether or not they were compiled."""
    package = Path(__file__).parents[1]
    return digest(
        [[path.relative_to(package).as_posix(), digest_file(path)] for room in rooms for path in sorted((package / room).rglob("*.py"))]
    )
