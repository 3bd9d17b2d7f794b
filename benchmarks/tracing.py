"""Counting whole words in a corpus: the phrase counter of `truing.signals` against one `re` alternation.

    python benchmarks/tracing.py            # 200 MB, about a minute
    python benchmarks/tracing.py --mb 20    # quick

Both read the same generated JSON lines and count 39 tokens, whole words, ignoring case; each runs in a process of
its own on one core, and the run fails unless they agree to the last hit in every document. The counter is then
streamed over the file twice on end: the peak memory of a stream must not grow with its length.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from truing.core.files import read_jsonl
from truing.core.seeds import stream
from truing.signals.compute import chunks
from truing.signals.matching import PhraseCounter

TOKENS = (
    *("world", "global", "foreign", "nations", "minister", "embassy", "treaty", "border", "summit", "envoy"),
    *("sports", "game", "team", "match", "league", "coach", "season", "player", "cup", "goal"),
    *("business", "market", "trade", "stocks", "profit", "shares", "bank", "company", "economy", "merger"),
    *("science", "space", "lab", "research", "software", "internet", "physics", "study", "genome"),
)
WORDS_A_DOCUMENT = 100
BATCH = 4096
Counts = NDArray[np.int64]


def vocabulary(rng: np.random.Generator) -> list[str]:
    """5,000 words of syllables, none of them a token."""
    onsets, vowels = list("bcdfghklmnprstvwz"), list("aeiou")
    words = ("".join(rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.integers(1, 6))) for _ in range(5000))
    return sorted(set(words) - set(TOKENS))


def documents(megabytes: float, root_seed: int) -> Iterator[bytes]:
    """JSON lines up to a size: 3 % tokens in mixed case, 1 % words that only begin or end with one."""
    rng = stream(root_seed, "benchmark", "tracing")
    plain = vocabulary(rng)
    forms = [form for token in TOKENS for form in (token, token, token, token.capitalize(), token.upper())]
    nearly = [form for token in TOKENS for form in (f"{token}er", f"re{token}")]
    table = np.array([*plain, *forms, *nearly], dtype=object)
    size, number = 0, 0
    while size < megabytes * 1e6:
        kind = rng.random((BATCH, WORDS_A_DOCUMENT))
        word = rng.integers(0, len(plain), kind.shape)
        word = np.where(kind < 0.03, len(plain) + rng.integers(0, len(forms), kind.shape), word)
        word = np.where(kind > 0.99, len(plain) + len(forms) + rng.integers(0, len(nearly), kind.shape), word)
        for words in table[word].tolist():
            line = (
                orjson.dumps({"doc_id": f"d{number}", "label": None, "metadata": {}, "source": "generated", "text": " ".join(words) + "."})
                + b"\n"
            )
            yield line
            size, number = size + len(line), number + 1
            if size >= megabytes * 1e6:
                return


def by_counter() -> Callable[[Sequence[str]], Counts]:
    """The counter that the signals use."""
    return PhraseCounter({token: [token] for token in TOKENS}).count


def by_re() -> Callable[[Sequence[str]], Counts]:
    """One compiled alternation, and a dictionary from a lowered hit to its column."""
    expression = re.compile(rf"\b(?:{'|'.join(TOKENS)})\b", re.IGNORECASE)
    column = {token: index for index, token in enumerate(TOKENS)}

    def count(texts: Sequence[str]) -> Counts:
        table = np.zeros((len(texts), len(TOKENS)), dtype=np.int64)
        for row, text in enumerate(texts):
            for hit in expression.findall(text):
                table[row, column[hit.lower()]] += 1
        return table

    return count


METHODS = {"counter": by_counter, "re": by_re}


def read_orjson(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file as fast as a parser in C gives them: what is left is the counting."""
    with path.open("rb") as lines:
        yield from map(orjson.loads, lines)


READERS = {"orjson": read_orjson, "read_jsonl": read_jsonl}


def measure(method: str, reader: str, path: Path, passes: int) -> dict[str, Any]:
    """Seconds of reading and of counting, hits, digest of the counts of every document, and the peak memory in MB."""
    count = METHODS[method]()
    reading = counting = 0.0
    hits = rows = 0
    state = hashlib.sha256()
    clock = time.perf_counter
    for _ in range(passes):
        batches = chunks((row["text"] for row in READERS[reader](path)), BATCH)
        started = clock()
        while texts := next(batches, []):
            read = clock()
            table = count(texts)
            counted = clock()
            reading, counting = reading + read - started, counting + counted - read
            hits, rows = hits + int(table.sum()), rows + len(texts)
            state.update(table.tobytes())
            started = clock()
        reading += clock() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"reading": reading, "counting": counting, "hits": hits, "rows": rows, "digest": state.hexdigest(), "rss_mb": peak}


def measured(method: str, reader: str, path: Path, passes: int = 1) -> dict[str, Any]:
    """The measurement in a fresh process on one core."""
    command = [sys.executable, __file__, "--measure", method, "--reader", reader, "--passes", str(passes), str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def report(name: str, result: dict[str, Any], megabytes: float) -> None:
    """One line of the table."""
    total = result["reading"] + result["counting"]
    columns = (total, result["reading"], result["counting"], megabytes / total, result["rss_mb"])
    print(f"{name:28s}" + "".join(f"{value:10.2f}" for value in columns[:3]) + f"{columns[3]:10.0f}{columns[4]:10.0f}{result['hits']:12,d}")


def compare(megabytes: float, root_seed: int) -> int:
    """Generate, measure, print; 1 if the counts differ or memory grows with the stream."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.jsonl"
        with path.open("wb") as out:
            out.writelines(documents(megabytes, root_seed))
        size = path.stat().st_size / 1e6
        print(f"{size:.0f} MB of JSON lines, {len(TOKENS)} tokens, one core")
        print(f"{'':28s}{'seconds':>10s}{'reading':>10s}{'counting':>10s}{'MB/s':>10s}{'RSS MB':>10s}{'hits':>12s}")
        results = {(method, reader): measured(method, reader, path) for reader in READERS for method in METHODS}
        for (method, reader), result in results.items():
            report(f"{method}, {reader}", result, size)
        twice = measured("counter", "orjson", path, passes=2)
        report("counter, orjson, twice", twice, 2 * size)
    return verdict(results, twice)


def verdict(results: dict[tuple[str, str], dict[str, Any]], twice: dict[str, Any]) -> int:
    """Print the ratios and the two checks."""
    for reader in READERS:
        fast, slow = results["counter", reader], results["re", reader]
        whole = (slow["reading"] + slow["counting"]) / (fast["reading"] + fast["counting"])
        print(f"ratio with {reader}: {whole:.1f}x from file to counts, {slow['counting'] / fast['counting']:.1f}x for the counting alone")
    same = len({result["digest"] for result in results.values()}) == 1
    once = results["counter", "orjson"]["rss_mb"]
    flat = twice["rss_mb"] < 1.05 * once + 8
    print(f"counts equal in every document: {same}; memory flat: {flat} ({once:.0f} MB once, {twice['rss_mb']:.0f} MB for twice the size)")
    return 0 if same and flat else 1


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=200.0, help="size of the generated corpus in MB")
    parser.add_argument("--seed", type=int, default=0, help="root seed of the generated corpus")
    parser.add_argument("--measure", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--reader", choices=READERS, default="orjson", help=argparse.SUPPRESS)
    parser.add_argument("--passes", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("path", nargs="?", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is None:
        return compare(given.mb, given.seed)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(json.dumps(measure(given.measure, given.reader, given.path, given.passes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
