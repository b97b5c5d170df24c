"""Augmented samples of slices and films: the same whoever loads them and wherever it is done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from datamodules import ChestXrayDataModule, KiTS19DataModule
from datamodules.cached_datamodule import CachedDataModule
from provenance import UserError

MakeCache = Callable[..., Path]
POLICY = [
    {"rotation": {"probability": 0.5}},
    "elastic",
    {"noise": {"max_share": 0.5}},
    {"horizontal_flip": {"probability": 0.5}},
]


def batches(data: CachedDataModule, workers: int = 0, done: int = 0) -> list[dict[str, Any]]:
    """Two batches as the network gets them, from the step that is due."""
    data.setup("fit")
    order = data._order(lambda: done)
    loader: Any = DataLoader(
        data._training_set, batch_sampler=order, collate_fn=data.collate, num_workers=workers
    )
    found = []
    for batch, _ in zip(loader, range(2), strict=False):
        found.append(data.to_unit(batch))
    return found


def equal(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> bool:
    return all(
        torch.equal(one["image"], two["image"])
        and ("mask" not in one or torch.equal(one["mask"], two["mask"]))
        for one, two in zip(first, second, strict=True)
    )


@pytest.fixture(params=["slices", "films"])
def opened(
    request: pytest.FixtureRequest, small_cache: Path, film_cache: MakeCache, tmp_path: Path
) -> Callable[..., CachedDataModule]:
    """Make a datamodule of slices, or of films of 16 bits at half their resolution."""
    if request.param == "slices":
        return lambda **how: KiTS19DataModule(str(small_cache), batch_size=4, **how)
    films = str(film_cache(tmp_path / "films", bit_depth=16))
    return lambda **how: ChestXrayDataModule(films, batch_size=4, resolution=16, **how)


def test_workers_device_and_a_resume_change_no_bit(opened: Callable[..., Any]) -> None:
    whole = batches(opened(augmentation=POLICY))
    assert equal(whole, batches(opened(augmentation=POLICY)))
    assert equal(whole, batches(opened(augmentation=POLICY), workers=2))
    assert equal(whole, batches(opened(augmentation=POLICY, augment_on="device")))
    assert equal(whole[1:], batches(opened(augmentation=POLICY), done=1)[:1])
    assert not equal(whole, batches(opened(augmentation=POLICY, seed=1)))
    plain = batches(opened())
    assert [one["id"] for one in plain] == [one["id"] for one in whole]
    for one, two in zip(plain, whole, strict=True):
        assert one["image"].shape == two["image"].shape
        assert one["image"].dtype == two["image"].dtype == torch.float32
        assert set(one) == set(two)
        assert two["image"].abs().max() <= 1
        assert not torch.equal(one["image"], two["image"])
        if "mask" in one:
            assert one["mask"].dtype == two["mask"].dtype
            assert set(two["mask"].unique().tolist()) <= {0, 1, 2}


def test_evaluation_is_never_augmented(opened: Callable[..., Any]) -> None:
    plain, augmented = opened(), opened(augmentation=POLICY)
    for split in ("val", "test"):
        one, two = plain.evaluation_set(split), augmented.evaluation_set(split)
        assert len(one) == len(two) > 0
        assert all(torch.equal(one[k]["image"], two[k]["image"]) for k in range(len(one)))


def test_images_that_stand_in_for_synthetic_ones_are_augmented_too(small_cache: Path) -> None:
    data = KiTS19DataModule(str(small_cache), augmentation=POLICY)
    assert data.real_set().of_real(np.array([0, 0])).augmentation == data.policy


def test_grey_films_of_three_channels_are_augmented_alike_in_each(
    film_cache: MakeCache, tmp_path: Path
) -> None:
    root = str(film_cache(tmp_path / "films"))
    data = ChestXrayDataModule(root, batch_size=4, channels=3, augmentation=POLICY)
    image = batches(data)[0]["image"]
    assert image.shape[1] == 3
    assert torch.equal(image[:, 0], image[:, 2])
    with pytest.raises(UserError, match="channel_shuffle: changes the order of channels"):
        ChestXrayDataModule(root, channels=3, augmentation=["channel_shuffle"])
