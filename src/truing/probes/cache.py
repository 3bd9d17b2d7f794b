"""Answers that were given before: one file for each (model, questions, way of asking), so that a new seed costs its own only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truing.core.digests import digest, digest_file
from truing.core.errors import TruingError
from truing.core.files import read_json, write_json
from truing.core.tables import read_parquet, write_parquet

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AnswerCache:
    """A folder of Parquet files, each with a document that holds its digest and is written after it.

    Attributes:
        folder: Where the entries lie; made when the first is written.
    """

    folder: Path

    def get(self, identity: Mapping[str, Any]) -> pd.DataFrame | None:
        """The stored answers, or None when there are none or their bytes are not those that were stored."""
        table, document = self._paths(identity)
        try:
            if read_json(document) == {"identity": dict(identity), "digest": digest_file(table)}:
                return read_parquet(table)
        except (TruingError, OSError):
            # Absent, cut off or damaged: in each case the answers are asked for again.
            return None
        return None

    def put(self, identity: Mapping[str, Any], answers: pd.DataFrame) -> None:
        """Store answers under everything that decides them; `identity` is a JSON value."""
        table, document = self._paths(identity)
        document.unlink(missing_ok=True)
        write_parquet(table, answers)
        write_json(document, {"identity": dict(identity), "digest": digest_file(table)})

    def _paths(self, identity: Mapping[str, Any]) -> tuple[Path, Path]:
        name = digest(dict(identity))
        return self.folder / f"{name}.parquet", self.folder / f"{name}.json"
