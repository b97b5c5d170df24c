import math

import pytest
import torch
import torch.nn.functional as F

from losses.segmentation import cross_entropy, segmentation_loss, soft_dice_loss

WEIGHTS = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)


def example(num_images: int = 4, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(num_images, 3, size, size, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (num_images, size, size), generator=generator)
    target[0] = 0  # an image without kidney and tumour
    return logits, target


def test_cross_entropy_values() -> None:
    logits, target = example()
    assert cross_entropy(torch.zeros_like(logits), target).item() == pytest.approx(math.log(3))
    expected = F.cross_entropy(logits, target).item()
    assert cross_entropy(logits, target).item() == pytest.approx(expected, abs=1e-14)
    log_probability = logits.log_softmax(dim=1).gather(1, target[:, None])[:, 0]
    by_hand = -(WEIGHTS[target] * log_probability).mean().item()
    assert cross_entropy(logits, target, WEIGHTS).item() == pytest.approx(by_hand, abs=1e-14)


def test_class_weights_of_one_change_nothing() -> None:
    logits, target = example()
    assert torch.allclose(
        cross_entropy(logits, target), cross_entropy(logits, target, torch.ones(3))
    )


@pytest.mark.parametrize("include_background", [False, True])
@pytest.mark.parametrize("smooth", [1.0, 1e-5])
def test_dice_equals_monai(include_background: bool, smooth: float) -> None:
    from monai.losses import DiceLoss

    logits, target = example()
    reference = DiceLoss(
        include_background=include_background,
        to_onehot_y=True,
        softmax=True,
        smooth_nr=smooth,
        smooth_dr=smooth,
    )
    expected = reference(logits, target[:, None]).item()
    value = soft_dice_loss(logits, target, include_background, smooth).item()
    assert value == pytest.approx(expected, abs=1e-12)


def test_dice_values() -> None:
    target = torch.tensor([[[0, 1], [2, 0]]])
    perfect = F.one_hot(target, 3).movedim(-1, 1).double() * 200
    assert soft_dice_loss(perfect, target).item() == pytest.approx(0, abs=1e-12)
    # All background said, one pixel of each organ true: 1 - smooth / (1 + smooth) = 1/2 each.
    background = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    background[:, 0] = 200
    assert soft_dice_loss(background, target).item() == pytest.approx(0.5)
    # Organ absent and not predicted: nothing lost.
    assert soft_dice_loss(background, torch.zeros_like(target)).item() == pytest.approx(0)


@pytest.mark.parametrize(
    "loss",
    [
        cross_entropy,
        lambda logits, target: cross_entropy(logits, target, WEIGHTS),
        soft_dice_loss,
        lambda logits, target: segmentation_loss(logits, target, 0.7, WEIGHTS),
    ],
    ids=["cross_entropy", "weighted", "dice", "sum"],
)
def test_images_add_up(loss) -> None:
    logits, target = example()
    logits.requires_grad_()
    whole = loss(logits, target)
    alone = torch.stack([loss(logits[i : i + 1], target[i : i + 1]) for i in range(4)]).mean()
    assert whole.item() == pytest.approx(alone.item(), abs=1e-14)
    (of_whole,) = torch.autograd.grad(whole, logits, retain_graph=True)
    (of_parts,) = torch.autograd.grad(alone, logits)
    assert (of_whole - of_parts).abs().max() < 1e-16


def test_the_usual_weighting_would_not_add_up() -> None:
    # The reason for our own normalisation: torch divides by the weights that the batch holds.
    logits, target = example()
    whole = F.cross_entropy(logits, target, WEIGHTS)
    parts = [F.cross_entropy(logits[i : i + 1], target[i : i + 1], WEIGHTS) for i in range(4)]
    assert (whole - torch.stack(parts).mean()).abs() > 1e-3


def test_sum_of_both() -> None:
    logits, target = example()
    both = cross_entropy(logits, target, WEIGHTS) + 0.5 * soft_dice_loss(logits, target)
    assert torch.allclose(segmentation_loss(logits, target, 0.5, WEIGHTS), both)
    alone = segmentation_loss(logits, target, dice_weight=0.0)
    assert torch.equal(alone, cross_entropy(logits, target))


def test_gradients() -> None:
    logits, target = example(2, 3)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, target, WEIGHTS), (logits,))
    assert torch.autograd.gradcheck(lambda x: soft_dice_loss(x, target), (logits,))
    assert torch.autograd.gradcheck(lambda x: segmentation_loss(x, target), (logits,))


def test_precision() -> None:
    logits, target = example(2, 64)
    for half in (torch.float16, torch.bfloat16):
        loss = segmentation_loss(logits.to(half), target, class_weights=WEIGHTS)
        assert loss.dtype == torch.float32
        expected = segmentation_loss(logits.to(half).float(), target, class_weights=WEIGHTS)
        assert torch.equal(loss, expected)
    with torch.autocast("cpu", torch.bfloat16):
        inside = segmentation_loss(logits, target)
        assert segmentation_loss(logits.float(), target).dtype == torch.float32
    assert inside.dtype == torch.float64
    assert torch.equal(inside, segmentation_loss(logits, target))


def test_wrong_shapes_are_refused() -> None:
    logits, target = example()
    with pytest.raises(ValueError, match=r"expected \(N, C, H, W\) and \(N, H, W\)"):
        cross_entropy(logits, target[:, None])
    with pytest.raises(ValueError, match="expected int64"):
        soft_dice_loss(logits, target.float())
    with pytest.raises(ValueError, match=r"class_weights are \(2,\)"):
        cross_entropy(logits, target, torch.ones(2))
    with pytest.raises(ValueError, match="one class only"):
        soft_dice_loss(logits[:, :1], torch.zeros_like(target))
