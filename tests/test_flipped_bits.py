"""Caches, checkpoints and synthetic sets with flipped bits: refused by name, or the same values.

A thousand flips of each are `slow`; thirty are not.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

import prepare
from cards.finish import finish_synthetic_set
from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticItem, SyntheticSet
from generation.set_files import SetFiles
from lightning_modules.checkpoint_files import load_checkpoint_file, save_checkpoint_file
from provenance import UserError, library_versions, read_checked_json, write_checked_json
from tests.conftest import write_film_cache

FEW, MANY = 30, 1000
PHANTOM = ["--num-patients", "6", "--num-slices", "3", "--image-size", "24"]


def values_of(node: Any) -> Any:
    """What can be compared: arrays and tensors as their bytes, the rest as it is."""
    if isinstance(node, dict):
        return {key: values_of(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [values_of(value) for value in node]
    if isinstance(node, torch.Tensor):
        return str(node.dtype), list(node.shape), node.numpy().tobytes()
    if isinstance(node, np.ndarray):
        return str(node.dtype), node.shape, node.tobytes()
    return node


def read_slices(root: Path) -> Any:
    cache = open_cache(root)
    assert isinstance(cache, SliceCache)
    images = [(cache.image(item), cache.mask(item), vars(item)) for item in cache.items]
    return images, cache.splits, cache.pixel_hashes, cache.content_sha256


def read_films(root: Path) -> Any:
    cache = open_cache(root)
    assert isinstance(cache, FilmCache)
    images = [cache.image(index) for index in range(len(cache))]
    return images, cache.ids.tolist(), cache.patient_ids.tolist(), cache.labels("label")


def read_set(root: Path) -> Any:
    made = SyntheticSet.open(root)
    images = [(made.image(item), made.mask(item), vars(item)) for item in made.items]
    return images, made.content_sha256, sorted(made.learnt().patients)


def read_checkpoint(root: Path) -> Any:
    return load_checkpoint_file(root / "last.ckpt")


def make_slices(root: Path) -> None:
    assert prepare.main(["phantom_ct", "--out", str(root), *PHANTOM]) == 0


def make_films(root: Path) -> None:
    write_film_cache(root, films=1)
    write_checked_json(root / "manifest.json", read_checked_json(root / "manifest.json"))


def make_checkpoint(root: Path) -> None:
    tensors = {str(n): torch.randn(7, n + 1) for n in range(9)}
    save_checkpoint_file({"state_dict": tensors, "step": 3}, root / "last.ckpt")


def make_set(image_format: Any) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        files = SetFiles(root, image_format)
        rng = np.random.default_rng(0)
        items = [SyntheticItem(f"image_{n}", seed=n, class_pixels=(200, 56)) for n in range(4)]
        for item in items:
            mask = (rng.random((16, 16)) < 0.2).astype(np.uint8)
            files.save(item, rng.integers(0, 256, (16, 16), dtype=np.uint8), mask)
        about = {
            "dataset": "test",
            "versions": library_versions(),
            "class_names": ["a", "b"],
            "image_size": 16,
        }
        trained = {"checkpoint_sha256": "0" * 64, "module": "GAN", "images_seen": 8}
        knows = {"generator": {"training_patients": ["p1", "p2"], **trained}}
        finish_synthetic_set(root, items, about | knows | files.in_manifest, "python generate.py")

    return make


@dataclass(frozen=True)
class Kind:
    """What is damaged.

    Attributes:
        make: Writes it into a new folder.
        read: All that can be read of it.
        files: Patterns of the files that are read.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    files: tuple[str, ...]


_SET = ("images/*", "masks/*", "manifest.json", "files.sha256")
_GZ = ("images/*.gz", "masks/*.gz", *_SET[2:])
KINDS = {
    "slices": Kind(make_slices, read_slices, ("arrays/*", "manifest.json", "pixel_hashes.npy")),
    "films": Kind(make_films, read_films, ("arrays/*", "manifest.json", "items.csv")),
    "checkpoint": Kind(make_checkpoint, read_checkpoint, ("last.ckpt", "last.ckpt.sha256")),
    "set_png": Kind(make_set("png"), read_set, _SET),
    "set_npy": Kind(make_set("npy"), read_set, _SET),
    "set_nifti": Kind(make_set("nifti"), read_set, _GZ),
}


