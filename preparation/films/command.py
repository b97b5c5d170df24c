"""The sources of films: one function each, whose parameters are the flags of `prepare.py`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from licences import PHANTOM, Licence
from patient_names import KNOWN_SALT, salted_digits
from preparation.claim import claimed
from preparation.films.archive import empty_members_note, opened, unpacked_folder
from preparation.films.assemble import FilmOutcome
from preparation.films.dicom.header import DicomOptions
from preparation.films.files.find import (
    class_folders,
    find_image_files,
    nested_folders_note,
    passed_over_note,
)
from preparation.films.film import FilmFile
from preparation.films.film_layout import Clahe, LayoutOptions
from preparation.films.image_files import ImageFileReader
from preparation.films.label_matching import matched
from preparation.films.label_options import LabelOptions
from preparation.films.label_spelling import check_spelling
from preparation.films.label_table import read_label_table
from preparation.films.prepare import FilmOptions, cache_settings, prepared_with_sheet
from preparation.films.releases.command import released_films
from preparation.films.releases.options import ReleaseOptions
from preparation.films.shard import MakeFilmShard
from preparation.label_map import lost_pairs
from preparation.licence import licence_of_medmnist, refuse_of_phantom
from preparation.pseudonym import Naming, PatientOptions
from preparation.split import Split
from preparation.synthetic_files import SyntheticFiles
from provenance import UserError

_MEDMNIST_NAME = re.compile(r"[a-z]+mnist(_\d+)?")
# Ends the sentence about a film that names no patient.
_NO_PATIENT = "Left out; pass --patient-from folder or file, or --split-by image."
_NO_PATTERN = "Left out; mend --patient-pattern or the table."


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

    PA films by their tags; all others are refused by reason and listed.

    Args:
        out: Folder of the cache.
        source: Folder, zip or tar of the films; only read.
        layout: See `LayoutOptions`.
        labels: See `LabelOptions`.
        patient_from: tag: PatientID. folder: the folder's name. file: every film is a patient of
            its own.
        patients: See `PatientOptions`.
        dicom: See `DicomOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `FilmOptions`.
    """
    from preparation.films.dicom.film_reader import DicomFilmReader, find_dicom_films, uid_of

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
            salt=patients.salt.read(),
            patient_ids=naming.ids,
            no_patient=_NO_PATIENT if split.by == "patient" else None,
            table=table,
            label_columns=table.columns if table else (),
            keep_unlabelled=labels.unlabelled == "keep",
            strict=options.strict,
            may_crash=True,
        )
        if table is None:
            told += lost_pairs("--labels none", list(labels.new_names), ())
        notes = told + patients.salt.note() + empty_members_note(folder)
        notes += nested_folders_note(files) if patient_from == "folder" else []
        return _prepare(files, work, split, settings, options, notes, uid_of)


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
        num_patients: Patients to draw, 1 to 3 films each.
        seed: The same seed draws the same patients.
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
            salt=KNOWN_SALT,
            phantom_seed=seed,
            no_patient=_NO_PATIENT if split.by == "patient" else None,
            table=table,
            label_columns=table.columns,
            may_crash=True,
        )
        files = [file for file in find_dicom_films(source) if file.name.endswith(".dcm")]
        return _prepare(files, work, split, settings, options, [], known=PHANTOM)


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
        source: Folder, zip or tar, MedMNIST .npz of the films; only read.
        layout: See `LayoutOptions`.
        channels: 1: grey, 3: colour.
        download: For the name of a MedMNIST set as --source, such as pneumoniamnist: fetch it.
        release: See `ReleaseOptions`.
        labels: See `LabelOptions`.
        patient_pattern: Regular expression that finds the patient in a file's name, such as
            'IM-\d+|person\d+'.
        patient_from: folder: the folder's name is the patient. file: every image is a patient of
            its own.
        patients: See `PatientOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `FilmOptions`.
    """
    if release.of_tables:
        _refuse_own_labels(release, labels, patient_pattern, patient_from)
        return released_films(
            out, source, layout, channels, release, labels, patients, synthetic, options
        )
    if release.layout == "medmnist" and not _is_medmnist(source):
        raise UserError(
            f"--layout medmnist: --source {source} is no .npz and no name of a MedMNIST set, such "
            "as chestmnist. Give one, or another --layout."
        )
    naming = patients.naming()
    table, told = (None, []) if _is_medmnist(source) else labels.read(naming.ids)
    by_folder = labels.labels is None and not _is_medmnist(source)
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
    # MedMNIST prescribes its split, and no film of it names a patient.
    split = replace(options.split, by="published") if _is_medmnist(source) else options.split
    with claimed(out, settings, split):
        if _is_medmnist(source):
            from preparation.films import medmnist

            path, class_names = medmnist.locate_medmnist(str(source), download)
            files = medmnist.find_array_films(path, unpacked_folder(out))
            findings = medmnist.findings_of(path, files[0]) if release.layout else ()
            kept = release.wanted_findings(findings)
            arrays = medmnist.ArrayFilmReader(channels, class_names, findings, kept)
            size = arrays.side(files[0])
            work = MakeFilmShard(
                out=out,
                reader=arrays,
                layout=layout.layout("image_folder", channels, size=size, margin=0.0, clahe="none"),
                salt=patients.salt.read(),
                label_columns=("label", *kept),
                label_map=new_names,
                keep_unlabelled=labels.unlabelled == "keep",
                strict=options.strict,
            )
            lost = [name for name in new_names if name not in (class_names or [name])]
            notes = [medmnist.MEDMNIST_NOTE, *lost_pairs(str(path), lost, class_names or ())]
            licence = licence_of_medmnist(path.stem)
            return _prepare(files, work, split, settings, options, notes, known=licence)

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
                f"--source {folder}: nothing says which patient an image shows, so patients "
                "cannot be kept on one side of the split. Pass --patient-column with --labels, or "
                r"--patient-pattern (for the names of the Kermany films: 'IM-\d+|person\d+'), or "
                "--patient-from folder or file; --split-by image divides images as if each were "
                "another patient, which overstates every score if they are not."
            )
        usual: Clahe = "none" if channels == 3 else "after_resize"
        work = MakeFilmShard(
            out=out,
            reader=reader,
            layout=layout.layout("image_folder", channels, clahe=usual),
            salt=patients.salt.read(),
            patient_ids=naming.ids,
            no_patient=_NO_PATTERN if split.by == "patient" else None,
            table=table,
            label_columns=("label",) if classes else table.columns if table else (),
            label_map=new_names,
            keep_unlabelled=labels.unlabelled == "keep",
            strict=options.strict,
            note_inverted=channels == 1,  # other colour images are no films at all
        )
        listed = ", ".join(f"{name} {count:,}" for name, count in classes.items())
        note = f"labels are the names of the folders ({listed}); --labels none leaves them out."
        notes = told + ([note] if classes else []) + patients.salt.note()
        notes += empty_members_note(folder) + passed_over_note(folder)
        notes += nested_folders_note(files) if patient_from == "folder" else []
        return _prepare(files, work, split, settings, options, notes)


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


def _is_medmnist(source: Path) -> bool:
    """Whether a source is a MedMNIST file, or the name of one of its sets."""
    return source.suffix == ".npz" or bool(_MEDMNIST_NAME.fullmatch(str(source)))


def _prepare(
    files: Sequence[FilmFile],
    work: MakeFilmShard,
    split: Split,
    settings: dict[str, Any],
    options: FilmOptions,
    notes: list[str],
    uid_of: Callable[[FilmFile], str] | None = None,
    known: Licence | None = None,
) -> FilmOutcome:
    if work.table is not None:
        table, more = matched(work.table, files, uid_of)
        work, notes = replace(work, table=table), [*notes, *table.notes, *more]
    return prepared_with_sheet(files, work, split, settings, options, notes, known)
