"""Synthetic sets on disk, as `cards/finish.py` finishes them.

A set is a folder: `images/<id>.png` (8-bit grey or RGB), `.npy` (uint8), `.dcm` or `.nii.gz`, for
slices `masks/<id>.png` (8-bit labels; `.nii.gz` beside DICOM and NIfTI), `manifest.json` (per
image: seed, and its label or where its label map came from; per set: the generator's checkpoint and
the patients it was trained on, and under `audit` what a recorded audit found, null where none was)
and a card, `README.md`, which says that no image is a patient's.

Images of another origin, which `prepare.py synthetic` brought in, have no seed and no checkpoint:
under `generator` the manifest says `made_by`, in the person's words, and `trained_on`, which is
"unknown" or the name of a data set.
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from datamodules.hounsfield import GreyScale
from datamodules.named_files import LARGEST_SIDE, FileHashes, whole_number
from datamodules.set_files import SetFiles
from knowledge import Knowledge
from licences import Licence, licences_of
from provenance import UserError, read_checked_json
from spelling import meant_path
from synthetic_marks import SET_FORMAT

FORMAT = SET_FORMAT
_SAID_LATER = ("audit", "evaluations", "found_labels", "licences", "survival", "sha256_files")
ImageFormat = Literal["png", "npy", "dicom", "secondary_capture", "nifti"]
_SUFFIXES = {"png": "png", "npy": "npy", "nifti": "nii.gz"}
_MASK_SUFFIXES = {"png": "png", "npy": "png"}  # a label map in DICOM would be a segmentation object


@dataclass(frozen=True)
class SyntheticItem:
    """One synthetic image.

    Attributes:
        id: File name without its ending.
        seed: Seed of its noise; None if another program made it.
        label_item_id: The cache item whose label map was the condition; None for a film.
        label_patient_id: That label map's patient.
        class_pixels: Pixels of each class in the label map; empty without one.
        label: Name of the class that the image shows; None where the generator knew none.
        volume: Name of the synthetic volume whose slice it is; None where it is of none.
        pixel_spacing_mm: (row, column) size of a pixel, of the label map; None where unknown.
        slice_spacing_mm: Thickness of the slice, likewise.
        source_item_id: The image of a cache or set that was translated; None where none was.
        source_patient_id: That image's patient.
    """

    id: str
    seed: int | None = None
    label_item_id: str | None = None
    label_patient_id: str | None = None
    class_pixels: tuple[int, ...] = ()
    label: str | None = None
    volume: str | None = None
    pixel_spacing_mm: tuple[float, float] | None = None
    slice_spacing_mm: float | None = None
    source_item_id: str | None = None
    source_patient_id: str | None = None

    @property
    def unit(self) -> str:
        """What it is counted by: images of one label map's patient, or volume, are alike."""
        return self.label_patient_id or self.source_patient_id or self.volume or self.id


def image_name(item: SyntheticItem, image_format: str) -> str:
    """Where an image lies below the folder of its set."""
    return f"images/{item.id}.{_SUFFIXES.get(image_format, 'dcm')}"


def mask_name(item: SyntheticItem, image_format: str) -> str:
    """Where its label map lies."""
    return f"masks/{item.id}.{_MASK_SUFFIXES.get(image_format, 'nii.gz')}"


