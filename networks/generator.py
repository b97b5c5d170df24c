"""What a generator and a discriminator are: the methods by which training and generation use them.

Networks need not inherit from these Protocols: one with the methods is one.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from typing_extensions import get_protocol_members

from networks.growth import Growth


@runtime_checkable
class ImageGenerator(Protocol):
    """Makes images from noise; what `lightning_modules.GAN` trains and generate.py uses.

    All randomness comes in with the latent, a row of numbers per image. So an image can be made
    again from its seed, and does not depend on the other images of its batch (batch normalisation
    excepted).
    """

    def draw_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Latent rows (count, L), float32, on the CPU, drawn from `generator` alone.

        Row i does not depend on `count`; see `networks.progressive_blocks.draw_latents`.
        """
        ...

    def forward(self, latent: Tensor, growth: Growth | None = None) -> list[Tensor]:
        """Images of latent rows (N, L), in about [-1, 1].

        Args:
            latent: As `draw_latent` gives it, on the network's device and in its precision.
            growth: Where a network that grows stands; others ignore or refuse it.

        Returns:
            One tensor (N, C, r, r) for each resolution r that is judged, the largest first.
        """
        ...


@runtime_checkable
class StyleGenerator(ImageGenerator, Protocol):
    """A generator whose images are steered by styles, which lie between latent and image.

    Only such a one can draw images towards the average one (truncation), and have the length of a
    path regularised. `synthesis(mapping(latent), noise_of(latent))` is `forward`'s largest image,
    fully grown.
    """

    def forward(
        self, latent: Tensor, growth: Growth | None = None, truncation: float = 1.0
    ) -> list[Tensor]:
        """As `ImageGenerator.forward`, of styles that `truncation` has drawn to the average one."""
        ...

    def mapping(self, latent: Tensor, truncation: float = 1.0) -> Tensor:
        """Styles (N, layers, S) of latent rows (N, L).

        Args:
            latent: As `draw_latent` gives it.
            truncation: Share of the way from the average style to the own one; at 0 all images have
                the average style.
        """
        ...

    def noise_of(self, latent: Tensor) -> Tensor | None:
        """What `synthesis` takes from the latent rows besides styles: (N, K); None for nothing."""
        ...

    def synthesis(self, styles: Tensor, noise: Tensor | None) -> Tensor:
        """Images (N, C, H, W) of styles (N, layers, S), at the largest resolution."""
        ...


@runtime_checkable
class ConditionalGenerator(Protocol):
    """Makes images of label maps; what `lightning_modules.Pix2Pix` trains and generate.py uses."""

    def draw_noise(self, num_images: int, generator: torch.Generator) -> Tensor:
        """Noise (num_images, K), K >= 0, from `generator` alone; row i whatever `num_images` is."""
        ...

    def forward(self, labels: Tensor, noise: Tensor | None = None, dropout: bool = True) -> Tensor:
        """Images (N, C, H, W) in [-1, 1].

        Args:
            labels: One-hot label maps (N, num_classes, H, W).
            noise: (N, K) as `draw_noise` gives it.
            dropout: False ignores the dropout that the noise holds.
        """
        ...


@runtime_checkable
class ImageDiscriminator(Protocol):
    """Judges images; the opponent of an `ImageGenerator`."""

    def forward(self, images: list[Tensor], growth: Growth | None = None) -> list[Tensor]:
        """Logits of images: large for real ones.

        Args:
            images: As the generator makes them: (N, C, r, r) for each resolution.
            growth: As the generator gets it.

        Returns:
            One tensor (N, ...) for each scale that is judged.
        """
        ...


class NoDiscriminator(nn.Module):
    """Stands where a generator was handed on without its discriminator: it can make images alone.

    Args:
        *sizes: What discriminators are made from.
    """

    def __init__(self, *sizes: int) -> None:
        super().__init__()

    def forward(self, images: list[Tensor], growth: Growth | None = None) -> list[Tensor]:
        """Raises ValueError: there is nothing that could judge images."""
        raise ValueError(
            "This generator was handed on without its discriminator, so it cannot be trained. Ask "
            "for the checkpoint."
        )


def missing_methods(network: nn.Module, protocol: type) -> str:
    """Methods of a Protocol that a network lacks, as a list in words; "" if it lacks none."""
    missing = sorted(get_protocol_members(protocol) - set(dir(network)))
    return ", ".join(missing)
