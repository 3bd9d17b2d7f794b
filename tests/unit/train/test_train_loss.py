from __future__ import annotations

import math

import torch

from truing.train.trainer import collator, only_positions, weighted_nll


def test_loss_is_the_weighted_sum_over_the_tokens_of_the_step() -> None:
    log_probs = torch.log(torch.tensor([0.5, 0.25, 0.125]))
    loss = weighted_nll(log_probs, torch.tensor([2.0, 2.0, 0.5]), 4)
    assert math.isclose(loss.item(), (2 * 1 + 2 * 2 + 0.5 * 3) * math.log(2) / 4, rel_tol=1e-6)


def test_gradient_of_a_token_is_its_weight_over_the_tokens_of_the_step() -> None:
    log_probs = torch.tensor([-1.0, -2.0], requires_grad=True)
    weighted_nll(log_probs, torch.tensor([0.5, 3.0]), torch.tensor(10)).backward()
    assert log_probs.grad is not None
    assert torch.allclose(log_probs.grad, torch.tensor([-0.05, -0.3]))


def test_weights_are_not_renormalised_within_a_batch() -> None:
    log_probs = torch.tensor([-1.0, -1.0])
    light, heavy = (weighted_nll(log_probs, torch.full((2,), weight), 2).item() for weight in (0.1, 1.9))
    assert math.isclose(heavy / light, 19, rel_tol=1e-5)


def test_no_token_is_a_finite_zero() -> None:
    assert weighted_nll(torch.zeros(0), torch.zeros(0), 0).item() == 0


def test_collator_pads_on_the_right_and_carries_weights() -> None:
    rows = [
        {"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "weight": 0.5},
        {"input_ids": [8], "labels": [8], "weight": 1.5},
    ]
    batch = collator(3)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 3, 3]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["weight"].tolist() == [0.5, 1.5]


def test_only_the_chosen_positions_leave_the_backbone_and_only_while_open() -> None:
    from transformers.modeling_outputs import BaseModelOutputWithPast

    def output() -> BaseModelOutputWithPast:
        return BaseModelOutputWithPast(last_hidden_state=torch.arange(12.0).reshape(2, 3, 2))

    chosen = torch.tensor([[False, True, False], [True, False, True]])
    backbone = torch.nn.Identity()
    with only_positions(backbone, chosen):
        assert backbone(output()).last_hidden_state.tolist() == [[[2, 3], [6, 7], [10, 11]]]
    assert backbone(output()).last_hidden_state.shape == (2, 3, 2)
