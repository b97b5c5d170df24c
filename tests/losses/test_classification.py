import math

import pytest
import torch
import torch.nn.functional as F

from losses.classification import balanced_weights, classification_losses, finding_losses

WEIGHTS = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)


def example() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 3, (12,), generator=generator)


def test_known_values() -> None:
    logits, labels = example()
    losses = classification_losses(torch.zeros_like(logits), labels)
    assert losses.tolist() == pytest.approx([math.log(3)] * 12)
    sure = torch.tensor([[0.0, math.log(3.0)]])
    assert classification_losses(sure, torch.tensor([1])).item() == pytest.approx(math.log(4 / 3))
    assert classification_losses(sure, torch.tensor([0])).item() == pytest.approx(math.log(4))
    halves = classification_losses(sure, torch.tensor([[0.5, 0.5]]))
    assert halves.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_equals_torch_per_image(weights: torch.Tensor | None, smoothing: float) -> None:
    logits, labels = example()
    expected = F.cross_entropy(
        logits, labels, weight=weights, label_smoothing=smoothing, reduction="none"
    )
    ours = classification_losses(logits, labels, weights, smoothing)
    assert torch.allclose(ours, expected, atol=1e-14)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_hot_target_equals_its_label(weights: torch.Tensor | None, smoothing: float) -> None:
    logits, labels = example()
    hard = classification_losses(logits, labels, weights, smoothing)
    soft = classification_losses(logits, F.one_hot(labels, 3).double(), weights, smoothing)
    assert torch.equal(hard, soft)


def test_soft_target_equals_mixture_of_labels() -> None:
    """Mixup's loss is linear in the target: the same as mixing two losses."""
    logits, labels = example()
    other = labels.roll(1)
    mixed = 0.3 * F.one_hot(labels, 3).double() + 0.7 * F.one_hot(other, 3).double()
    expected = 0.3 * classification_losses(logits, labels, WEIGHTS)
    expected += 0.7 * classification_losses(logits, other, WEIGHTS)
    assert torch.allclose(classification_losses(logits, mixed, WEIGHTS), expected, atol=1e-14)


def test_balanced_weights_count_classes_alike_and_keep_the_mean() -> None:
    weights = balanced_weights(torch.tensor([30, 60, 10]))
    assert weights.tolist() == pytest.approx([100 / 90, 100 / 180, 100 / 30])
    counts = torch.tensor([30, 60, 10])
    assert (weights * counts).sum().item() == pytest.approx(100)
    assert len({round(x, 9) for x in (weights * counts).tolist()}) == 1
    with pytest.raises(ValueError, match=r"counts are \[3, 0\]"):
        balanced_weights(torch.tensor([3, 0]))


def test_half_precision_is_summed_in_float32() -> None:
    logits, labels = example()
    assert classification_losses(logits.bfloat16(), labels).dtype == torch.float32


def test_shapes_and_ranges_are_checked() -> None:
    logits, labels = example()
    with pytest.raises(ValueError, match=r"logits are \(12, 3\) and target \(11,\)"):
        classification_losses(logits, labels[1:])
    with pytest.raises(ValueError, match=r"expected one per class: \(3,\)"):
        classification_losses(logits, labels, WEIGHTS[:2])
    with pytest.raises(ValueError, match=r"label_smoothing is 1\.0"):
        classification_losses(logits, labels, label_smoothing=1.0)


def test_findings_cost_their_binary_cross_entropy_where_they_are_known() -> None:
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randint(2, (5, 3)).double()
    whole = finding_losses(logits, target)
    expected = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=1)
    torch.testing.assert_close(whole, expected)
    target[0, 1], target[3] = torch.nan, torch.nan
    losses = finding_losses(logits, target)
    assert losses[3].item() == 0
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert float(gradient[0, 1]) == 0
    assert (gradient[3] == 0).all()
    known = F.binary_cross_entropy_with_logits(logits[0, ::2], target[0, ::2], reduction="sum")
    assert losses[0].item() == pytest.approx(known.item() / 3)


def test_findings_are_weighted_and_smoothed_by_themselves() -> None:
    logits, target = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    weights = torch.tensor([[3.0, 5.0], [7.0, 11.0]])  # without, with
    assert float(finding_losses(logits, target, weights)) == pytest.approx(6 * math.log(2))
    logits = torch.tensor([[2.0, -1.0]])
    smoothed = finding_losses(logits, target, label_smoothing=0.2)
    expected = F.binary_cross_entropy_with_logits(logits, torch.tensor([[0.9, 0.1]]))
    assert float(smoothed) == pytest.approx(float(expected))


def test_huge_logits_of_findings_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = finding_losses(logits, torch.tensor([[1.0, torch.nan]])).sum()
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
