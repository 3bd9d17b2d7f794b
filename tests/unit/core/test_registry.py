"""A plug-in is one new file; unknown and doubled names are errors that list what is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from truing.core.errors import TruingError
from truing.core.registry import Params, Registry


class Knobs(Params):
    tau: float = 0.5


def test_an_unknown_key_names_the_place_and_the_known_keys() -> None:
    registry: Registry[object] = Registry("strategy", "truing.strategies")
    registry("probe", Knobs)(object())
    with pytest.raises(TruingError, match=r"params\.yaml: strategies\.x: taw") as caught:
        registry.get("probe").configure({"taw": 1}, "params.yaml: strategies.x")
    assert "tau" in caught.value.expected


def test_parameters_are_frozen() -> None:
    assert issubclass(Knobs, BaseModel)
    with pytest.raises(ValueError, match="frozen"):
        Knobs().tau = 1.0  # type: ignore[misc]


def test_a_name_registered_twice_is_refused() -> None:
    registry: Registry[object] = Registry("strategy", "truing.strategies")
    registry("same")(object())
    with pytest.raises(TruingError, match="twice"):
        registry("same")(object())


def test_a_new_file_is_found_and_an_unknown_name_lists_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "planted_room"
    room.mkdir()
    (room / "__init__.py").write_text("from truing.core.registry import Registry\nthing = Registry('thing', 'planted_room')\n")
    (room / "one.py").write_text("from planted_room import thing\n@thing('one')\ndef one():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import planted_room  # type: ignore[import-not-found]

    assert planted_room.thing.get("one").target() == 1
    with pytest.raises(TruingError, match="one"):
        planted_room.thing.get("two")
    for name in [name for name in sys.modules if name.startswith("planted_room")]:
        del sys.modules[name]