class SyntheticSet:
    """A finished synthetic set, opened for reading.

    Attributes:
        root: Its folder.
        manifest: The parsed `manifest.json`, of the whole set.
        items: Its images, or those of them that `keep` kept.
        image_format: How the images are stored, see `ImageFormat`.
        image_size: Side in pixels.
        channels: Of its images.
        scale: Which Hounsfield units the greys stand for; None where they are not known.
    """

    def __init__(self, root: Path, manifest: dict[str, Any]) -> None:
        self.root = root
        self.manifest = manifest
        self.image_format = manifest.get("image_format", "png")
        self.image_size = whole_number(manifest["image_size"], "image_size", 1, LARGEST_SIDE)
        self.channels = whole_number(manifest.get("channels", 1), "channels", 1)
        self.scale = GreyScale.of_plain(manifest.get("window"))
        self._files = SetFiles(
            root, self.image_format, self.image_size, self.channels, self.scale,
            FileHashes(root, manifest.get("sha256_files")),
        )  # fmt: skip
        self.items = [_item(entry) for entry in manifest["items"]]
        if manifest.get("shows", "films") not in ("films", "slices"):
            raise ValueError("shows")

    @classmethod
    def open(cls, root: str | Path) -> "SyntheticSet":
        """Open a set.

        Raises:
            UserError: No finished synthetic set there.
        """
        root = Path(root)
        if not (root / "manifest.json").is_file():
            near = "" if root.is_dir() else meant_path(root)
            raise UserError(
                f"{root}: is not a finished synthetic set (no manifest.json).{near} Make one "
                "with generate.py, or of images that another program made with prepare.py "
                "synthetic; for one that was interrupted give its command again."
            )
        manifest: Any = read_checked_json(root / "manifest.json")
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise UserError(
                f"{root}: its manifest.json is not that of a synthetic set. Expected the folder of "
                "a set that generate.py or prepare.py synthetic made."
            )
        if manifest.get("image_format", "png") not in get_args(ImageFormat):
            raise UserError(
                f"{root}: stores its images as {manifest['image_format']}; this program reads "
                f"{' and '.join(get_args(ImageFormat))}. Make the set again with generate.py."
            )
        try:
            return cls(root, manifest)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{root / 'manifest.json'}: is damaged ({error} is missing or wrong). Make the set "
                "again with the command in its README.md."
            ) from error

    @property
    def content_sha256(self) -> str:
        """SHA-256 of the manifest without what is said of the set later, which makes no other set.

        That of the file's bytes where it has none of it, as in sets of earlier versions.
        """
        plain = {key: value for key, value in self.manifest.items() if key not in _SAID_LATER}
        return hashlib.sha256(f"{json.dumps(plain, indent=1)}\n".encode()).hexdigest()

    @property
    def has_label_maps(self) -> bool:
        """Whether every image has a label map, as slices that train a segmenter do."""
        return has_label_maps(self.items)

    @property
    def of_slices(self) -> bool:
        """Whether its images are CT slices, which need no label maps if they are only compared."""
        return self.has_label_maps or self.manifest.get("shows") == "slices"

    @property
    def made_elsewhere(self) -> bool:
        """See the function of this name."""
        return made_elsewhere(self.manifest)

    @property
    def trained_on_unknown(self) -> bool:
        """Whether the manifest says that nobody knows what the generator was trained on."""
        return self.learnt().of_unknown

    @property
    def licences(self) -> list[Licence]:
        """Of the data behind its images; an earlier version did not ask."""
        return licences_in(self.manifest)

    def seen(self) -> Knowledge:
        """Whom the images know: of whom the generator learnt, who lent a label map or an image."""
        return self.learnt() | self.lent() | self.shown()

    def learnt(self) -> Knowledge:
        """Of whom the generator learnt; nobody where the manifest does not tell."""
        return Knowledge.of_plain(self.manifest.get("generator", {}))

    @property
    def images_seen(self) -> int | None:
        """By its generator, in training; None where the manifest does not tell."""
        origin = self.manifest.get("generator")
        seen = origin.get("images_seen") if isinstance(origin, dict) else None
        return seen if isinstance(seen, int) else None

    def lent(self) -> Knowledge:
        """Whose label maps the images were painted on; earlier sets have no hashes."""
        lenders = {item.label_patient_id for item in self.items if item.label_patient_id}
        label_maps = {item.label_item_id for item in self.items if item.label_item_id}
        return Knowledge.of_plain(
            {
                **self.manifest.get("label_cache", {}),
                "training_patients": lenders,
                "training_items": label_maps,
            }
        )

    def shown(self) -> Knowledge:
        """Whose images were translated; nobody where none was."""
        return Knowledge.of_plain(self.manifest.get("translated_from", {}).get("knowledge", {}))

    def keep(self, indices: Sequence[int]) -> "SyntheticSet":
        """The same set with these of its images alone, in this order. Nothing is read."""
        kept = copy.copy(self)
        kept.items = [self.items[index] for index in indices]
        return kept

    def image(self, item: SyntheticItem) -> np.ndarray:
        """(H, W) uint8 grey, or (C, H, W) of several channels, such as colour.

        On the scale of the cache it was learnt from.

        Raises:
            UserError: The file is missing, damaged, not what it was when the set was finished, or
                no 8-bit image of the set's size; names it.
        """
        return self._files.image(image_name(item, self.image_format))

    def mask(self, item: SyntheticItem) -> np.ndarray:
        """(H, W) uint8 labels."""
        return self._files.mask(mask_name(item, self.image_format))


def licences_in(manifest: Mapping[str, Any]) -> list[Licence]:
    """Licences in a set's manifest; of images of another program, "dataset" is what they are like.

    Args:
        manifest: Of the set; one of an earlier version has none.
    """
    dataset = "" if made_elsewhere(manifest) else manifest.get("dataset")
    return licences_of(manifest.get("licences"), dataset)


def found_labels_in(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What frozen models found of a set's labels, one check for each model, the newest last.

    An earlier version kept one alone.
    """
    found = manifest.get("found_labels") or []
    return [found] if isinstance(found, dict) else list(found)


def made_elsewhere(manifest: Mapping[str, Any]) -> bool:
    """Whether another program made a set's images, and prepare.py synthetic brought them in."""
    return "trained_on" in manifest.get("generator", {})


def _item(entry: Any) -> SyntheticItem:
    """An entry of the manifest; ValueError or TypeError where it is none."""
    spacing = entry.get("pixel_spacing_mm")
    listed = {
        "class_pixels": tuple(entry.get("class_pixels", ())),
        "pixel_spacing_mm": None if spacing is None else (float(spacing[0]), float(spacing[1])),
    }
    item = SyntheticItem(**{**entry, **listed})
    told = [item.label_item_id, item.label_patient_id, item.label, item.volume]
    told += [item.source_item_id, item.source_patient_id]
    numbers = (*(() if item.seed is None else (item.seed,)), *item.class_pixels)
    if not all(isinstance(one, str) for one in (item.id, *(text or "" for text in told))):
        raise ValueError(f"the item {str(item.id)[:80]}")
    if not all(isinstance(one, int) for one in numbers):
        raise ValueError(f"a number of the item {item.id[:80]}")
    return item


def has_label_maps(items: Sequence[SyntheticItem]) -> bool:
    """Whether every image was made from a label map, or came with one."""
    return all(item.label_item_id is not None or item.class_pixels for item in items)
