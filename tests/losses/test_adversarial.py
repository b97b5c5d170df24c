import math

import pytest
import torch
import torch.nn.functional as F

from losses.adversarial import discriminator_loss, generator_loss

KINDS = ["vanilla", "lsgan", "hinge"]


def logits(seed: int, num_images: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(num_images, 1, 6, 6), (num_images, 1, 2, 2)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize(
    ("kind", "generator", "discriminator"),
    [("vanilla", math.log(2), math.log(2)), ("lsgan", 1.0, 0.5), ("hinge", 0.0, 2.0)],
)
def test_values_at_zero_scores(kind: str, generator: float, discriminator: float) -> None:
    zeros = [torch.zeros(2, 1, 3, 3)]
    assert generator_loss(zeros, kind).item() == pytest.approx(generator)
    assert discriminator_loss(zeros, zeros, kind).item() == pytest.approx(discriminator)


@pytest.mark.parametrize(
    ("kind", "generator", "discriminator"),
    # real 0.5, fake 2: by hand
    [
        ("vanilla", math.log1p(math.exp(-2)),
         (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(2))) / 2),
        ("lsgan", 1.0, (0.25 + 4) / 2),
        ("hinge", -2.0, 0.5 + 3.0),
    ],
)  # fmt: skip
def test_values_by_hand(kind: str, generator: float, discriminator: float) -> None:
    real, fake = [torch.full((1, 1, 1, 1), 0.5)], [torch.full((1, 1, 1, 1), 2.0)]
    assert generator_loss(fake, kind).item() == pytest.approx(generator)
    assert discriminator_loss(real, fake, kind).item() == pytest.approx(discriminator)


def test_vanilla_is_binary_cross_entropy() -> None:
    real, fake = logits(0), logits(1)
    bce = F.binary_cross_entropy_with_logits
    expected = torch.stack([bce(f, torch.ones_like(f)) for f in fake]).mean()
    assert generator_loss(fake, "vanilla").item() == pytest.approx(expected.item(), abs=1e-12)
    halves = [
        (bce(r, torch.ones_like(r)) + bce(f, torch.zeros_like(f))) / 2
        for r, f in zip(real, fake, strict=True)
    ]
    value = discriminator_loss(real, fake, "vanilla").item()
    assert value == pytest.approx(torch.stack(halves).mean().item(), abs=1e-12)


def test_lsgan_and_hinge_agree_with_other_formulas() -> None:
    real, fake = logits(0)[:1], logits(1)[:1]
    r, f = real[0], fake[0]
    lsgan = (F.mse_loss(r, torch.ones_like(r)) + F.mse_loss(f, torch.zeros_like(f))) / 2
    assert discriminator_loss(real, fake, "lsgan").item() == pytest.approx(lsgan.item(), abs=1e-12)
    ones = torch.ones(r.numel(), dtype=r.dtype)
    hinge = F.hinge_embedding_loss(r.flatten(), -ones) + F.hinge_embedding_loss(-f.flatten(), -ones)
    assert discriminator_loss(real, fake, "hinge").item() == pytest.approx(hinge.item(), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_scales_weigh_the_same_whatever_their_number(kind: str) -> None:
    real, fake = logits(0), logits(1)
    apart = [discriminator_loss([r], [f], kind) for r, f in zip(real, fake, strict=True)]
    assert torch.allclose(discriminator_loss(real, fake, kind), torch.stack(apart).mean())
    once, twice = generator_loss(fake[:1], kind), generator_loss([fake[0], fake[0]], kind)
    assert torch.allclose(once, twice)


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_average_to_the_batch(kind: str) -> None:
    real, fake = logits(0), logits(1)
    halves = [
        discriminator_loss([r[part] for r in real], [f[part] for f in fake], kind)
        for part in (slice(0, 2), slice(2, 4))
    ]
    whole = discriminator_loss(real, fake, kind)
    assert whole.item() == pytest.approx(torch.stack(halves).mean().item(), abs=1e-14)
    parts = [generator_loss([f[part] for f in fake], kind) for part in (slice(0, 2), slice(2, 4))]
    assert generator_loss(fake, kind).item() == pytest.approx(
        torch.stack(parts).mean().item(), abs=1e-14
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str) -> None:
    real = torch.linspace(-2.3, 1.9, 6, dtype=torch.float64).reshape(2, 1, 3, 1).requires_grad_()
    fake = torch.linspace(-1.7, 2.1, 6, dtype=torch.float64).reshape(2, 1, 3, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: generator_loss([f], kind), (fake,))
    assert torch.autograd.gradcheck(lambda r, f: discriminator_loss([r], [f], kind), (real, fake))


@pytest.mark.parametrize("kind", KINDS)
def test_direction(kind: str) -> None:
    low, high = [torch.full((1, 1, 2, 2), -0.5)], [torch.full((1, 1, 2, 2), 0.5)]
    assert generator_loss(high, kind) < generator_loss(low, kind)
    assert discriminator_loss(high, low, kind) < discriminator_loss(low, high, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_computed_in_float32_and_float64_kept(kind: str) -> None:
    # 300 squared overflows float16.
    scores = [torch.full((1, 1, 4, 4), 300.0, dtype=torch.float16)]
    loss = discriminator_loss(scores, scores, kind)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    with torch.autocast("cpu", torch.bfloat16):
        assert generator_loss(logits(0), kind).dtype == torch.float64


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="'wgan' is not known, expected one of vanilla"):
        generator_loss(logits(0), "wgan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one scale"):
        generator_loss([], "hinge")
    with pytest.raises(ValueError, match="expected a list"):
        generator_loss(logits(0)[0], "hinge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 scales of real logits and 1"):
        discriminator_loss(logits(0), logits(0)[:1], "hinge")
