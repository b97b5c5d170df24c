"""The prepared data that every later step reads: plain `.npy` shards and one manifest.

`prepare.py` writes a cache, this module reads it. Patients were split before any network saw an
image, and the split stands in the manifest, so nothing downstream can draw it differently.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance import UserError, read_json

FORMAT = "understudy-cache"
FORMAT_VERSION = 1
CLASS_NAMES = ("background", "kidney", "tumour")
SPLITS = ("train", "val", "test")

# Each mapped array holds a file descriptor, of which a process may often have 1024.
_MAX_MAPPED = 400
_REQUIRED = ("dataset", "image_size", "num_classes", "class_names", "split_id", "shards", "items")


@dataclass(frozen=True)
class CacheItem:
    """One slice of a cache.

    Attributes:
        id: Unique name, `<patient or volume>/<slice>`, for example `case_00000/0012`.
        patient_id: The person; the same in every cache made from the same data set.
        split: `train`, `val` or `test`.
        shard: The key of the array file that holds the slice.
        row: Its row in that array file.
        slice_index: Its place in the source volume, counted from 0.
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
    def from_json(cls, entry: Mapping[str, Any]) -> "CacheItem":
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
        """Whether any pixel is kidney or tumour."""
        return sum(self.class_pixels[1:]) > 0


