"""Registration finds motions that are known, and never makes things worse."""

import torch
from torch import Tensor

from audit.registration import register
from audit.transforms import Motion, blur, move, warp


def textures(count: int, side: int = 48) -> Tensor:
    """Smooth random images, none like another."""
    noise = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(0))
    return blur(noise, 2.0)


def of_each(count: int, **values: float) -> Motion:
    every = torch.ones(count)
    named = {"degrees": 0.0, "zoom": 1.0, "shift_x": 0.0, "shift_y": 0.0, **values}
    return Motion(every < 0, **{key: value * every for key, value in named.items()})


IDENTITY = torch.eye(2, 3)


def test_a_known_motion_is_recovered_whatever_the_brightness() -> None:
    images = textures(6)
    motion = of_each(6, degrees=5.0, zoom=1.08, shift_x=0.03, shift_y=-0.02)
    templates = 0.4 * move(images, motion) + 0.3
    correlation, found = register(images, templates, IDENTITY.repeat(6, 1, 1))
    torch.testing.assert_close(found, motion.matrices(), atol=5e-3, rtol=0)
    assert (correlation > 0.999).all()


def test_the_reported_correlation_is_that_of_the_reported_motion() -> None:
    images, templates = textures(5), textures(10)[5:]
    correlation, found = register(images, templates, IDENTITY.repeat(5, 1, 1))
    moved = warp(images, found)
    for value, one, other in zip(correlation, moved, templates, strict=True):
        pearson = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
        torch.testing.assert_close(value, pearson, atol=1e-5, rtol=0)


def test_correlation_never_falls_below_that_of_the_start_and_grows_with_steps() -> None:
    images, templates = textures(16)[:8], textures(16)[8:]
    start = IDENTITY.repeat(8, 1, 1)
    values = [register(images, templates, start, steps)[0] for steps in (0, 3, 14)]
    assert (values[1] >= values[0]).all()
    assert (values[2] >= values[1]).all()


def test_constant_images_correlate_with_nothing() -> None:
    grey = torch.full((2, 1, 48, 48), 0.5)
    correlation, found = register(grey, textures(2), IDENTITY.repeat(2, 1, 1))
    assert correlation.abs().max() < 1e-3
    assert torch.isfinite(found).all()
