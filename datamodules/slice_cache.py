"""Prepared slices: every slice is an entry of the manifest, two `.npy` shards for each volume."""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.hounsfield import GreyScale
from datamodules.named_files import check_shard_file, whole_number
from datamodules.prepared_cache import SPLITS, PreparedCache
from provenance import UserError, as_written, sha256_of


@dataclass(frozen=True)
class SliceItem:
    """One slice of a cache.

    Attributes:
        id: Unique name, `<patient or volume>/<slice>`, for example `case_00000/0012`.
        patient_id: The person; the same in every cache made from the same data set.
        split: `train`, `val` or `test`.
        shard: The key of the array file that holds the slice.
        row: Its row in that array file.
        slice_index: Its index in the source volume, counted from 0.
        class_pixels: Pixels of each class in the mask; empty where the cache has no masks.
        pixel_spacing_mm: (row, column) size of a pixel AFTER resizing to the cache's image size.
        slice_spacing_mm: Distance to the next slice; None where the source does not tell.
    """

    id: str
    patient_id: str
    split: str
    shard: str
    row: int
    slice_index: int
    class_pixels: tuple[int, ...]
    pixel_spacing_mm: tuple[float, float] | None = None
    slice_spacing_mm: float | None = None

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "SliceItem":
        """Build an item from its manifest entry; KeyError where a field is missing."""
        spacing = entry["pixel_spacing_mm"]
        return cls(
            id=entry["id"],
            patient_id=entry["patient_id"],
            split=entry["split"],
            shard=entry["shard"],
            row=int(entry["row"]),
            slice_index=int(entry["slice_index"]),
            class_pixels=tuple(int(n) for n in entry["class_pixels"]),
            pixel_spacing_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
            slice_spacing_mm=entry["slice_spacing_mm"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the manifest entry: plain values only."""
        entry = asdict(self)
        entry["class_pixels"] = list(self.class_pixels)
        entry["pixel_spacing_mm"] = (
            None if self.pixel_spacing_mm is None else list(self.pixel_spacing_mm)
        )
        return entry

    @property
    def has_foreground(self) -> bool:
        """Whether any pixel is of another class than the background."""
        return sum(self.class_pixels[1:]) > 0


class SliceCache(PreparedCache):
    """A prepared data set of slices with label maps.

    A slice's bytes are compared with its checksum the first time that a process reads it; those of
    a cache of an earlier version, which has none, with the hash of their file.

    Attributes:
        items: Every slice, in the manifest's order.
    """

    FORMAT = "understudy-cache"
    FORMAT_VERSION = 1
    REQUIRED = ("dataset", "image_size", "num_classes", "class_names", "split_id", "shards",
                "items")  # fmt: skip
    CONTENTS = "slices"
    PREPARATION = ("window", "resample", "channels")
    IMAGE_FORM = (*PREPARATION, "image_size")

    def __init__(self, root: Path, manifest: dict[str, Any]) -> None:
        super().__init__(root, manifest)
        self._same: set[tuple[str, int]] = set()
        self.items = [SliceItem.from_json(entry) for entry in manifest["items"]]
        self.ids = np.array([item.id for item in self.items], str)
        self.patient_ids = np.array([item.patient_id for item in self.items], str)
        self.splits = np.array([SPLITS.index(item.split) for item in self.items], np.int8)
        for shard in manifest["shards"].values():
            for kind in ("image", "mask"):
                if shard.get(kind) is not None:
                    slices = whole_number(shard["num_slices"], "num_slices")
                    deep = self.num_channels if kind == "image" else 1
                    check_shard_file(root, shard[kind], slices * deep * self.image_size**2)
        names = len(self.class_names)
        if names != self.num_classes:
            raise ValueError("num_classes")
        for item in self.items:
            if not 0 <= item.row < manifest["shards"][item.shard]["num_slices"]:
                raise KeyError(f"row {item.row} of shard {item.shard}")
            if len(item.class_pixels) not in (0, names):
                raise ValueError(f"class_pixels of {item.id}")

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_same": set()}

    @property
    def list_sha256(self) -> str:
        """SHA-256 of the manifest but for its licence, which may be stated later."""
        if "licence" not in self.manifest:
            return sha256_of(self.root / "manifest.json")
        rest = {key: value for key, value in self.manifest.items() if key != "licence"}
        return hashlib.sha256(as_written(rest).encode()).hexdigest()

    @property
    def num_classes(self) -> int:
        """Number of labels, background included."""
        return int(self.manifest["num_classes"])

    @property
    def class_names(self) -> list[str]:
        """Names of the labels 0, 1, 2, ..."""
        return [str(name) for name in self.manifest["class_names"]]

    @property
    def foreground(self) -> list[str]:
        """Names of the labels 1, 2, ...: of all but the background."""
        return self.class_names[1:]

    @property
    def channels(self) -> list[str]:
        """Names of the channels of its images, in their order: of CT "CT", else as the source's."""
        told = self.manifest.get("channels") or [{"name": "CT"}]
        return [str(channel["name"]) for channel in told]

    @property
    def num_channels(self) -> int:
        """Channels of its images; 1 where it has none."""
        return len(self.channels)

    def grey_scale(self, place: int) -> GreyScale | None:
        """Which HU the greys of a channel stand for, by its place; None where they have none."""
        channels = self.manifest.get("channels")
        if not channels:
            return GreyScale.of_plain(self.manifest.get("window"))
        told = channels[place]
        if "width" not in told or str(told["name"]).lower() != "ct":
            return None
        return GreyScale(float(told["width"]), float(told["center"]))

    @property
    def has_images(self) -> bool:
        """Whether the cache holds images, or label maps alone."""
        return bool(self.manifest.get("has_images", True))

    @property
    def content(self) -> dict[str, list[str | None]]:
        """SHA-256 of the image and the mask array of every volume."""
        return {
            name: [shard.get("sha256_image"), shard.get("sha256_mask")]
            for name, shard in sorted(self.manifest["shards"].items())
        }

    def image(self, item: SliceItem) -> NDArray[np.uint8]:
        """Return the image of a slice.

        Returns:
            (H, W) uint8, or (C, H, W) of several channels; a read-only view of the file: 0 = low
            end of the window, 255 = high end.

        Raises:
            UserError: The cache holds label maps alone.
        """
        return self._array(item, "image")

    def mask(self, item: SliceItem) -> NDArray[np.uint8]:
        """Return the labels of a slice: (H, W) uint8 in 0..num_classes-1, a read-only view."""
        return self._array(item, "mask")

    def select(self, split: str | None, foreground_only: bool = False) -> list[SliceItem]:
        """Return the items of a split (None: of all), optionally only those with foreground."""
        items = [self.items[index] for index in self.indices(split)]
        return [item for item in items if item.has_foreground or not foreground_only]

    def _array(self, item: SliceItem, kind: str) -> NDArray[np.uint8]:
        relative = self.manifest["shards"][item.shard].get(kind)
        if relative is None:
            raise UserError(
                f"{self.root}: holds no {kind}s (dataset {self.dataset!r}). Give a cache that "
                f"has {kind}s, such as one made by prepare.py kits19 or phantom_ct."
            )
        deep = (self.num_channels,) if kind == "image" and self.num_channels > 1 else ()
        slice_ = self.row(relative, item.row, (*deep, self.image_size, self.image_size), 8)
        self._check(item, kind, slice_)
        return slice_

    def _check(self, item: SliceItem, kind: str, slice_: NDArray[np.uint8]) -> None:
        shard = self.manifest["shards"][item.shard]
        checksums = shard.get(f"crc32_{kind}")
        row = item.row if checksums else -1  # of an earlier version: the file as a whole
        relative = shard[kind]
        if (relative, row) in self._same:
            return
        if checksums:
            same = f"{zlib.crc32(slice_.tobytes()):08x}" == checksums[8 * row : 8 * row + 8]
        else:
            same = shard.get(f"sha256_{kind}") in (None, sha256_of(self.root / relative))
        if not same:
            raise UserError(
                f"{self.root / relative}: row {item.row} ({item.id}) is damaged, or another one of "
                "its file: its bytes have changed since they were written. Give the "
                "prepare.py command that made the cache again, with --verify: it makes this volume "
                "again from the source."
            )
        self._same.add((relative, row))
