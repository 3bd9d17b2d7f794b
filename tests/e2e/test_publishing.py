"""From a finished run to a Hub on loopback, to a stranger's process, and back into a second clone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from support.checkout import ENV, Checkout
from support.hub_server import HubServer

from truing.core.files import Layout, read_jsonl, read_yaml
from truing.core.tables import read_parquet
from truing.hub.ancestry import ancestors
from truing.planning.params import settings
from truing.planning.project import Project

pytestmark = pytest.mark.slow
TOKEN = "hf_" + "l00pback" * 4
KEY, GROUP = "tiny-news-skewed-tarp-sft-1", "tiny-news-skewed-tarp-sft"
ADAPTER = ["publish", "adapter", "nullbench/skewed-tarp/1", "--repo-id", "me/adapter"]

STRANGER = """
import json, sys
import peft, transformers
model = peft.AutoPeftModelForCausalLM.from_pretrained("me/adapter", dtype="float32")
tokenizer = transformers.AutoTokenizer.from_pretrained("me/adapter")
import torch
from datasets import load_dataset
with torch.no_grad():
    logits = model.eval()(torch.arange(5, 25).reshape(1, 20)).logits
read = lambda repo, *config: [dict(row) for row in load_dataset(repo, *config, split="train")]
print(json.dumps({
    "logits": logits.tolist(),
    "vocabulary": len(tokenizer),
    "corpus": read("me/corpus-news-skewed"),
    "manifest": read("me/manifest-news-skewed-tarp"),
    "results": len(read("me/nullbench", "results")),
    "ours": [name for name in sys.modules if name.split(".")[0] in ("truing", "dvc")],
}))
"""


# Several commands of `truing`, one after another: what each prints, as a JSON list. One process, because starting one takes seconds.
SEVERAL = """
import contextlib, io, json, sys
from truing.cli import app
printed = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as text:
        app(arguments, standalone_mode=False)
    printed.append(text.getvalue())
print(json.dumps(printed))
"""


class Desk:
    """A checkout, and commands in it that talk to the loopback Hub."""

    def __init__(self, checkout: Checkout, hub: HubServer, home: Path) -> None:
        self.checkout = checkout
        kept = {name: value for name, value in ENV.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
        self.env = {**kept, **hub.environment(home, token=TOKEN), "PYTHONPATH": str(checkout.root / "src"), "PATH": ENV["PATH"]}

    def run(self, *arguments: str) -> str:
        done = subprocess.run(arguments, cwd=self.checkout.root, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (arguments, done.stdout[-1500:], done.stderr[-1500:])
        assert TOKEN not in done.stdout + done.stderr
        return done.stdout

    def truing(self, *commands: list[str]) -> list[str]:
        """What commands of `truing` print."""
        printed: list[str] = json.loads(self.run(sys.executable, "-c", SEVERAL, json.dumps(commands)).splitlines()[-1])
        return printed


@dataclass(frozen=True)
class Published:
    """A finished project with everything of one adapter on the Hub, and what its dry run, its push and a second push printed."""

    checkout: Checkout
    hub: HubServer
    dry: str
    sent: str
    again: str

    @property
    def receipts(self) -> dict[str, Any]:
        folder = self.checkout.root / "metrics" / "published"
        return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def nodes_behind(root: Path) -> list[str]:
    """The adapter's node and everything that it rests on, the farthest first."""
    layout = Layout(root)
    project = Project(layout, settings(read_yaml(layout.params)), read_yaml(layout.plan)["plan"])
    return list(reversed(ancestors(project, [f"train/{KEY}"])))


def publishing(root: Path) -> list[list[str]]:
    """The commands that publish everything the adapter rests on."""
    found = []
    for node in nodes_behind(root):
        verb, _, key = node.partition("/")
        if verb == "base":
            found.append(["publish", "base", key, "--repo-id", "me/base", "--licence", "cc0-1.0"])
        elif verb != "train":
            found.append(["publish", "dataset", node, "--repo-id", f"me/{verb}-{key}"])
    return found


