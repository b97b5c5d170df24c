"""Differentiable augmentation of a GAN's images, for training on few films.

With few images the discriminator learns them by heart. If everything it sees, real and generated,
is augmented alike, it cannot; and since the augmentation is differentiable, the generator still
learns to make images that are not augmented. Each transform is left out for a share 1 - p of the
images, so that the generator can tell what an image without it looks like.

A step has three parts: `draw` the parameters, `apply` them to the images of every scale, and now
and then `adapt` p to how far the discriminator is ahead.

Sources: Zhao et al. 2020 (DiffAugment), arXiv:2006.10738, for the transforms and their ranges;
Karras et al. 2020 (StyleGAN2-ADA), arXiv:2006.06676, for a p per transform and its adaptation.
Deviations: no flips, rotations or colour turns of the latter, since a mirrored chest film shows
another anatomy (the heart on the right); everything acts on several scales alike.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Operation = Literal["brightness", "saturation", "contrast", "translation", "cutout"]
ALL_OPERATIONS: tuple[Operation, ...] = get_args(Operation)

NUM_PARAMETERS = 8
"""Columns of the parameters, see `draw`."""

_MAX_BRIGHTNESS = 0.5
_MAX_SATURATION = 1.0
_MAX_CONTRAST = 0.5
_MAX_SHIFT = 1 / 8
_CUTOUT_SIDE = 1 / 2


def draw(
    count: int,
    image_size: int,
    generator: torch.Generator,
    probability: float = 1.0,
    operations: Sequence[Operation] = ALL_OPERATIONS,
) -> Tensor:
    """Draw the augmentation of every image.

    | column | meaning | range | does nothing at |
    |---|---|---|---|
    | 0 | brightness added, in units of the image's [-1, 1] | +- 0.5 | 0 |
    | 1 | saturation: factor on the distance from grey, less 1 | +- 1 | 0 |
    | 2 | contrast: factor on the distance from the image's mean, less 1 | +- 0.5 | 0 |
    | 3, 4 | shift down and right, as a share of the side | +- 1/8 | 0 |
    | 5, 6 | row and column of the cut-out square's centre, as a share of the side | 0 to 1 | |
    | 7 | side of the square, as a share of the image's | 0 or 1/2 | 0 |

    A plain tensor, so `.to(device)` and `parameters[start:stop]` for the rows of one process or
    micro-batch work. The same numbers of the generator are used up whatever `probability` is, and
    an image that is augmented at a lower one is augmented alike at a higher one.

    Args:
        count: N, images.
        image_size: side in pixels of the largest scale; shift and square fall on whole pixels
            of it.
        generator: source of randomness; the parameters lie on its device.
        probability: p of each operation, independently for every image, in [0, 1].
        operations: those that may happen at all; saturation leaves grey images as they are.

    Returns:
        Parameters (count, NUM_PARAMETERS) float32.

    Raises:
        ValueError: a probability out of range, or an unknown operation.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"Augmentation probability is {probability}, expected 0 to 1.")
    for operation in operations:
        if operation not in ALL_OPERATIONS:
            raise ValueError(
                f"Augmentation operation is {operation!r}, expected some of "
                f"{', '.join(ALL_OPERATIONS)}."
            )
    numbers = torch.rand(
        count, len(ALL_OPERATIONS) + 7, generator=generator, device=generator.device
    )
    coins, uniform = numbers.split([len(ALL_OPERATIONS), 7], dim=1)
    allowed = torch.tensor([op in operations for op in ALL_OPERATIONS], device=generator.device)
    happens = ((coins < probability) & allowed).float()
    brightness, saturation, contrast, translation, cutout = happens.split(1, dim=1)
    around_zero = 2 * uniform - 1
    return torch.cat(
        [
            brightness * _MAX_BRIGHTNESS * around_zero[:, 0:1],
            saturation * _MAX_SATURATION * around_zero[:, 1:2],
            contrast * _MAX_CONTRAST * around_zero[:, 2:3],
            translation * (_MAX_SHIFT * image_size * around_zero[:, 3:5]).round() / image_size,
            (image_size * uniform[:, 5:7]).round() / image_size,
            cutout * _CUTOUT_SIDE,
        ],
        dim=1,
    )


