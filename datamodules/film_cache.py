"""Prepared films: `.npy` shards, `items.csv` with a row per film, and one small manifest.

A hospital has a million films, so the list of items is a table that is read into columns, not a
JSON of objects: a column of numbers is shared by all dataloader workers, a list of a million
Python objects is copied by each of them.
"""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.cache import SPLITS, mapped
from provenance import UserError, read_json, sha256_of

FORMAT = "understudy-films"
FORMAT_VERSION = 1
FILMS_PER_SHARD = 128
UNLABELLED = -1

# Columns of items.csv before those of the labels, which are called `label:<name>`.
COLUMNS = (
    "id",
    "patient_id",
    "split",
    "shard",
    "row",
    "sha256",
    "source_sha256",
    "source_height",
    "source_width",
    "spacing_row_mm",
    "spacing_column_mm",
    "spacing_from",
    "view",
    "photometric",
    "window",
    "suspicions",
)
LABEL_PREFIX = "label:"
_REQUIRED = ("dataset", "image_size", "stored_size", "channels", "bit_depth", "split", "split_id",
             "shards", "labels", "num_items", "sha256_items")  # fmt: skip


class FilmCache:
    """A prepared set of films, memory-mapped.

    Films are called by their place, 0 to len - 1. A film's bytes are compared with its hash the
    first time that a process reads it, so damage is found where it would be trained on.

    Attributes:
        root: The cache folder.
        manifest: The parsed `manifest.json`.
        ids: (N,) pseudonyms of the films.
        patient_ids: (N,) pseudonyms of the patients.
        splits: (N,) int8 places in `SPLITS`.
    """

    def __init__(self, root: Path, manifest: dict[str, Any], columns: dict[str, Any]) -> None:
        self.root = root
        self.manifest = manifest
        self.ids: NDArray[np.str_] = columns["id"]
        self.patient_ids: NDArray[np.str_] = columns["patient_id"]
        self.splits: NDArray[np.int8] = columns["split"]
        self._shard: NDArray[np.int32] = columns["shard"]
        self._row: NDArray[np.int32] = columns["row"]
        self._sha256: NDArray[np.void] = columns["sha256"]
        self._labels: dict[str, NDArray[np.int16]] = columns["labels"]
        self._spacing: NDArray[np.float32] = columns["spacing"]
        self._checked = np.zeros(len(self.ids), dtype=bool)
        self._arrays: dict[str, NDArray[Any]] = {}

    @classmethod
    def open(cls, root: str | Path) -> "FilmCache":
        """Open a cache folder, and check that it is whole as far as file sizes can tell.

        Raises:
            UserError: No film cache there, a newer format, or files missing or damaged.
        """
        root = Path(root)
        path = root / "manifest.json"
        if not path.is_file():
            raise UserError(_no_manifest(root))
        manifest = read_json(path)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise UserError(
                f"{path}: is no film cache (its format is not {FORMAT!r}). Give a folder that "
                "prepare.py chest_xray, image_folder or phantom_cxr wrote."
            )
        if manifest.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{path}: has format version {manifest.get('format_version')}, this program "
                f"reads version {FORMAT_VERSION}. Prepare the films again into a new folder."
            )
        missing = [key for key in _REQUIRED if key not in manifest]
        if missing:
            raise UserError(
                f"{path}: is damaged ({', '.join(missing)} missing). Remove the file and run the "
                "prepare.py command that made the cache again; finished parts are kept."
            )
        return cls(root, manifest, _read_items(root, manifest))

    @property
    def image_size(self) -> int:
        """Side of what a network sees, in pixels: a crop of the stored film."""
        return int(self.manifest["image_size"])

    @property
    def stored_size(self) -> int:
        """Side of the stored films in pixels, larger than `image_size` by the crop's margin."""
        return int(self.manifest["stored_size"])

    @property
    def channels(self) -> int:
        """1 for grey films, 3 for colour pictures."""
        return int(self.manifest["channels"])

    @property
    def split_id(self) -> str:
        """SHA-256 of who is in which split; equal ids mean equal splits."""
        return str(self.manifest["split_id"])

    @property
    def dataset(self) -> str:
        """The kind of source: `chest_xray`, `image_folder` or `phantom_cxr`."""
        return str(self.manifest["dataset"])

    @property
    def label_columns(self) -> list[str]:
        """Names of the label columns."""
        return list(self.manifest["labels"])

    def class_names(self, column: str) -> list[str]:
        """Names of the classes 0, 1, ... of a label column; the negative one comes first.

        Raises:
            UserError: There is no such column.
        """
        if column not in self.manifest["labels"]:
            there = ", ".join(self.label_columns) or "none"
            raise UserError(
                f"{self.root}: has no label column {column!r} (there: {there}). Prepare it with "
                f"--labels TABLE --label-columns {column}, or give another column."
            )
        return [str(name) for name in self.manifest["labels"][column]]

    def labels(self, column: str) -> NDArray[np.int16]:
        """(N,) class of every film in a column, `UNLABELLED` (-1) where it has none."""
        self.class_names(column)
        return self._labels[column]

    def image(self, place: int) -> NDArray[Any]:
        """Return a stored film.

        Returns:
            (S, S), or (3, S, S) for colour, uint8 or uint16: a read-only view of the file. 0 is
            black, the largest value white.

        Raises:
            UserError: The film's bytes are not those that were written; names the shard.
        """
        shard = self.manifest["shards"][int(self._shard[place])]
        film = mapped(self._arrays, self.root, shard["array"])[int(self._row[place])]
        if not self._checked[place]:
            if hashlib.sha256(film.tobytes()).digest() != self._sha256[place].tobytes():
                raise UserError(
                    f"{self.root / shard['array']}: row {int(self._row[place])} "
                    f"({self.ids[place]}) is damaged: its bytes have changed since they were "
                    "written. Give the prepare.py command that made the cache again, with "
                    "--verify: it makes this shard again from the source."
                )
            self._checked[place] = True
        return film

    def spacing_mm(self, place: int) -> tuple[float, float] | None:
        """(row, column) size of a stored pixel in mm; None where the source did not tell."""
        row, column = self._spacing[place].tolist()
        return None if np.isnan(row) else (row, column)

    def select(self, split: str | None) -> NDArray[np.int64]:
        """Places of a split's films (None: of all), in the order of the cache."""
        if split is None:
            return np.arange(len(self))
        if split not in SPLITS:
            raise UserError(f"split {split!r}: expected one of {', '.join(SPLITS)}.")
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def patients(self, split: str | None) -> list[str]:
        """Patients that have a film in a split (None: in any), sorted."""
        return sorted(np.unique(self.patient_ids[self.select(split)]).tolist())

    def item_ids(self, split: str) -> list[str]:
        """Ids of a split's films, in the order of the cache."""
        return list(self.ids[self.select(split)].tolist())

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}}


