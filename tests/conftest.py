"""Small data that many tests share."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.film_cache import FilmCache, header
from provenance import sha256_of

REAL_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def nobodys_wandb() -> Iterator[None]:
    """Neither the key nor the settings for W&B of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("NETRC", os.devnull)
        yield


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
    class_names: Sequence[str] = ("background", "kidney", "tumour"),
) -> Path:
    """Write a cache by hand: bright discs (kidney) with a darker core (tumour) in noise.

    Labels past 2 are bars along the edge, in every other slice.

    Args:
        root: Folder to write.
        patients: patient -> split; default 4 train, 2 val, 2 test.
        slices: Per patient; the last one has no foreground.
        size: Side in pixels.
        seed: Of the images.
        by: The manifest's split.by.
        class_names: Of the labels 0, 1, 2 and so on; three or more.
    """
    patients = patients or {
        f"case_{i:05d}": split for i, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2)
    }
    random = np.random.default_rng(seed)
    (root / "arrays").mkdir(parents=True)
    rows, columns = np.mgrid[:size, :size]
    shards, items, labels = {}, [], range(len(class_names))
    for patient, split in patients.items():
        masks = np.zeros((slices, size, size), np.uint8)
        for row in range(slices - 1):
            centre = random.uniform(0.35, 0.65, 2) * size
            distance = np.hypot(rows - centre[0], columns - centre[1])
            masks[row][distance < size / 4] = 1
            masks[row][distance < size / 9] = 2
            for label in labels[3:] if row % 2 == 0 else ():
                masks[row, 2 * label - 5 : 2 * label - 3] = label
        images = np.array([60, 180, 120, 240, 200])[masks] + random.normal(0, 12, masks.shape)
        np.save(root / f"arrays/{patient}_image.npy", images.clip(0, 255).astype(np.uint8))
        np.save(root / f"arrays/{patient}_mask.npy", masks)
        shards[patient] = {
            "image": f"arrays/{patient}_image.npy",
            "mask": f"arrays/{patient}_mask.npy",
            "num_slices": slices,
            "sha256_image": sha256_of(root / f"arrays/{patient}_image.npy"),
            "sha256_mask": sha256_of(root / f"arrays/{patient}_mask.npy"),
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
                    "class_pixels": np.bincount(
                        masks[row].ravel(), minlength=len(class_names)
                    ).tolist(),
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
        "num_classes": len(class_names),
        "class_names": list(class_names),
        "has_images": True,
        "has_masks": True,
        "window": None,
        "split": {"by": by, "ratios": [0.7, 0.2, 0.1], "seed": 0},
        "split_id": f"test-{seed}",
        "patients": {"named_by": "source", "salt_check": None, "ids": "as_written"},
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


def write_film_cache(
    root: Path,
    patients: dict[str, str] | None = None,
    films: int = 3,
    labels: Sequence[str] | None = ("normal", "abnormal"),
    image_size: int = 32,
    stored_size: int = 34,
    channels: int = 1,
    bit_depth: int = 8,
    by: str = "patient",
    films_per_shard: int = 5,
) -> Path:
    """Write a film cache by hand: grey noise with a dark lung, and a bright disc if abnormal.

    Args:
        root: Folder to write.
        patients: patient -> split; default 4 train, 2 val, 2 test.
        films: Per patient.
        labels: Films take these in turn; "" is a film without a label, None no label column.
        image_size: Side of a crop.
        stored_size: Side of a film.
        channels: 1 or 3 stored planes.
        bit_depth: 8 or 16.
        by: The manifest's split.by.
        films_per_shard: The last shard may have fewer.
    """
    patients = patients or {
        f"patient_{i:012x}": s for i, s in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2)
    }
    owners = [patient for patient in patients for _ in range(films)]
    names = [labels[i % len(labels)] if labels else "" for i in range(len(owners))]
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[-1 : 1 : stored_size * 1j, -1 : 1 : stored_size * 1j]
    planes = [channels] if channels > 1 else []
    pictures = random.normal(0.5, 0.05, (len(owners), *planes, stored_size, stored_size))
    pictures -= 0.3 * (np.hypot(rows, abs(columns) - 0.5) < 0.4)
    for picture, name in zip(pictures, names, strict=True):
        centre = random.uniform(-0.4, 0.4, 2)
        disc = np.hypot(rows - centre[0], columns - centre[1]) < 0.3
        picture += 0.4 * disc * (name == "abnormal")
    stored = np.rint(pictures.clip(0, 1) * (2**bit_depth - 1)).astype(f"uint{bit_depth}")

    (root / "arrays").mkdir(parents=True)
    table, shards = [], []
    for start in range(0, len(owners), films_per_shard):
        part = stored[start : start + films_per_shard]
        shard = f"films_{len(shards):06d}"
        np.save(root / f"arrays/{shard}.npy", part)
        shards.append({"name": shard, "array": f"arrays/{shard}.npy", "num_films": len(part)})
        for row, film in enumerate(part):
            index = start + row
            table.append(
                {
                    "id": f"film_{index:016x}",
                    "patient_id": owners[index],
                    "split": patients[owners[index]],
                    "shard": shard,
                    "row": row,
                    "sha256": hashlib.sha256(film.tobytes()).hexdigest(),
                    **({"label:label": names[index]} if labels else {}),
                }
            )
    with open(root / "items.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, header(["label"] if labels else []))
        writer.writeheader()
        writer.writerows(table)
    classes = sorted({*(labels or ())} - {""}, key=lambda name: (name != "normal", name))
    manifest = {
        "format": FilmCache.FORMAT,
        "patients": {"named_by": "source", "salt_check": None, "ids": "as_written"},
        "format_version": FilmCache.FORMAT_VERSION,
        "dataset": "chest_xray",
        "image_size": image_size,
        "stored_size": stored_size,
        "channels": channels,
        "bit_depth": bit_depth,
        "split": {"by": by, "ratios": [0.7, 0.2, 0.1], "seed": 0},
        "split_id": f"test-{by}",
        "shards": shards,
        "labels": {"label": classes} if labels else {},
        "num_items": len(table),
        "sha256_items": sha256_of(root / "items.csv"),
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


@pytest.fixture
def film_cache() -> Callable[..., Path]:
    """`write_film_cache` for tests that need films."""
    return write_film_cache


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made from their numbers, but neither laid out nor painted, which costs the most.

    In place of their picture stands a blank one, and photographs are compressed in a hurry. For
    tests of what is said beside them.
    """
    from matplotlib.figure import Figure

    blank = io.BytesIO()
    Image.new("RGB", (8, 8)).save(blank, "png")

    def savefig(self: Figure, stream: io.BytesIO, **_: object) -> None:
        stream.write(blank.getvalue())

    monkeypatch.setattr(Figure, "savefig", savefig)
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda self: None)
    monkeypatch.setattr("studies.report.sheets._EFFORT", 0)


@pytest.fixture
def quick_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit with embeddings of a few steps, two disguises, and a generator that only repeats.

    Images are laid over each other in 3 steps instead of 14, of which the first chooses whether to
    mirror: enough for copies that are only flipped. tests/audit/test_matching.py takes all of them.
    """
    from functools import partial

    import torch

    import audit.kept_embedding
    import audit.matching
    import audit.planted
    from audit.disguises import disguises
    from audit.embedding import train_embedding

    some = {name: disguises()[name] for name in ("plain", "flipped")}
    monkeypatch.setattr(audit.planted, "disguises", lambda: some)

    def repeated(images: torch.Tensor, count: int, *_: object) -> torch.Tensor:
        return images[torch.arange(count) % len(images)]

    monkeypatch.setattr(audit.planted, "over_trained", repeated)
    monkeypatch.setattr(audit.matching, "STEPS", 3)
    monkeypatch.setattr(audit.matching, "_TRIED_STEPS", 1)
    trained = partial(train_embedding, steps=15)
    monkeypatch.setattr(audit.kept_embedding, "train_embedding", trained)
