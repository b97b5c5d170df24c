"""Pairs of PNG slices with an index: `image/<file>`, `label/<file>` and `index.csv`.

`index.csv` names every pair in the columns `file`, `case` (the patient) and `slice`. Grey values
pass through as they are: which window made them is not known any more.
"""

import csv
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patient_names import RoundedNumberError
from preparation.pseudonym import Naming
from preparation.text_file import separator_of, text_of
from preparation.volumes.labels.values import MaskValues, labels_of
from preparation.volumes.pixel_checks import all_marked_note
from preparation.volumes.slice_pictures import FORMATS, read_grey, read_labels
from preparation.volumes.volume import Found, Job, SkipVolume, Volume, existing_folder, is_synthetic
from provenance import UserError

_COLUMNS = ("file", "case", "slice")


def split_key(case: str) -> str:
    """What a patient's split is drawn for: a case number by KiTS19's name, `28` by `case_00028`.

    Other ASCII names are as file names can be, and names in other scripts as they are.
    """
    case = case.strip()
    if case.isdecimal():
        digits = "".join(str(unicodedata.decimal(digit)) for digit in case).lstrip("0")
        return f"case_{digits:0>5}"
    return re.sub(r"[^A-Za-z0-9_.-]", "_", case) if case.isascii() else case


@dataclass
class _Case:
    """The rows of an index that are one volume: of one patient, with one key."""

    identifiers: set[str] = field(default_factory=set)
    rows: dict[int, tuple[int, str]] = field(default_factory=dict)  # slice: line and file


def find_pairs(source: Path, values: MaskValues = MaskValues(), naming: Naming = Naming()) -> Found:
    """List the patients of an index; one job per patient and split key.

    Args:
        source: Holds image/, label/ and index.csv.
        values: What the values of the masks mean.
        naming: How patients are named.

    Raises:
        UserError: The folder or its index is missing, or the index lacks a column.
    """
    existing_folder(source)
    found, rows = Found(naming=naming), _rows(source / "index.csv")
    cases: dict[tuple[str, str], _Case] = {}
    for number, row in enumerate(rows, start=2):
        try:
            file, slice_index = str(row["file"]), _whole(row["slice"])
            case = str(row["case"] or "")
            patient = naming.patient_id(case)
            if not patient or Path(file).name != file:
                raise ValueError
        except RoundedNumberError as error:
            found.skipped.append(("index.csv", f"line {number}: {error} Left out."))
            continue
        except (TypeError, ValueError):
            found.skipped.append(
                ("index.csv", f"line {number} lacks a file name, a case or a whole-number slice.")
            )
            continue
        one = cases.setdefault((patient, split_key(case)), _Case())
        one.identifiers.add(case.strip())
        if slice_index in one.rows:
            earlier, _ = one.rows[slice_index]
            found.skipped.append(
                (
                    "index.csv",
                    f"line {number} is slice {slice_index} of its case again, after line "
                    f"{earlier}. Left out.",
                )
            )
            continue
        one.rows[slice_index] = (number, file)
    listed = {row["file"] for row in rows}
    unlisted = [path for path in (source / "image").glob("*.png") if path.name not in listed]
    for number, path in enumerate(sorted(unlisted), start=1):
        name = found.own_names.add(f"image/unlisted_{number}", f"image/{path.name}", path)
        found.skipped.append((name, "is not in index.csv: patient unknown."))
    for (patient, key), one in sorted(cases.items()):
        job = _job(source, patient, key, one, found, values)
        if job is not None:
            found.jobs.append(job)
    return found


def _rows(index: Path) -> list[dict[str, str]]:
    if not index.is_file():
        raise UserError(
            f"{index}: there is no index. Expected a table with the columns file, case (the "
            "patient) and slice, one row per pair in image/ and label/."
        )
    text = text_of(index, "the index")
    try:
        stream = io.StringIO(text, newline="")
        reader = csv.DictReader(stream, delimiter=separator_of(text))
        reader.fieldnames = names = [name.strip().lower() for name in reader.fieldnames or []]
        missing = [column for column in _COLUMNS if names.count(column) != 1]
        if missing:
            has = [f"{'several columns' if c in names else 'no column'} {c}" for c in missing]
            raise UserError(
                f"{index}: has {' and '.join(has)}. "
                f"Expected the columns {', '.join(_COLUMNS)}; without `case` patients cannot be "
                f"kept apart. There are {', '.join(names) or 'none'}."
            )
        return list(reader)
    except csv.Error as error:
        raise UserError(
            f"{index}: is not a readable table ({error}). Expected CSV with the columns "
            f"{', '.join(_COLUMNS)}."
        ) from error


def _whole(text: str) -> int:
    """A whole number, also as spreadsheets write it: `2.0`. ValueError where it is none."""
    decimal = re.fullmatch(r"\s*([+-]?\d+)\.0*\s*", text)
    return int(decimal[1] if decimal else text)


_LOST = "Left out; copy it there, or take its row out of index.csv."


