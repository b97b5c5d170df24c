"""Settings of GANs: those that are grouped, and what is refused."""

from dataclasses import asdict, dataclass

from torch import nn

from networks.generator import ImageGenerator, StyleGenerator, missing_methods
from provenance import UserError


@dataclass(frozen=True)
class Penalties:
    """Weights of what is added to the losses; 0 leaves a term out.

    A term with an interval of k steps is added at every k-th step only, and weighs k times as much
    there (lazy regularisation, StyleGAN2): about the same training for less time.

    Args:
        gradient_penalty: Of WGAN-GP; its paper takes 10. None is 10 with the loss wgan_gp, else 0.
        drift: Of the squared scores of real images; PGGAN takes 0.001 with wgan_gp.
        r1: gamma of R1; the penalty is gamma / 2 of the squared gradient at real images.
        r1_every: Steps between two R1 terms; StyleGAN2 takes 16.
        path_length: Of StyleGAN2's path length; it takes 2.
        path_length_every: Steps between two of them; it takes 4.

    Raises:
        UserError: A weight below 0, or an interval below 1.
    """

    gradient_penalty: float | None = None
    drift: float = 0.0
    r1: float = 0.0
    r1_every: int = 1
    path_length: float = 0.0
    path_length_every: int = 4

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name.endswith("_every"):
                if value < 1:
                    raise UserError(
                        f"--model.penalties.{name} is {value} steps; it must be 1 or more."
                    )
            elif value is not None and not value >= 0:  # NaN neither
                raise UserError(f"--model.penalties.{name} is {value}; it must be 0 or more.")


@dataclass(frozen=True)
class Freeze:
    """Layers that keep the weights of `start_from`, for training on few films of another kind.

    Counted in resolutions: a stage is all that a network has for one of them; see
    `networks.enlargement.stages_of`. Learning rates, the adaptive augmentation and a weaker or
    stronger penalty are settings beside it.

    Args:
        discriminator: So many stages from the image down, as FreezeD has it: features of edges and
            textures, which the films have in common. 0 freezes none.
        generator: So many stages from the latent up, with the mapping of styles; the finer ones
            learn the new films. They get the weights of the running average, which makes the
            images, so that it stays as it is too. 0 freezes none.

    Raises:
        UserError: A number below 0.

    Source: Mo, Cho and Shin 2020 (FreezeD), arXiv:2002.10964, for the discriminator.
    """

    discriminator: int = 0
    generator: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 0:
                raise UserError(f"--model.freeze.{name} is {value}; it must be 0 or more.")


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of all that the discriminator sees, for training on few films.

    Args:
        probability: Of each transform for each image; 0 augments nothing. The start, if adaptive.
        adaptive: Move the probability so that the discriminator's mean sign on real images stays
            at 0.6 (StyleGAN2-ADA).
        ramp_images: Images in which an adaptive probability moves from 0 to 1 at the fastest.

    Raises:
        UserError: A probability that is none, or a ramp of no image.
    """

    probability: float = 0.0
    adaptive: bool = False
    ramp_images: int = 500_000

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UserError(
                f"--model.augmentation.probability is {self.probability}; it must be 0 to 1."
            )
        if self.ramp_images < 1:
            raise UserError(
                f"--model.augmentation.ramp_images is {self.ramp_images}; it must be 1 or more."
            )


def refuse_generator(generator: nn.Module, path_length: float) -> None:
    """Refuse a generator that lacks a method which training or generation calls.

    Args:
        generator: Of a `GAN`.
        path_length: Weight of the penalty of this name, which needs styles.

    Raises:
        UserError: Names the methods.
    """
    name = type(generator).__name__
    if not isinstance(generator, ImageGenerator):
        raise UserError(
            f"--model.generator: a {name} lacks {missing_methods(generator, ImageGenerator)}, "
            "which a GAN calls; networks/generator.py says what it takes and returns. Add it, or "
            "use one of networks/, as networks.DCGANGenerator."
        )
    if path_length and not isinstance(generator, StyleGenerator):
        raise UserError(
            f"--model.penalties.path_length {path_length}: only StyleGAN2 has the styles along "
            f"which a path has a length; a {name} lacks "
            f"{missing_methods(generator, StyleGenerator)}. Set it to 0."
        )
