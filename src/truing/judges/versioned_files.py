"""Prompts and policies lie in the package as `<kind>/<name>/v<N>.<suffix>`; a version never changes, a change is a new version."""

from __future__ import annotations

import re
from collections.abc import Hashable
from importlib.resources import files
from typing import Any

import yaml

from truing.core.errors import Exit, TruingError, unknown

NAME = re.compile(r"[a-z][a-z0-9_-]*/v[1-9][0-9]*")
SUFFIXES = {"prompts": ".md", "policies": ".yaml"}


def known(kind: str) -> list[str]:
    """Names with versions ("alignment/v1") of the packaged files of a kind, "prompts" or "policies"."""
    suffix = SUFFIXES[kind]
    found = [
        f"{folder.name}/{file.name.removesuffix(suffix)}"
        for folder in files("truing.judges").joinpath(kind).iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(suffix)
    ]
    return sorted(name for name in found if NAME.fullmatch(name))


def packaged(kind: str, name: str) -> bytes:
    """Bytes of a packaged file.

    Raises:
        TruingError: there is none of that name and version; lists the known ones.
    """
    names = known(kind)
    if name not in names:
        raise unknown({"prompts": "prompt", "policies": "policy"}[kind], name, names, f"judges/{kind}")
    return files("truing.judges").joinpath(kind, name + SUFFIXES[kind]).read_bytes()


def decoded(data: bytes | str, where: str) -> str:
    """Text of a file in UTF-8, with its line ends as newlines and without a byte-order mark.

    Raises:
        TruingError: the bytes are not UTF-8, or the text holds half a surrogate pair.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data.encode("utf-8").decode("utf-8")
    except UnicodeError as error:
        raise TruingError(f"{where}: not UTF-8: {error}", "text in UTF-8", "save the file in UTF-8") from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def mapping(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping in which no key stands twice.

    Raises:
        TruingError: not YAML, not a mapping, or with a key twice.
    """
    try:
        value = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader that also refuses a second key
    except yaml.YAMLError as error:
        raise TruingError(f"{where}: not valid YAML: {error}", "a YAML mapping", "correct the line named above", Exit.USAGE) from error
    if not isinstance(value, dict):
        raise TruingError(f"{where}: a {type(value).__name__} where keys are wanted", "a YAML mapping", "write `key: value` lines")
    return value


class _UniqueKeys(yaml.SafeLoader):
    """The safe loader takes the last of two equal keys in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        value: dict[Hashable, Any] = super().construct_mapping(node, deep)
        if len(value) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return value
