import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from losses.penalties import drift_penalty, gradient_penalty, path_length_penalty, r1_penalty


def images(seed: int, num_images: int = 3, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Two scales of `num_images` images."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(num_images, 1, 4, 4), (num_images, 1, 2, 2)]
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def linear(weights: list[Tensor]) -> Callable[[list[Tensor]], list[Tensor]]:
    """One score, the sum over scales of <weights, image>."""

    def score(scales: list[Tensor]) -> list[Tensor]:
        products = [x * w for x, w in zip(scales, weights, strict=True)]
        return [torch.cat([p.flatten(1) for p in products], dim=1).sum(dim=1, keepdim=True)]

    return score


class SmallDiscriminator(nn.Module):
    """Convolutions, tanh, and logits at both scales: smooth, so that differences converge."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(9)
        self.fine = nn.Conv2d(1, 3, 3, padding=1, dtype=dtype)
        self.coarse = nn.Conv2d(4, 1, 2, dtype=dtype)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype))

    def forward(self, scales: list[Tensor]) -> list[Tensor]:
        fine = torch.tanh(self.fine(scales[0]))
        both = torch.cat([nn.functional.avg_pool2d(fine, 2), scales[1]], dim=1)
        return [fine.mean(dim=1, keepdim=True), torch.tanh(self.coarse(both)).flatten(1)]


EPSILON = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
PENALTIES = {
    "gradient": lambda critic: gradient_penalty(critic, images(0), images(1), EPSILON),
    "r1": lambda critic: r1_penalty(critic, images(0)),
}


@pytest.mark.parametrize("length", [0.5, 1.0, 3.0])
def test_linear_discriminator_has_the_gradient_of_its_weights(length: float) -> None:
    weights = [w[0] for w in images(2)]
    norm = math.sqrt(sum(float(w.square().sum()) for w in weights))
    critic = linear([w * length / norm for w in weights])
    # Scales together have that length; each of them alone is shorter.
    penalty = gradient_penalty(critic, images(0), images(1), EPSILON)
    assert penalty.item() == pytest.approx((length - 1) ** 2, abs=1e-9)
    assert r1_penalty(critic, images(0)).item() == pytest.approx(length**2 / 2)


def test_quadratic_discriminator_shows_where_it_was_asked() -> None:
    def critic(scales: list[Tensor]) -> list[Tensor]:
        return [sum(0.5 * x.square().flatten(1).sum(1) for x in scales)]

    real, fake = images(0), images(1)
    # Its gradient at x is x: the point between real and generated, one epsilon for both scales.
    between = [
        r * EPSILON.view(-1, 1, 1, 1) + f * (1 - EPSILON.view(-1, 1, 1, 1))
        for r, f in zip(real, fake, strict=True)
    ]
    lengths = torch.cat([x.flatten(1) for x in between], dim=1).norm(dim=1)
    penalty = gradient_penalty(critic, real, fake, EPSILON)
    torch.testing.assert_close(penalty, (lengths - 1).square().mean())
    squares = sum(x.square().flatten(1).sum(1) for x in real)
    torch.testing.assert_close(r1_penalty(critic, real), 0.5 * squares.mean())


def test_score_is_the_mean_over_outputs() -> None:
    weights = [w[0] for w in images(2)]
    single = linear(weights)

    def many(scales: list[Tensor]) -> list[Tensor]:
        return [single(scales)[0].expand(-1, 5), single(scales)[0].view(-1, 1, 1, 1)]

    torch.testing.assert_close(r1_penalty(many, images(0)), r1_penalty(single, images(0)))


@pytest.mark.parametrize("name", PENALTIES)
def test_second_order_gradient_of_the_parameters(name: str) -> None:
    discriminator = SmallDiscriminator()
    names = [key for key, _ in discriminator.named_parameters()]

    def penalty(*values: Tensor) -> Tensor:
        state = dict(zip(names, values, strict=True))
        return PENALTIES[name](
            lambda scales: torch.func.functional_call(discriminator, state, (scales,))
        )

    inputs = tuple(p.detach().clone().requires_grad_() for p in discriminator.parameters())
    assert torch.autograd.gradcheck(penalty, inputs)


@pytest.mark.parametrize("name", PENALTIES)
def test_penalty_reaches_the_discriminators_gradients(name: str) -> None:
    discriminator = SmallDiscriminator()

    def gradients(weight: float) -> list[Tensor]:
        discriminator.zero_grad()
        loss = discriminator(images(1))[1].mean() - discriminator(images(0))[1].mean()
        (loss + weight * PENALTIES[name](discriminator)).backward()
        return [p.grad.clone() for p in discriminator.parameters()]

    for plain, penalised, parameter in zip(
        gradients(0.0), gradients(10.0), discriminator.parameters(), strict=True
    ):
        if parameter is not discriminator.coarse.bias:  # under tanh its share may be small
            assert (penalised - plain).abs().max() > 1e-3


@pytest.mark.parametrize("name", PENALTIES)
def test_micro_batches_average_to_the_batch(name: str) -> None:
    discriminator, real, fake = SmallDiscriminator(), images(0, 4), images(1, 4)
    epsilon = torch.tensor([0.1, 0.9, 0.4, 0.6], dtype=torch.float64)

    def penalty(part: slice) -> Tensor:
        some = [x[part] for x in real]
        if name == "r1":
            return r1_penalty(discriminator, some)
        return gradient_penalty(discriminator, some, [x[part] for x in fake], epsilon[part])

    apart = torch.stack([penalty(slice(0, 2)), penalty(slice(2, 4))]).mean()
    torch.testing.assert_close(penalty(slice(0, 4)), apart)


def test_flat_discriminator_gives_numbers_and_not_nan() -> None:
    weights = [torch.zeros_like(w[0]).requires_grad_() for w in images(2)]
    penalty = gradient_penalty(linear(weights), images(0), images(1), EPSILON)
    penalty.backward()
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    assert all(torch.isfinite(w.grad).all() for w in weights)


def test_autocast_does_not_reach_the_penalties() -> None:
    discriminator = SmallDiscriminator(torch.float32)
    seen: list[torch.dtype] = []
    discriminator.fine.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    real, fake = images(0, dtype=torch.float32), images(1, dtype=torch.float32)
    exact = [
        gradient_penalty(discriminator, real, fake, EPSILON.float()),
        r1_penalty(discriminator, real),
    ]
    with torch.autocast("cpu", torch.bfloat16):
        assert discriminator(real)[1].dtype == torch.bfloat16  # autocast is on
        seen.clear()
        found = [
            gradient_penalty(discriminator, real, fake, EPSILON.float()),
            r1_penalty(discriminator, real),
        ]
        # Generated images may come in half precision; the point between is taken in float32.
        halved = [x.bfloat16() for x in fake]
        mixed = gradient_penalty(discriminator, real, halved, EPSILON)
    assert set(seen) == {torch.float32}
    assert mixed.dtype == torch.float32
    for one, other in zip(exact, found, strict=True):
        assert other.dtype == torch.float32
        assert torch.equal(one, other)


def test_generator_and_images_are_left_alone() -> None:
    real, fake = images(0), [x.requires_grad_() for x in images(1)]
    discriminator = SmallDiscriminator()
    gradient_penalty(discriminator, real, [x * 2 for x in fake], EPSILON).backward()
    r1_penalty(discriminator, real).backward()
    assert all(x.grad is None for x in fake)
    assert not any(x.requires_grad for x in real)


def test_shapes_that_do_not_fit_are_named() -> None:
    critic = SmallDiscriminator()
    with pytest.raises(ValueError, match="one per scale"):
        gradient_penalty(critic, images(0), images(1)[:1], EPSILON)
    with pytest.raises(ValueError, match=r"epsilon is \(3, 1\), expected .* \(3,\)"):
        gradient_penalty(critic, images(0), images(1), EPSILON[:, None])


def test_drift_by_hand() -> None:
    scores = [torch.tensor([[3.0], [1.0]]), torch.full((2, 1, 2, 2), 2.0)]
    assert drift_penalty(scores).item() == pytest.approx((5 + 4) / 2)
    assert drift_penalty([torch.full((1, 1), 300.0, dtype=torch.float16)]).item() == 90000


def synthesis(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda latents: (latents @ matrix).view(-1, 1, 4, 4)


def test_path_length_of_a_linear_generator() -> None:
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randn(5, 16, generator=generator, dtype=torch.float64)
    noise = torch.randn(6, 1, 4, 4, generator=generator, dtype=torch.float64)
    latents = torch.zeros(6, 5, dtype=torch.float64)
    lengths = (noise.flatten(1) / 4 @ matrix.T).norm(dim=1)
    mean = torch.tensor(2.0, dtype=torch.float64)
    penalty, updated = path_length_penalty(synthesis(matrix), latents, noise, mean)
    torch.testing.assert_close(updated, 0.99 * mean + 0.01 * lengths.mean())
    torch.testing.assert_close(penalty, (lengths - updated).square().mean())
    assert mean.item() == 2.0
    assert not updated.requires_grad
    # One row per layer, each of a third of the effect: the root of the mean square over layers.
    layered, _ = path_length_penalty(
        lambda rows: synthesis(matrix)(rows.mean(dim=1)), latents[:, None].repeat(1, 3, 1), noise,
        mean, decay=0.0,
    )  # fmt: skip
    torch.testing.assert_close(layered, (lengths / 3 - mean).square().mean())


def test_path_length_is_zero_for_an_isometry_and_uses_the_given_mean() -> None:
    # An orthogonal map of as many dimensions keeps |y|, so lengths follow the noise alone.
    noise = torch.ones(2, 1, 4, 4)
    orthogonal = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))[0]
    at_mean = torch.tensor(1.0)  # |ones(16)| / 4
    penalty, updated = path_length_penalty(
        synthesis(orthogonal), torch.zeros(2, 16), noise, at_mean
    )
    assert penalty.item() == pytest.approx(0, abs=1e-10)
    assert updated.item() == pytest.approx(1)
    _, elsewhere = path_length_penalty(
        synthesis(orthogonal), torch.zeros(2, 16), noise, at_mean, mean=lambda v: v.mean() + 100
    )
    assert elsewhere.item() == pytest.approx(2)


def test_path_lengths_second_order_gradient() -> None:
    generator = torch.Generator().manual_seed(4)
    matrix = torch.randn(3, 16, generator=generator, dtype=torch.float64).requires_grad_()
    noise = torch.randn(2, 1, 4, 4, generator=generator, dtype=torch.float64)
    latents = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    mean = torch.tensor(0.5, dtype=torch.float64)

    def penalty(matrix: Tensor) -> Tensor:
        smooth = lambda w: torch.tanh(synthesis(matrix)(w))  # noqa: E731
        # decay 0: the target is a constant, as its missing gradient says.
        return path_length_penalty(smooth, latents, noise, mean, decay=0.0)[0]

    assert torch.autograd.gradcheck(penalty, (matrix,))
    with torch.autocast("cpu", torch.bfloat16):
        half = path_length_penalty(
            lambda w: synthesis(matrix.float())(w), latents.float(), noise.bfloat16(), mean
        )[0]
    assert half.dtype == torch.float32


def test_path_length_reaches_the_mapping() -> None:
    generator = torch.Generator().manual_seed(5)
    mapping, matrix = nn.Linear(3, 3), torch.randn(3, 16, generator=generator)
    noise, mean = torch.randn(2, 1, 4, 4, generator=generator), torch.tensor(0.5)

    def penalty(latents: Tensor) -> Tensor:
        curved = lambda w: torch.tanh(synthesis(matrix)(w))  # noqa: E731
        return path_length_penalty(curved, latents, noise, mean)[0]

    latents = mapping(torch.ones(2, 3))
    penalty(latents).backward()
    assert mapping.weight.grad.abs().sum() > 0
    assert torch.equal(penalty(latents), penalty(latents.detach()))
