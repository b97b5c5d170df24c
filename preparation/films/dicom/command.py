"""Prepares DICOM films, of a folder or of the phantom; parameters are the flags of `prepare.py`."""

from pathlib import Path
from typing import Literal

from tqdm import tqdm

from licences import PHANTOM
from patient_names import KNOWN_SALT
from preparation.claim import claimed, refuse_one_in_the_other
from preparation.films.archives.source import empty_members_note, opened
from preparation.films.assemble import FilmOutcome
from preparation.films.dicom.header import DicomOptions
from preparation.films.files.find import nested_folders_note
from preparation.films.film_layout import LayoutOptions
from preparation.films.label_options import LabelOptions
from preparation.films.label_table import read_label_table
from preparation.films.prepare import FilmOptions, cache_settings, prepared_with_labels
from preparation.films.shards.labels import LabelsOfFilms
from preparation.films.shards.make import MakeFilmShard
from preparation.films.shards.patients import PatientsOfFilms
from preparation.label_map import lost_pairs
from preparation.licence import refuse_of_phantom
from preparation.pseudonym import Naming, PatientOptions
from preparation.synthetic_files import SyntheticFiles
from provenance import UserError

# Ends the sentence about a film that names no patient.
_NO_PATIENT = "Left out; pass --patient-from folder or file, or --split-by image."


def chest_xray(
    *,
    out: Path,
    source: Path,
    layout: LayoutOptions = LayoutOptions(),
    labels: LabelOptions = LabelOptions(),
    patient_from: Literal["tag", "folder", "file"] = "tag",
    patients: PatientOptions = PatientOptions(),
    dicom: DicomOptions = DicomOptions(),
    synthetic: SyntheticFiles = SyntheticFiles(),
    options: FilmOptions = FilmOptions(),
) -> FilmOutcome:
    """Prepare chest films from a folder of DICOM files.

    PA films are recognised by their tags. All others are refused, and listed with the reason.

    Args:
        out: Folder of the cache.
        source: Folder, zip or tar of the films; only read.
        layout: See `LayoutOptions`.
        labels: See `LabelOptions`.
        patient_from: What names the patient. tag: PatientID. folder: the folder's name. file: each
            film counts as a patient.
        patients: See `PatientOptions`.
        dicom: See `DicomOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `FilmOptions`.
    """
    from preparation.films.dicom.film_reader import DicomFilmReader, find_dicom_films, uid_of

    refuse_one_in_the_other(out, source)
    naming = patients.naming()
    table, told = labels.read(naming.ids)
    kept = labels.settings(bool(told), labels.new_names)
    settings = cache_settings(
        "chest_xray",
        {
            **layout.settings(),
            **kept,
            "patient_from": patient_from,
            **dicom.settings(),
            **synthetic.settings(),
        },
        labels.sha256(),
        naming.names,
        options,
    )
    split = options.split
    with claimed(out, settings, split):
        folder = opened(source, out)
        files = find_dicom_films(folder)
        if not files:
            raise UserError(
                f"--source {folder}: holds no file. Give the folder of the DICOM films."
            )
        work = MakeFilmShard(
            out=out,
            reader=DicomFilmReader(dicom, patient_from, synthetic.allow_synthetic),
            layout=layout.layout("chest_xray"),
            patients=PatientsOfFilms(
                patients.salt.read(),
                naming.ids,
                no_patient=_NO_PATIENT if split.by == "patient" else None,
            ),
            labels=LabelsOfFilms(
                table,
                table.columns if table else (),
                keep_unlabelled=labels.unlabelled == "keep",
            ),
            strict=options.strict,
            may_crash=True,
        )
        if table is None:
            told += lost_pairs("--labels none", list(labels.new_names), ())
        notes = told + patients.salt.note() + empty_members_note(folder)
        notes += nested_folders_note(files) if patient_from == "folder" else []
        return prepared_with_labels(files, work, split, settings, options, notes, uid_of)


def phantom_cxr(
    *,
    out: Path,
    num_patients: int = 200,
    seed: int = 0,
    layout: LayoutOptions = LayoutOptions(image_size=128),
    dicom: DicomOptions = DicomOptions(),
    options: FilmOptions = FilmOptions(),
) -> FilmOutcome:
    """Draw chest films as DICOM, normal and abnormal, PA and lateral, and prepare them.

    Needs no data.

    Args:
        out: Folder of the cache.
        num_patients: Number of patients to draw, with 1 to 3 films each.
        seed: Seed of the drawing; the same seed draws the same patients.
        layout: See `LayoutOptions`.
        dicom: See `DicomOptions`.
        options: See `FilmOptions`.
    """
    from phantom.chest.write_set import write_phantom_cxr
    from preparation.films.dicom.film_reader import DicomFilmReader, find_dicom_films

    if options.licence is not None:
        refuse_of_phantom("phantom_cxr", options.licence)
    flags = {"num_patients": num_patients, "seed": seed, **layout.settings(), **dicom.settings()}
    drawn = Naming(salt=None).names
    settings = cache_settings("phantom_cxr", flags, None, drawn, options)
    split, stored, source = options.split, layout.layout("phantom_cxr"), out / "source"
    with claimed(out, settings, split):
        with tqdm(unit="case", desc="draw phantom_cxr") as bar:

            def show(done: int, total: int) -> None:
                bar.total = total  # patients, and files that are wrong on purpose
                bar.update(done - bar.n)

            write_phantom_cxr(  # those that are there already stay as they are
                source,
                num_patients=num_patients,
                image_size=stored.stored_size,
                seed=seed,
                workers=options.workers,
                progress=show,
            )
        table = read_label_table(source / "labels.csv", "image", ("label",), None)
        work = MakeFilmShard(
            out=out,
            reader=DicomFilmReader(dicom, "tag"),
            layout=stored,
            patients=PatientsOfFilms(
                KNOWN_SALT,
                phantom_seed=seed,
                no_patient=_NO_PATIENT if split.by == "patient" else None,
            ),
            labels=LabelsOfFilms(table, table.columns),
            may_crash=True,
        )
        files = [file for file in find_dicom_films(source) if file.name.endswith(".dcm")]
        return prepared_with_labels(files, work, split, settings, options, [], known=PHANTOM)
