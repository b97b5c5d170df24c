"""Phantom chest films on disk: DICOM files in folders by patient, a label table, wrong files."""

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from output_folder import claim_folder
from phantom.chest.dicom_file import draw_encoding, file_bytes, film_dataset
from phantom.chest.film import View, draw_film
from phantom.chest.patient import ChestPatient, draw_chest_patient
from phantom.chest.wrong_files import WRONG_KINDS, wrong_file
from provenance import (
    UserError,
    __version__,
    whole_file,
    write_text_atomic,
)
from worker_pool import in_processes

SETTINGS_FILE = "phantom.json"
LABELS_FILE, WRONG_FILE, FILMS_FOLDER = "labels.csv", "wrong_files.csv", "films"
_FORMAT = "understudy-phantom-cxr"
# Raised whenever the same settings give other films, so that a set is never half old.
_DRAWING_VERSION = 1
_NOTE = "Drawn by a program: synthetic, nobody's chest, not for clinical conclusions."
# From this many patients on, every kind of wrong file is there.
_PATIENTS_FOR_ALL_KINDS = 20
Progress = Callable[[int, int], None]
_Job = tuple[Callable[[Path, int, int, int], None], int]


def _films_of(index: int, seed: int) -> list[tuple[ChestPatient, View]]:
    """A patient's films: one to three PA, and for every third patient one lateral."""
    rng = np.random.default_rng([seed, index, 3])
    visits = int(rng.choice((1, 2, 3), p=(0.55, 0.28, 0.17)))
    patients = [draw_chest_patient(index, seed, visit) for visit in range(visits)]
    films: list[tuple[ChestPatient, View]] = [(patient, "PA") for patient in patients]
    if rng.random() < 1 / 3:
        films.append((patients[0], "LATERAL"))
    return films


def _name(patient: ChestPatient, view: View) -> str:
    """Path of a film in the set; its last part is unique in the set."""
    case, suffix = f"{patient.index:06d}", "pa" if view == "PA" else "lateral"
    return f"{FILMS_FOLDER}/case_{case}/film_{case}_{patient.visit.number}_{suffix}.dcm"


def _wrong_name(number: int) -> str:
    return f"{FILMS_FOLDER}/case_w{number:05d}/film_w{number:05d}.dcm"


def _write(path: Path, content: bytes) -> None:
    try:
        with whole_file(path) as stream:
            stream.write(content)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}). Films before it are kept; "
            "make room or pass another folder, then run the same command again to continue."
        ) from error


def _write_patient(out: Path, seed: int, image_size: int, index: int) -> None:
    for patient, view in _films_of(index, seed):
        path = out / _name(patient, view)
        if path.exists():
            continue
        encoding = draw_encoding(patient.film_rng(70 if view == "PA" else 71))
        film = draw_film(patient, view, image_size)
        dataset = film_dataset(film, patient, view, encoding)
        _write(path, file_bytes(dataset, encoding.transfer_syntax))


def _write_wrong(out: Path, seed: int, image_size: int, number: int) -> None:
    path = out / _wrong_name(number)
    if not path.exists():
        _write(path, wrong_file(number, seed, image_size)[1])


def _do(job: _Job, out: Path, seed: int, image_size: int) -> None:
    write, number = job
    write(out, seed, image_size, number)


def _label_row(patient: ChestPatient, view: View) -> list[str]:
    kinds = [finding.kind for finding in patient.findings]
    strengths = [f"{finding.strength:g}" for finding in patient.findings]
    label = "abnormal" if kinds else "normal"
    return [
        _name(patient, view),
        label,
        "|".join(kinds) or "none",
        "|".join(strengths) or "0",
        view,
    ]


def _write_table(path: Path, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text_atomic(path, text.getvalue())


def write_phantom_cxr(
    out: Path,
    *,
    num_patients: int,
    image_size: int,
    seed: int,
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write phantom chest films as DICOM, with their labels and some deliberately wrong files.

    The set is `films/<case>/<film>.dcm`, `labels.csv` (image, label, finding, strength, view; the
    right films only, findings and strengths of one film separated by `|`), `wrong_files.csv`
    (image, what: the reason for which a pipeline for PA films refuses it) and `phantom.json`. The
    patient is in the DICOM PatientID only. Wrong files are about 2 % of all, and from 20 patients
    on at least one of each kind. Films that exist stay as they are, so an interrupted run
    continues where it stopped, and a larger `num_patients` adds to a set.

    Args:
        out: Folder of the set; made when missing.
        num_patients: Patients 0 to num_patients - 1.
        image_size: Rows and columns in pixels, at least 16.
        seed: Of the whole set; the same seed gives the same bytes.
        workers: Processes.
        progress: Called as (done, total) after each patient and each wrong file.

    Returns:
        `out`.

    Raises:
        UserError: Settings out of range, `out` holds something else than this set, or the disk
            refuses.
    """
    out = Path(out)
    for name, value, least in (
        ("num_patients", num_patients, 1),
        ("image_size", image_size, 16),
        ("seed", seed, 0),
        ("workers", workers, 1),
    ):
        if value < least:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} {value}: expected {least} or more. Nothing was written.")
    identity = {
        "format": _FORMAT,
        "drawing_version": _DRAWING_VERSION,
        "image_size": image_size,
        "seed": seed,
    }
    note = {"synthetic": True, "note": _NOTE, "software_version": __version__}
    claim_folder(out, SETTINGS_FILE, identity, "phantom set", note=note)
    films = [film for index in range(num_patients) for film in _films_of(index, seed)]
    num_wrong = round(0.02 * len(films))
    if num_patients >= _PATIENTS_FOR_ALL_KINDS:
        num_wrong = max(num_wrong, len(WRONG_KINDS))
    jobs: list[_Job] = [(_write_patient, i) for i in range(num_patients)]
    jobs += [(_write_wrong, i) for i in range(num_wrong)]
    work = partial(_do, out=out, seed=seed, image_size=image_size)
    for done, _ in enumerate(in_processes(work, jobs, workers), start=1):
        if progress is not None:
            progress(done, len(jobs))
    head = ["image", "label", "finding", "strength", "view"]
    _write_table(out / LABELS_FILE, [head, *(_label_row(*film) for film in films)])
    wrong = [[_wrong_name(i), WRONG_KINDS[i % len(WRONG_KINDS)]] for i in range(num_wrong)]
    _write_table(out / WRONG_FILE, [["image", "what"], *wrong])
    return out
