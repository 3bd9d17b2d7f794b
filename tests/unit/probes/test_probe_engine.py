"""The engine: one base for all seeds, a cache that is checked, and replies that do not depend on the batch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.tiny import tiny_base

from truing.contracts.frames import check_frame
from truing.contracts.schemas import check_rows
from truing.contracts.task import Label, Task
from truing.core.errors import TruingError
from truing.core.files import Row
from truing.core.registry import Params, Plugin
from truing.core.tables import write_parquet
from truing.models.encoding import Encoder
from truing.models.loading import load_model, load_tokenizer
from truing.models.scoring import score_labels
from truing.probes import Probe, engine
from truing.probes.cache import AnswerCache
from truing.probes.engine import answer, label_tokens
from truing.probes.generation import Sampling, draw

TASK = Task(name="t", template="topic {text} ?", labels=(Label(name="x", answer="A"), Label(name="y", answer="B")))
TEXTS = ["the game", "", "alpha beta gamma", "zzz the"]


class Speed(Params):
    sampling: Sampling = Sampling(temperature=1.0, top_p=0.9, max_new_tokens=6, samples=2)
    batch_size: int = 4


def _plugin(kind: Any) -> Plugin[Probe]:
    return Plugin("asked", Probe(items=lambda cfg, context: [], score=lambda *_: [], engine=kind), Speed)


def _items() -> list[Row]:
    return [{"item_id": f"i{k}", "arm": "a", "text": text, "prompt": "", "reference": None, "metadata": {}} for k, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("engine") / "base")


@pytest.fixture(scope="module")
def adapters(base: Path) -> list[Path]:
    import torch
    from peft import LoraConfig, get_peft_model

    found = []
    for seed, rank in ((1, 2), (2, 2), (3, 4)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
            get_peft_model(load_model(base), config).save_pretrained(base.parent / str(seed), save_embedding_layers=False)
        found.append(base.parent / str(seed))
    return found


def _ask(base: Path, adapters: Any, kind: str = "choices", **more: Any) -> tuple[list[Row], pd.DataFrame]:
    return answer(_plugin(kind), Speed(), _items(), TASK, base, adapters, max_length=64, **more)


def _logs(frame: pd.DataFrame, seed: int | None) -> np.ndarray:
    mine = frame[frame["seed"].isna()] if seed is None else frame[frame["seed"] == seed]
    return np.array(mine["label_logprobs"].tolist())


def _counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """Replace a function of the engine by itself, and return the growing list of its calls."""
    calls: list[Any] = []
    real = getattr(engine, name)

    def counting(*args: Any, **more: Any) -> Any:
        calls.append(args)
        return real(*args, **more)

    monkeypatch.setattr(engine, name, counting)
    return calls


def test_every_seed_has_the_answers_of_its_own_adapter(base: Path, adapters: list[Path], tmp_path: Path) -> None:
    chained = tmp_path / "chained"
    shutil.copytree(adapters[1], chained)
    shutil.copytree(adapters[0], chained / "ancestors" / "0")
    pairs = [(1, adapters[0]), (None, None), (3, adapters[2]), (2, adapters[1]), (4, chained)]
    items, answers = _ask(base, pairs)
    list(check_rows("item", items, "items"))
    check_frame("answer", answers, "answers")
    encoder = Encoder(load_tokenizer(base), TASK, 64)
    assert [item["prompt"] for item in items] == [encoder.prompt(text) for text in TEXTS]
    for seed, adapter in pairs:
        expected = score_labels(load_model(base, adapter=adapter), encoder, TEXTS).logprobs
        assert np.abs(_logs(answers, seed) - expected).max() < 1e-5
    assert np.abs(_logs(answers, 1) - _logs(answers, 2)).max() > 1e-3
    assert answers["label_mass"].to_numpy() == pytest.approx(np.exp(np.array(answers["label_logprobs"].tolist())).sum(axis=1))


def test_unknown_tokens_are_counted(base: Path) -> None:
    items, _ = _ask(base, [(None, None)])
    counts = [(item["metadata"]["text_tokens"], item["metadata"]["unknown_tokens"]) for item in items]
    assert counts == [(2, 0), (0, 0), (3, 0), (2, 1)]


def test_the_base_is_loaded_once_for_adapters_of_one_configuration(
    base: Path, adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = _counted(monkeypatch, "load_model")
    _ask(base, [(None, None), (1, adapters[0]), (2, adapters[1])])
    assert len(loads) == 1


def test_a_new_seed_costs_its_own_answers_only(base: Path, adapters: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, asked = AnswerCache(tmp_path / "cache"), _counted(monkeypatch, "_ask")
    _, first = _ask(base, [(1, adapters[0])], cache=cache)
    monkeypatch.setattr(engine, "load_model", lambda *args, **more: pytest.fail("known answers need no model"))
    _, again = _ask(base, [(1, adapters[0])], cache=cache)
    monkeypatch.setattr(engine, "load_model", load_model)
    _, both = _ask(base, [(1, adapters[0]), (2, adapters[1])], cache=cache)
    assert len(asked) == 2
    for number, frame in enumerate((first, again)):
        write_parquet(tmp_path / f"{number}.parquet", frame)
    assert (tmp_path / "0.parquet").read_bytes() == (tmp_path / "1.parquet").read_bytes()
    assert np.array_equal(_logs(both, 1), _logs(first, 1))


def test_a_damaged_entry_is_asked_again(base: Path, adapters: list[Path], tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "cache")
    _, first = _ask(base, [(1, adapters[0])], cache=cache)
    (entry,) = (tmp_path / "cache").glob("*.parquet")
    good = entry.read_bytes()
    for damage in (good[:-9], good[:50] + bytes([good[50] ^ 1]) + good[51:], b""):
        entry.write_bytes(damage)
        _, again = _ask(base, [(1, adapters[0])], cache=cache)
        assert np.array_equal(_logs(again, 1), _logs(first, 1))
        assert entry.read_bytes() == good


def test_what_decides_an_answer_is_in_its_identity_and_speed_is_not(base: Path, adapters: list[Path], tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "cache")

    def entries(task: Task = TASK, items: list[Row] | None = None, cfg: Speed | None = None, adapter: int = 0) -> int:
        answer(_plugin("choices"), cfg or Speed(), items or _items(), task, base, [(1, adapters[adapter])], cache, 64)
        return len(list((tmp_path / "cache").glob("*.parquet")))

    assert entries() == 1
    assert entries(cfg=Speed(batch_size=1)) == 1
    assert entries(task=TASK.model_copy(update={"template": "text {text} ?"})) == 2
    assert entries(items=_items()[:2]) == 3
    assert entries(task=Task(name="t", template=TASK.template, labels=(Label(name="x", answer="A"), Label(name="y", answer="C")))) == 4
    assert entries(adapter=1) == 5
    assert entries(cfg=Speed(sampling=Sampling(temperature=0.5))) == 6


def test_label_tokens_are_plain_json(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    assert label_tokens(base, TASK) == {"x": [[tokenizer.convert_tokens_to_ids("A")]], "y": [[tokenizer.convert_tokens_to_ids("B")]]}


def test_replies_do_not_depend_on_the_batch_and_differ_by_sample(base: Path, adapters: list[Path]) -> None:
    pairs = [(None, None), (1, adapters[0])]
    _, together = _ask(base, pairs, "generation", root_seed=5)
    _, alone = _ask(base, pairs, "generation", root_seed=5, batch_size=1)
    _, other = _ask(base, pairs, "generation", root_seed=6)
    check_frame("answer", together, "answers")
    assert together["completion"].tolist() == alone["completion"].tolist()
    assert together["completion"].tolist() != other["completion"].tolist()
    assert len(together) == 2 * len(TEXTS) * 2
    samples = together[together["seed"].isna()].groupby("item_id")["completion"].nunique()
    assert samples.max() == 2


def test_greedy_replies_are_those_of_the_library_and_say_how_they_ended(base: Path) -> None:
    import torch

    cfg = Speed(sampling=Sampling(temperature=0, max_new_tokens=5))
    items, answers = answer(_plugin("generation"), cfg, _items(), None, base, [(None, None)], max_length=64)
    model, tokenizer = load_model(base), load_tokenizer(base)
    for item, (_, row) in zip(items, answers.iterrows(), strict=True):
        ids = tokenizer(item["prompt"], add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            output = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=5)[0, ids.shape[1] :].tolist()
        ended = tokenizer.eos_token_id in output
        assert row["finish_reason"] == ("stop" if ended else "length")
        assert row["completion"] == tokenizer.decode(
            output[: output.index(tokenizer.eos_token_id)] if ended else output, skip_special_tokens=True
        )


def test_draws_follow_the_tempered_truncated_distribution() -> None:
    import torch

    p = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    numbers = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    rows = p.log().expand(1000, -1)
    counts = torch.bincount(draw(rows, numbers, Sampling()), minlength=4)
    assert counts.tolist() == [500, 300, 150, 50]
    kept = torch.bincount(draw(rows, numbers, Sampling(top_p=0.7)), minlength=4)
    assert kept.tolist() == [625, 375, 0, 0]
    sharp = torch.bincount(draw(rows, numbers, Sampling(temperature=0.5)), minlength=4).double() / 1000
    assert torch.allclose(sharp, p**2 / (p**2).sum(), atol=2e-3)
    assert draw(rows[:1], torch.tensor([1 - 1e-17], dtype=torch.float64), Sampling(top_p=0.7)).item() == 1


@pytest.mark.parametrize(
    ("items", "task", "adapters", "message"),
    [
        ([], TASK, [(None, None)], "0 items"),
        (_items() + _items()[:1], TASK, [(None, None)], "4 of them distinct"),
        (_items(), TASK, [(1, None), (1, None)], r"seeds \[1, 1\]"),
        (_items(), None, [(None, None)], "no task"),
    ],
    ids=["none", "twice", "seeds", "task"],
)
def test_what_cannot_be_asked_is_refused(base: Path, items: list[Row], task: Task | None, adapters: Any, message: str) -> None:
    with pytest.raises(TruingError, match=message):
        answer(_plugin("choices"), Speed(), items, task, base, adapters)


def test_a_long_question_for_a_reply_is_refused(base: Path) -> None:
    with pytest.raises(TruingError, match="i2"):
        answer(_plugin("generation"), Speed(), _items(), None, base, [(None, None)], max_length=5)
