"""A small source of every kind, full of names: in folders, files, tables, headers and comments."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.film_runs import draw
from tests.planted_names import (
    ACCENTED,
    ACCESSION,
    CHINESE,
    COMMENT,
    EXIF,
    HEADER,
    INSTITUTION,
    PATIENT_ID,
    PERSON,
    STUDY,
    TABLE_ID,
    UID,
)
from tests.preparation.films.dicom_films import write as write_film
from tests.preparation.volumes.test_ct_dicom import make_study
from tests.prepare_runs import AFFINE

PEOPLE = tuple(f"{who}_{n}" for n in range(4) for who in (PERSON, ACCENTED, CHINESE))
_DICOM_NAMES = {
    "PatientName": f"{PERSON}^Oswin",
    "AccessionNumber": ACCESSION,
    "InstitutionName": INSTITUTION,
    "ReferringPhysicianName": f"{PERSON}^Doctor",
    "StudyDescription": STUDY,
    "SeriesDescription": STUDY,
    "StudyInstanceUID": f"{UID}.1",
}


def nifti(root: Path, size: int = 32, images: bool = True) -> Path:
    """A folder per person in KiTS19's layout; one of them cannot be read."""
    rows, columns = np.mgrid[:size, :size]
    for number, who in enumerate(PEOPLE):
        folder = root / who
        folder.mkdir(parents=True)
        rng = np.random.default_rng(number)
        mask = np.zeros((3, size, size), np.int16)
        centre = rng.uniform(0.3, 0.7, 2) * size
        distance = np.hypot(rows - centre[0], columns - centre[1])
        mask[:, distance < size / 4], mask[:, distance < size / 8] = 1, 2
        image = np.array([-100, 60, 120])[mask] + rng.normal(0, 20, mask.shape)
        both = {"imaging": image.astype(np.int16), "segmentation": mask}
        for name in both if images else ("segmentation",):
            stored = nib.Nifti1Image(both[name], AFFINE)
            stored.header["descrip"] = f"{HEADER} {PATIENT_ID}".encode()
            stored.header["aux_file"] = f"{PERSON}.nii".encode()
            nib.save(stored, folder / f"{name}.nii.gz")
    bad = root / f"{PERSON}_unreadable"
    bad.mkdir()
    for name in ("imaging", "segmentation"):
        (bad / f"{name}.nii.gz").write_bytes(b"no volume")
    return root


def slices(root: Path) -> Path:
    """Pairs of PNG with texts in them, and an index of people; one file is not listed."""
    rows = []
    for kind in ("image", "label"):
        (root / kind).mkdir(parents=True)
    for number, who in enumerate(PEOPLE):
        for place in range(2):
            name = f"{who}_{place}.png"
            noise = np.random.default_rng(10 * number + place).integers(0, 256, (16, 16))
            _png(root / "image" / name, noise.astype(np.uint8))
            _png(root / "label" / name, (noise % 3).astype(np.uint8))
            rows.append((name, f"{TABLE_ID}-{who}", place))
    _png(root / "image" / f"{PERSON}_unlisted.png", noise.astype(np.uint8))
    _table(root / "index.csv", ("file", "case", "slice"), rows)
    return root


def ct_dicom(root: Path) -> Path:
    """A folder per person; one has no kidney, and a mask folder is called by a name."""
    for number, who in enumerate(PEOPLE[:4]):
        tags = {**_DICOM_NAMES, "patient": f"{PATIENT_ID}-{number}", "series": f"{UID}.{number}"}
        make_study(root / who, num=3, seed=number, **tags)
    (root / f"{PERSON}_empty/PATIENT_DICOM").mkdir(parents=True)
    (root / PEOPLE[0] / f"MASKS_DICOM/{PERSON}s_cyst").mkdir()
    return root


def dicom_films(root: Path) -> Path:
    """Films of people in folders of their names, files called by UIDs, and a table of UIDs."""
    rows = []
    for number, who in enumerate(PEOPLE):
        uid = f"{UID}.2.{number + 1}"
        write_film(
            root / f"films/{who}/{uid}.dcm", draw(number, 40).astype(np.uint16) * 16,
            PatientID=f"{PATIENT_ID}-{number}", SOPInstanceUID=uid, **_DICOM_NAMES,
        )  # fmt: skip
        rows.append((uid, f"{TABLE_ID}-{number}", ("normal", "abnormal")[number % 2]))
    (root / f"films/{PERSON}_report.txt").write_text(f"{PERSON} is well.")
    _table(root / "labels.csv", ("sop_instance_uid", "patient", "label"), rows)
    return root


def image_files(root: Path) -> Path:
    """PNG with texts and JPEG with EXIF, a table of them, and the same ones in class folders."""
    rows = []
    for number, who in enumerate(PEOPLE):
        name = f"{who}.{('png', 'jpg')[number % 2]}"
        folder = ("normal", "abnormal")[number % 2]
        for place in (root / "films" / name, root / "classes" / folder / name):
            _png(place, draw(number, 40))
        rows.append((name, f"{TABLE_ID}-{number}", folder))
    (root / f"films/{PERSON}_torn.png").write_bytes((root / "films" / rows[0][0]).read_bytes()[:99])
    _table(root / "labels.csv", ("image", "patient", "label"), rows)
    return root


def medmnist(root: Path) -> Path:
    """An array file that is called by a name."""
    root.mkdir(parents=True)
    arrays = {}
    for number, split in enumerate(("train", "val", "test")):
        rng = np.random.default_rng(number)
        arrays[f"{split}_images"] = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(6) % 2)[:, None].astype(np.uint8)
    path = root / f"{PERSON}.npz"
    np.savez(path, **arrays)
    return path


def _png(path: Path, pixels: np.ndarray) -> None:
    """A picture with a name in each of its comments, as its ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if path.suffix == ".jpg":
        exif = Image.Exif()
        exif[0x010E], exif[0x013B] = EXIF, PERSON  # description, artist
        image.save(path, exif=exif, comment=COMMENT, quality=95)
    else:
        texts = PngInfo()
        texts.add_text("Title", COMMENT, zip=True)
        texts.add_itxt("Author", ACCENTED)
        image.save(path, pnginfo=texts)


def _table(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
