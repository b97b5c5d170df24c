import pytest
import torch
import torch.nn.functional as F

from losses.reconstruction import feature_matching_loss, l1_loss


def features(seed: int, num_images: int = 4) -> list[list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    sizes = [[(2, 8), (4, 4)], [(2, 4), (4, 2)]]
    return [
        [
            torch.randn(num_images, channels, side, side, generator=generator, dtype=torch.float64)
            for channels, side in scale
        ]
        for scale in sizes
    ]


def test_l1_values() -> None:
    ones = torch.ones(2, 1, 4, 4)
    assert l1_loss(ones, ones) == 0
    assert l1_loss(-ones, ones) == 2
    a, b = features(0)[0][0], features(1)[0][0]
    assert l1_loss(a, b).item() == pytest.approx(F.l1_loss(a, b).item(), abs=1e-14)
    assert l1_loss(a, b).dtype == torch.float64


def test_l1_keeps_small_differences_of_half_precision_sums() -> None:
    fake = torch.full((1, 1, 512, 512), 0.5, dtype=torch.float16)
    loss = l1_loss(fake, torch.zeros_like(fake))
    assert loss.dtype == torch.float32
    assert loss == 0.5


def test_l1_does_not_broadcast() -> None:
    with pytest.raises(ValueError, match="expected the same shape"):
        l1_loss(torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 4, 4))


def test_feature_matching_values() -> None:
    real, fake = features(0), features(1)
    assert feature_matching_loss(real, real) == 0
    by_hand = sum(
        (r - f).abs().mean() / len(reals) / len(real)
        for reals, fakes in zip(real, fake, strict=True)
        for r, f in zip(reals, fakes, strict=True)
    )
    value = feature_matching_loss(real, fake).item()
    assert value == pytest.approx(by_hand.item(), abs=1e-14)  # type: ignore[union-attr]


def test_feature_matching_leaves_the_real_features_alone() -> None:
    real, fake = features(0), features(1)
    leaves = [tensor.requires_grad_() for scale in real + fake for tensor in scale]
    feature_matching_loss(real, fake).backward()
    assert [leaf.grad is None for leaf in leaves] == [True] * 4 + [False] * 4


def test_micro_batches_average_to_the_batch() -> None:
    real, fake = features(0), features(1)

    def rows(nested: list[list[torch.Tensor]], part: slice) -> list[list[torch.Tensor]]:
        return [[tensor[part] for tensor in scale] for scale in nested]

    parts = [slice(0, 2), slice(2, 4)]
    halves = [feature_matching_loss(rows(real, part), rows(fake, part)) for part in parts]
    whole = feature_matching_loss(real, fake).item()
    assert whole == pytest.approx(torch.stack(halves).mean().item(), abs=1e-14)


def test_gradient() -> None:
    real = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(1, 2, 2, 2)
    fake = real.flip(0).mul(0.7).add(0.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: feature_matching_loss([[real]], [[f]]), (fake,))
    assert torch.autograd.gradcheck(lambda f: l1_loss(f, real), (fake,))


def test_other_layers_are_refused() -> None:
    real = features(0)
    with pytest.raises(ValueError, match="same discriminator"):
        feature_matching_loss(real, real[:1])
    with pytest.raises(ValueError, match="same discriminator"):
        feature_matching_loss([], [])
