"""Small folders in the layouts of public releases, with drawn films and tables as published."""

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from preparation.films.releases.chexpert import FINDINGS as OBSERVATIONS
from tests.film_runs import draw

NIH_HEADER = [
    "Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender",
    "View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]",
]  # fmt: skip
CHEXPERT_HEADER = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *OBSERVATIONS]
SAID = ("No Finding", "Effusion|Mass", "Pneumonia", "Hernia|Effusion", "No Finding")


def film(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw(seed)).save(path)


def table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", newline="") as stream:
        csv.writer(stream).writerows(rows)


def nih(root: Path, patients: int = 20) -> Path:
    """Two films of each patient, the first PA and the second AP; the last six patients test."""
    rows, lists = [NIH_HEADER], {"train_val_list.txt": [], "test_list.txt": []}
    for number in range(2 * patients):
        patient, follow_up = divmod(number, 2)
        name = f"{patient + 1:08d}_{follow_up:03d}.png"
        film(root / f"images_{number % 2 + 1:03d}" / "images" / name, number)
        view, sex = ("PA", "AP")[follow_up], "MF"[patient % 2]
        age = "411Y" if number == 1 else f"{20 + patient:03d}Y"
        said = SAID[number % len(SAID)]
        rows.append([name, said, follow_up, patient + 1, age, sex, view, 24, 24, 0.1, 0.1])
        lists["test_list.txt" if patient >= patients - 6 else "train_val_list.txt"].append(name)
    table(root / "Data_Entry_2017.csv", rows)
    for name, films in lists.items():
        (root / name).write_text("\n".join(films) + "\n")
    return root


def observations(seed: int) -> list[str]:
    """A cell for each of CheXpert's 14: `1.0`, `0.0`, `-1.0` or blank; every third is normal."""
    if seed % 3 == 0:
        return ["1.0", *[""] * 12, "1.0"]  # with a device
    drawn = np.random.default_rng(seed).integers(0, 4, len(OBSERVATIONS))
    return ["", *(("1.0", "0.0", "-1.0", "")[kind] for kind in drawn[1:])]


def chexpert(root: Path, patients: int = 20) -> Path:
    """A frontal and a lateral film of each training patient, and five validation patients."""
    release = root / "CheXpert-v1.0-small"
    for split, first, count in (("train", 1, patients), ("valid", 64541, 5)):
        rows = [CHEXPERT_HEADER]
        for patient in range(first, first + count):
            for view, side in enumerate(("frontal", "lateral"), start=1):
                path = f"{split}/patient{patient:05d}/study1/view{view}_{side}.jpg"
                film(release / path, 2 * patient + view)
                about = ["Female" if patient % 2 else "Male", 30 + patient % 70, side.capitalize()]
                projection = ("AP" if patient % 3 else "PA") if side == "frontal" else ""
                rows.append(
                    [f"CheXpert-v1.0-small/{path}", *about, projection, *observations(patient)]
                )
        table(release / f"{split}.csv", rows)
    return release


def mimic(root: Path, patients: int = 20) -> Path:
    """A PA and a lateral film of each patient, tables packed as PhysioNet has them."""
    alphabetical = sorted(OBSERVATIONS)
    films = [["dicom_id", "subject_id", "study_id", "ViewPosition", "Rows", "Columns"]]
    said = [["subject_id", "study_id", *alphabetical]]
    splits = [["dicom_id", "study_id", "subject_id", "split"]]
    for number in range(patients):
        subject, study = 10000032 + number, 50414267 + number
        cells = dict(zip(OBSERVATIONS, observations(number), strict=True))
        said.append([subject, study, *(cells[name] for name in alphabetical)])
        for view, position in enumerate(("PA", "LATERAL" if number else "")):
            dicom = f"{number:08x}-{view:08x}"
            path = f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom}.jpg"
            film(root / path, 1000 + 2 * number + view)
            films.append([dicom, subject, study, position, 24, 24])
            split = "test" if number % 10 == 9 else "validate" if number % 10 == 8 else "train"
            splits.append([dicom, study, subject, split])
    for name, rows in (("metadata", films), ("chexpert", said), ("split", splits)):
        table(root / f"mimic-cxr-2.0.0-{name}.csv.gz", rows)
    return root


def chestmnist(path: Path, films: int = 20) -> Path:
    """An `.npz` of 14 findings per film, with 28 x 28 pixels."""
    rng, arrays = np.random.default_rng(0), {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (films, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 2, (films, 14), dtype=np.int64)
    np.savez(path, **arrays)
    return path
