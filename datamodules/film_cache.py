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

from datamodules.named_files import LARGEST_SIDE, check_shard_file, whole_number
from datamodules.prepared_cache import SPLITS, PreparedCache
from provenance import UserError, sha256_of

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


class FilmCache(PreparedCache):
    """A prepared set of films. What a network sees is a crop of the stored film.

    A film's bytes are compared with its hash the first time that a process reads it, so damage is
    found where it would be trained on.
    """

    FORMAT = "understudy-films"
    FORMAT_VERSION = 1
    REQUIRED = ("dataset", "image_size", "stored_size", "channels", "bit_depth", "split",
                "split_id", "shards", "labels", "num_items", "sha256_items")  # fmt: skip
    CONTENTS = "films"
    PREPARATION = ("clahe", "clahe_clip_limit", "on_nonsquare", "resample", "margin", "channels")
    IMAGE_FORM = (*PREPARATION, "image_size", "bit_depth")

    def __init__(self, root: Path, manifest: dict[str, Any]) -> None:
        super().__init__(root, manifest)
        columns = _read_items(root, manifest)
        self.ids = columns["id"]
        self.patient_ids = columns["patient_id"]
        self.splits = columns["split"]
        self._shard: NDArray[np.int32] = columns["shard"]
        self._row: NDArray[np.int32] = columns["row"]
        self._sha256: NDArray[np.void] = columns["sha256"]
        self._labels: dict[str, NDArray[np.int16]] = columns["labels"]
        self._spacing: NDArray[np.float32] = columns["spacing"]
        self.views: list[str] = columns["views"]
        self._checked = np.zeros(len(self.ids), dtype=bool)

    @property
    def stored_size(self) -> int:
        """Side of the stored films in pixels, larger than `image_size` by the crop's margin."""
        return int(self.manifest["stored_size"])

    @property
    def image_form(self) -> dict[str, Any]:
        """With the views of its films, such as PA, as far as their files tell them."""
        return {**super().image_form, "views": self.views}

    @property
    def channels(self) -> int:
        """1 for grey films, 3 for colour pictures."""
        return int(self.manifest["channels"])

    @property
    def content(self) -> str:
        """SHA-256 of `items.csv`, which names the hash of every film."""
        return str(self.manifest["sha256_items"])

    @property
    def label_columns(self) -> list[str]:
        """Names of the label columns."""
        return list(self.manifest["labels"])

    @property
    def findings(self) -> list[str]:
        """Label columns of 0 and 1 alone: findings that a film has, or has not, beside others."""
        found = self.manifest["labels"].items()
        return [name for name, classes in found if {*classes} <= {"0", "1"}]

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

    def image(self, index: int) -> NDArray[Any]:
        """Return a stored film.

        Returns:
            (S, S), or (3, S, S) for colour, uint8 or uint16: a read-only view of the file. 0 is
            black, the largest value white.

        Raises:
            UserError: The film's bytes are not those that were written; names the shard.
        """
        shard = self.manifest["shards"][int(self._shard[index])]
        shape = (self.stored_size, self.stored_size)
        film = self.row(
            shard["array"],
            int(self._row[index]),
            shape if self.channels == 1 else (self.channels, *shape),
            self.manifest["bit_depth"],
        )
        if not self._checked[index]:
            if hashlib.sha256(film.tobytes()).digest() != self._sha256[index].tobytes():
                raise UserError(
                    f"{self.root / shard['array']}: row {int(self._row[index])} "
                    f"({self.ids[index]}) is damaged: its bytes have changed since they were "
                    "written. Give the prepare.py command that made the cache again, with "
                    "--verify: it makes this shard again from the source."
                )
            self._checked[index] = True
        return film

    def spacing_mm(self, index: int) -> tuple[float, float] | None:
        """(row, column) size of a stored pixel in mm; None where the source did not tell."""
        row, column = self._spacing[index].tolist()
        return None if np.isnan(row) else (row, column)


def _read_items(root: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Read `items.csv` into columns, and compare files with what the manifest promises."""
    path = root / "items.csv"
    if not path.is_file() or sha256_of(path) != manifest["sha256_items"]:
        raise UserError(
            f"{path}: is {'damaged' if path.is_file() else 'missing'}. Remove manifest.json and "
            "run the prepare.py command that made the cache again; finished films are kept."
        )
    for name, least, most in (
        ("stored_size", manifest["image_size"], LARGEST_SIDE),
        ("channels", 1, 3),
        ("bit_depth", 8, 16),
        # A row of the table is longer than the hash of its film.
        ("num_items", 0, path.stat().st_size // 64),
    ):
        whole_number(manifest[name], name, least, most)
    film_bytes = manifest["channels"] * manifest["stored_size"] ** 2 * manifest["bit_depth"] // 8
    for shard in manifest["shards"]:
        films = whole_number(shard["num_films"], "num_films")
        check_shard_file(root, shard["array"], films * film_bytes)
    classes = {name: {c: i for i, c in enumerate(v)} for name, v in manifest["labels"].items()}
    number, count = {s["name"]: i for i, s in enumerate(manifest["shards"])}, manifest["num_items"]
    shard, row = np.empty(count, np.int32), np.empty(count, np.int32)
    split, spacing = np.empty(count, np.int8), np.full((count, 2), np.nan, np.float32)
    sha256 = np.empty(count, "V32")
    labels = {name: np.full(count, UNLABELLED, np.int16) for name in classes}
    # Fixed-width text takes its width from what is stored, and only ids need it.
    ids, patients = np.empty(count, "U32"), np.empty(count, "U32")
    read, views = 0, set[str]()
    with open(path, newline="", encoding="utf-8") as stream:
        for read, entry in enumerate(csv.DictReader(stream), start=1):
            index = read - 1
            ids[index], patients[index] = entry["id"], entry["patient_id"]
            split[index] = SPLITS.index(entry["split"])
            shard[index], row[index] = number[entry["shard"]], int(entry["row"])
            views.add(entry.get("view") or "")
            sha256[index] = bytes.fromhex(entry["sha256"])
            if entry["spacing_row_mm"]:
                spacing[index] = float(entry["spacing_row_mm"]), float(entry["spacing_column_mm"])
            for name, known in classes.items():
                labels[name][index] = known.get(entry[LABEL_PREFIX + name], UNLABELLED)
    if read != count or (row < 0).any():
        raise ValueError(f"num_items {count}, {read} in items.csv")
    return {
        "id": ids, "patient_id": patients, "split": split, "shard": shard, "row": row,
        "sha256": sha256, "labels": labels, "spacing": spacing, "views": sorted(views - {""}),
    }  # fmt: skip


def header(label_columns: Sequence[str]) -> list[str]:
    """The header of `items.csv` for a cache with these label columns."""
    return [*COLUMNS, *(LABEL_PREFIX + name for name in label_columns)]