def _job(
    source: Path, patient: str, key: str, case: _Case, found: Found, values: MaskValues
) -> Job | None:
    shard = found.new_shard(patient)
    found.own_names.add(shard, f"case {', '.join(sorted(case.identifiers))}", source)
    files: list[Path] = []
    names: list[str] = []
    slice_indices: list[int] = []
    shape = None
    for slice_index, (_, file) in sorted(case.rows.items()):
        pair = {kind: source / kind / file for kind in ("image", "label")}
        of_cache = {
            kind: found.own_names.add(f"{shard}/{kind}/{slice_index:04d}", f"{kind}/{file}", path)
            for kind, path in pair.items()
        }
        # isfile: a name that is too long for a file is none, where Path.is_file raises.
        lost = [kind for kind, path in pair.items() if not os.path.isfile(path)]
        if lost:
            found.skipped.append(
                (of_cache[lost[0]], f"is missing, though index.csv lists it. {_LOST}")
            )
            continue
        if shape is None:
            shape = _shape(pair["image"])
        files += pair.values()
        names += of_cache.values()
        slice_indices.append(slice_index)
    if not files:
        return None
    return Job(
        shard=shard,
        patient_id=patient,
        identifiers=tuple(sorted(case.identifiers)),
        split_key=key,
        item_key=key,
        files=tuple(files),
        names=tuple(names),
        slice_shape=shape or (0, 0),
        num_slices=len(slice_indices),
        class_names=values.class_names,
        options={"slice_indices": slice_indices, **values.options()},
    )


def _shape(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            turned = picture.getexif().get(0x0112, 1) in range(5, 9)
            shape = (picture.height, picture.width)
            return shape[::-1] if turned else shape
    except Exception:  # what is wrong with it is said when it is read
        return None


def read_pairs(job: Job) -> Volume:
    """Read one patient's slices; a slice that cannot be used is left out by name.

    Returns:
        Volume with (S, H, W) uint8 grey and labels. Slices need not share a shape: those that
        differ from the most common one are left out.

    Raises:
        SkipVolume: No slice of the patient can be used.
    """
    images: list[NDArray[np.uint8]] = []
    masks: list[NDArray[np.uint8]] = []
    slice_indices: list[int] = []
    skipped: list[tuple[str, str]] = []
    mapped: set[int] = set()
    lossy: list[str] = []
    num_synthetic = 0
    known = [*job.options["changes"], *(job.options["declared"] or ())]
    pairs = list(zip(job.files[::2], job.files[1::2], strict=True))
    shapes = [_shape(image) for image, mask in pairs if _shape(image) == _shape(mask)]
    common = _most_common(s for s in shapes if s is not None)
    for i, (image_path, mask_path) in enumerate(pairs):
        image_name, mask_name = job.names[2 * i], job.names[2 * i + 1]
        held: set[int] = set()
        try:
            picture = read_grey(image_path, image_name)
            labels = read_labels(mask_path, mask_name, known)
            synthetic = [
                is_synthetic(image_name, picture.synthetic, job),
                is_synthetic(mask_name, labels.synthetic, job),
            ]
            if picture.orientation != labels.orientation:
                raise SkipVolume(
                    mask_name,
                    f"has the EXIF orientation {labels.orientation}, but {image_name} has "
                    f"{picture.orientation}. Left out; the orientation of the labels is not known.",
                )
            image, mask = picture.pixels, labels.pixels
            if image.shape != mask.shape:
                raise SkipVolume(
                    mask_name, f"is {mask.shape}, but {image_name} is {image.shape}. Left out."
                )
            if image.shape != common:
                raise SkipVolume(
                    image_name,
                    f"is {image.shape}, the patient's other slices are {common}. Left out.",
                )
            mask = labels_of(mask, mask_name, job.class_names, job.options, held)
            if image.min() == image.max():
                raise SkipVolume(image_name, f"is constant (all {image.min()}). Left out.")
        except SkipVolume as skip:
            skipped.append((skip.file, skip.reason))
            continue
        mapped |= held
        num_synthetic += any(synthetic)
        lossy += [picture.lossy] if picture.lossy else []
        images.append(image)
        masks.append(mask)
        slice_indices.append(int(job.options["slice_indices"][i]))
    if not images:
        if len(skipped) == 1:
            raise SkipVolume(*skipped[0])
        why = Counter(reason for _, reason in skipped).most_common()
        counted = " ".join(f"{count} of {len(skipped)}: {reason}" for reason, count in why)
        raise SkipVolume(job.shard, f"has no usable slice. {counted}")
    return Volume(
        image=np.stack(images),
        mask=np.stack(masks),
        slice_indices=slice_indices,
        geometry={"source_shape": [len(images), *images[0].shape], "window": "unknown"},
        notes=[
            *_lossy_note(job.shard, lossy, len(images)),
            *all_marked_note(np.stack(masks), job.shard),
        ],
        skipped=skipped,
        mapped=mapped,
        num_synthetic=num_synthetic,
    )


def _lossy_note(shard: str, formats: Sequence[str], count: int) -> list[str]:
    if not formats:
        return []
    return [
        f"{shard}: {len(formats)} of {count} images went through lossy compression "
        f"({', '.join(sorted(set(formats)))}), whatever their names say. They are used as they are."
    ]


def _most_common(shapes: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    counted = list(shapes)
    return max(sorted(set(counted)), key=counted.count) if counted else None
