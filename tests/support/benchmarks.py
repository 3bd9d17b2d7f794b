"""Benchmarks as modules, so that tests run their simulations at a fraction of their length."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from support.checkout import ROOT


def benchmark(name: str) -> ModuleType:
    """The module of benchmarks/NAME.py, which is a script and not on the path."""
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
