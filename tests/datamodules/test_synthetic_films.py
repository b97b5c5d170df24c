"""Synthetic films on disk, and how they join a training split or are refused."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cards.finish import finish_synthetic_set
from datamodules import ChestXrayDataModule
from datamodules.batch_order import Draw
from datamodules.film_cache import FilmCache
from datamodules.film_dataset import collate, to_unit
from datamodules.leak_check import check_no_leak
from datamodules.synthetic import SyntheticItem, SyntheticSet
from provenance import UserError

MakeCache = Callable[..., Path]
TRAIN = [f"patient_{i:012x}" for i in range(4)]
VAL, TEST = "patient_000000000004", "patient_000000000006"


def synthetic_films(
    root: Path,
    labels: list[str | None],
    size: int = 32,
    image_format: str = "png",
    colour: bool = False,
    **generator: Any,
) -> str:
    """A set whose image number i has the grey value 10 * i + 5 everywhere."""
    (root / "images").mkdir(parents=True)
    items = []
    for number, label in enumerate(labels):
        shape = (3, size, size) if colour else (size, size)
        image, path = np.full(shape, 10 * number + 5, np.uint8), root / "images" / f"s{number}"
        if image_format == "npy":
            np.save(path.with_suffix(".npy"), image)
        else:
            Image.fromarray(np.moveaxis(image, 0, -1) if colour else image).save(f"{path}.png")
        items.append(SyntheticItem(f"s{number}", seed=number, label=label))
    made_by = {"checkpoint_sha256": "0" * 64, "training_patients": TRAIN, "images_seen": 9}
    manifest = {
        "dataset": "chest_xray", "image_size": size, "image_format": image_format, "seed": 0,
        "class_names": ["normal", "abnormal"], "generator": {**made_by, **generator},
        "versions": {"understudy": "0"},
    }  # fmt: skip
    finish_synthetic_set(root, items, manifest, "python generate.py")
    return str(root)


@pytest.mark.parametrize("image_format", ["png", "npy"])
@pytest.mark.parametrize("colour", [False, True])
def test_synthetic_films_join_the_training_by_the_name_of_their_class(
    film_cache: MakeCache, tmp_path: Path, image_format: str, colour: bool
) -> None:
    root = str(film_cache(tmp_path / "c"))
    made = synthetic_films(
        tmp_path / "s", ["abnormal", "normal"], image_format=image_format, colour=colour
    )
    data = ChestXrayDataModule(root, synthetic=made, balance="oversample")
    data.setup("fit")
    training = data._training_set
    assert len(training) == 12 + 2
    sample = training[Draw(13, 5)]
    assert (sample["label"], sample["patient_id"]) == (0, "synthetic:s1")
    assert sample["image"].shape == (1, 32, 32)
    assert sample["image"].unique().tolist() == [15]
    assert training.labels is not None
    assert Counter(training.labels.tolist()) == {0: 7, 1: 7}
    assert len(data.evaluation_loader("val").dataset) == 6  # type: ignore[arg-type]


def test_synthetic_films_take_the_depth_and_size_of_the_real_ones(
    film_cache: MakeCache, tmp_path: Path
) -> None:
    root = str(film_cache(tmp_path / "c", bit_depth=16))
    made = synthetic_films(tmp_path / "s", ["normal", "abnormal"], size=8)
    data = ChestXrayDataModule(root, synthetic=made, resolution=8)
    training = data.training_set()
    image = data.to_unit(collate([training[0], training[13]]))["image"]
    assert image.shape == (2, 1, 8, 8)
    assert image[1].unique().tolist() == [np.float32(np.float32(15 * 257) / 32767.5) - 1]


@pytest.mark.parametrize(
    ("labels", "settings", "sentence"),
    [
        (["normal", None], {}, "the image s1 has no label, but this run tells apart normal, abn"),
        (["ill"], {}, "the image s0 is labelled 'ill'"),
        (["normal"], {"size": 16}, r"images of 16 px, but this run on .* uses 32 px"),
        (["normal"], {"training_patients": [*TRAIN, VAL]}, f"trained on this patient: {VAL}"),
        (["normal"], {"training_patients": [TEST]}, "leaks 1 patient"),
        (["normal"], {"training_patients": None}, "does not say what its generator was trained on"),
    ],
)
def test_sets_that_do_not_fit_are_refused(
    film_cache: MakeCache,
    tmp_path: Path,
    labels: list[str | None],
    settings: dict[str, Any],
    sentence: str,
) -> None:
    training_patients = settings.get("training_patients", TRAIN)
    made = synthetic_films(tmp_path / "s", labels, settings.get("size", 32))
    manifest = json.loads(Path(made, "manifest.json").read_text())
    manifest["generator"]["training_patients"] = training_patients
    Path(made, "manifest.json").write_text(json.dumps(manifest))
    data = ChestXrayDataModule(str(film_cache(tmp_path / "c")), synthetic=made)
    with pytest.raises(UserError, match=sentence):
        data.setup("fit")


def test_a_run_without_labels_takes_a_set_without_labels(
    film_cache: MakeCache, tmp_path: Path
) -> None:
    made = synthetic_films(tmp_path / "s", [None])
    root = str(film_cache(tmp_path / "c"))
    data = ChestXrayDataModule(root, synthetic=made, label_column="none")
    assert len(data.training_set()) == 13
    with pytest.raises(UserError, match=r"leave out --data\.synthetic"):
        ChestXrayDataModule(root, synthetic=made, only_label="normal")


@pytest.mark.parametrize("by", ["image", "published"])
def test_a_split_by_image_is_checked_by_image(
    film_cache: MakeCache, tmp_path: Path, by: str
) -> None:
    cache = FilmCache.open(film_cache(tmp_path / "c", by=by))
    train, held_out = f"film_{0:016x}", f"film_{12:016x}"
    by_patient = SyntheticSet.open(synthetic_films(tmp_path / "a", ["normal"]))
    with pytest.raises(UserError, match="this cache is split by image"):
        check_no_leak(by_patient, cache)
    clean = synthetic_films(tmp_path / "b", ["normal"], training_items=[train])
    check_no_leak(SyntheticSet.open(clean), cache)
    leaky = synthetic_films(tmp_path / "d", ["normal"], training_items=[train, held_out])
    with pytest.raises(UserError, match=rf"leaks 1 image.*{held_out}"):
        check_no_leak(SyntheticSet.open(leaky), cache)


def test_a_set_of_slices_is_refused(film_cache: MakeCache, tmp_path: Path) -> None:
    made = Path(synthetic_films(tmp_path / "s", ["normal"]))
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["items"][0] |= {"label_item_id": "case_0/0000", "label_patient_id": "case_0"}
    (made / "manifest.json").write_text(json.dumps(manifest))
    data = ChestXrayDataModule(str(film_cache(tmp_path / "c")), synthetic=str(made))
    with pytest.raises(UserError, match="holds slices with label maps, and no films"):
        data.setup("fit")


def test_the_card_counts_labels_and_names_no_label_map(tmp_path: Path) -> None:
    synthetic_films(tmp_path / "s", ["normal", "abnormal", "normal"])
    card = (tmp_path / "s" / "README.md").read_text()
    assert "None is a picture of a patient." in card
    assert "| labels | 1 abnormal, 2 normal |" in card
    assert "label maps" not in card
    synthetic_films(tmp_path / "t", [None])
    assert "| labels |" not in (tmp_path / "t" / "README.md").read_text()


@pytest.mark.parametrize("image_format", ["png", "npy"])
def test_a_damaged_image_is_named(tmp_path: Path, image_format: str) -> None:
    made = SyntheticSet.open(
        synthetic_films(tmp_path / "s", ["normal", "normal"], image_format=image_format)
    )
    first, second = (tmp_path / f"s/images/s{i}.{image_format}" for i in range(2))
    first.write_bytes(b"not an image")
    if image_format == "npy":
        np.save(second, np.array([{}], dtype=object))
    else:
        Image.fromarray(np.zeros((32, 32), np.uint16)).save(second)
    earlier = SyntheticSet(made.root, {**made.manifest, "sha256_files": None})
    for item, path in zip(made.items, (first, second), strict=True):
        with pytest.raises(UserError, match=rf"{path}: is not what it was when the set was"):
            made.image(item)
        with pytest.raises(UserError, match=rf"{path}: cannot be read .* is damaged"):
            earlier.image(item)


def test_repeated_pixels_are_averaged_back_exactly() -> None:
    grey = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    for factor in (1, 2, 3, 5, 8):
        large = grey.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        assert torch.equal(to_unit({"image": large}, 16)["image"], grey / 127.5 - 1)
