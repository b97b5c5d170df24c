"""Code in every file that others may hand to somebody: a pickle, or a YAML that makes objects.

A pickle runs whatever it names when it is read. It is put in the place of every kind of binary file
that is read here; a tag that calls a function into every YAML. Settings that name classes, which
`test_foreign_checkpoints.py` and `test_foreign_config.py` plant, and pictures that start programs,
pipes, links and huge headers, which `test_foreign_folders.py` has, are not repeated.
"""

import atexit
import json
import os
import pickle
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch

import prepare
from audit.kept_embedding import _kept as kept_embedding
from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import FORMAT, SyntheticSet
from evaluation.classification.comparison import read_evaluation
from exporting.command import generator as hand_on
from foreign_text import configuration_of
from lightning_modules.loading import load_module
from metrics.extractor import read_state_dict
from metrics.kept_features import kept_features
from networks.encoder_weights import read_weights
from provenance import UserError, sha256_of, write_checked_json
from studies.run.folder import StudyFolder, load_study
from studies.run.records import read_record
from studies.specification.read import load_specification
from tests.conftest import write_cache, write_film_cache
from tests.exporting.checkpoints import gan, written


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def as_pickle(path: Path, planted: Planted) -> None:
    path.write_bytes(pickle.dumps(planted))


def as_torch_file(path: Path, planted: Planted) -> None:
    with open(path, "wb") as stream:
        torch.save({"state_dict": {"a": torch.zeros(2)}, "more": planted}, stream)


def as_old_torch_file(path: Path, planted: Planted) -> None:
    with open(path, "wb") as stream:
        torch.save({"a": planted}, stream, _use_new_zipfile_serialization=False)


def as_array(path: Path, planted: Planted) -> None:
    with open(path, "wb") as stream:
        np.save(stream, np.array([[planted]], dtype=object), allow_pickle=True)


def as_arrays(path: Path, planted: Planted) -> None:
    with open(path, "wb") as stream:
        np.savez(stream, **{"train_images": np.array([planted], dtype=object)})  # type: ignore[arg-type]


Plant = Callable[[Path, Planted], None]
PLANTS = (as_pickle, as_torch_file, as_old_torch_file, as_array, as_arrays)


def in_slices(root: Path, plant: Callable[[Path], None]) -> Any:
    write_cache(root, {"a": "train"})
    plant(root / "arrays/a_image.npy")
    cache = SliceCache.open(root)
    cache.manifest["shards"]["a"].pop("sha256_image")  # whoever plants writes its hash too
    return cache.image(cache.items[0])


def in_pixel_hashes(root: Path, plant: Callable[[Path], None]) -> Any:
    write_cache(root, {"a": "train"})
    plant(root / "pixel_hashes.npy")
    entry = {"file": "pixel_hashes.npy", "sha256": sha256_of(root / "pixel_hashes.npy")}
    manifest = json.loads((root / "manifest.json").read_text())
    write_checked_json(root / "manifest.json", {**manifest, "pixel_hashes": entry | {"unknown": 0}})
    return open_cache(root).pixel_hashes


def in_films(root: Path, plant: Callable[[Path], None]) -> Any:
    write_film_cache(root, {"a": "train"})
    plant(root / "arrays/films_000000.npy")
    return FilmCache.open(root).image(0)


def in_a_set(root: Path, plant: Callable[[Path], None], image_format: str) -> Any:
    (root / "images").mkdir(parents=True)
    suffix = {"nifti": "nii.gz", "dicom": "dcm"}.get(image_format, image_format)
    plant(root / f"images/one.{suffix}")
    items = [{"id": "one", "seed": 0}]
    content = {"format": FORMAT, "image_size": 8, "image_format": image_format, "items": items}
    write_checked_json(root / "manifest.json", content)
    made = SyntheticSet.open(root)
    return made.image(made.items[0])


def in_a_checkpoint(root: Path, plant: Callable[[Path], None]) -> Any:
    root.mkdir()
    plant(root / "best.ckpt")
    (root / "best.ckpt.sha256").write_text(f"{sha256_of(root / 'best.ckpt')}  best.ckpt\n")
    return load_module(root / "best.ckpt")


