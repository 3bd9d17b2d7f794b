"""A real server of the `transformers` library (its extra `serving`: FastAPI and Uvicorn), asked through the real client."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tiny import tiny_base

from truing.judges.backends.endpoint import Endpoint, EndpointParams
from truing.judges.requests import Reply, Sent

pytestmark = pytest.mark.slow

pytest.importorskip("fastapi", reason="the extra transformers[serving] is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address of a server, and the name of the one model that it serves."""
    base = tiny_base(tmp_path_factory.mktemp("served") / "base")
    port = free_port()
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(base), "--host", "127.0.0.1", "--port", str(port)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([*command, "--device", "cpu"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1", str(base)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server stopped"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError("the server does not answer")


def ask(address: str, model: str, top_logprobs: int = 0) -> Reply:
    async def once() -> Reply:
        endpoint = Endpoint(EndpointParams(base_url=address, model=model))
        try:
            return await endpoint.ask(Sent(model, ({"role": "user", "content": "a word"},), 0.0, 1.0, 0, 6, top_logprobs))
        finally:
            await endpoint.close()

    return asyncio.run(once())


def test_a_served_model_answers_and_answers_alike(served: tuple[str, str]) -> None:
    first, second = ask(*served), ask(*served)
    assert first == second
    assert first.finish_reason in ("stop", "length")
    assert first.prompt_tokens is not None
    assert first.prompt_tokens > 0
    assert first.completion_tokens is not None
    assert 0 < first.completion_tokens <= 6


def test_a_server_without_log_probabilities_gives_none_and_no_invented_ones(served: tuple[str, str]) -> None:
    assert ask(*served, top_logprobs=5).top_logprobs is None
