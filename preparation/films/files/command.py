"""Prepares image files of films; the parameters are the flags of `prepare.py image_folder`."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from patient_names import salted_digits
from preparation.claim import claimed, refuse_one_in_the_other
from preparation.films.archives.source import empty_members_note, opened
from preparation.films.assemble import FilmOutcome
from preparation.films.files.find import (
    class_folders,
    find_image_files,
    nested_folders_note,
    passed_over_note,
)
from preparation.films.film_layout import Clahe, LayoutOptions
from preparation.films.image_files import ImageFileReader
from preparation.films.label_options import LabelOptions
from preparation.films.label_spelling import check_spelling
from preparation.films.medmnist.command import is_medmnist, medmnist_films
from preparation.films.prepare import FilmOptions, cache_settings, prepared_with_labels
from preparation.films.releases.command import released_films
from preparation.films.releases.options import ReleaseOptions
from preparation.films.shards.labels import LabelsOfFilms
from preparation.films.shards.make import MakeFilmShard
from preparation.films.shards.patients import PatientsOfFilms
from preparation.label_map import lost_pairs
from preparation.pseudonym import PatientOptions
from preparation.synthetic_files import SyntheticFiles
from provenance import UserError

# Ends the sentence about a film that names no patient.
_NO_PATTERN = "Left out; mend --patient-pattern or the table."


def image_folder(
    *,
    out: Path,
    source: Path,
    layout: LayoutOptions = LayoutOptions(),
    channels: Literal[1, 3] = 1,
    download: bool = False,
    release: ReleaseOptions = ReleaseOptions(),
    labels: LabelOptions = LabelOptions(),
    patient_pattern: str | None = None,
    patient_from: Literal["none", "folder", "file"] = "none",
    patients: PatientOptions = PatientOptions(),
    synthetic: SyntheticFiles = SyntheticFiles(),
    options: FilmOptions = FilmOptions(),
) -> FilmOutcome:
    r"""Prepare PNG or JPEG images with a label table, in class folders or a release's layout.

    Or a MedMNIST .npz file.

    Args:
        out: Folder of the cache.
        source: Folder, zip, tar or MedMNIST .npz of the films; only read.
        layout: See `LayoutOptions`.
        channels: 1: grey, 3: colour.
        download: Download the MedMNIST set that --source names, such as pneumoniamnist.
        release: See `ReleaseOptions`.
        labels: See `LabelOptions`.
        patient_pattern: Regular expression that finds the patient in a file's name, such as
            'IM-\d+|person\d+'.
        patient_from: What names the patient. folder: the folder's name. file: each image counts as
            a patient. none: --patient-pattern or the label table.
        patients: See `PatientOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `FilmOptions`.
    """
    if source.is_file() or not is_medmnist(source):  # the name of a set is no place
        refuse_one_in_the_other(out, source)
    if release.of_tables:
        _refuse_own_labels(release, labels, patient_pattern, patient_from)
        return released_films(
            out, source, layout, channels, release, labels, patients, synthetic, options
        )
    if release.layout == "medmnist" and not is_medmnist(source):
        raise UserError(
            f"--layout medmnist: --source {source} is no .npz and no name of a MedMNIST set, such "
            "as chestmnist. Give one, or another --layout."
        )
    naming = patients.naming()
    table, told = (None, []) if is_medmnist(source) else labels.read(naming.ids)
    by_folder = labels.labels is None and not is_medmnist(source)
    new_names = labels.of_folders if by_folder else labels.new_names
    flags = {
        **layout.settings(),
        "channels": channels,
        **labels.settings(bool(told), new_names),
        # A pattern may hold a name: only whether it is the same is known.
        "patient_pattern": patient_pattern
        and salted_digits(f"{naming.salt}:pattern:{patient_pattern}", 16),
        "patient_from": patient_from,
        **synthetic.settings(),
        **release.settings(),
    }
    settings = cache_settings("image_folder", flags, labels.sha256(), naming.names, options)
    if is_medmnist(source):
        return medmnist_films(
            out, source, layout, channels, download, release, labels, patients, settings, options
        )
    split = options.split
    with claimed(out, settings, split):
        folder = opened(source, out)
        files = find_image_files(folder)
        if not files:
            raise UserError(
                f"--source {folder}: holds no image (PNG, JPEG, TIFF, BMP, WebP). DICOM films "
                "are prepared by prepare.py chest_xray."
                + "".join(f" Besides: {note}" for note in passed_over_note(folder))
            )
        reader = ImageFileReader(
            channels,
            patient_pattern,
            patient_from,
            allow_synthetic=synthetic.allow_synthetic,
        )
        classes = class_folders(files) if labels.labels is None else {}
        if classes and any(reader.folder_names_patient(file.name) for file in files):
            told.append(
                "the names of the folders are the patients', so they are no labels. Give the "
                "labels in a table (--labels)."
            )
            classes = {}
        lowered = [name.lower() for name in classes]
        values = [new_names.get(name, name) for name in lowered]
        check_spelling(f"--source {folder}", "the list of its folders", values, new_names)
        if labels.path is None:
            lost = [name for name in labels.new_names if name.lower() not in lowered]
            told += lost_pairs(f"--source {folder}", lost, lowered)
        reader = replace(reader, label_from_folder=bool(classes))
        named = patient_pattern or patient_from != "none" or (table and table.patient_column)
        if split.by == "patient" and not named:
            raise UserError(
                f"--source {folder}: nothing says which patient an image shows, so the images "
                "cannot be split by patient. Pass --patient-column with --labels, or "
                r"--patient-pattern (for the names of the Kermany films: 'IM-\d+|person\d+'), or "
                "--patient-from folder or file. --split-by image splits as if each image showed "
                "another patient; if patients have several images, every score is then too high."
            )
        usual: Clahe = "none" if channels == 3 else "after_resize"
        work = MakeFilmShard(
            out=out,
            reader=reader,
            layout=layout.layout("image_folder", channels, clahe=usual),
            patients=PatientsOfFilms(
                patients.salt.read(),
                naming.ids,
                no_patient=_NO_PATTERN if split.by == "patient" else None,
            ),
            labels=LabelsOfFilms(
                table,
                ("label",) if classes else table.columns if table else (),
                new_names,
                keep_unlabelled=labels.unlabelled == "keep",
            ),
            strict=options.strict,
            note_inverted=channels == 1,  # other colour images are no films at all
        )
        listed = ", ".join(f"{name} {count:,}" for name, count in classes.items())
        note = f"labels are the names of the folders ({listed}); --labels none leaves them out."
        notes = told + ([note] if classes else []) + patients.salt.note()
        notes += empty_members_note(folder) + passed_over_note(folder)
        notes += nested_folders_note(files) if patient_from == "folder" else []
        return prepared_with_labels(files, work, split, settings, options, notes)


def _refuse_own_labels(
    release: ReleaseOptions, labels: LabelOptions, patient_pattern: str | None, patient_from: str
) -> None:
    """Refuse flags that say what a release's tables say."""
    names = ("labels", "label_columns", "key_column", "patient_column", "label_map")
    own = {name: (getattr(labels, name), getattr(LabelOptions, name)) for name in names}
    own |= {
        "patient_pattern": (patient_pattern, None),
        "patient_from": (patient_from, "none"),
    }
    for name, (value, usual) in own.items():
        if value != usual:
            raise UserError(
                f"--{name.replace('_', '-')}: the tables of the release say it (--layout "
                f"{release.layout}). Leave it out, or leave --layout out and give a table of your "
                "own with --labels."
            )
