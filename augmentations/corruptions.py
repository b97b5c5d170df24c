"""Corruptions of an image at five severities, to ask what a model stands.

After MedMNIST-C (Di Salvo et al. 2024, arXiv:2406.17536), whose values for chest films, abdominal
CT and, for two blurs, pathology are taken over. What differs: one table for all images; lengths are
shares of the side, as at MedMNIST-C's 224 px, since images here have other sizes; values are not
rounded to 8 bits, but for JPEG; the trail of motion blur reaches to both sides, so that an image
stays where its label map is; the blank square is ours, in place of artefacts of skin pictures.
Nothing moves an image, so label maps stay true.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

SEVERITIES = (1, 2, 3, 4, 5)
_SIDE = 224  # pixels of the images that the blurs' lengths are for

# Per severity: what `_APPLIED` takes.
PARAMETERS: dict[str, tuple[float | tuple[float, float], ...]] = {
    "gaussian_noise": (0.04, 0.08, 0.12, 0.18, 0.26),
    "speckle_noise": (0.05, 0.15, 0.20, 0.35, 0.45),
    "shot_noise": (60, 25, 18, 10, 5),
    "impulse_noise": (0.01, 0.03, 0.06, 0.09, 0.17),
    "gaussian_blur": (11, 13, 15, 17, 21),
    "defocus_blur": (3, 4, 5, 6, 7),
    "motion_blur": ((5, 5), (10, 5), (15, 5), (15, 8), (15, 12)),
    "brightness_up": (1.1, 1.2, 1.3, 1.4, 1.5),
    "brightness_down": (0.9, 0.8, 0.7, 0.6, 0.5),
    "contrast_up": (1.1, 1.2, 1.3, 1.4, 1.6),
    "contrast_down": (0.9, 0.8, 0.7, 0.6, 0.4),
    "gamma_up": (1.1, 1.2, 1.3, 1.4, 1.6),
    "gamma_down": (0.9, 0.8, 0.7, 0.6, 0.4),
    "pixelate": (0.70, 0.60, 0.50, 0.40, 0.35),
    "jpeg": (50, 30, 15, 10, 7),
    "occlusion": (0.02, 0.05, 0.10, 0.15, 0.20),
}
MEANINGS = {
    "gaussian_noise": "normal noise; deviation, in units of black to white",
    "speckle_noise": "normal noise times the grey value; deviation",
    "shot_noise": "Poisson noise; photons at white",
    "impulse_noise": "pixels that are black or white; share",
    "gaussian_blur": "Gaussian blur; kernel in pixels of 224",
    "defocus_blur": "mean over a disc; radius in pixels of 224",
    "motion_blur": "Gaussian trail within 45 degrees of level; reach, deviation in pixels of 224",
    "brightness_up": "factor on the grey value",
    "brightness_down": "factor on the grey value",
    "contrast_up": "factor on the distance from the image's mean",
    "contrast_down": "factor on the distance from the image's mean",
    "gamma_up": "exponent of the grey value",
    "gamma_down": "exponent of the grey value",
    "pixelate": "low resolution; share of the pixels along a side that are left",
    "jpeg": "JPEG; quality",
    "occlusion": "a black square; share of the area",
}


def corruption_generator(seed: int, content: bytes, name: str) -> np.random.Generator:
    """Source of an image's random numbers: the same for the same seed, image and corruption.

    It does not depend on the severity: noise and squares grow from one to the next.
    """
    digest = hashlib.sha256(f"{seed}/{name}/".encode() + content).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def corrupt(image: Tensor, name: str, severity: int, random: np.random.Generator) -> Tensor:
    """Corrupt one image.

    Args:
        image: (C, H, W) float32 in [0, 1] on the CPU, black to white.
        name: A key of `PARAMETERS`.
        severity: 1 to 5.
        random: See `corruption_generator`.

    Returns:
        (C, H, W) float32 in [0, 1].
    """
    return _APPLIED[name](image, PARAMETERS[name][severity - 1], random).clamp(0, 1)


def _normal(image: Tensor, random: np.random.Generator) -> Tensor:
    return torch.from_numpy(random.standard_normal(tuple(image.shape), dtype=np.float32))


def _shot(image: Tensor, photons: float, random: np.random.Generator) -> Tensor:
    counted = random.poisson(image.double().numpy() * photons) / photons
    return torch.from_numpy(counted).to(image)


def _impulse(image: Tensor, share: float, random: np.random.Generator) -> Tensor:
    chance, white = random.random((2, *image.shape), dtype=np.float32)
    values = torch.from_numpy((white < 0.5).astype(np.float32))
    return torch.where(torch.from_numpy(chance) < share, values, image)


def _gaussian_blur(image: Tensor, kernel: float, random: np.random.Generator) -> Tensor:
    deviation = (0.3 * ((kernel - 1) * 0.5 - 1) + 0.8) * image.shape[-1] / _SIDE  # torchvision's
    reach = min(math.ceil(3 * deviation), min(image.shape[-2:]) - 1)
    return transform.gaussian_blur(image, [2 * reach + 1] * 2, [deviation] * 2)


def _defocus(image: Tensor, radius: float, random: np.random.Generator) -> Tensor:
    radius *= image.shape[-1] / _SIDE
    reach, parts = math.ceil(radius), 8
    # Each pixel of the kernel is the share of it that the disc covers, by 8 x 8 points.
    points = (torch.arange((2 * reach + 1) * parts) + 0.5) / parts - reach - 0.5
    disc = (points[:, None] ** 2 + points**2 <= radius**2).float()
    kernel = F.avg_pool2d(disc[None, None], parts)[0, 0]
    return _filtered(image, kernel)


def _motion(
    image: Tensor, reach_and_deviation: tuple[float, float], random: np.random.Generator
) -> Tensor:
    scale = image.shape[-1] / _SIDE
    reach, deviation = (value * scale for value in reach_and_deviation)
    angle = math.radians(random.uniform(-45, 45))
    steps = torch.linspace(-reach, reach, 8 * math.ceil(reach) + 1)
    weights = torch.exp(-(steps**2) / (2 * deviation**2))
    half = math.ceil(reach) + 1
    kernel = torch.zeros(2 * half + 1, 2 * half + 1)
    # A point of the trail counts for the four pixels around it.
    down, right = steps * math.sin(angle) + half, steps * math.cos(angle) + half
    for below in (0, 1):
        for beside in (0, 1):
            rows, columns = down.floor() + below, right.floor() + beside
            near = (1 - (down - rows).abs()) * (1 - (right - columns).abs())
            kernel.index_put_((rows.long(), columns.long()), weights * near, accumulate=True)
    return _filtered(image, kernel)


def _filtered(image: Tensor, kernel: Tensor) -> Tensor:
    """The image under a kernel of odd sides, scaled to sum 1; its border goes on outside."""
    rows, columns = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = F.pad(image[None], (columns, columns, rows, rows), mode="replicate")[0]
    weight = (kernel / kernel.sum())[None, None]
    return F.conv2d(padded[:, None], weight)[:, 0]


def _pixelate(image: Tensor, share: float, random: np.random.Generator) -> Tensor:
    height, width = image.shape[-2:]
    small = (max(1, int(height * share)), max(1, int(width * share)))
    coarse = F.interpolate(image[None], size=small, mode="area")
    return F.interpolate(coarse, size=(height, width), mode="nearest-exact")[0]


def _jpeg(image: Tensor, quality: float, random: np.random.Generator) -> Tensor:
    levels = (image * 255).round().to(torch.uint8)
    return transform.jpeg(levels, int(quality)).to(image) / 255


def _occlude(image: Tensor, share: float, random: np.random.Generator) -> Tensor:
    height, width = image.shape[-2:]
    rows, columns = (round(side * math.sqrt(share)) for side in (height, width))
    down, right = random.random(2)
    top, left = round(down * (height - rows)), round(right * (width - columns))
    covered = image.clone()
    covered[:, top : top + rows, left : left + columns] = 0
    return covered


def _brightness(image: Tensor, factor: float, random: np.random.Generator) -> Tensor:
    return transform.adjust_brightness(image, factor)


def _contrast(image: Tensor, factor: float, random: np.random.Generator) -> Tensor:
    return transform.adjust_contrast(image, factor)


def _gamma(image: Tensor, exponent: float, random: np.random.Generator) -> Tensor:
    return transform.adjust_gamma(image, exponent)


_APPLIED: dict[str, Callable[..., Tensor]] = {
    "gaussian_noise": lambda image, width, random: image + width * _normal(image, random),
    "speckle_noise": lambda image, width, random: image * (1 + width * _normal(image, random)),
    "shot_noise": _shot,
    "impulse_noise": _impulse,
    "gaussian_blur": _gaussian_blur,
    "defocus_blur": _defocus,
    "motion_blur": _motion,
    "brightness_up": _brightness,
    "brightness_down": _brightness,
    "contrast_up": _contrast,
    "contrast_down": _contrast,
    "gamma_up": _gamma,
    "gamma_down": _gamma,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
    "occlusion": _occlude,
}