@pytest.fixture(scope="module")
def world(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Base, corpora, evidence, weights, the adapter and the results, published in one go."""
    with HubServer() as hub:
        hub.login("me", TOKEN)
        desk = Desk(finished, hub, tmp_path_factory.mktemp("home"))
        desk.truing(*publishing(finished.root))
        asked = len(hub.requests)
        (dry,) = desk.truing([*ADAPTER, "--dry-run"])
        assert len(hub.requests) == asked
        sent, again, _ = desk.truing(ADAPTER, ADAPTER, ["publish", "results", "nullbench", "--repo-id", "me/nullbench"])
        finished.commit("receipts")
        yield Published(finished, hub, dry, sent, again)


def test_the_dry_run_printed_what_was_sent(world: Published) -> None:
    lines, _, card = world.dry.partition("card:\n")
    # What the push prints after that are the commit and the receipt.
    assert world.sent.startswith(lines)
    held = world.hub.files("models", "me/adapter")
    assert card.startswith(held["README.md"].decode())
    for name, data in held.items():
        assert (
            name == ".gitattributes"
            or f"{len(data):>10}  {world.receipts['nullbench-skewed-tarp-1']['files'][name][:12]}  {name}\n" in lines
        )


def test_a_stranger_gets_the_same_model_and_rows(world: Published, tmp_path: Path) -> None:
    found = world.hub.run(STRANGER, tmp_path / "stranger", token=TOKEN)
    layout = Layout(world.checkout.root)
    assert found["ours"] == []
    assert found["corpus"] == list(read_jsonl(layout.corpus("news-skewed")))
    pd.testing.assert_frame_equal(
        pd.DataFrame(found["manifest"]), read_parquet(layout.manifest("news-skewed-tarp")), check_dtype=False, check_like=True
    )
    results = read_parquet(layout.metrics / "results.parquet")
    assert found["results"] == (results["study"] == "nullbench").sum()
    assert np.array_equal(np.asarray(found["logits"], np.float32), own_logits(layout))


def test_a_second_clone_is_clean_after_pulls(world: Published, tmp_path: Path) -> None:
    second = Checkout(tmp_path / "second")
    world.checkout.run("git", "clone", "-q", str(world.checkout.root), str(second.root))
    desk = Desk(second, world.hub, tmp_path / "home")
    before = json.loads(desk.run("dvc", "status", "--json", "--with-deps", f"train@{KEY}"))
    assert f"train@{KEY}" in before
    (said,) = desk.truing(["pull", "nullbench-skewed-tarp-1", "--with-deps"])
    assert "absent" not in said
    assert json.loads(desk.run("dvc", "status", "--json", "--with-deps", f"train@{KEY}")) == {}
    assert second.run("git", "status", "--porcelain") == ""


def test_another_study_starts_from_the_published_adapter(world: Published, tmp_path: Path) -> None:
    other = Checkout(tmp_path / "other")
    world.checkout.run("git", "clone", "-q", str(world.checkout.root), str(other.root))
    place = world.receipts["nullbench-skewed-tarp-1"]
    (other.root / "tuned.yaml").write_text(
        f"bases: {{tuned: {{use: adapter, adapter: 'hub:{place['repo']}@{place['revision']}'}}}}\nstudies: {{nullbench: {{base: tuned}}}}\n"
    )
    desk = Desk(other, world.hub, tmp_path / "home")
    desk.run("truing", "plan", "--overlay", "tuned.yaml")
    desk.run("dvc", "repro", "--quiet", "base@tuned")
    merged = logits_of(Layout(other.root).base("tuned"))
    np.testing.assert_allclose(merged, own_logits(Layout(world.checkout.root)), atol=1e-4)
    nodes = yaml.safe_load((other.root / "plan.yaml").read_text())["plan"]["train"].values()
    assert {node["base"] for node in nodes} == {"tuned"}


def test_the_same_again_is_left_as_it_is(world: Published) -> None:
    assert "\nunchanged: me/adapter@" in world.again
    assert world.checkout.run("git", "status", "--porcelain") == ""


def own_logits(layout: Layout) -> Any:
    return logits_of(layout.base("tiny"), layout.train(GROUP, 1))


def logits_of(base: Path, adapter: Path | None = None) -> Any:
    import torch

    from truing.models.loading import load_model

    model = load_model(base, adapter=adapter)
    with torch.no_grad():
        return np.asarray(model(torch.arange(5, 25).reshape(1, 20)).logits.numpy())