def is_film_cache(root: str | Path) -> bool:
    """Whether a folder holds a finished film cache, rather than one of CT slices."""
    path = Path(root) / "manifest.json"
    return path.is_file() and read_json(path).get("format") == FORMAT


def _no_manifest(root: Path) -> str:
    if not root.is_dir():
        return (
            f"{root}: there is no such folder. Expected films prepared by prepare.py; make some, "
            f"for example: python prepare.py phantom_cxr --out {root}"
        )
    if (root / "records").is_dir():
        return (
            f"{root}: has no manifest.json, but finished parts: its preparation was interrupted, "
            "or is one part of several. Run the same prepare.py command again, or join the parts "
            "with python prepare.py merge."
        )
    return (
        f"{root}: has no manifest.json, so it is not a cache. Give the folder that prepare.py "
        "wrote (--out), not the raw films."
    )


def _read_items(root: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Read `items.csv` into columns, and compare files with what the manifest promises."""
    path = root / "items.csv"
    if not path.is_file() or sha256_of(path) != manifest["sha256_items"]:
        raise UserError(
            f"{path}: is {'damaged' if path.is_file() else 'missing'}. Remove manifest.json and "
            "run the prepare.py command that made the cache again; finished films are kept."
        )
    film_bytes = manifest["channels"] * manifest["stored_size"] ** 2 * manifest["bit_depth"] // 8
    for shard in manifest["shards"]:
        array = root / shard["array"]
        if not array.is_file() or array.stat().st_size <= shard["num_films"] * film_bytes:
            raise UserError(
                f"{array}: is {'cut short' if array.is_file() else 'missing'}. Run the prepare.py "
                "command that made the cache again; it makes only what is missing or damaged."
            )
    classes = {name: {c: i for i, c in enumerate(v)} for name, v in manifest["labels"].items()}
    number, count = {s["name"]: i for i, s in enumerate(manifest["shards"])}, manifest["num_items"]
    shard, row = np.empty(count, np.int32), np.empty(count, np.int32)
    split, spacing = np.empty(count, np.int8), np.full((count, 2), np.nan, np.float32)
    sha256 = np.empty(count, "V32")
    labels = {name: np.full(count, UNLABELLED, np.int16) for name in classes}
    # Fixed-width text takes its width from what is stored, and only ids need it.
    ids, patients = np.empty(count, "U32"), np.empty(count, "U32")
    with open(path, newline="", encoding="utf-8") as stream:
        for place, entry in enumerate(csv.DictReader(stream)):
            ids[place], patients[place] = entry["id"], entry["patient_id"]
            split[place] = SPLITS.index(entry["split"])
            shard[place], row[place] = number[entry["shard"]], int(entry["row"])
            sha256[place] = bytes.fromhex(entry["sha256"])
            if entry["spacing_row_mm"]:
                spacing[place] = float(entry["spacing_row_mm"]), float(entry["spacing_column_mm"])
            for name, known in classes.items():
                labels[name][place] = known.get(entry[LABEL_PREFIX + name], UNLABELLED)
    return {
        "id": ids, "patient_id": patients, "split": split, "shard": shard, "row": row,
        "sha256": sha256, "labels": labels, "spacing": spacing,
    }  # fmt: skip


def header(label_columns: Sequence[str]) -> list[str]:
    """The header of `items.csv` for a cache with these label columns."""
    return [*COLUMNS, *(LABEL_PREFIX + name for name in label_columns)]
