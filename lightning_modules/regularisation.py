"""Terms that are added to a GAN's losses: which are due at a step, and how much they weigh."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_modules.gan_settings import Penalties
from lightning_modules.step.global_mean import global_mean
from losses.penalties import drift_penalty, gradient_penalty, path_length_penalty, r1_penalty
from losses.unconditional import UnconditionalLossName
from networks.generator import StyleGenerator

Judge = Callable[[list[Tensor]], list[Tensor]]


class Term(NamedTuple):
    """A term of a loss: what is reported is `value`, what is added is `times * value`."""

    name: str
    value: Tensor
    times: int


class Regularisation:
    """Computes the terms that `Penalties` asks for, at the steps at which they are due.

    Args:
        penalties: Weights and intervals.
        loss: The adversarial loss; wgan_gp brings a gradient penalty of its own.
    """

    def __init__(self, penalties: Penalties, loss: UnconditionalLossName) -> None:
        self.penalties = penalties
        self.gradient_penalty_weight = penalties.gradient_penalty
        if self.gradient_penalty_weight is None:
            self.gradient_penalty_weight = 10.0 if loss == "wgan_gp" else 0.0

    def path_length_due(self, steps_done: int) -> bool:
        """Whether the next step has the path length term."""
        every = self.penalties.path_length_every
        return self.penalties.path_length > 0 and steps_done % every == 0

    def draws(
        self, steps_done: int, image_shape: tuple[int, int, int]
    ) -> dict[str, Callable[[torch.Generator], Tensor]]:
        """What the next step draws for each image: by name, a function to a tensor (1, ...)."""
        draws: dict[str, Callable[[torch.Generator], Tensor]] = {}
        if self.gradient_penalty_weight:
            draws["between"] = lambda source: torch.rand(1, generator=source)
        if self.path_length_due(steps_done):
            draws["path_noise"] = lambda source: torch.randn((1, *image_shape), generator=source)
        return draws

    def discriminator_terms(
        self,
        steps_done: int,
        judge: Judge,
        augment_real: Judge,
        reals: list[Tensor],
        shown: list[Tensor],
        made: list[Tensor],
        real_logits: list[Tensor],
        between: Tensor | None,
    ) -> Iterator[Term]:
        """Terms of the discriminator's loss that are due.

        Args:
            steps_done: Training steps before this one.
            judge: From images to the discriminator's logits.
            augment_real: The augmentation of these real images.
            reals: Real images, a tensor (N, C, r, r) per resolution.
            shown: The same, augmented.
            made: Generated images, augmented.
            real_logits: The discriminator's of `shown`.
            between: (N,) in [0, 1], for the gradient penalty: where between `shown` and `made`.
        """
        weights = self.penalties
        if self.gradient_penalty_weight:
            assert between is not None  # `draws` has it
            penalty = gradient_penalty(judge, shown, made, between)
            yield Term("gradient_penalty", self.gradient_penalty_weight * penalty, 1)
        if weights.r1 > 0 and steps_done % weights.r1_every == 0:
            # By the films themselves, through their augmentation, as StyleGAN2-ADA does.
            penalty = r1_penalty(lambda films: judge(augment_real(films)), reals)
            yield Term("r1", weights.r1 * penalty, weights.r1_every)
        if weights.drift:
            yield Term("drift", weights.drift * drift_penalty(real_logits), 1)

    def path_length(
        self, generator: StyleGenerator, latent: Tensor, path_noise: Tensor, mean_length: Tensor
    ) -> tuple[Term, Tensor]:
        """The term of the generator's loss, and the updated running mean of the path length.

        Args:
            generator: The one in training.
            latent: (N, L).
            path_noise: (N, C, H, W) as `draws` has it.
            mean_length: Running mean of the length, a scalar.
        """
        noise = generator.noise_of(latent)
        penalty, mean_length = path_length_penalty(
            lambda styles: generator.synthesis(styles, noise),
            generator.mapping(latent),
            path_noise,
            mean_length,
            mean=global_mean,
        )
        weights = self.penalties
        term = Term("path_length", weights.path_length * penalty, weights.path_length_every)
        return term, mean_length
