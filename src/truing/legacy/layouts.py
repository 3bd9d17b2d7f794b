"""Seeds that stand in the path of a file: eval_seed7/x.json, seed7/x.json, seed7_x.json and seed7/eval_seed7/x.json."""

from __future__ import annotations

import re
from dataclasses import dataclass

from truing.core.errors import Exit, TruingError

LAYOUTS = ("eval_seed<N>/x.json", "seed<N>/x.json", "seed<N>_x.json", "seed<N>/eval_seed<N>/x.json")
_FOLDER = re.compile(r"(?:eval_)?seed(\d+)", re.ASCII)
_FILE = re.compile(r"seed(\d+)_.+", re.ASCII)


@dataclass(frozen=True)
class Place:
    """A seed that a path states.

    Attributes:
        seed: The seed.
        folders: The parts of the path that state it.
    """

    seed: int
    folders: tuple[str, ...]


def place(path: str) -> Place | None:
    """The seed of a path; None when no part of it states one.

    Raises:
        TruingError: when two parts state different seeds.
    """
    if "seed" not in path:
        return None
    *folders, file = path.replace("\\", "/").split("/")
    hits = [(folder, found) for folder in folders if (found := _FOLDER.fullmatch(folder))]
    if found := _FILE.fullmatch(file):
        hits.append((file, found))
    if not hits:
        return None
    seeds = {int(found[1]) for _, found in hits}
    if len(seeds) > 1:
        raise TruingError(
            f"{path}: its parts state different seeds: {', '.join(part for part, _ in hits)}",
            f"one seed, as in {'; '.join(LAYOUTS)}",
            "move the file to the folder of its seed",
            Exit.REFUSED,
        )
    return Place(seeds.pop(), tuple(part for part, _ in hits))
