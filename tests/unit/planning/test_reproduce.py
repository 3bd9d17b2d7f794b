"""The order in which stages run at once, on any graph, and against DVC itself."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.cli.repro import _devices
from truing.core.errors import Exit, TruingError
from truing.planning import reproduce
from truing.planning.reproduce import (
    downstream,
    dvc_start,
    longest_first,
    places,
    require_success,
    run_stages,
    stage_graph,
    to_run,
)

CHAIN = {"c": frozenset("b"), "b": frozenset("a"), "a": frozenset(), "z": frozenset("a"), "lone": frozenset()}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, frozenset[str]]:
    count = draw(st.integers(1, 12))
    return {f"s{number}": frozenset(f"s{need}" for need in draw(st.sets(st.integers(0, 11))) if need < number) for number in range(count)}


class Runs:
    """What was started, and what each start could see."""

    def __init__(self, graph: Mapping[str, frozenset[str]], fails: Iterable[str] = ()) -> None:
        self.graph, self.fails = graph, set(fails)
        self.ended: set[str] = set()
        self.started: list[str] = []
        self.busy: list[str | None] = []
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, stage: str, device: str | None) -> int:
        with self._lock:
            assert self.graph[stage] <= self.ended, f"{stage} was started before what it reads"
            assert device is None or device not in self.busy, f"{device} was given twice"
            self.started.append(stage)
            self.busy.append(device)
            self.most = max(self.most, len(self.busy))
        time.sleep(0.0005)
        with self._lock:
            self.busy.remove(device)
            if stage not in self.fails:
                self.ended.add(stage)
        return int(stage in self.fails)


@given(graphs(), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_each_stage_runs_once_after_all_that_it_reads_and_alone_on_its_device(graph: dict[str, frozenset[str]], places: int) -> None:
    runs = Runs(graph)
    assert run_stages(graph, [str(number) for number in range(places)], runs) == []
    assert sorted(runs.started) == sorted(graph)
    assert runs.most <= places


@given(graphs(), st.integers(1, 3), st.data())
@settings(deadline=None, max_examples=60)
def test_keep_going_leaves_out_what_rests_on_a_failed_stage_and_nothing_else(
    graph: dict[str, frozenset[str]], places: int, data: st.DataObject
) -> None:
    broken = data.draw(st.sampled_from(sorted(graph)))
    runs = Runs(graph, [broken])
    assert run_stages(graph, [None] * places, runs, keep_going=True) == [broken]
    assert set(runs.started) == (set(graph) - set(downstream(graph, [broken]))) | {broken}


def test_after_a_failure_nothing_more_is_started() -> None:
    runs = Runs(CHAIN, ["a"])
    assert run_stages(CHAIN, [None], runs) == ["a"]
    assert runs.started == ["a"]


def test_an_error_of_the_start_itself_is_not_lost() -> None:
    def start(stage: str, device: str | None) -> int:
        raise OSError("no dvc")

    with pytest.raises(OSError, match="no dvc"):
        run_stages(CHAIN, [None], start)


def test_what_most_waits_for_goes_first() -> None:
    assert longest_first(CHAIN) == ["a", "b", "c", "lone", "z"]


def test_what_reads_from_a_changed_stage_may_have_to_run_and_waits_for_that_only() -> None:
    assert downstream(CHAIN, ["b", "not-ours.dvc"]) == {"b": frozenset(), "c": frozenset("b")}
    assert downstream(CHAIN, []) == {}


@pytest.mark.parametrize(
    ("jobs", "threads", "devices", "cores", "expected"),
    [
        (None, 1, [], 2, [None, None]),
        (None, 2, [], 5, [None, None]),
        (None, 4, [], 2, [None]),
        (1, 1, [], 8, [None]),
        (1, 4, [], 2, [None]),
        (None, 8, ["0", "3"], 2, ["0", "3"]),
        (3, 1, ["0", "3"], 2, ["0", "3", "0"]),
    ],
)
def test_places_fit_the_machine(jobs: int | None, threads: int, devices: list[str], cores: int, expected: list[str | None]) -> None:
    assert places(jobs, threads, devices, cores) == expected


def test_more_threads_than_processors_are_refused() -> None:
    with pytest.raises(TruingError, match="--jobs 2: with 2 threads each") as refused:
        places(2, 2, [], 3)
    assert refused.value.code == Exit.REFUSED
    with pytest.raises(TruingError, match="1 or more"):
        places(0, 1, [], 3)


def test_devices_are_those_named_or_those_left_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5e")
    assert _devices(None) == ["2", "GPU-5e"]
    assert _devices("0, 1") == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert _devices(None) == []


def test_a_failure_is_an_error_that_names_the_stage() -> None:
    require_success([])
    with pytest.raises(TruingError, match="train@a-1") as failed:
        require_success(["train@a-1"])
    assert failed.value.code == Exit.FAILED


# Each of the two in the middle ends only once the other has begun.
MEET = "touch {0}.here; for i in $(seq 200); do test -e {1}.here && exec cp first {0}; sleep 0.1; done; exit 1"
STAGES: dict[str, dict[str, Any]] = {
    "first": {"cmd": "printf 1 > first", "outs": ["first"]},
    "left": {"cmd": MEET.format("left", "right"), "deps": ["first"], "outs": ["left"]},
    "right": {"cmd": MEET.format("right", "left"), "deps": ["first"], "outs": ["right"]},
    "last": {"cmd": "cat left right > last; printf $CUDA_VISIBLE_DEVICES > device", "deps": ["left", "right"], "outs": ["last"]},
    "alone": {"cmd": "printf 2 > alone", "outs": ["alone"]},
}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    for arguments in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.mark.slow
def test_dvc_runs_two_stages_at_once_and_has_nothing_left_to_do(toy: Path) -> None:
    lines: list[str] = []
    graph = stage_graph(toy)
    assert graph == {
        "first": frozenset(),
        "left": frozenset({"first"}),
        "right": frozenset({"first"}),
        "last": frozenset({"left", "right"}),
        "alone": frozenset(),
    }
    assert set(stage_graph(toy, ["left", "right"])) == {"first", "left", "right"}
    assert run_stages(to_run(toy, graph), ["7", "8"], dvc_start(toy, lines.append)) == []
    assert (toy / "last").read_text() == "11"
    assert (toy / "device").read_text() in ("7", "8")
    assert [line for line in lines if line.startswith("last:")] == [
        "last: Running stage 'last':",
        "last: > " + STAGES["last"]["cmd"],
        "last: Updating lock file 'dvc.lock'",
    ]
    assert to_run(toy, graph) == {}
    done = subprocess.run(["dvc", "repro"], cwd=toy, check=True, capture_output=True, text=True)
    assert "up to date" in done.stdout
    assert set(yaml.safe_load((toy / "dvc.lock").read_text())["stages"]) == set(STAGES)


@pytest.mark.slow
def test_a_failed_stage_is_named_with_its_own_words_and_runs_again(toy: Path) -> None:
    stages = {"bad": {"cmd": "echo it hurts >&2; test -e mended && touch bad", "outs": ["bad"]}}
    (toy / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    lines: list[str] = []
    assert run_stages(to_run(toy, stage_graph(toy)), [None], dvc_start(toy, lines.append)) == ["bad"]
    assert "bad: it hurts" in lines
    (toy / "mended").touch()
    assert run_stages(to_run(toy, stage_graph(toy)), [None], dvc_start(toy, lines.append)) == []


@pytest.mark.slow
def test_what_dvc_says_of_an_unknown_target_reaches_the_user(toy: Path) -> None:
    with pytest.raises(TruingError, match="no-such"):
        stage_graph(toy, ["no-such"])


def test_a_graph_drawn_in_another_form_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = 'strict digraph {\n"a";\n"a" -> "b";\n}\n'
    monkeypatch.setattr(reproduce, "command", lambda *_: drawn)
    assert stage_graph(tmp_path) == {"a": frozenset(), "b": frozenset("a")}
    monkeypatch.setattr(reproduce, "command", lambda *_: drawn.replace(";", " [weight=1];"))
    with pytest.raises(TruingError, match="weight=1"):
        stage_graph(tmp_path)
