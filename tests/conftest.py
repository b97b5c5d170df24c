"""Small data that many tests share."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

REAL_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real images beside the project, where there are any."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real data at ../shared/data")
    return REAL_DATA


def write_cache(
    root: Path,
    patients: dict[str, str] | None = None,
    slices: int = 4,
    size: int = 32,
    seed: int = 0,
    by: str = "patient",
) -> Path:
    """Write a cache by hand: bright discs (kidney) with a darker core (tumour) in noise.

    Args:
        root: Folder to write.
        patients: patient -> split; default 4 train, 2 val, 2 test.
        slices: Per patient; the last one has no foreground.
        size: Side in pixels.
        seed: Of the images.
        by: The manifest's split.by.
    """
    patients = patients or {
        f"case_{i:05d}": split for i, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2)
    }
    random = np.random.default_rng(seed)
    (root / "arrays").mkdir(parents=True)
    rows, columns = np.mgrid[:size, :size]
    shards, items = {}, []
    for patient, split in patients.items():
        masks = np.zeros((slices, size, size), np.uint8)
        for row in range(slices - 1):
            centre = random.uniform(0.35, 0.65, 2) * size
            distance = np.hypot(rows - centre[0], columns - centre[1])
            masks[row][distance < size / 4] = 1
            masks[row][distance < size / 9] = 2
        images = np.array([60, 180, 120])[masks] + random.normal(0, 12, masks.shape)
        np.save(root / f"arrays/{patient}_image.npy", images.clip(0, 255).astype(np.uint8))
        np.save(root / f"arrays/{patient}_mask.npy", masks)
        shards[patient] = {
            "image": f"arrays/{patient}_image.npy",
            "mask": f"arrays/{patient}_mask.npy",
            "num_slices": slices,
        }
        for row in range(slices):
            items.append(
                {
                    "id": f"{patient}/{row:04d}",
                    "patient_id": patient,
                    "split": split,
                    "shard": patient,
                    "row": row,
                    "slice_index": row,
                    "class_pixels": np.bincount(masks[row].ravel(), minlength=3).tolist(),
                    "pixel_spacing_mm": [2.0, 2.0],
                    "slice_spacing_mm": 3.0,
                }
            )
    manifest = {
        "format": "understudy-cache",
        "format_version": 1,
        "dataset": "test",
        "software_version": "0",
        "image_size": size,
        "num_classes": 3,
        "class_names": ["background", "kidney", "tumour"],
        "has_images": True,
        "has_masks": True,
        "window": None,
        "split": {"by": by, "ratios": [0.7, 0.2, 0.1], "seed": 0},
        "split_id": f"test-{seed}",
        "shards": shards,
        "items": items,
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


@pytest.fixture
def make_cache() -> Callable[..., Path]:
    """`write_cache` for tests that need a cache of their own."""
    return write_cache


@pytest.fixture(scope="session")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patients, four slices of 32 px each; read only."""
    return write_cache(tmp_path_factory.mktemp("cache") / "small")
