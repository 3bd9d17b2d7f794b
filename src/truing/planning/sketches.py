"""A short numeric sketch of every output, so that two runs can be compared without keeping both.

A random projection keeps distances: for a vector x and a matrix R with entries +-1/sqrt(k),
E |Rx|^2 = |x|^2 (Johnson & Lindenstrauss 1984; Achlioptas 2003, theorem 1.1), so the distance of two sketches
estimates the distance of the two outputs, with a relative standard error of about sqrt(2/k).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from truing.core.digests import digest, digest_file
from truing.core.files import read_json, read_jsonl
from truing.core.seeds import stream

SIZE = 16
MOST_VALUES = 1 << 22
_CHUNK = 1 << 16
_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "U8": np.uint8, "BOOL": np.bool_}


def project(values: np.ndarray, name: str) -> list[float]:
    """Project a vector of any length onto `SIZE` numbers; `name` fixes the projection."""
    rng = stream(0, "sketch", name)
    total = np.zeros(SIZE)
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK].astype(np.float64)
        signs = rng.integers(0, 2, size=(SIZE, len(chunk)), dtype=np.int8) * 2 - 1
        total += signs @ np.nan_to_num(chunk)
    return [float(f"{value:.9g}") for value in total / np.sqrt(SIZE)]


def sketch(*outputs: Path) -> dict[str, Any]:
    """Sketch of a node's outputs: `exact` (digest of all that is not a floating-point number) and `numbers` (projections by name)."""
    exact: list[Any] = []
    numbers: dict[str, list[float]] = {}
    for name, file in [pair for output in outputs for pair in _files(output)]:
        fixed, vectors = _parts(file)
        exact.append([name, fixed])
        for column, vector in vectors:
            label = f"{name}:{column}" if column else name
            numbers[label] = project(vector, label)
    return {"exact": digest(exact), "numbers": numbers}


def _files(output: Path) -> list[tuple[str, Path]]:
    if not output.is_dir():
        return [(output.suffix, output)]
    return [(path.relative_to(output).as_posix(), path) for path in sorted(output.rglob("*")) if path.is_file()]


def _parts(file: Path) -> tuple[Any, list[tuple[str, np.ndarray]]]:
    match file.suffix:
        case ".safetensors":
            return _tensors(file)
        case ".parquet":
            return _table(file)
        case ".json":
            return _document(read_json(file))
        case ".jsonl":
            return _document(list(read_jsonl(file)))
        case _:
            return digest_file(file), []


def _tensors(file: Path) -> tuple[Any, list[tuple[str, np.ndarray]]]:
    """Shapes, and every tensor's values on end; of a large file an even sample of them, since signs are drawn for each."""
    size = int.from_bytes(file.open("rb").read(8), "little")
    content = np.memmap(file, dtype=np.uint8, mode="r", offset=8)
    header = json.loads(content[:size].tobytes())
    entries = sorted((name, entry) for name, entry in header.items() if name != "__metadata__")
    stride = -(-sum(math.prod(entry["shape"]) for _, entry in entries) // MOST_VALUES) or 1
    values = [_values(content[size:], entry)[::stride] for _, entry in entries]
    return [[name, entry["dtype"], entry["shape"]] for name, entry in entries], [("", np.concatenate(values))]


def _values(content: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    start, end = entry["data_offsets"]
    raw = content[start:end]
    if entry["dtype"] == "BF16":
        # numpy has no bfloat16: it is the upper half of a float32.
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return raw.view(_DTYPES[entry["dtype"]]).astype(np.float32)


def _table(file: Path) -> tuple[Any, list[tuple[str, np.ndarray]]]:
    from truing.core.tables import read_parquet

    frame = read_parquet(file)
    floats = [name for name in frame.columns if frame[name].dtype == np.float64]
    lists = [name for name in frame.columns if name not in floats and len(frame) and isinstance(_first(frame[name]), np.ndarray)]
    rest = frame.drop(columns=[*floats, *lists])
    cells = {name: [None if missing else str(value) for value, missing in zip(rest[name], rest[name].isna(), strict=True)] for name in rest}
    fixed = [cells, {name: int(frame[name].isna().sum()) for name in floats}]
    vectors = [(name, frame[name].to_numpy()) for name in floats]
    vectors += [(name, np.concatenate(frame[name].dropna().to_list()).astype(np.float64)) for name in lists]
    return fixed, vectors


def _first(column: Any) -> Any:
    present = column.dropna()
    return present.iloc[0] if len(present) else None


def _document(value: Any) -> tuple[Any, list[tuple[str, np.ndarray]]]:
    leaves = list(_leaves(value, ""))
    floats = np.array([leaf for _, leaf in leaves if isinstance(leaf, float)], dtype=np.float64)
    # A digest of something that holds floats differs whenever they do, and says no more than they already say.
    fixed = [[name, leaf] for name, leaf in leaves if not isinstance(leaf, float) and not _is_digest(leaf)]
    return digest(fixed), [("", floats)] if len(floats) else []


def _is_digest(leaf: Any) -> bool:
    return isinstance(leaf, str) and len(leaf) == 64 and set(leaf) <= set("0123456789abcdef")


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _leaves(value[key], f"{name}/{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{name}/{number}")
    else:
        yield name, value


def distance(a: dict[str, Any], b: dict[str, Any]) -> float | None:
    """Largest relative distance |a - b| / max(|a|, |b|) over the sketched vectors; None when something exact differs."""
    if a["exact"] != b["exact"] or a["numbers"].keys() != b["numbers"].keys():
        return None
    gaps = [_relative(np.array(a["numbers"][name]), np.array(b["numbers"][name])) for name in a["numbers"]]
    return max(gaps, default=0.0)


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    scale = max(float(np.linalg.norm(a)), float(np.linalg.norm(b)))
    return 0.0 if scale == 0 else float(np.linalg.norm(a - b)) / scale