def apply(images: Sequence[Tensor], parameters: Tensor) -> list[Tensor]:
    """Augment the scales of a batch alike.

    Shift and square are the same share of the side on every scale. Where that is no whole number of
    a coarse scale's pixels, neighbouring pixels are blended and the square's border covers pixels
    in part: what averaging the square of the largest scale gives. What is shifted in from outside
    and what is cut out are 0, mid-grey.

    Args:
        images: per scale (N, C, S, S), floating point; [image] for a network with one scale.
            The gradient flows to them, as often as it is taken.
        parameters: (N, NUM_PARAMETERS) from `draw`.

    Returns:
        Images of the same shapes and dtypes, with values that may leave [-1, 1].

    Raises:
        ValueError: parameters of another shape.
    """
    for image in images:
        if parameters.shape != (len(image), NUM_PARAMETERS):
            raise ValueError(
                f"Augmentation parameters are {tuple(parameters.shape)}, expected "
                f"({len(image)}, {NUM_PARAMETERS}): draw one row per image."
            )
    return [_apply_to_scale(image, parameters.to(image.device)) for image in images]


def adapt(
    probability: float,
    sign_of_real_logits_mean: float,
    images: int,
    target: float = 0.6,
    ramp_images: int = 500_000,
) -> float:
    """Move p towards the strength at which the discriminator is neither lost nor certain.

    The mean sign of its logits for real training images, r = E[sign D(x)], is 0 where it guesses
    and 1 where it knows them all. Above the target p grows, below it p falls.

    Args:
        probability: p so far.
        sign_of_real_logits_mean: r in [-1, 1], over the real images since the last call, all
            processes together.
        images: real images since the last call; the source adapts every 4 batches.
        target: r to hold.
        ramp_images: images in which p goes from 0 to 1 at the fastest.

    Returns:
        The new p in [0, 1].
    """
    direction = (sign_of_real_logits_mean > target) - (sign_of_real_logits_mean < target)
    return min(max(probability + direction * images / ramp_images, 0.0), 1.0)


def _apply_to_scale(image: Tensor, parameters: Tensor) -> Tensor:
    brightness, saturation, contrast = (
        parameters[:, :3].to(image.dtype)[..., None, None, None].unbind(1)
    )
    image = image + brightness
    # Written as "and a bit more of the difference", so that 0 changes no bit.
    image = image + saturation * (image - image.mean(dim=1, keepdim=True))
    image = image + contrast * (image - image.mean(dim=(1, 2, 3), keepdim=True))
    image = _shift(image, parameters[:, 3], dim=2)
    image = _shift(image, parameters[:, 4], dim=3)
    side = parameters[:, 7]
    rows = _coverage(parameters[:, 5] - side / 2, side, image.shape[2])
    columns = _coverage(parameters[:, 6] - side / 2, side, image.shape[3])
    cut_out = rows[:, None, :, None] * columns[:, None, None, :]
    return image * (1 - cut_out.to(image.dtype))


def _shift(image: Tensor, share: Tensor, dim: int) -> Tensor:
    """Shift (N, C, H, W) along `dim` by `share` (N,) of its side; zeros come in."""
    size = image.shape[dim]
    offset = share * size
    whole = offset.floor()
    # One pixel more than the side is read, and each two neighbours are blended by the fraction.
    source = torch.arange(-1, size, device=image.device) - whole.long()[:, None]
    # Everything outside reads the one zero that is put before the first pixel. So no pixel is read
    # twice, and the scattered sum of the gradient has a fixed value on a GPU.
    source = torch.where((source < 0) | (source >= size), -1, source) + 1
    padding = (0, 0, 1, 0) if dim == 2 else (1, 0)
    padded = F.pad(image, padding)
    index_shape = (-1, 1, size + 1, 1) if dim == 2 else (-1, 1, 1, size + 1)
    expanded = [*image.shape[:dim], size + 1, *image.shape[dim + 1 :]]
    read = padded.gather(dim, source.reshape(index_shape).expand(expanded))
    fraction = (offset - whole).to(image.dtype)[:, None, None, None]
    return (1 - fraction) * read.narrow(dim, 1, size) + fraction * read.narrow(dim, 0, size)


def _coverage(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Share (N, size) of each of `size` cells on [0, 1] that [start, start + length] covers."""
    edges = torch.arange(size + 1, device=start.device, dtype=start.dtype) / size
    inside = edges.clamp(start[:, None], (start + length)[:, None])
    return inside.diff(dim=1) * size
