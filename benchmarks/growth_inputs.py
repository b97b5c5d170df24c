"""Data sets of any size for `growth.py`: small drawn images, and caches as prepare.py writes them.

Caches are written directly, since preparing a hundred thousand images is a measurement of its own.
"""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
"""Pixels of every image: what is done to each costs little beside what is done for each."""

PER_PATIENT = 2
SLICES_PER_VOLUME = 20
_MOST_LINKS = 10_000  # file systems bear some more
_SHARE = (0.6, 0.8, 1.0)  # of train, of train and val, of all


def drawn(number: int, side: int = SIDE) -> NDArray[np.uint8]:
    """(side, side) a picture that no other number resembles.

    With less detail, some pairs of different pictures look alike to the search for near copies, and
    comparing them grows with the square of the number of pictures.
    """
    coarse = np.random.default_rng(number).integers(0, 256, (12, 12), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def split_of_patient(patient: int, patients: int) -> str:
    """train, val or test of a patient, by number."""
    place = (patient * 7919 % 997 + 0.5) / 997 if patients > 10 else (patient + 0.5) / patients
    return ("train", "val", "test")[int(np.searchsorted(_SHARE, place))]


def write_pictures(folder: Path, count: int) -> Path:
    """A folder of PNG films and a table of their labels, two of each patient."""
    (folder / "films").mkdir(parents=True)
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "patient", "label"))
        for number in range(count):
            name = f"film_{number:07d}.png"
            Image.fromarray(drawn(number)).save(folder / "films" / name, compress_level=1)
            label = ("normal", "abnormal")[number % 3 == 0]
            writer.writerow((name, f"MRN-{number // PER_PATIENT}", label))
    return folder