def flip(kind: Kind, folder: Path, whole: Any, number: int, seed: int) -> bool:
    """Flip one bit of one file, read everything, and put the bit back; whether it was refused."""
    random = Random(f"{seed}:{number}")
    files = sorted(path for pattern in kind.files for path in folder.glob(pattern))
    path = random.choice([file for file in files if file.is_file()])
    content = path.read_bytes()
    place, bit = random.randrange(len(content)), random.randrange(8)
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    path.write_bytes(bytes(changed))
    where = f"flip {number} of seed {seed}: bit {bit} of byte {place} of {path.name}"
    found, told = None, ""
    try:
        found = values_of(kind.read(folder))
    except UserError as refusal:
        told = str(refusal)
    path.write_bytes(content)
    if told:
        assert path.name.removesuffix(".sha256") in told, f"{where}: {told}"
    else:
        assert found == whole, where
    return bool(told)


def flips(name: str, tmp_path: Path, count: int, seed: int) -> None:
    kind = KINDS[name]
    kind.make(tmp_path / "whole")
    whole = values_of(kind.read(tmp_path / "whole"))
    refused = sum(flip(kind, tmp_path / "whole", whole, n, seed) for n in range(count))
    assert values_of(kind.read(tmp_path / "whole")) == whole
    assert refused > 0.8 * count
    print(f"{name}: {refused} of {count} refused by name, the others read as they were")


@pytest.mark.parametrize("name", KINDS)
def test_no_flipped_bit_passes(name: str, tmp_path: Path) -> None:
    flips(name, tmp_path, FEW, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_no_flipped_bit_of_a_thousand_passes(name: str, tmp_path: Path) -> None:
    flips(name, tmp_path, MANY, seed=2)


def test_a_swapped_slice_is_noticed(tmp_path: Path) -> None:
    """Not damage, but another row of the same file."""
    make_slices(tmp_path / "cache")
    path = sorted((tmp_path / "cache/arrays").glob("*_image.npy"))[0]
    rows = np.load(path)
    np.save(path, rows[::-1])
    cache = SliceCache.open(tmp_path / "cache")
    first = next(item for item in cache.items if path.name.startswith(item.shard))
    with pytest.raises(UserError, match=rf"{path.name}: row 0 .* its bytes have changed"):
        cache.image(first)


def test_a_cache_without_checksums_of_its_slices_is_compared_by_its_files(
    small_cache: Path, tmp_path: Path
) -> None:
    """As earlier versions wrote them."""
    root = shutil.copytree(small_cache, tmp_path / "cache")
    path = sorted((root / "arrays").glob("*_image.npy"))[0]
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(bytes(content))
    cache = SliceCache.open(root)
    damaged = [item for item in cache.items if path.name.startswith(item.shard)]
    with pytest.raises(UserError, match=path.name):
        cache.image(damaged[0])
    other = next(item for item in cache.items if item not in damaged)
    assert cache.image(other).shape == (32, 32)


def test_a_meant_change_of_a_manifest_says_how(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_checked_json(path, {"a": 1, "b": [True, None]})
    assert read_checked_json(path) == {"a": 1, "b": [True, None]}
    text = path.read_text()
    path.write_text(text.replace('"a": 1', '"a": 2'))
    with pytest.raises(UserError, match=r"manifest\.json: is damaged or was changed.*remove that"):
        read_checked_json(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-3], lines[-3].rstrip(","), "}"]))
    assert read_checked_json(path) == {"a": 2, "b": [True, None]}
    for text in ('{"a": 3}', '{"a": 3, "sha256": "0"}'):  # earlier, and laid out by another program
        path.write_text(text)
        assert read_checked_json(path) == {"a": 3}
