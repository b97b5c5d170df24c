"""Scalars of a step: micro-batches of any sizes add up to the mean over the whole batch."""

import pytest
import torch

from lightning_modules.step.values import StepValues, mean_score


def test_micro_batches_add_up_to_the_mean_over_the_batch() -> None:
    losses = torch.tensor([1.0, 2.0, 6.0, 3.0, 8.0], requires_grad=True)
    values = StepValues(5)
    for part in (losses[:3], losses[3:]):
        values.add(len(part), loss=part.mean(), largest=part.max())
    assert set(values) == {"train/loss", "train/largest"}
    assert float(values["train/loss"]) == pytest.approx(4.0)
    assert float(values["train/largest"]) == pytest.approx(6 * 3 / 5 + 8 * 2 / 5)
    assert not values["train/loss"].requires_grad


def test_score_is_a_mean_over_scales_whatever_their_sizes() -> None:
    logits = [torch.full((2, 1), 3.0), torch.full((2, 1, 4, 4), -1.0)]
    assert float(mean_score(logits)) == 1.0
