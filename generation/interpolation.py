"""An animation that leads from one synthetic image to the next, and back to the first.

Where a generator has learnt more than its training images, all images in between look like films
(radiographs) too.
"""

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from display.tensor_images import image_arrays
from lightning_modules import GAN
from lightning_modules.step.seeds import derived_seed
from networks.generator import StyleGenerator
from provenance import UserError, whole_file
from synthetic_marks import NOTICE, png_info, xmp

_STOPS, _FRAMES_PER_STOP = 8, 24
_FRAME_MS = 40  # a GIF counts in 10 ms
_FORMATS = {".gif": "GIF", ".png": "PNG", ".webp": "WEBP"}
_VIDEO = ".mp4"
_DESCRIPTION_TAG = 0x010E  # Exif's ImageDescription


def check_animation(path: Path) -> None:
    """Refuse an animation that could not be written, before any work is done.

    Raises:
        UserError: An ending that is no animation's, a video without ffmpeg, or a file that exists.
    """
    if path.suffix.lower() not in (*_FORMATS, _VIDEO):
        raise UserError(
            f"--interpolation {path}: animations are written as {', '.join(_FORMATS)} or {_VIDEO}, "
            f"not as {path.suffix or 'a name without an ending'}. Give one of these."
        )
    if path.suffix.lower() == _VIDEO and shutil.which("ffmpeg") is None:
        raise UserError(
            f"--interpolation {path}: {_VIDEO} is written by the program ffmpeg, which is not on "
            f"this machine's PATH. Install it, or give {', '.join(_FORMATS)}, which need nothing "
            "and play in a browser."
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
    """Images on a closed path through some latents, at equal steps.

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
    generator = module.averaged_generator()
    latents = module.latent_rows([derived_seed(seed, "interpolation", k) for k in range(stops)])
    if isinstance(generator, StyleGenerator):
        points, noise = generator.mapping(latents, truncation), generator.noise_of(latents[:1])
    else:
        points, noise = latents, None
    for stop in range(stops):
        start, end = points[[stop]], points[[(stop + 1) % stops]]
        for frame in range(frames_per_stop):
            share = frame / frames_per_stop
            if isinstance(generator, StyleGenerator):
                image = generator.synthesis(torch.lerp(start, end, share), noise).clamp(-1, 1)
            else:
                image = module.images_of(spherical(start, end, share), truncation)
            yield image_arrays(image)[0]


def spherical(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Rows (N, L) that lie `share` of the angle from `start` to `end`, both (N, L).

    For rows of equal length the result has that length too; rows in one direction are mixed
    linearly, and opposite ones have no shortest path between them.
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

    A video has losses, as videos have; the machine's own ffmpeg makes it, since the packages that
    bring one carry encoders under the GPL.

    Args:
        path: Its ending says the format: .gif, .png (an animated PNG), .webp or .mp4.
        frames: (H, W) grey or (H, W, 3) colour, uint8; but for a video all are held until the
            animation is written.

    Raises:
        UserError: ffmpeg failed; the message has its last line.
    """
    if path.suffix.lower() == _VIDEO:
        _save_video(path, frames)
        return
    first, *others = map(Image.fromarray, frames)
    description = Image.Exif()
    description[_DESCRIPTION_TAG] = NOTICE
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
            comment=NOTICE.encode(),
            xmp=xmp(),
            pnginfo=png_info(),
        )


def _save_video(path: Path, frames: Iterable[NDArray[np.uint8]]) -> None:
    """Hand frames to ffmpeg one by one; the file appears when it is whole."""
    frames = iter(frames)
    first = next(frames)
    height, width = first.shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".video") as folder:
        made, said = Path(folder, "animation.mp4"), Path(folder, "said.txt")
        command = ["ffmpeg", "-loglevel", "error", "-nostdin", "-f", "rawvideo"]
        command += ["-pixel_format", "gray" if first.ndim == 2 else "rgb24"]
        command += ["-video_size", f"{width}x{height}", "-framerate", f"{1000 // _FRAME_MS}"]
        # Players want even sides and 4:2:0; odd sides get a black line.
        command += ["-i", "-", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2,format=yuv420p"]
        command += ["-movflags", "+faststart", "-metadata", f"comment={NOTICE}", str(made)]
        with open(said, "wb") as errors:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors)
            assert process.stdin is not None
            try:
                for frame in itertools.chain([first], frames):
                    process.stdin.write(np.ascontiguousarray(frame).tobytes())
                process.stdin.close()
            except BrokenPipeError:  # it ended by itself, and says why
                pass
            failed = process.wait() != 0
        if failed or not made.is_file():
            told = said.read_text(errors="replace").strip().splitlines() or ["no reason given"]
            raise UserError(
                f"--interpolation {path}: ffmpeg could not write it ({told[-1]}). Give a .webp, "
                "which needs no ffmpeg."
            )
        made.replace(path)
