"""Controls made on the spot: what is rebuilt, from what, and what a generator repeats."""

import numpy as np
import pytest
import torch

import audit.rebuilding
from audit.disguises import GENERATED
from audit.images import AuditedSets, Images
from audit.planted import plant
from audit.rebuilding import Rebuilding, over_trained


def images(count: int, seed: int, side: int = 32) -> torch.Tensor:
    """Smooth random pictures, (N, 1, S, S) uint8."""
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 6, 6, generator=source)
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return (255 * fine.clamp(0, 1)).byte()


def of(pixels: torch.Tensor, name: str) -> Images:
    names = [f"{name} {row}" for row in range(len(pixels))]
    return Images(pixels, names, [f"of {one}" for one in names])


def test_rebuilding_is_the_projection_on_the_first_components() -> None:
    pixels = images(300, 0)
    rebuilding = Rebuilding(pixels, 0)
    assert rebuilding.number == 100
    points = pixels.flatten(1).double().numpy() / 255
    centred = points - points.mean(0)
    _, _, components = np.linalg.svd(centred, full_matrices=False)
    expected = points.mean(0) + centred @ components[:100].T @ components[:100]
    found = rebuilding(pixels.float() / 255).flatten(1).numpy()
    assert np.abs(found - expected.clip(0, 1)).max() < 0.02
    assert torch.equal(Rebuilding(pixels, 0)(pixels.float()), rebuilding(pixels.float()))


def test_few_images_are_not_rebuilt_from_as_many_components() -> None:
    rebuilding = Rebuilding(images(40, 0), 0)
    assert rebuilding.number == 20
    held_out = images(30, 1).float() / 255
    assert (rebuilding(held_out) - held_out).abs().mean() > 0.02


def test_a_generator_repeats_what_it_was_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit.rebuilding, "STEPS", 100)
    seen = images(4, 0).float() / 255
    before = torch.get_rng_state()
    steps: list[int] = []
    made = over_trained(seen, 6, 0, steps.append)
    assert sum(steps) == 100
    assert torch.equal(torch.get_rng_state(), before)
    assert made.shape == (6, 1, 32, 32)
    distances = torch.cdist(made.flatten(1), seen.flatten(1))
    assert distances.argmin(1).tolist() == [0, 1, 2, 3, 0, 1]
    assert not torch.equal(made[0], made[4])  # the same image, not the same copy


def test_every_kind_of_copy_is_of_the_image_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit.rebuilding, "STEPS", 2)
    training, held_out = of(images(80, 0), "training"), of(images(40, 1), "held out")
    sets = AuditedSets(training, held_out, held_out, torch.full((40,), -1))
    copies, rebuilt = plant(sets, 60, 3)
    assert len(copies) == 18
    assert {len(one.pixels) for one in copies.values()} == {60}
    assert torch.equal(copies["plain"].pixels, training.pixels[copies["plain"].source])
    of_generator = copies[GENERATED].source
    assert of_generator[:50].tolist() == copies["plain"].source[:50].tolist()
    assert of_generator[50:].tolist() == of_generator[:10].tolist()
    by_components = copies["rebuilt from 40 principal components"]
    distance = torch.cdist(
        by_components.pixels.flatten(1).float(), training.pixels.flatten(1).float()
    )
    assert distance.argmin(1).tolist() == by_components.source.tolist()
    assert rebuilt.what == "held-out images rebuilt from 40 principal components"
    assert set(rebuilt.patients) <= set(held_out.patients)
    assert len(rebuilt.pixels) == len(rebuilt.patients) == 60
