"""Alignment impact by gates, beside what it replaces: the same answers, adapter and directions, on one thread.

    python benchmarks/impact.py            # about a minute and a half
    python benchmarks/impact.py --quick    # fewer answers

Timed are, taking turns, best of a few, in processor seconds (other processes do not count):

- gates: one batched forward and one backward of inputs, no parameter gradient;
- training: one epoch over the same answers in the same batches, forward, backward and an AdamW step;
- loop: every answer alone, unpadded, its whole gradient, the inner product;
- padded loop: the same with every answer padded to 256 tokens, as published; beside it, with the two forwards an answer that the
  published way makes for factors which are constant at the reference;
- forward mode: `torch.func.jvp`, batched, with eager attention.

The run fails unless all agree with the loop to 1e-5, gates cost at most 1.2 training epochs, beat the loop, beat the padded loop 2.4
times without its extra forwards, grow linearly with the answers, and take at most 1.3 times the peak memory of a training step (each in
a process of its own). Where there is a CUDA device, a random model in the shape of Llama-3.1-8B in bfloat16 is scored as well, and gates
have to be ten times as fast as the loop; without one, that part says that it did not run.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from truing.core.environment import pin
from truing.core.seeds import stream, torch_stream

BATCH = 16
PADDED = 256
AGREE, EPOCHS, PADDED_GAIN, MEMORY, GPU_GAIN = 1e-5, 1.2, 2.4, 1.3, 10.0
# Twice the answers may take this many times the time of once.
LINEAR = 2.3


@dataclass(frozen=True)
class Shape:
    """A Llama, and the rank of the adapter on all of its linear layers."""

    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    rank: int
    keys: int | None = None


SMALL = Shape(hidden=128, layers=4, heads=4, inner=384, vocabulary=726, rank=16)
WIDE = Shape(hidden=256, layers=8, heads=4, inner=768, vocabulary=726, rank=16)
LLAMA_8B = Shape(hidden=4096, layers=32, heads=32, inner=14336, vocabulary=128_256, rank=16, keys=8)


def build_model(shape: Shape, *, attention: str = "sdpa", device: str = "cpu", precision: str = "float32") -> Any:
    """Random weights with a random, non-zero adapter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.keys or shape.heads,
        max_position_embeddings=512,
        tie_word_embeddings=shape.hidden < 4096,
        attn_implementation=attention,
    )
    lora = LoraConfig(task_type="CAUSAL_LM", r=shape.rank, lora_alpha=shape.rank, target_modules="all-linear", init_lora_weights=False)
    default = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, precision))
    try:
        with torch.random.fork_rng(), torch.device(device):
            torch.manual_seed(0)
            model = get_peft_model(LlamaForCausalLM(config), lora).to(getattr(torch, precision))
    finally:
        torch.set_default_dtype(default)
    return model.eval()


def build_answers(count: int, vocabulary: int) -> list[Any]:
    """Conversations of 32 to 128 tokens, the second half of each the reply."""
    from truing.models.impact_answers import Answer

    rng = stream(0, "impact", "answers")
    rows = []
    for _ in range(count):
        length = int(rng.integers(32, 129))
        said = length // 2
        rows.append(Answer(tuple(rng.integers(0, vocabulary, length).tolist()), (0,) * (length - said) + (1,) * said))
    return rows


def build_directions(model: Any) -> dict[str, Any]:
    """One random direction."""
    import torch

    from truing.models.gates import lora_parameters

    generator = torch_stream(0, "impact", "direction")
    return {
        name: torch.randn(1, *value.shape, generator=generator).to(value.device, value.dtype)
        for name, value in lora_parameters(model).items()
    }


def train_epoch(model: Any, answers: Sequence[Any]) -> None:
    """One pass of training over the answers; the adapter is put back."""
    import torch

    from truing.models.impact_answers import by_length, log_likelihoods
    from truing.models.impact_gradients import trainable

    with trainable(model) as parameters:
        before = {name: value.detach().clone() for name, value in parameters.items()}
        optimizer = torch.optim.AdamW(list(parameters.values()), lr=1e-5)
        for batch in by_length(answers, BATCH):
            (-log_likelihoods(model, [answers[index] for index in batch]).sum()).backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(before[name])


def extra_forwards(model: Any, answers: Sequence[Any]) -> None:
    """Two forwards an answer, alone and padded: the policy's and the reference's log-probability."""
    import torch

    from truing.models.impact_answers import log_likelihoods

    with torch.no_grad():
        for answer in answers:
            for _ in range(2):
                log_likelihoods(model, [answer], PADDED)


