"""A short film from one synthetic image to the next, and back to the first.

Where a generator has learnt more than its training images, all pictures in between look like
films too.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from callbacks.sample_grids import pictures_of
from lightning_modules import GAN
from lightning_modules.training import derived_seed
from provenance import UserError, whole_file

_STOPS, _FRAMES_PER_STOP = 8, 24
_FRAME_MS = 40  # a GIF counts in 10 ms
_FORMATS = {".gif": "GIF", ".png": "PNG", ".webp": "WEBP"}
_MARK = "Synthetic: made by a neural network. No frame is a picture of a patient."
_DESCRIPTION_TAG = 0x010E  # Exif's ImageDescription


def check_animation(path: Path) -> None:
    """Refuse a film that could not be written, before any work is done.

    Raises:
        UserError: An ending that is no animation's, or a file that exists.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UserError(
            f"--interpolation {path}: films are written as {', '.join(_FORMATS)}, not as "
            f"{path.suffix or 'a name without an ending'}. Give one of these; all play in a "
            "browser, and ffmpeg turns a .gif into other formats."
        )
    if path.exists():
        raise UserError(
            f"--interpolation {path}: exists. Nothing is overwritten; choose another name, or "
            "remove it first."
        )


@torch.no_grad()
def frames_between(
    module: GAN,
    seed: int,
    truncation: float = 1.0,
    stops: int = _STOPS,
    frames_per_stop: int = _FRAMES_PER_STOP,
) -> Iterator[NDArray[np.uint8]]:
    """Images on a closed way through some latents, at equal steps.

    Latents are mixed spherically, so that a mixture has the length of a latent; a straight line
    between two passes near 0, where no training latent ever was. StyleGAN2's styles have no such
    shape: they are mixed linearly, which is the smoother way there, under the noise of the first
    image, so that grain does not flicker.

    Args:
        module: The GAN; its running average makes the images.
        seed: Of the latents.
        truncation: See `GAN.synthesise`.
        stops: Latents.
        frames_per_stop: Images from one latent until before the next.

    Yields:
        stops * frames_per_stop pictures (H, W) or (H, W, 3) uint8; the first follows on the last.

    Source: White 2016, arXiv:1609.04468, for latents; Karras et al. 2019, arXiv:1812.04948, for
    styles.
    """
    generator: Any = module.averaged.network
    latents = module.latent_rows([derived_seed(seed, "interpolation", k) for k in range(stops)])
    has_styles = hasattr(generator, "mapping")
    places = generator.mapping(latents, truncation) if has_styles else latents
    for stop in range(stops):
        here, there = places[[stop]], places[[(stop + 1) % stops]]
        for frame in range(frames_per_stop):
            share = frame / frames_per_stop
            if has_styles:
                noise = generator.split_latent(latents[:1]).noise
                image = generator.synthesis(torch.lerp(here, there, share), noise).clamp(-1, 1)
            else:
                image = module.images_of(spherical(here, there, share), truncation)
            yield pictures_of(image)[0]


def spherical(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Rows (N, L) that lie `share` of the angle from `start` to `end`, both (N, L).

    For rows of equal length the result has that length too; rows in one direction are mixed
    linearly, and opposite ones have no way between them that is shorter than all others.
    """
    cosine = torch.cosine_similarity(start, end, dim=1).clamp(-1, 1)
    angle = cosine.double().acos()[:, None]
    sine = angle.sin()
    parted = sine > 1e-4
    safe = torch.where(parted, sine, torch.ones_like(sine))
    near = torch.where(parted, ((1 - share) * angle).sin() / safe, 1 - share)
    far = torch.where(parted, (share * angle).sin() / safe, share)
    return near.to(start.dtype) * start + far.to(end.dtype) * end


def save_animation(path: Path, frames: Iterable[NDArray[np.uint8]]) -> None:
    """Write frames as an endless animation, without loss; a .gif keeps 256 colours a frame.

    Args:
        path: Its ending says the format: .gif, .png (an animated PNG) or .webp.
        frames: (H, W) grey or (H, W, 3) colour, uint8; all are held until the film is written.
    """
    first, *others = map(Image.fromarray, frames)
    description = Image.Exif()
    description[_DESCRIPTION_TAG] = _MARK
    with whole_file(path) as stream:
        first.save(
            stream,
            format=_FORMATS[path.suffix.lower()],
            save_all=True,
            append_images=others,
            duration=_FRAME_MS,
            loop=0,
            lossless=True,
            exif=description,
            comment=_MARK.encode(),
        )