def in_a_generators_folder(root: Path, plant: Callable[[Path], None]) -> Any:
    shutil.copytree(_generators_folder(), root)
    weights, told = root / "generator.safetensors", root / "generator.json"
    plant(weights)
    content = json.loads(told.read_text()) | {"weights_sha256": sha256_of(weights)}
    told.write_text(json.dumps(content))
    return load_module(root)


@cache
def _generators_folder() -> Path:
    root = Path(mkdtemp())
    atexit.register(shutil.rmtree, root)
    hand_on(checkpoint=written(root / "best.ckpt", gan("DCGAN")), out=root / "folder")
    return root / "folder"


def at(name: str, read: Callable[[Path], Any]) -> Callable[[Path, Callable[[Path], None]], Any]:
    """A reader of one file of this name."""

    def planted_there(root: Path, plant: Callable[[Path], None]) -> Any:
        root.mkdir()
        plant(root / name)
        return read(root / name)

    return planted_there


def medmnist(path: Path) -> Any:
    words = ["image_folder", "--source", str(path), "--out", str(path.parent / "out")]
    return prepare.main([*words, "--image-size", "28"])


PLACES: dict[str, Callable[[Path, Callable[[Path], None]], Any]] = {
    "cache_of_slices": in_slices,
    "pixel_hashes": in_pixel_hashes,
    "cache_of_films": in_films,
    **{
        f"set_{kind}": lambda root, plant, kind=kind: in_a_set(root, plant, kind)  # type: ignore[misc]
        for kind in ("png", "npy", "nifti", "dicom")
    },
    "checkpoint": in_a_checkpoint,
    "generators_folder": in_a_generators_folder,
    "encoder_weights": at("encoder.pth", read_weights),
    "encoder_weights_safetensors": at("encoder.safetensors", read_weights),
    "extractor_weights": at("inception.pth", read_state_dict),
    "kept_features": at("features.npz", lambda path: kept_features(path, 1)),
    "audit_embedding": at("embedding.safetensors", kept_embedding),
    "medmnist": at("pneumoniamnist.npz", medmnist),
    "evaluation": at("evaluation.json", lambda path: read_evaluation(path.parent, ["a"])),
    "study": at("study.json", lambda path: load_study(StudyFolder(path.parent))),
    "record_of_a_cell": at("cell.json", read_record),
}


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("place", PLACES)
def test_a_pickle_is_never_opened(place: str, plant: Plant, tmp_path: Path) -> None:
    mark, told = tmp_path / "it_ran", ""
    found = None
    try:
        found = PLACES[place](tmp_path / "received", lambda path: plant(path, Planted(mark)))
    except (UserError, ValueError) as refusal:  # ValueError: of weights, worded by their verbs
        told = str(refusal)
    assert not mark.exists()
    assert found is None  # refused, or made anew
    assert not told or "received" in told or "pneumoniamnist.npz" in told


def test_the_plants_would_run(tmp_path: Path) -> None:
    for number, plant in enumerate((as_pickle, as_torch_file, as_old_torch_file)):
        path, mark = tmp_path / f"{number}.bin", tmp_path / f"it_ran_{number}"
        plant(path, Planted(mark))
        if plant is as_pickle:
            pickle.loads(path.read_bytes())  # noqa: S301 - made a line before
        else:
            torch.load(path, weights_only=False)
        assert mark.is_dir()
    for name, plant in {"a.npy": as_array, "a.npz": as_arrays}.items():
        plant(tmp_path / name, Planted(tmp_path / name.replace(".", "_")))
        found = np.load(tmp_path / name, allow_pickle=True)
        assert found["train_images"] is not None if name == "a.npz" else found is not None
        assert (tmp_path / name.replace(".", "_")).is_dir()


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.mkdir [{mark!r}]",
        "!!python/object/new:os.mkdir [{mark!r}]",
        "!!python/object/apply:subprocess.call [[mkdir, {mark!r}]]",
        "!!python/name:os.mkdir ''",
        "!!python/module:planted ''",
    ],
)
@pytest.mark.parametrize("read", [load_specification, configuration_of])
def test_a_yaml_makes_plain_values_only(
    tag: str, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    path, mark = tmp_path / "received.yaml", tmp_path / "it_ran"
    path.write_text(f"name: {tag.format(mark=str(mark))}\n")
    with pytest.raises(UserError, match=r"received\.yaml"):
        read(path)
    assert not mark.exists()