def best_times(calls: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Processor seconds of the fastest run of each call, taking turns, and what each returned."""
    best, found = dict.fromkeys(calls, float("inf")), {}
    for _ in range(repeats):
        for name, call in calls.items():
            gc.collect()
            begin = time.process_time()
            found[name] = call()
            best[name] = min(best[name], time.process_time() - begin)
    return best, found


def compare(count: int, repeats: int) -> bool:
    """Agreement and cost of every way on one model."""
    from truing.models.gates import gate_scores
    from truing.models.impact_gradients import jvp_scores, loop_scores

    model, eager = build_model(SMALL), build_model(SMALL, attention="eager")
    answers, directions = build_answers(count, SMALL.vocabulary), build_directions(model)
    twice = [*answers, *answers]
    calls: dict[str, Callable[[], Any]] = {
        "gates": lambda: gate_scores(model, answers, directions, batch_size=BATCH),
        "gates, twice the answers": lambda: gate_scores(model, twice, directions, batch_size=BATCH),
        "training, one epoch": lambda: train_epoch(model, answers),
        "loop": lambda: loop_scores(model, answers, directions),
        f"loop padded to {PADDED}": lambda: loop_scores(model, answers, directions, PADDED),
        "its extra forwards": lambda: extra_forwards(model, answers),
        "forward mode (jvp)": lambda: jvp_scores(eager, answers, directions, batch_size=BATCH),
    }
    for name in ("gates", "training, one epoch"):
        calls[name]()  # what is made on first use is not timed
    seconds, found = best_times(calls, repeats)
    print(f"{count} answers of 32 to 128 tokens, {SMALL.layers} layers of {SMALL.hidden}, rank {SMALL.rank} on all linear layers, float32")
    for name, value in seconds.items():
        print(f"  {name:28s}{value:9.3f} s   {value / seconds['gates']:5.2f} x gates")
    return _held(seconds, found, count)


def _held(seconds: dict[str, float], found: dict[str, Any], count: int) -> bool:
    gates, padded = seconds["gates"], f"loop padded to {PADDED}"
    scale = np.abs(found["loop"]).max()
    apart = max(float(np.abs(found[name][:count] - found["loop"]).max() / scale) for name in ("gates", padded, "forward mode (jvp)"))
    whole = seconds[padded] + seconds["its extra forwards"]
    checks = {
        f"all agree with the loop: {apart:.1e} of the largest <= {AGREE:g}": apart <= AGREE,
        f"gates take {gates / seconds['training, one epoch']:.2f} training epochs <= {EPOCHS}": (
            gates <= EPOCHS * seconds["training, one epoch"]
        ),
        f"the loop takes {seconds['loop'] / gates:.2f} times as long > 1": seconds["loop"] > gates,
        f"the padded loop {seconds[padded] / gates:.2f} times >= {PADDED_GAIN}, with its extra forwards {whole / gates:.2f}": (
            seconds[padded] >= PADDED_GAIN * gates
        ),
        f"twice the answers take {seconds['gates, twice the answers'] / gates:.2f} times as long <= {LINEAR}": (
            seconds["gates, twice the answers"] <= LINEAR * gates
        ),
    }
    return report(checks)


def report(checks: dict[str, bool]) -> bool:
    """Print each check with its outcome; whether all hold."""
    for text, good in checks.items():
        print(f"  {'holds' if good else 'FAILS'}: {text}")
    return all(checks.values())


def peak(side: str) -> int:
    """Bytes that one side needs beyond what a fresh process holds before it, at its largest; Linux only.

    The kernel's record of the largest size is set back first: loading libraries takes more for a moment than it keeps, and a peak
    below that one would not show.
    """
    from truing.models.gates import gate_scores
    from truing.models.impact_answers import Answer

    model = build_model(WIDE)
    directions = build_directions(model)
    short = build_answers(2, WIDE.vocabulary)
    rows = [Answer(tuple(range(128)), (0,) * 64 + (1,) * 64)] * BATCH
    work: Callable[[Sequence[Any]], Any] = (
        (lambda answers: gate_scores(model, answers, directions, batch_size=BATCH))
        if side == "gates"
        else (lambda answers: train_epoch(model, answers))
    )
    work(short)  # libraries take their own share on first use
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    work(rows)
    return resident("VmHWM") - before


def resident(name: str) -> int:
    """A size of this process in bytes, as /proc/self/status names it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def memory() -> bool:
    """Peak memory of gates against a training step, each in a fresh process."""
    found = {}
    for side in ("gates", "training"):
        done = subprocess.run([sys.executable, __file__, "--peak", side], check=True, capture_output=True, text=True, env=dict(os.environ))
        found[side] = int(json.loads(done.stdout.strip().splitlines()[-1]))
    print(f"peak memory of one batch of {BATCH} x 128 tokens, {WIDE.layers} layers of {WIDE.hidden}, beyond the model itself")
    print("".join(f"  {side:28s}{value / 2**20:9.1f} MiB\n" for side, value in found.items()), end="")
    return report(
        {
            f"gates take {found['gates'] / found['training']:.2f} of a training step <= {MEMORY}": found["gates"]
            <= MEMORY * found["training"]
        }
    )


def on_gpu(count: int) -> bool:
    """Gates against the loop at the shape of an 8B model in bfloat16; runs only where there is a CUDA device."""
    import torch

    if not torch.cuda.is_available():
        print("8B shape in bfloat16: not run, there is no CUDA device here")
        return True
    from truing.models.gates import gate_scores
    from truing.models.impact_gradients import loop_scores

    model = build_model(LLAMA_8B, device="cuda", precision="bfloat16")
    answers, directions = build_answers(count, LLAMA_8B.vocabulary), build_directions(model)

    def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
        call()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        found = call()
        torch.cuda.synchronize()
        return time.perf_counter() - begin, found

    gates, ours = seconds(lambda: gate_scores(model, answers, directions, batch_size=64))
    loop, theirs = seconds(lambda: loop_scores(model, answers, directions))
    together = float(np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1])
    print(f"{count} answers, 8B shape in bfloat16 on {torch.cuda.get_device_name()}: gates {gates:.2f} s, loop {loop:.2f} s")
    return report(
        {
            f"the loop takes {loop / gates:.1f} times as long >= {GPU_GAIN:g}": loop >= GPU_GAIN * gates,
            f"correlation with the loop {together:.5f} > 0.999": together > 0.999,
        }
    )


def main() -> int:
    """Parse the command line and run every measurement; 1 if a check fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer answers")
    parser.add_argument("--peak", choices=("gates", "training"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print(json.dumps(peak(given.peak)))
        return 0
    # A list, so that a failed check does not keep the next measurement from being printed.
    held = [compare(32 if given.quick else 96, 2), memory(), on_gpu(256)]
    return 0 if all(held) else 1


if __name__ == "__main__":
    pin(1)
    sys.exit(main())
