"""What caches of slices and of films share: a manifest, `.npy` shards, patients and their split.

`prepare.py` writes a cache, this module reads it. Patients were split before any network saw an
image, and the split stands in the manifest, so nothing downstream can draw it differently.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from datamodules.named_files import mapped, whole_number
from datamodules.opening import opened
from datamodules.pixel_hashes import read_pixel_hashes
from knowledge import Knowledge
from licences import Licence
from patient_names import PatientNames
from pixel_bits import PixelBits, packed
from provenance import UserError, read_json

SPLITS = ("train", "val", "test")


class PreparedCache:
    """A prepared data set, memory-mapped. Images are numbered 0 to len - 1.

    Cheap to send to dataloader workers: arrays are mapped when first read, in each process for
    itself, and a pickled cache carries no open file.

    A kind of cache says in `FORMAT`, `FORMAT_VERSION` and `REQUIRED` what its manifest holds, in
    `CONTENTS` what sentences call its images, in `PREPARATION` which entries say how they were
    made, in `IMAGE_FORM` those and of what size, and fills `ids`, `patient_ids` and `splits`.

    Attributes:
        root: The cache folder.
        manifest: The parsed `manifest.json`.
        ids: (N,) names of the images.
        patient_ids: (N,) pseudonyms of the patients.
        splits: (N,) int8 indices into `SPLITS`.
    """

    FORMAT: ClassVar[str]
    FORMAT_VERSION: ClassVar[int]
    REQUIRED: ClassVar[tuple[str, ...]]
    CONTENTS: ClassVar[str]
    PREPARATION: ClassVar[tuple[str, ...]]
    IMAGE_FORM: ClassVar[tuple[str, ...]]

    ids: NDArray[np.str_]
    patient_ids: NDArray[np.str_]
    splits: NDArray[np.int8]

    def __init__(self, root: Path, manifest: dict[str, Any]) -> None:
        self.root = root
        self.manifest = manifest
        self._arrays: dict[str, NDArray[Any]] = {}

    @classmethod
    def open(cls, root: str | Path) -> Self:
        """Open a cache folder, and check that it is whole as far as file sizes can tell.

        Hashes are not computed here (`prepare.py verify <root>` does that).

        Raises:
            UserError: No cache of this kind there, a newer format, or files that are missing or
                cut short.
        """
        return opened(Path(root), cls)

    @property
    def image_size(self) -> int:
        """Side in pixels of what a network sees."""
        return int(self.manifest["image_size"])

    @property
    def dataset(self) -> str:
        """The kind of source: the name of the prepare.py command."""
        return str(self.manifest["dataset"])

    @property
    def licence(self) -> Licence:
        """Under which terms its data may be used; an earlier version did not ask."""
        return Licence.of_plain(self.manifest.get("licence"), self.dataset)

    @property
    def split_id(self) -> str:
        """SHA-256 of who is in which split; equal ids mean equal splits."""
        return str(self.manifest["split_id"])

    @property
    def split_by(self) -> str:
        """What was divided: `patient`, `slice`, `image`, ..."""
        return str(self.manifest["split"]["by"])

    @property
    def preparation(self) -> dict[str, Any]:
        """How its images were made of those of the source, as plain values; their size apart."""
        return {key: self.manifest.get(key) or None for key in self.PREPARATION}

    @property
    def image_form(self) -> dict[str, Any]:
        """All that makes an image of the source one of the cache, as plain values."""
        return {"kind": self.CONTENTS} | {key: self.manifest.get(key) for key in self.IMAGE_FORM}

    @property
    def content(self) -> Any:
        """Hashes of all that is stored, as plain values: equal ones mean the same images."""
        raise NotImplementedError

    @property
    def content_sha256(self) -> str:
        """SHA-256 of `content`, whatever the order of its keys."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()

    @property
    def num_synthetic(self) -> int:
        """Images that say that they are synthetic, taken in as real by `--allow-synthetic`."""
        return whole_number(self.manifest.get("num_synthetic", 0), "num_synthetic")

    @property
    def synthetic_notes(self) -> list[str]:
        """A sentence for every reader of a result, where it holds synthetic images."""
        if not self.num_synthetic:
            return []
        return [
            f"The cache's {len(self):,} {self.CONTENTS} include {self.num_synthetic:,} marked as "
            "synthetic, accepted as if real (--allow-synthetic). Results on such images are not "
            "results on patients."
        ]

    @cached_property
    def patient_names(self) -> PatientNames:
        """How its patients are named."""
        told = self.manifest.get("patients")
        if told is not None:
            return PatientNames.of_plain(told)
        guessed = PatientNames.guessed(self.patient_ids[:1].tolist())
        settings = self.root / "settings.json"
        if guessed.named_by == "pseudonym" and settings.is_file():
            check = read_json(settings).get("patient_salt_check")
            return PatientNames("pseudonym", check, guessed.ids)
        return guessed

    @cached_property
    def pixel_hashes(self) -> PixelBits | None:
        """(N, K) hashes of each image's source; None in a cache of an earlier version.

        See `pixel_hashes.py`. Where images were divided, hashes of whole volumes are left out:
        they say nothing about a slice.

        Raises:
            UserError: Their file is missing or damaged.
        """
        entry = self.manifest.get("pixel_hashes")
        if entry is None:
            return None
        hashes = read_pixel_hashes(self.root, entry, len(self))
        return hashes if self.split_by == "patient" else hashes[:, :1]

    @property
    def has_all_pixels(self) -> bool:
        """Whether it has hashes of all its images."""
        entry = self.manifest.get("pixel_hashes")
        return entry is not None and not entry["unknown"]

    def knowledge(self, indices: NDArray[np.int64]) -> Knowledge:
        """Whom and what one knows who has seen these images."""
        return Knowledge(
            frozenset(np.unique(self.patient_ids[indices]).tolist()),
            None if self.split_by == "patient" else frozenset(self.ids[indices].tolist()),
            frozenset({self.patient_names}),
            self._pixels(indices),
            self.has_all_pixels,
        )

    def packed_pixels(self) -> dict[str, Any]:
        """The hashes of each split's images as plain values, for a checkpoint."""
        return {split: packed(self._pixels(self.indices(split))) for split in SPLITS} | {
            "has_all": self.has_all_pixels
        }

    def _pixels(self, indices: NDArray[np.int64]) -> PixelBits:
        if self.pixel_hashes is None:
            return np.empty(0, np.uint64)
        found = np.unique(self.pixel_hashes[indices])
        return found[found > 0]

    def indices(self, split: str | None) -> NDArray[np.int64]:
        """Which images a split has (None or "all": every one), in the order of the cache."""
        if split in (None, "all"):
            return np.arange(len(self))
        if split not in SPLITS:
            raise UserError(f"split {split!r}: expected one of {', '.join(SPLITS)}, or all.")
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def patients(self, split: str | None) -> list[str]:
        """Patients that have an image in a split (None: in any), sorted."""
        return sorted(np.unique(self.patient_ids[self.indices(split)]).tolist())

    def item_ids(self, split: str) -> list[str]:
        """Ids of a split's images, in the order of the cache."""
        return list(self.ids[self.indices(split)].tolist())

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}}

    def row(self, relative: str, row: int, shape: tuple[int, ...], bits: int) -> NDArray[Any]:
        """One image of an array file of the cache, which is mapped at its first use.

        Args:
            relative: Path of the file in the cache.
            row: Of the image.
            shape: The image's, as the manifest says it.
            bits: 8 or 16 of a pixel.

        Raises:
            UserError: The file cannot be read, or holds no such images.
        """
        array = mapped(self._arrays, self.root, relative)
        if array.shape[1:] != shape or array.dtype != f"uint{bits}" or row >= len(array):
            raise UserError(
                f"{self.root / relative}: is {array.dtype} {array.shape}, and the manifest.json "
                f"says images of {bits} bits and {shape}, at least {row + 1}. Check the cache with "
                f"python prepare.py verify {self.root}"
            )
        image: NDArray[Any] = array[row]
        return image
