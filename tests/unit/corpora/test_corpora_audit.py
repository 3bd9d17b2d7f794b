"""The label audit agrees with true maps, flags permuted ones, and says when it can't tell."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from truing.contracts.task import Label, Task
from truing.core.errors import Exit, TruingError
from truing.corpora.audit import best_assignment, check_audit, count_mentions, label_audit, lifts, runner_up

NAMES = ["north", "south", "east", "west"]
TASK = Task(name="t", template="{text}", labels=tuple(Label(name=name, answer=name[0].upper()) for name in NAMES))


def documents(count: int, own: float, other: float, seed: int, names: list[str] = NAMES) -> tuple[list[str], list[str]]:
    """Texts that mention their own label with probability `own` and each other one with probability `other`."""
    rng = np.random.default_rng(seed)
    gold = [names[i] for i in rng.integers(0, len(names), size=count)]
    texts = [" ".join(["filler", *(name for name in names if rng.random() < (own if name == label else other))]) for label in gold]
    return texts, gold


def test_mentions_are_whole_words_in_any_case() -> None:
    found = count_mentions(
        ["The NORTH wind", "northern lights", "south-west"], ["north", "north", "south"], {name: (name,) for name in NAMES}
    )
    assert found.documents == 2
    assert (found.counts @ found.mentions).tolist() == [1, 1, 0, 1]


def test_lift_is_the_shrunken_log_ratio_to_independence() -> None:
    texts, gold = ["north"] * 30 + ["x"] * 10 + ["south"] * 40, ["north"] * 40 + ["south"] * 40
    found = count_mentions(texts, gold, {"north": ("north",), "south": ("south",)})
    expected = np.log(np.array([[31 / 16, 1 / 21], [1 / 16, 41 / 21]]))
    np.testing.assert_allclose(lifts(found, found.counts), expected)


def test_lift_without_mentions_does_not_depend_on_class_sizes() -> None:
    found = count_mentions(["x"] * 1000, ["north"] * 990 + ["south"] * 10, {"north": ("north",), "south": ("south",)})
    np.testing.assert_array_equal(lifts(found, found.counts), np.zeros((2, 2)))


def test_hungarian_and_runner_up_agree_with_enumeration() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        score = rng.normal(size=(4, 4))
        total = {order: sum(score[i, order[i]] for i in range(4)) for order in permutations(range(4))}
        assert tuple(best_assignment(score)) == max(total, key=lambda order: total[order])
        others = {order: value for order, value in total.items() if order != (0, 1, 2, 3)}
        assert tuple(runner_up(score)) == max(others, key=lambda order: others[order])


def test_the_true_map_agrees() -> None:
    audit = label_audit(*documents(1500, 0.4, 0.05, 1), TASK, {}, 7, "k")
    assert audit["status"] == "agrees"
    assert audit["best"] == {name: name for name in NAMES}
    assert audit["gain"] == 0
    check_audit(audit, "corpora.k")


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 3, 2, 1), (1, 2, 3, 0)])
def test_every_permuted_map_is_flagged_and_named(order: tuple[int, ...]) -> None:
    texts, gold = documents(1500, 0.4, 0.05, 1)
    moved = {name: NAMES[place] for name, place in zip(NAMES, order, strict=True)}
    audit = label_audit(texts, [moved[label] for label in gold], TASK, {}, 7, "k")
    assert audit["status"] == "flagged"
    assert audit["gain"] > 1
    assert {own: other for own, other in audit["best"].items() if own != other} == {
        moved[name]: name for name in NAMES if moved[name] != name
    }
    with pytest.raises(TruingError, match="fits the text better") as caught:
        check_audit(audit, "corpora.k")
    assert caught.value.code == Exit.REFUSED


def test_too_few_mentions_are_undecided() -> None:
    audit = label_audit(*documents(1500, 0.0, 0.0, 1), TASK, {}, 7, "k")
    assert audit == {"status": "undecided", "best": {}, "gain": None, "n": 0}


def test_texts_that_say_nothing_of_their_class_are_seldom_flagged() -> None:
    found = [label_audit(*documents(400, 0.2, 0.2, seed), TASK, {}, 7, f"k{seed}")["status"] for seed in range(40)]
    assert found.count("flagged") <= 1
    assert "undecided" in found


def test_a_default_class_that_is_named_everywhere_does_not_flag() -> None:
    texts, gold = documents(1500, 0.3, 0.05, 5)
    audit = label_audit([f"north {text}" if i % 2 else text for i, text in enumerate(texts)], gold, TASK, {}, 7, "k")
    assert audit["status"] == "agrees"


def test_audit_words_must_name_the_tasks_labels() -> None:
    with pytest.raises(TruingError, match="audit_words: up"):
        label_audit(["x"], ["north"], TASK, {"up": ("above",)}, 7, "k")


def test_the_audit_repeats() -> None:
    texts, gold = documents(300, 0.2, 0.1, 9)
    assert label_audit(texts, gold, TASK, {}, 7, "k") == label_audit(texts, gold, TASK, {}, 7, "k")