class Cache:
    """A prepared data set, memory-mapped.

    Cheap to send to dataloader workers: arrays are mapped when first read, in each process for
    itself, and a pickled cache carries no open file.

    Attributes:
        root: The cache folder.
        manifest: The parsed `manifest.json`.
        items: Every slice, in the manifest's order.
    """

    def __init__(self, root: Path, manifest: dict[str, Any], items: list[CacheItem]) -> None:
        self.root = Path(root)
        self.manifest = manifest
        self.items = items
        self._arrays: dict[str, NDArray[np.uint8]] = {}

    @classmethod
    def open(cls, root: str | Path) -> "Cache":
        """Open a cache folder, and check that it is whole as far as file sizes can tell.

        Hashes are not computed here (`prepare.py verify <root>` does that).

        Raises:
            UserError: No cache there, another program's manifest, a newer format, or files
                that are missing or cut short.
        """
        root = Path(root)
        path = root / "manifest.json"
        if not root.is_dir():
            raise UserError(
                f"{root}: there is no such folder. Expected a cache made by prepare.py; "
                "make one, for example: python prepare.py phantom_ct --out data/phantom_ct"
            )
        if not path.is_file():
            started = (root / "records").is_dir()
            raise UserError(
                f"{root}: has no manifest.json"
                + (
                    ", but finished parts: its preparation was interrupted. Run the same "
                    "prepare.py command again; it goes on where it stopped."
                    if started
                    else ", so it is not a cache. Give the folder that prepare.py wrote (--out), "
                    "not the raw data."
                )
            )
        manifest = read_json(path)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise UserError(
                f"{path}: belongs to something else (its format is not {FORMAT!r}). "
                "Give the folder that prepare.py wrote."
            )
        if manifest.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{path}: has format version {manifest.get('format_version')}, this program "
                f"reads version {FORMAT_VERSION}. Prepare the data again into a new folder."
            )
        try:
            missing = [key for key in _REQUIRED if key not in manifest]
            if missing:
                raise KeyError(", ".join(missing))
            items = [CacheItem.from_json(entry) for entry in manifest["items"]]
            for name, shard in manifest["shards"].items():
                _check_shard(root, name, shard, int(manifest["image_size"]))
            for item in items:
                if not 0 <= item.row < manifest["shards"][item.shard]["num_slices"]:
                    raise KeyError(f"row {item.row} of shard {item.shard}")
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"{path}: is damaged ({error} is missing or wrong). Remove the file and run the "
                "prepare.py command that made the cache again; finished parts are kept."
            ) from error
        return cls(root, manifest, items)

    @property
    def image_size(self) -> int:
        """Height and width of every slice in pixels."""
        return int(self.manifest["image_size"])

    @property
    def num_classes(self) -> int:
        """Number of labels, background included."""
        return int(self.manifest["num_classes"])

    @property
    def class_names(self) -> list[str]:
        """Names of the labels 0, 1, 2, ..."""
        return [str(name) for name in self.manifest["class_names"]]

    @property
    def split_id(self) -> str:
        """SHA-256 of who is in which split; equal ids mean equal splits."""
        return str(self.manifest["split_id"])

    @property
    def dataset(self) -> str:
        """The kind of source: `kits19`, `phantom_ct`, `ct_dicom`, `slices` or `masks`."""
        return str(self.manifest["dataset"])

    @property
    def has_images(self) -> bool:
        """Whether the cache holds images, or label maps alone."""
        return bool(self.manifest.get("has_images", True))

    def image(self, item: CacheItem) -> NDArray[np.uint8]:
        """Return the image of a slice.

        Returns:
            (H, W) uint8, read-only view of the file: 0 = low end of the HU window, 255 = high end.

        Raises:
            UserError: The cache holds label maps alone.
        """
        return self._array(item, "image")

    def mask(self, item: CacheItem) -> NDArray[np.uint8]:
        """Return the labels of a slice: (H, W) uint8 in 0..num_classes-1, a read-only view."""
        return self._array(item, "mask")

    def select(self, split: str | None, foreground_only: bool = False) -> list[CacheItem]:
        """Return the items of a split (None: of all), optionally only those with foreground."""
        if split is not None and split not in SPLITS:
            raise UserError(f"split {split!r}: expected one of {', '.join(SPLITS)}.")
        return [
            item
            for item in self.items
            if (split is None or item.split == split)
            and (item.has_foreground or not foreground_only)
        ]

    def patients(self, split: str | None) -> list[str]:
        """Return the patients that have a slice in a split (None: in any), sorted."""
        return sorted({item.patient_id for item in self.select(split)})

    def patient_split(self) -> dict[str, str]:
        """Return each patient's split.

        Under `split_by: slice` a patient may be in several; test then wins over val over train,
        so that a leak check built on this errs on the safe side.
        """
        rank = {name: place for place, name in enumerate(SPLITS)}
        result: dict[str, str] = {}
        for item in self.items:
            known = result.get(item.patient_id)
            if known is None or rank[item.split] > rank[known]:
                result[item.patient_id] = item.split
        return dict(sorted(result.items()))

    def item_ids(self, split: str) -> list[str]:
        """Return the ids of a split's slices, in the manifest's order."""
        return [item.id for item in self.select(split)]

    def __len__(self) -> int:
        return len(self.items)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}}

    def _array(self, item: CacheItem, kind: str) -> NDArray[np.uint8]:
        relative = self.manifest["shards"][item.shard].get(kind)
        if relative is None:
            raise UserError(
                f"{self.root}: holds no {kind}s (dataset {self.dataset!r}). Give a cache that "
                f"has {kind}s, such as one made by prepare.py kits19 or phantom_ct."
            )
        array: NDArray[np.uint8] = mapped(self._arrays, self.root, relative)
        return array[item.row]


def mapped(arrays: dict[str, NDArray[Any]], root: Path, relative: str) -> NDArray[Any]:
    """Return an array file of a cache, mapped at its first use and kept among `arrays`.

    Raises:
        UserError: The file cannot be read.
    """
    array = arrays.get(relative)
    if array is None:
        try:
            array = np.load(root / relative, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{root / relative}: cannot be read ({error}). Check the cache with "
                f"python prepare.py verify {root}"
            ) from error
        if len(arrays) >= _MAX_MAPPED:
            arrays.pop(next(iter(arrays)))
        arrays[relative] = array
    return array


def _check_shard(root: Path, name: str, shard: Mapping[str, Any], image_size: int) -> None:
    """Compare the sizes of a shard's files with what the manifest promises."""
    expected = int(shard["num_slices"]) * image_size * image_size
    for kind in ("image", "mask"):
        relative = shard.get(kind)
        if relative is None:
            continue
        path = root / relative
        if not path.is_file() or path.stat().st_size <= expected:
            raise UserError(
                f"{path}: is {'cut short' if path.is_file() else 'missing'} (shard {name}). "
                "Run the prepare.py command that made the cache again; it makes only what is "
                "missing or damaged."
            )
