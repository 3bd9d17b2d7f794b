"""Real pairs through the whole study: the guide's own commands, a smaller base, fewer steps. Skipped where the data is absent."""

from __future__ import annotations

import re
import shutil

import pytest
from support.checkout import ROOT, Checkout, copy_of_the_tree

from truing.core.files import Layout, read_jsonl
from truing.core.tables import read_parquet

pytestmark = pytest.mark.slow
PAIRS = ROOT.parent / "shared/data/preference/pku_saferlhf/pairs_5k_dev.json"
SMALL = """
run: {seeds: [1, 2]}
bases: {pku-tiny: {tokens: 40000}}
corpora: {pku-old-labels: {max_rows: 120}, pku-choices: {rows: [0, 16]}}
signals: {pku-impact: {gold_pairs: 24}}
recipes: {pku-old: {trainer: {max_steps: 4}}, pku-hybrid: {trainer: {max_steps: 4}}}
"""


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the study has been run, with the held-out prompts laid in place as the guide says."""
    if not PAIRS.is_file():
        pytest.skip("shared/data/preference/pku_saferlhf is absent")
    made = copy_of_the_tree(tmp_path_factory.mktemp("pku") / "project")
    (made.root / "raw").mkdir()
    shutil.copyfile(PAIRS, made.root / "raw/pku_saferlhf.json")
    guide = (ROOT / "docs/realign.md").read_text()
    lay = re.search(r"^python - <<'END'\n(.*?)^END$", guide, re.DOTALL | re.MULTILINE)
    assert lay is not None
    made.run("python", "-c", lay[1])
    (made.root / "small.yaml").write_text(SMALL)
    made.run("git", "init", "-q", "-b", "main")
    made.run("truing", "plan", "--overlay", "profiles/realign-pku.yaml", "--overlay", "small.yaml")
    made.commit("pairs")
    made.run("dvc", "repro", "--quiet")
    return made


def test_every_condition_has_its_result_over_the_seeds(repeated: Checkout) -> None:
    results = read_parquet(Layout(repeated.root).metrics / "results.parquet")
    found = results[(results["metric"] == "acc_norm") & (results["arm"] == "safe")]
    assert found.groupby("condition")["seed"].nunique().to_dict() == {"base": 0, "old": 2, "shuffled": 2, "trace": 2}
    assert found["value"].between(0, 1).all()
    assert (found["n"] == 16).all()


def test_the_triage_turns_what_was_swapped_and_confirms_the_rest(repeated: Checkout) -> None:
    layout = Layout(repeated.root)
    planted = {row["doc_id"]: row["metadata"]["planted"] for row in read_jsonl(layout.corpus("pku-old-labels"))}
    triaged = read_parquet(layout.signal("pku-old-labels-triage"))
    named = dict(zip(triaged["doc_id"], triaged["category"], strict=True))
    # Each row of this form has one safe and one unsafe answer, so that a label stands or is the wrong way round.
    assert {(planted[name] is not None, category) for name, category in named.items()} <= {
        (True, "INVERT"), (False, "AGREE"), (True, "ABSTAIN"), (False, "ABSTAIN"),
    }  # fmt: skip
    assert sum(category == "INVERT" for category in named.values()) > 20


def test_no_prompt_that_is_asked_was_trained_on(repeated: Checkout) -> None:
    layout = Layout(repeated.root)
    asked = {row["text"] for row in read_jsonl(layout.corpus("pku-choices"))}
    for key in ("pku-old-labels", "pku-text"):
        assert not asked & {row["prompt"] for row in read_jsonl(layout.corpus(key))}


def test_the_page_says_what_came_of_it(repeated: Checkout) -> None:
    page = (Layout(repeated.root).metrics / "report/index.html").read_text()
    assert 'id="realign-pku"' in page
    assert "turns round" in page
