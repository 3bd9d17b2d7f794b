from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.impact import category_frames, impact_context, pair_rows

from truing.core.errors import TruingError
from truing.signals import SignalContext
from truing.signals.compute import compute
from truing.signals.impact import bootstrap_ends, fill_shard, impacts_of
from truing.signals.impact_params import ImpactParams

SMALL = {"gold_pairs": 8, "gold_batches": 4, "batch_size": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("impact")


def run(context: SignalContext, **values: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    frames, facts = compute("impact", {**SMALL, **values}, context)
    return pd.concat(list(frames), ignore_index=True), facts()


def test_conflicts_have_an_impact_with_an_interval_and_gold_and_others_have_none(folder: Path) -> None:
    table, facts = run(impact_context(folder))
    assert table["doc_id"].tolist() == [row["doc_id"] for row in pair_rows(40)]
    scored = table["category"].isin(["INVERT", "PUNISH"]) & ~table["gold"]
    for column in ("impact", "impact_lo", "impact_hi", "s_chosen", "s_rejected"):
        assert table[column].notna().tolist() == scored.tolist()
    assert table[table["gold"]]["category"].value_counts().to_dict() == {"INVERT": 4, "AGREE": 4}
    known = table[scored]
    assert ((known["impact_lo"] <= known["impact"]) & (known["impact"] <= known["impact_hi"])).all()
    assert facts["gold"]["pairs"] == 8
    assert facts["gold"]["categories"] == {"AGREE": 4, "INVERT": 4}
    assert facts["gold"]["punish"].startswith("none")
    assert facts["categories"]["PUNISH"]["pairs"] == 8
    assert facts["categories"]["INVERT"]["pairs"] == 4
    weights = known["impact"].clip(lower=0).to_numpy(dtype=float)
    assert facts["ess"] == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    json.dumps(facts, allow_nan=False)


def test_the_formula_of_each_category() -> None:
    scores = np.array([[[3.0], [5.0]]] * 4)
    categories = ["INVERT", "PUNISH", "AGREE", "NEUTRAL"]
    found = impacts_of(scores, categories, ImpactParams(beta=0.5).coefficients())[:, 0]
    # promoted is the rejected answer of INVERT and the chosen one of AGREE and NEUTRAL
    assert found.tolist() == pytest.approx([0.25 * 2, -8.0, -0.25 * 2, -0.25 * 2])
    plain = impacts_of(scores, categories, ImpactParams(beta=0.5, npo_prefactor=False).coefficients())[:, 0]
    assert plain[1] == pytest.approx(-0.25 * 8)


def test_a_step_on_a_pairs_own_loss_lowers_the_gold_loss_by_its_impact(folder: Path) -> None:
    import torch

    from truing.models.gates import lora_parameters
    from truing.models.impact_answers import encode_answers, log_likelihoods
    from truing.models.impact_checkpoints import open_checkpoint
    from truing.models.impact_gradients import trainable
    from truing.models.loading import load_tokenizer

    context = impact_context(folder)
    table, _ = run(context, adapter="own", beta=0.3, categories=["INVERT", "PUNISH", "AGREE", "NEUTRAL"])
    rows = {row["doc_id"]: row for row in pair_rows(40)}
    assert context.base is not None
    tokenizer = load_tokenizer(context.base)
    model = open_checkpoint(context.base, context.adapters[0][1], start="own", seed=0).double()

    def sides(doc_id: str) -> torch.Tensor:
        row = rows[doc_id]
        return log_likelihoods(model, encode_answers(tokenizer, row["prompt"], (row["chosen"], row["rejected"]), doc_id, 100))

    def loss(doc_id: str, category: str, start: torch.Tensor) -> torch.Tensor:
        chosen, rejected = 0.3 * (sides(doc_id) - start)
        if category == "PUNISH":
            return -2 / 0.3 * (torch.nn.functional.logsigmoid(-chosen) + torch.nn.functional.logsigmoid(-rejected))
        return -torch.nn.functional.logsigmoid(rejected - chosen if category == "INVERT" else chosen - rejected)

    with torch.no_grad():
        reference = {doc_id: sides(doc_id).clone() for doc_id in rows}
    gold = table[table["gold"]][["doc_id", "category"]].to_numpy().tolist()

    def gold_loss() -> float:
        with torch.no_grad():
            return float(np.mean([float(loss(doc_id, category, reference[doc_id])) for doc_id, category in gold]))

    rate = 1e-5
    for category in ("INVERT", "PUNISH", "AGREE", "NEUTRAL"):
        known = table[(table["category"] == category) & table["impact"].notna()]
        for doc_id, impact in known[["doc_id", "impact"]].to_numpy().tolist()[:2]:
            with trainable(model) as parameters:
                steps = torch.autograd.grad(loss(doc_id, category, reference[doc_id]), list(parameters.values()))
            losses = []
            for sign in (1.0, -2.0):
                with torch.no_grad():
                    for value, step in zip(lora_parameters(model).values(), steps, strict=True):
                        value -= sign * rate * step
                losses.append(gold_loss())
            with torch.no_grad():
                for value, step in zip(lora_parameters(model).values(), steps, strict=True):
                    value -= rate * step
            assert (losses[1] - losses[0]) / (2 * rate) == pytest.approx(impact, rel=0.02, abs=1e-2), (category, doc_id)


def test_a_killed_run_goes_on_where_it_stopped_and_gives_the_same(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from truing.models.impact_store import ScoreStore
    from truing.signals import impact_scoring

    whole, _ = run(impact_context(folder, scratch=None))
    context, computed = impact_context(folder, scratch=tmp_path), list[int]()
    store = ScoreStore.put

    def counted(self: Any, batch: Any, scores: Any) -> None:
        if len(computed) == 2:
            raise KeyboardInterrupt
        store(self, batch, scores)
        computed.append(len(batch))

    monkeypatch.setattr(ScoreStore, "put", counted)
    with pytest.raises(KeyboardInterrupt):
        run(context)
    monkeypatch.setattr(ScoreStore, "put", lambda self, batch, scores: computed.append(len(batch)))
    monkeypatch.setattr(impact_scoring, "stacked", None)  # the directions are kept as well: asking for them again would fail
    resumed, _ = run(context)
    pd.testing.assert_frame_equal(resumed, whole)
    assert computed == [8, 8, 8]


def test_shards_fill_one_store_and_the_signal_computes_nothing_more(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from truing.models import gates

    whole, _ = run(impact_context(folder, scratch=None))
    context = impact_context(folder, scratch=tmp_path)
    cfg = ImpactParams(**SMALL)
    for index in (1, 0):
        fill_shard(cfg, context, index, 2)
    assert len(list(tmp_path.rglob("*.scores"))) == 3
    monkeypatch.setattr(gates, "log_likelihoods", None)
    merged, _ = run(context)
    pd.testing.assert_frame_equal(merged, whole)


def test_a_shard_computes_only_its_batches_and_needs_a_folder(folder: Path, tmp_path: Path) -> None:
    cfg = ImpactParams(**SMALL)
    fill_shard(cfg, impact_context(folder, scratch=tmp_path), 0, 2)
    assert len(list(tmp_path.rglob("*.scores"))) == 2
    with pytest.raises(TruingError, match="shard 2 of 2"):
        fill_shard(cfg, impact_context(folder, scratch=tmp_path), 2, 2)
    with pytest.raises(TruingError, match="scratch"):
        fill_shard(cfg, impact_context(folder, scratch=None), 0, 2)


def test_a_damaged_entry_is_computed_again(folder: Path, tmp_path: Path) -> None:
    context = impact_context(folder, scratch=tmp_path)
    whole, _ = run(context)
    for path in [*tmp_path.rglob("*.scores"), *tmp_path.rglob("*.safetensors")]:
        path.write_bytes(path.read_bytes()[:-3])
    again, _ = run(context)
    pd.testing.assert_frame_equal(again, whole)


def test_seeds_are_averaged_and_one_has_no_part_in_the_scores_of_another(folder: Path) -> None:
    one, two = (run(impact_context(folder, seeds=(seed,)))[0] for seed in (1, 2))
    both, facts = run(impact_context(folder, seeds=(1, 2)))
    assert facts["seeds"] == [1, 2]
    mean = (one["impact"] + two["impact"]) / 2
    assert both["impact"].dropna().tolist() == pytest.approx(mean.dropna().tolist(), rel=1e-9)
    assert (one["impact"] - two["impact"]).abs().max() > 1e-3


def dense(kind: str, direction: Any, sample: list[Any]) -> Any:
    """A direction [n] divided by the curvature of gradients [n], as a matrix."""
    import torch

    if kind == "adam":
        return torch.linalg.solve(torch.diag(torch.stack(sample).square().mean(dim=0).sqrt() + 1e-8), direction)
    damping = 0.1 * torch.stack(sample).square().mean() * torch.eye(len(direction), dtype=direction.dtype)
    return torch.stack([torch.linalg.solve(torch.outer(one, one) + damping, direction) for one in sample]).mean(dim=0)


@pytest.mark.parametrize("curvature", ["adam", "datainf"])
def test_scores_under_a_curvature_are_those_of_dense_solves(folder: Path, curvature: str) -> None:
    import torch

    from truing.models.impact_answers import encode_answers
    from truing.models.impact_checkpoints import open_checkpoint
    from truing.models.impact_gradients import likelihood_gradient, loop_scores, stacked
    from truing.models.loading import load_tokenizer

    context = impact_context(folder)
    table, _ = run(context, adapter="own", curvature=curvature, curvature_pairs=100, gold_batches=1)
    assert context.base is not None
    model = open_checkpoint(context.base, context.adapters[0][1], start="own", seed=0)
    tokenizer, rows = load_tokenizer(context.base), {row["doc_id"]: row for row in pair_rows(40)}

    def pair(doc_id: str) -> list[Any]:
        row = rows[doc_id]
        return [*encode_answers(tokenizer, row["prompt"], (row["chosen"], row["rejected"]), doc_id, 100)]

    gold = [(pair(doc_id), 0.05 if kind == "AGREE" else -0.05) for doc_id, kind in table[table["gold"]][["doc_id", "category"]].to_numpy()]
    answers, factors = [one for both, _ in gold for one in both], [side * half / 8 for _, half in gold for side in (1, -1)]
    direction = likelihood_gradient(model, answers, factors)
    scored = table[table["impact"].notna()]
    coefficients = ImpactParams().coefficients()
    sample = [likelihood_gradient(model, pair(d), coefficients[kind]) for d, kind in scored[["doc_id", "category"]].to_numpy()]
    sample = [*sample, direction] if curvature == "adam" else sample
    divided = {
        name: dense(curvature, value.flatten().double(), [one[name].flatten().double() for one in sample]).float().reshape(value.shape)
        for name, value in direction.items()
    }
    wanted = loop_scores(model, [pair(doc_id)[0] for doc_id in scored["doc_id"]], stacked([divided]))[:, 0]
    found = scored["s_chosen"].to_numpy(dtype=float)
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()
    assert torch.tensor(found).std() > 0


def test_the_base_itself_takes_a_fresh_adapter_of_a_given_shape(folder: Path) -> None:
    context = impact_context(folder, adapters=())
    table, facts = run(context, lora={"r": 4, "target_modules": "all-linear"})
    assert facts["seeds"] == []
    assert float(table["impact"].abs().max()) > 0
    with pytest.raises(TruingError, match="lora map"):
        run(context)
    with pytest.raises(TruingError, match="base itself"):
        run(context, adapter="own")
    with pytest.raises(TruingError, match="rank"):
        run(context, lora={"rank": 4})


@pytest.mark.parametrize("adapter", ["own", "fresh"])
def test_a_base_in_half_precision_gives_nearly_the_same_scores(folder: Path, adapter: str) -> None:
    exact, half = (run(impact_context(folder), adapter=adapter, precision=kind)[0]["s_chosen"].dropna() for kind in ("float32", "bfloat16"))
    assert exact.tolist() != half.tolist()
    assert np.corrcoef(exact.to_numpy(dtype=float), half.to_numpy(dtype=float))[0, 1] > 0.99


def test_supplied_gold_pairs_hold_nothing_out(folder: Path, tmp_path: Path) -> None:
    rows = pair_rows(40)
    path = tmp_path / "gold.jsonl"
    given = [*pair_rows(5, seed=9), {**rows[0], "chosen": "yes", "rejected": "no"}]
    path.write_text("".join(json.dumps({name: row[name] for name in ("prompt", "chosen", "rejected")}) + "\n" for row in given))
    table, facts = run(impact_context(folder), gold_file=str(path), gold_batches=3)
    assert not table["gold"].any()
    assert facts["gold"]["prompts_in_corpus"] == 1
    assert facts["gold"]["categories"] == {"supplied": 6}
    assert ImpactParams(gold_file="a.jsonl").reads() == ("a.jsonl",)
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": ""}\n')
    with pytest.raises(TruingError, match=r"gold\.jsonl:1"):
        run(impact_context(folder), gold_file=str(path), gold_batches=1)


def test_gold_does_not_depend_on_the_order_of_the_corpus(folder: Path) -> None:
    rows = pair_rows(40)
    held = run(impact_context(folder))[0].set_index("doc_id")["gold"]
    frames = pd.concat(category_frames(rows))
    turned = impact_context(folder, rows=lambda: iter(rows[::-1]), after=lambda: iter([frames.iloc[::-1]]), scratch=None)
    assert run(turned)[0].set_index("doc_id")["gold"].sort_index().tolist() == held.sort_index().tolist()
    other = impact_context(folder, root_seed=1, scratch=None)
    assert run(other)[0]["gold"].tolist() != held.tolist()


def test_pairs_with_the_prompt_of_a_gold_pair_are_held_out_with_it(folder: Path) -> None:
    held = run(impact_context(folder))[0].set_index("doc_id")["gold"]
    gold = held[held].index[0]
    rows = pair_rows(40)
    prompts = {row["doc_id"]: row["prompt"] for row in rows}
    other = next(doc_id for doc_id in held.index if not held[doc_id])
    twins = [{**row, "prompt": prompts[gold]} if row["doc_id"] == other else row for row in rows]
    table, facts = run(impact_context(folder, rows=lambda: iter(twins), scratch=None))
    assert set(table[table["gold"]]["doc_id"]) == {*held[held].index, other}
    assert (facts["gold"]["pairs"], facts["gold"]["held_out"]) == (8, 9)


def test_half_of_a_category_stays_for_training(folder: Path) -> None:
    _, facts = run(impact_context(folder), gold_pairs=100)
    assert facts["gold"]["categories"] == {"AGREE": 4, "INVERT": 4}
    with pytest.raises(TruingError, match="8 gold pairs"):
        run(impact_context(folder), gold_batches=9)


def test_what_it_cannot_read_is_refused(folder: Path) -> None:
    rows = pair_rows(40)
    with pytest.raises(TruingError, match="no signal before"):
        run(impact_context(folder, after=None))
    with pytest.raises(TruingError, match="category"):
        run(impact_context(folder, after=lambda: iter([pd.DataFrame({"doc_id": ["d000"]})])))
    with pytest.raises(TruingError, match="d039"):
        run(impact_context(folder, after=lambda: iter(category_frames(rows[:39]))))
    with pytest.raises(TruingError, match="no model"):
        run(impact_context(folder, base=None))
    with pytest.raises(TruingError, match="d003 is no pair"):
        run(impact_context(folder, rows=lambda: iter([{"doc_id": r["doc_id"], "text": ""} if r["doc_id"] == "d003" else r for r in rows])))
    with pytest.raises(TruingError, match="leave nothing of an answer"):
        run(impact_context(folder), max_length=3)
    with pytest.raises(TruingError, match="each once"):
        run(impact_context(folder), categories=["INVERT", "INVERT"])


def test_bootstrap_ends_are_the_quantiles_of_batches_drawn_again() -> None:
    rng = np.random.default_rng(0)
    impacts, sizes = rng.normal(size=(1500, 6)), np.array([3.0, 3, 3, 3, 2, 2])
    lo, hi = bootstrap_ends(impacts, sizes, 4000, np.random.default_rng(1))
    picks = np.random.default_rng(2).integers(0, 6, size=(4000, 6))
    drawn = (impacts[7][picks] * sizes[picks]).sum(axis=1) / sizes[picks].sum(axis=1)
    assert [lo[7], hi[7]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist(), abs=0.05)
    assert np.isnan(bootstrap_ends(impacts[:, :1], sizes[:1], 100, rng)[0]).all()