def write_volumes(folder: Path, count: int) -> Path:
    """NIfTI pairs in KiTS19's layout, together so many slices."""
    import nibabel as nib

    affine = np.array([[0, 0, -0.7, 0], [0, -0.8, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]])
    for number in range(max(12, count // SLICES_PER_VOLUME)):
        case = folder / "volumes" / f"case_{number:05d}"
        case.mkdir(parents=True)
        random = np.random.default_rng(number)
        shape = (SLICES_PER_VOLUME, SIDE, SIDE)
        for name, low, high in (("imaging", -1000, 1000), ("segmentation", 0, 3)):
            array = random.integers(low, high, shape).astype(np.int16)
            nib.save(nib.Nifti1Image(array, affine), case / f"{name}.nii")
    return folder


def film_ids(count: int) -> list[str]:
    """Ids of the films of `write_film_cache`."""
    return [f"film_{number:016x}" for number in range(count)]


def film_patients(count: int) -> list[str]:
    """Their patients."""
    return [f"patient_{number // PER_PATIENT:012x}" for number in range(count)]


def write_film_cache(root: Path, count: int) -> Path:
    """A cache of films with labels and hashes of pixels."""
    from datamodules.film_cache import FILMS_PER_SHARD, FilmCache, header
    from datamodules.pixel_hashes import write_pixel_hashes
    from provenance import sha256_of

    (root / "arrays").mkdir(parents=True)
    films = np.random.default_rng(0).integers(0, 256, (FILMS_PER_SHARD, SIDE, SIDE), np.uint8)
    digests = [hashlib.sha256(film.tobytes()).hexdigest() for film in films]
    patients = film_patients(count)
    shards: list[dict[str, Any]] = []
    hashed: dict[int, str] = {}
    with open(root / "items.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, header(["label"]))
        writer.writeheader()
        for number, name in enumerate(film_ids(count)):
            row = number % FILMS_PER_SHARD
            if row == 0:
                shard = f"films_{len(shards):06d}"
                held = min(FILMS_PER_SHARD, count - number)
                array = f"arrays/{shard}.npy"
                np.save(root / array, films[:held])
                if held not in hashed:
                    hashed[held] = sha256_of(root / array)
                shards.append(
                    {"name": shard, "array": array, "num_films": held, "sha256": hashed[held]}
                )
            writer.writerow(
                {
                    "id": name,
                    "patient_id": patients[number],
                    "split": split_of_patient(number // PER_PATIENT, count // PER_PATIENT),
                    "shard": shard,
                    "row": row,
                    "sha256": digests[row],
                    "label:label": ("normal", "abnormal")[number % 3 == 0],
                }
            )
    hashes = np.arange(1, count + 1, dtype=np.uint64)[:, None]
    manifest = {
        "format": FilmCache.FORMAT,
        "format_version": FilmCache.FORMAT_VERSION,
        "dataset": "image_folder",
        "image_size": SIDE,
        "stored_size": SIDE,
        "channels": 1,
        "bit_depth": 8,
        "clahe": "none",
        "clahe_clip_limit": 0.01,
        "on_nonsquare": "pad",
        "margin": 0.0,
        **_of_patients(),
        "shards": shards,
        "labels": {"label": ["normal", "abnormal"]},
        "num_items": count,
        "sha256_items": sha256_of(root / "items.csv"),
        "pixel_hashes": write_pixel_hashes(root, hashes, 0),
    }
    (root / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return root


def write_slice_cache(root: Path, count: int) -> Path:
    """A cache of slices with label maps and hashes of pixels."""
    from datamodules.pixel_hashes import write_pixel_hashes
    from datamodules.slice_cache import SliceCache
    from provenance import sha256_of

    (root / "arrays").mkdir(parents=True)
    random = np.random.default_rng(0)
    volumes = max(10, count // SLICES_PER_VOLUME)
    shape = (SLICES_PER_VOLUME, SIDE, SIDE)
    images, masks = (random.integers(0, high, shape, np.uint8) for high in (256, 3))
    pixels = [np.bincount(mask.ravel(), minlength=3).tolist() for mask in masks]
    shards: dict[str, dict[str, Any]] = {}
    items = []
    for number in range(volumes):
        name = f"case_{number:05d}"
        shards[name] = {"num_slices": SLICES_PER_VOLUME}
        for kind, array in (("image", images), ("mask", masks)):
            np.save(root / f"arrays/{name}_{kind}.npy", array)
            shards[name][kind] = f"arrays/{name}_{kind}.npy"
            shards[name][f"sha256_{kind}"] = sha256_of(root / f"arrays/{name}_{kind}.npy")
        items += [
            {
                "id": f"{name}/{row:04d}",
                "patient_id": name,
                "split": split_of_patient(number, volumes),
                "shard": name,
                "row": row,
                "slice_index": row,
                "class_pixels": pixels[row],
                "pixel_spacing_mm": [0.8, 0.8],
                "slice_spacing_mm": 3.0,
            }
            for row in range(SLICES_PER_VOLUME)
        ]
    hashes = np.arange(1, 3 * len(items) + 1, dtype=np.uint64).reshape(-1, 3)
    manifest = {
        "format": SliceCache.FORMAT,
        "format_version": SliceCache.FORMAT_VERSION,
        "dataset": "kits19",
        "image_size": SIDE,
        "num_classes": 3,
        "class_names": ["background", "kidney", "tumour"],
        "has_images": True,
        "has_masks": True,
        "window": None,
        **_of_patients(),
        "shards": shards,
        "items": items,
        "pixel_hashes": write_pixel_hashes(root, hashes, 0),
    }
    (root / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return root


def synthetic_items(count: int) -> list[Any]:
    """Films with a label, as a generator of each class makes them."""
    from datamodules.synthetic import SyntheticItem

    return [
        SyntheticItem(f"s{number:07d}", seed=number, label=("normal", "abnormal")[number % 2])
        for number in range(count)
    ]


def synthetic_manifest(count: int) -> dict[str, Any]:
    """All but the items; its generator learnt from the training split of `write_film_cache`."""
    from knowledge import Knowledge
    from patient_names import PatientNames
    from provenance import library_versions

    patients = {
        name
        for number, name in enumerate(film_patients(count))
        if split_of_patient(number // PER_PATIENT, count // PER_PATIENT) == "train"
    }
    pixels = np.array(
        [n + 1 for n, name in enumerate(film_patients(count)) if name in patients], np.uint64
    )
    names = PatientNames.of_plain(_of_patients()["patients"])
    known = Knowledge(frozenset(patients), frozenset(), frozenset({names}), pixels)
    return {
        "dataset": "image_folder",
        "image_size": SIDE,
        "class_names": ["normal", "abnormal"],
        "synthetic": True,
        "generator": {
            "module": "GAN",
            "checkpoint_sha256": "0" * 64,
            "images_seen": 1000,
            **known.plain(),
        },
        "licences": [],
        "versions": library_versions(),
    }


def write_synthetic_set(root: Path, count: int) -> Path:
    """A finished set of films; its images are one file under many names."""
    from cards.finish import finish_synthetic_set

    (root / "images").mkdir(parents=True)
    for number in range(count):
        path = root / "images" / f"s{number:07d}.png"
        if number % _MOST_LINKS == 0:
            first = path
            Image.fromarray(drawn(0)).save(path)
        else:
            path.hardlink_to(first)
    command = "python generate.py"
    finish_synthetic_set(root, synthetic_items(count), synthetic_manifest(count), command)
    return root


def _of_patients() -> dict[str, Any]:
    return {
        "patients": {"named_by": "source", "salt_check": None, "ids": "as_written"},
        "split": {"by": "patient", "ratios": [0.6, 0.2, 0.2], "seed": 0},
        "split_id": "drawn",
    }
