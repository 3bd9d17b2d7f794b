"""Label scoring beside lm-evaluation-harness: the same prompts, models, batch size and thread; how far apart, and how long.

Timed is inference only, from token ids to label log-probabilities: `HFLM._loglikelihood_tokens` there, `score_prompts` here, after
one warm-up each, taking turns, best of a few. Rendering, tokenising, task indexing and loading are outside the clock for both. Prompts
are distinct, so that nothing is gained here by scoring equal ones once. `simple_evaluate` runs the whole harness once on a local
`multiple_choice` task; its log-probabilities are those compared.

Usage: python benchmarks/null_scoring.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from truing.core.environment import pin
from truing.core.seeds import stream

BATCH = 16
ANSWERS = ("A", "B", "C", "D")
TASK_YAML = """\
task: label_scoring
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: {choices}
doc_to_target: 0
target_delimiter: ""
metric_list:
  - metric: acc
"""


@dataclass(frozen=True)
class Case:
    """A model shape, and how much is asked of it."""

    name: str
    vocabulary: int
    prompts: int
    repeats: int
    aim: float
    gemma: bool = False


CASES = (
    Case("tiny body, vocabulary 2k", 2_000, 512, 3, 1.5),
    Case("tiny body, vocabulary 262k", 262_144, 32, 2, 30.0),
    Case("Gemma-3-270M shape, random weights", 262_144, 16, 1, 1.0, gemma=True),
)
QUICK = (
    Case("tiny body, vocabulary 2k", 2_000, 128, 2, 1.5),
    Case("tiny body, vocabulary 262k", 262_144, 16, 1, 30.0),
    Case("Gemma-3-270M shape, random weights", 262_144, 4, 1, 1.0, gemma=True),
)


def build_model(case: Case) -> Any:
    """Random weights in the case's shape, float32, on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig

    if case.gemma:
        config: Any = Gemma3TextConfig(
            vocab_size=case.vocabulary,
            hidden_size=640,
            num_hidden_layers=18,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=256,
            intermediate_size=2048,
            sliding_window=512,
            max_position_embeddings=1024,
        )
    else:
        config = LlamaConfig(
            vocab_size=case.vocabulary,
            hidden_size=128,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=384,
            max_position_embeddings=512,
            tie_word_embeddings=True,
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float().eval()


def build_encoder(case: Case) -> Any:
    """A word-level tokenizer that fills the vocabulary, and the encoder of a four-way task."""
    from truing.contracts.task import Label, Task
    from truing.models.encoding import Encoder
    from truing.models.tokenizers import word_level

    reserved = 7 + len(ANSWERS) + 2
    tokenizer = word_level([*ANSWERS, "topic", "?", *(f"w{number}" for number in range(case.vocabulary - reserved))])
    labels = tuple(Label(name=f"class {answer}", answer=answer) for answer in ANSWERS)
    return Encoder(tokenizer, Task(name="topic", template="topic ? {text}", labels=labels), 512)


def build_texts(case: Case) -> list[str]:
    """Distinct texts of 58 to 72 random words: prompts of about 70 tokens."""
    rng = stream(0, "null_scoring", case.name)
    return [" ".join(f"w{word}" for word in rng.integers(1_900, size=rng.integers(58, 73))) for _ in range(case.prompts)]


def harness(model: Any, encoder: Any, texts: list[str], folder: Path) -> tuple[np.ndarray, Callable[[], Any]]:
    """Run the harness once; return its log-probabilities [n, K] and a call that repeats its inference."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    asked: list[Any] = []

    class Recording(HFLM):
        def _loglikelihood_tokens(self, requests: Any, *args: Any, **more: Any) -> Any:
            asked[:] = requests
            return super()._loglikelihood_tokens(requests, *args, **more)

    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": encoder.prompt(text)}) + "\n" for text in texts))
    (folder / "task.yaml").write_text(TASK_YAML.format(rows=rows, choices=json.dumps(list(ANSWERS))))
    lm = Recording(pretrained=model, tokenizer=encoder.tokenizer, batch_size=BATCH, device="cpu")
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    results = simple_evaluate(model=lm, tasks=["label_scoring"], task_manager=manager, log_samples=True, bootstrap_iters=0)
    samples = sorted(results["samples"]["label_scoring"], key=lambda sample: sample["doc_id"])
    logs = np.array([[float(pair[0]) for pair in sample["filtered_resps"]] for sample in samples])
    return logs, lambda: HFLM._loglikelihood_tokens(lm, list(asked), disable_tqdm=True)


def best_times(calls: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Seconds of the fastest of `repeats` runs of each call, taking turns."""
    best = [float("inf")] * len(calls)
    for _ in range(repeats):
        for number, call in enumerate(calls):
            begin = time.perf_counter()
            call()
            best[number] = min(best[number], time.perf_counter() - begin)
    return best


def run_case(case: Case, folder: Path) -> bool:
    """Compare and time one case; False when the two disagree or this side is slower."""
    from truing.models.labels import label_sequences
    from truing.models.scoring import score_prompts

    folder.mkdir()
    model, encoder, texts = build_model(case), build_encoder(case), build_texts(case)
    theirs, repeat = harness(model, encoder, texts, folder)
    prompts, sequences = [encoder.prompt_ids(text) for text in texts], label_sequences(encoder)
    ours = score_prompts(model, prompts, sequences, batch_size=BATCH)
    gap = float(np.abs(ours.logprobs - theirs).max())
    calls = [repeat, lambda: score_prompts(model, prompts, sequences, batch_size=BATCH), lambda: body_only(model, prompts)]
    slow, fast, body = best_times(calls, case.repeats)
    print(f"{case.name}: {case.prompts} prompts of {min(map(len, prompts))}-{max(map(len, prompts))} tokens, batch {BATCH}")
    print(f"  largest difference of a label log-probability: {gap:.2e} nats (at most 1e-4)")
    print(f"  lm-eval {slow:.2f} s, truing {fast:.2f} s: ratio {slow / fast:.1f} (aim {case.aim:g})")
    print(f"  of which the body, which any scorer runs: {body:.2f} s; it bounds the ratio near {slow / body:.1f}", flush=True)
    return gap <= 1e-4 and slow > fast


def body_only(model: Any, prompts: list[list[int]]) -> None:
    """Hidden states of every prompt in the same batches: the part that any way of scoring pays for."""
    import torch

    from truing.models.scoring import left_padded

    ordered = sorted(prompts, key=len)
    with torch.inference_mode():
        for start in range(0, len(ordered), BATCH):
            model.base_model(**left_padded(ordered[start : start + BATCH]), use_cache=False)


def main() -> int:
    """Run every case, each in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer prompts, same shapes")
    cases = QUICK if parser.parse_args().quick else CASES
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_CACHE=f"{folder}/cache")
        good = [run_case(case, Path(folder) / str(number)) for number, case in enumerate(cases)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    pin(1)
    sys.exit(main())
