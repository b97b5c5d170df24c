import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from losses import adversarial
from losses.unconditional import UnconditionalLossName, discriminator_loss, generator_loss

KINDS = list(get_args(UnconditionalLossName))
PER_IMAGE = [kind for kind in KINDS if kind != "ra_hinge"]


def logits(seed: int, num_images: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(num_images, 1, 6, 6), (num_images, 1)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize(
    ("kind", "generator", "discriminator"),
    [
        ("minmax", -math.log(2), 2 * math.log(2)),
        ("non_saturating", math.log(2), 2 * math.log(2)),
        ("wgan_gp", 0.0, 0.0),
        ("hinge", 0.0, 2.0),
        ("ra_hinge", 2.0, 2.0),
    ],
)
def test_values_at_zero_scores(kind: str, generator: float, discriminator: float) -> None:
    zeros = [torch.zeros(2, 1)]
    assert generator_loss(zeros, kind, zeros).item() == pytest.approx(generator)
    assert discriminator_loss(zeros, zeros, kind).item() == pytest.approx(discriminator)


@pytest.mark.parametrize(
    ("kind", "generator", "discriminator"),
    # real 1 and 0, generated 0.5 and -1.5 (means 0.5 and -0.5), by hand
    [
        ("wgan_gp", 0.5, -1.0),
        ("hinge", 0.5, (0 + 1) / 2 + (1.5 + 0) / 2),
        # 1 - (r + 0.5): 0, 0.5; 1 + (f - 0.5): 1, 0. And 1 - (f - 0.5): 1, 3; 1 + r + 0.5: 2.5, 1.5
        ("ra_hinge", (1 + 3) / 2 + (2.5 + 1.5) / 2, 0.5 / 2 + 1 / 2),
    ],
)
def test_values_by_hand(kind: str, generator: float, discriminator: float) -> None:
    real, fake = [torch.tensor([[1.0], [0.0]])], [torch.tensor([[0.5], [-1.5]])]
    assert generator_loss(fake, kind, real).item() == pytest.approx(generator)
    assert discriminator_loss(real, fake, kind).item() == pytest.approx(discriminator)


def test_minmax_is_the_value_of_the_game() -> None:
    real, fake = logits(0), logits(1)
    values = [
        r.sigmoid().log().mean() + (1 - f.sigmoid()).log().mean()
        for r, f in zip(real, fake, strict=True)
    ]
    game = torch.stack(values).mean()
    for kind in ("minmax", "non_saturating"):
        assert discriminator_loss(real, fake, kind).item() == pytest.approx(-game.item(), abs=1e-12)
    # The generator minimises the part of the game's value that depends on it.
    fooled = torch.stack([(1 - f.sigmoid()).log().mean() for f in fake]).mean()
    assert generator_loss(fake, "minmax").item() == pytest.approx(fooled.item(), abs=1e-12)


def test_non_saturating_and_hinge_are_those_of_pix2pix() -> None:
    real, fake = logits(0), logits(1)
    for ours, theirs, factor in (("non_saturating", "vanilla", 2), ("hinge", "hinge", 1)):
        assert torch.equal(generator_loss(fake, ours), adversarial.generator_loss(fake, theirs))
        halved = adversarial.discriminator_loss(real, fake, theirs)
        torch.testing.assert_close(discriminator_loss(real, fake, ours), factor * halved)


def test_minmax_fades_where_non_saturating_pushes() -> None:
    def push(kind: str) -> float:
        sure_fake = torch.full((1, 1), -8.0, requires_grad=True)
        generator_loss([sure_fake], kind).backward()
        return -sure_fake.grad.item()

    assert push("minmax") == pytest.approx(torch.tensor(-8.0).sigmoid().item())
    assert push("non_saturating") == pytest.approx(1 - torch.tensor(-8.0).sigmoid().item())


def test_relativistic_hinge_agrees_with_the_papers_formula() -> None:
    real, fake = logits(0), logits(1)
    terms = []
    for r, f in zip(real, fake, strict=True):
        ones = torch.ones(r.numel(), dtype=r.dtype)
        above, below = (r - f.mean()).flatten(), (f - r.mean()).flatten()
        # hinge_embedding_loss(x, -1) = relu(1 - x)
        terms.append(F.hinge_embedding_loss(above, -ones) + F.hinge_embedding_loss(-below, -ones))
    expected = torch.stack(terms).mean()
    torch.testing.assert_close(discriminator_loss(real, fake, "ra_hinge"), expected)
    # The generator's is the discriminator's with the roles exchanged.
    torch.testing.assert_close(
        generator_loss(fake, "ra_hinge", real), discriminator_loss(fake, real, "ra_hinge")
    )


def test_relativistic_hinge_does_not_change_when_all_scores_move() -> None:
    real, fake = logits(0), logits(1)
    moved = [[scale + 7 for scale in scores] for scores in (real, fake)]
    before, after = (
        discriminator_loss(real, fake, "ra_hinge"),
        discriminator_loss(*moved, "ra_hinge"),
    )
    torch.testing.assert_close(before, after)


def test_relativistic_hinge_uses_the_mean_it_is_given() -> None:
    real, fake = logits(0), logits(1)
    seen = []

    def mean(values: Tensor) -> Tensor:
        seen.append(values)
        return values.mean() + 100

    for loss in (
        discriminator_loss(real, fake, "ra_hinge", mean),
        generator_loss(fake, "ra_hinge", real, mean),
    ):
        assert loss.item() > 90
    assert len(seen) == 8  # two means a scale and loss
    assert discriminator_loss(real, fake, "hinge", mean) < 10


@pytest.mark.parametrize("kind", KINDS)
def test_scales_weigh_the_same_whatever_their_number(kind: str) -> None:
    real, fake = logits(0), logits(1)
    apart = [discriminator_loss([r], [f], kind) for r, f in zip(real, fake, strict=True)]
    assert torch.allclose(discriminator_loss(real, fake, kind), torch.stack(apart).mean())
    once = generator_loss(fake[:1], kind, real[:1])
    assert torch.allclose(once, generator_loss(fake[:1] * 2, kind, real[:1] * 2))


def halves(kind: str) -> tuple[Tensor, Tensor]:
    real, fake = logits(0), logits(1)
    parts = [slice(0, 2), slice(2, 4)]
    apart = [discriminator_loss([r[p] for r in real], [f[p] for f in fake], kind) for p in parts]
    return discriminator_loss(real, fake, kind), torch.stack(apart).mean()


@pytest.mark.parametrize("kind", PER_IMAGE)
def test_micro_batches_average_to_the_batch(kind: str) -> None:
    whole, apart = halves(kind)
    assert whole.item() == pytest.approx(apart.item(), abs=1e-14)


def test_relativistic_micro_batches_are_another_loss() -> None:
    whole, apart = halves("ra_hinge")
    assert abs(whole.item() - apart.item()) > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str) -> None:
    real = torch.linspace(-2.3, 1.9, 6, dtype=torch.float64).reshape(2, 3).requires_grad_()
    fake = torch.linspace(-1.7, 2.1, 6, dtype=torch.float64).reshape(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda r, f: discriminator_loss([r], [f], kind), (real, fake))
    assert torch.autograd.gradcheck(lambda r, f: generator_loss([f], kind, [r]) + 0 * r.sum(),
                                    (real, fake))  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_direction(kind: str) -> None:
    low, high = [torch.full((2, 1), -0.5)], [torch.full((2, 1), 0.5)]
    middle = [torch.zeros(2, 1)]
    assert generator_loss(high, kind, middle) < generator_loss(low, kind, middle)
    assert discriminator_loss(high, low, kind) < discriminator_loss(low, high, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_computed_in_float32_and_float64_kept(kind: str) -> None:
    # 4096 scores of 300 sum to more than float16 holds.
    scores = [torch.full((4, 1, 32, 32), 300.0, dtype=torch.float16)]
    for loss in (discriminator_loss(scores, scores, kind), generator_loss(scores, kind, scores)):
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
    with torch.autocast("cpu", torch.bfloat16):
        assert generator_loss(logits(0), kind, logits(1)).dtype == torch.float64


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="'lsgan' is not known, expected one of minmax, non_sat"):
        generator_loss(logits(0), "lsgan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'wgan' is not known"):
        discriminator_loss(logits(0), logits(0), "wgan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one scale"):
        generator_loss([], "hinge")
    with pytest.raises(ValueError, match="expected a list"):
        generator_loss(logits(0)[0], "hinge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 scales of real logits and 1"):
        discriminator_loss(logits(0), logits(0)[:1], "hinge")
    with pytest.raises(ValueError, match="ra_hinge compares with real images"):
        generator_loss(logits(0), "ra_hinge")
