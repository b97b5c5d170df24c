"""Lesion infilling: what lies outside of the region keeps its bits, whatever the precision."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datamodules import KiTS19DataModule
from display.tensor_images import image_arrays
from lightning_modules import LesionInfilling
from lightning_modules.conditional.lesion_placement import Placing, dilated
from networks import MultiScalePatchDiscriminator, Pix2PixGenerator
from provenance import UserError
from tests.training_runs import cpu_trainer

CLASSES = ("background", "kidney", "tumour")


def infilling(**settings: Any) -> LesionInfilling:
    torch.manual_seed(0)
    given = {"image_size": 64, "num_classes": 3, "class_names": CLASSES, "window": 32, **settings}
    return LesionInfilling(
        generator=partial(Pix2PixGenerator, width=4, pixel_noise=True, noise_channels=2),
        discriminator=partial(MultiScalePatchDiscriminator, width=4, num_layers=1),
        **given,
    )


def slices() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three slices as a cache has them, wished label maps, and regions at an edge and inside."""
    pixels = torch.randint(0, 256, (3, 1, 64, 64), generator=torch.Generator().manual_seed(1))
    rows, columns = np.mgrid[:64, :64]
    region, wish = np.zeros((3, 64, 64), bool), np.zeros((3, 64, 64), np.int64)
    for index, (row, column) in enumerate([(4, 60), (30, 30), (50, 20)]):
        lesion = np.hypot(rows - row, columns - column) < 6
        wish[index][lesion] = 2
        region[index] = dilated(lesion, 4)
    return pixels, torch.from_numpy(wish), torch.from_numpy(region)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float64])
def test_outside_of_the_region_every_bit_stays(precision: torch.dtype) -> None:
    module = infilling().to(precision).eval()
    pixels, wish, region = slices()
    image = pixels.float() / 127.5 - 1
    filled = module.infill(image, wish, region, [1, 2, 3])
    outside = ~region.unsqueeze(1)
    assert filled.dtype == image.dtype
    assert torch.equal(filled[outside].view(torch.int32), image[outside].view(torch.int32))
    assert (filled != image)[~outside].float().mean() > 0.95
    exported = torch.from_numpy(image_arrays(filled)).unsqueeze(1)
    assert torch.equal(exported[outside].long(), pixels[outside])


def test_half_precision_images_keep_their_bits_too() -> None:
    module = infilling().eval()
    pixels, wish, region = slices()
    image = (pixels.float() / 127.5 - 1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        filled = module.infill(image, wish, region, [1, 2, 3])
    outside = ~region.unsqueeze(1)
    assert filled.dtype == torch.bfloat16
    assert torch.equal(filled[outside].view(torch.int16), image[outside].view(torch.int16))


def test_an_image_depends_on_its_seed_alone_and_on_its_wish() -> None:
    module = infilling().double().eval()
    pixels, wish, region = slices()
    image = pixels.double() / 127.5 - 1
    together = module.infill(image, wish, region, [1, 2, 3])
    alone = module.infill(image[1:2], wish[1:2], region[1:2], [2])
    assert (together[1:2] - alone).abs().max() < 1e-12
    other = module.infill(image[1:2], wish[1:2], region[1:2], [5])
    healthy = module.infill(image[1:2], wish[1:2] * 0, region[1:2], [2])
    assert (other - alone).abs().max() > 1e-6
    assert (healthy - alone).abs().max() > 1e-6
    # What was in the region is not seen: only so is it painted anew.
    erased = torch.where(region.unsqueeze(1), torch.rand_like(image), image)
    same = module.infill(erased, wish, region, [1, 2, 3])
    assert torch.equal(same[region.unsqueeze(1)], together[region.unsqueeze(1)])


def test_a_region_larger_than_the_window_is_refused() -> None:
    pixels, wish, _ = slices()
    image = pixels.float() / 127.5 - 1
    with pytest.raises(ValueError, match="larger than the window of 32 px"):
        infilling().infill(image, wish, torch.ones(3, 64, 64, dtype=torch.bool), [1, 2, 3])


def train(module: LesionInfilling, cache: Path, **trainer: Any) -> LesionInfilling:
    settings: dict[str, Any] = {"precision": "64-true", "max_steps": -1, **trainer}
    cpu_trainer(2, **settings).fit(module, datamodule=KiTS19DataModule(str(cache), batch_size=6))
    return module


def small(**settings: Any) -> LesionInfilling:
    return infilling(image_size=32, window=None, **settings)


def test_micro_batches_do_not_change_the_result(small_cache: Path) -> None:
    start = small()
    whole, cut = (train(small(micro_batches=n), small_cache) for n in (1, 4))
    for name in ("generator", "discriminator"):
        pairs = list(
            zip(*(getattr(m, name).parameters() for m in (whole, cut, start)), strict=True)
        )
        assert max(float((a - b).detach().abs().max()) for a, b, _ in pairs) < 1e-10
        assert max(float((a - c).detach().abs().max()) for a, _, c in pairs) > 1e-5
    for name, value in whole.reported.items():
        assert cut.reported[name] == pytest.approx(value, rel=1e-6), name
    assert {"train/l1", "train/l1_border", "train/feature_matching"} <= whole.reported.keys()


def test_half_precision_trains(small_cache: Path) -> None:
    module = train(small(), small_cache, precision="bf16-mixed")
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in module.parameters())
    assert all(np.isfinite(value) for value in module.reported.values())


def test_what_is_erased_is_a_lesion_or_a_healthy_place_of_a_lesions_shape() -> None:
    rows, columns = np.mgrid[:64, :64]
    labels = np.zeros((64, 64), np.uint8)
    labels[np.hypot(rows - 30, columns - 16) < 10] = 1
    labels[np.hypot(rows - 30, columns - 46) < 11] = 1
    labels[np.hypot(rows - 22, columns - 14) < 6] = 2
    shapes = [np.ones((7, 7), bool)]
    for share, is_lesion in ((0.0, True), (1.0, False)):
        module = infilling(healthy_share=share, placing=Placing(0.1, 0.2))
        module.shapes = shapes
        for seed in range(10):
            erased = module.drawn(labels, np.random.default_rng(seed))
            assert (labels[erased] == (2 if is_lesion else 1)).all()
    module = infilling()
    module.shapes = shapes
    nothing = module.drawn(np.zeros((64, 64), np.uint8), np.random.default_rng(0))
    assert nothing.sum() == 64  # a square of a quarter of the window


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"lesion": "cyst"}, "--model.lesion cyst: expected two different classes"),
        ({"organ": "tumour"}, "--model.lesion tumour: expected two different classes"),
        ({"window": 128}, "--model.window is 128"),
        ({"margin": 16}, "more than twice the margin of 16"),
        ({"margin": 0}, "--model.margin is 0"),
        ({"healthy_share": 2.0}, "--model.healthy_share is 2.0"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        infilling(**settings)
