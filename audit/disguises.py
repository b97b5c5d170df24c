"""Copies made on the spot, so that an audit can say which of them it would find.

Every number is about what a generator that copies, or somebody who hides copies, does to an image.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from audit.transforms import Motion, blur, move

_DARKEST = 1e-3


GENERATED = "drawn again by a generator trained on them alone"
"""The name of one more disguise, whose copies `planted.py` lets a generator make."""


def disguises() -> dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]]:
    """What may hide a copy, by name: functions of (images, others, source of randomness).

    Images are (N, 1, S, S) in [0, 1]; `others` are as many further images, for those that take a
    part of another one. All return (N, 1, S, S) in [0, 1].
    """
    return {
        "plain": lambda x, _, __: x.clone(),
        "flipped": lambda x, _, __: x.flip(3),
        "turned 5 degrees": lambda x, _, __: _moved(x, degrees=5.0),
        "cropped 10 %": lambda x, _, __: _moved(x, zoom=1 / 0.9),
        "shifted 5 %": lambda x, _, __: _moved(x, shift=0.05),
        "gamma 1.4": lambda x, _, __: x**1.4,
        "contrast 0.7, brighter": lambda x, _, __: (0.7 * x + 0.2).clamp(0, 1),
        "noise 0.1": lambda x, _, source: _noisy(x, 0.1, source),
        "noise 0.2": lambda x, _, source: _noisy(x, 0.2, source),
        "blurred": lambda x, _, __: blur(x, x.shape[-1] / 64),
        "inverted": lambda x, _, __: 1 - x,
        "all together": _all_together,
        "left half of one, right half of another": _spliced,
        "a box of text on it": lambda x, _, source: _boxed(x, source),
        "upside down": lambda x, _, __: x.flip(2),
        "turned 90 degrees": lambda x, _, __: x.rot90(1, (2, 3)),
    }


def _moved(
    images: Tensor,
    flip: bool = False,
    degrees: float = 0.0,
    zoom: float = 1.0,
    shift: float = 0.0,
) -> Tensor:
    every = images.new_ones(len(images))
    motion = Motion(
        every.bool() & flip, degrees * every, zoom * every, shift * every, shift * every
    )
    return move(images, motion).clamp(0, 1)


def _noisy(images: Tensor, deviation: float, source: torch.Generator) -> Tensor:
    noise = torch.randn(images.shape, generator=source).to(images)
    return (images + deviation * noise).clamp(0, 1)


def _all_together(images: Tensor, others: Tensor, source: torch.Generator) -> Tensor:
    moved = _moved(images, flip=True, degrees=5.0, zoom=1 / 0.9)
    return _noisy(moved.clamp_min(_DARKEST) ** 1.2, 0.05, source)


def _spliced(images: Tensor, others: Tensor, source: torch.Generator) -> Tensor:
    half = images.shape[-1] // 2
    return torch.cat([images[..., :half], others[..., half:]], 3)


def _boxed(images: Tensor, source: torch.Generator) -> Tensor:
    """A bright rectangle of 3/16 by 3/8 of the side, anywhere."""
    side = images.shape[-1]
    height, width = max(1, 3 * side // 16), max(1, 3 * side // 8)
    boxed = images.clone()
    tops = torch.randint(side - height + 1, (len(images),), generator=source).tolist()
    lefts = torch.randint(side - width + 1, (len(images),), generator=source).tolist()
    for image, top, left in zip(boxed, tops, lefts, strict=True):
        image[:, top : top + height, left : left + width] = 1.0
    return boxed
