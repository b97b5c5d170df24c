"""Where a growing network stands."""

from dataclasses import dataclass

SMALLEST_RESOLUTION = 4
"""Pixels of the first stage."""


@dataclass(frozen=True)
class Growth:
    """Stage of a network that grows from 4 pixels to its image size, one doubling at a time.

    Networks keep no stage of their own: the caller says it with every call, so that it can be a
    function of the images seen, and weights fit whatever the stage they were saved at.

    Args:
        resolution: pixels of the current stage, a power of two from 4 to the image size.
        alpha: share of the newest layers during their fade-in, in [0, 1]: 0 is still the stage
            before, enlarged; 1 is the stage fully grown. Always 1 at 4 pixels, where nothing comes
            before.

    Raises:
        ValueError: a resolution or an alpha that is none.

    Source: Karras et al. 2018, arXiv:1710.10196, section 2.
    """

    resolution: int
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.resolution < SMALLEST_RESOLUTION or self.resolution & (self.resolution - 1):
            raise ValueError(
                f"Growth: resolution is {self.resolution}, expected a power of two from "
                f"{SMALLEST_RESOLUTION} up to the image size."
            )
        # Written so that NaN is refused too.
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"Growth: alpha is {self.alpha}, expected a share in [0, 1].")
        if self.resolution == SMALLEST_RESOLUTION and self.alpha < 1:
            raise ValueError(
                f"Growth: alpha is {self.alpha} at {SMALLEST_RESOLUTION} pixels, expected 1: the "
                "first stage has none before it to fade in from."
            )

    @property
    def stage(self) -> int:
        """Doublings so far: 0 at 4 pixels, 1 at 8."""
        return (self.resolution // SMALLEST_RESOLUTION).bit_length() - 1


def growth_within(growth: Growth | None, image_size: int) -> Growth:
    """The growth of a network of this image size; None means fully grown.

    Raises:
        ValueError: a resolution beyond the image size.
    """
    if growth is None:
        return Growth(image_size)
    if growth.resolution > image_size:
        raise ValueError(
            f"Growth: resolution is {growth.resolution}, but the network ends at {image_size} "
            "pixels. Build it with a larger image_size, or end the growth there."
        )
    return growth
