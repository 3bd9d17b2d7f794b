"""The tiny base, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny import tiny_base


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base") / "tiny")
