"""The one place where a process is made reproducible, before torch or numpy is imported.

CPU arithmetic is bit-for-bit equal over runs only under one instruction set, one thread count and one
attention implementation; set order needs one hash seed. Every stage passes through `pin` first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from truing.core.errors import TruingError

# Only what decides the bytes of an output; a fix in a CLI library must not make every node stale.
DECIDING_PACKAGES = ("datasets", "numpy", "peft", "tokenizers", "torch", "transformers", "trl")


def pinned(threads: int) -> dict[str, str]:
    """The environment variables that a stage runs under."""
    return {
        "ATEN_CPU_CAPABILITY": "avx2",
        # MKL chooses its kernels by the processor's model; one branch for all gives one result on all that have AVX2.
        "MKL_CBWR": "AVX2",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }


def pin(threads: int) -> None:
    """Make this process run under the pinned environment, replacing it once by itself if it does not yet.

    The interpreter reads its hash seed, and torch its instruction set, only when they start.
    """
    wanted = pinned(threads)
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    if "torch" in sys.modules:
        raise TruingError(
            "torch was imported before the environment was pinned",
            "core.environment.pin to run first",
            "import torch inside functions, never at the top of a stage",
        )
    os.environ.update(wanted)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this interpreter, these arguments


def versions() -> Mapping[str, str]:
    """Version of each deciding package, without a local part, so that CPU and CUDA builds of one release agree."""
    return {name: _version(name) for name in DECIDING_PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name).split("+")[0]
    except PackageNotFoundError as error:
        raise TruingError(f"package {name} is not installed", "the packages of requirements.lock", "run `make venv`") from error
