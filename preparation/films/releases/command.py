"""Prepares the films of a release by its own tables."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from licences import known_data
from preparation.claim import claimed
from preparation.films.archives.source import empty_members_note, opened
from preparation.films.assemble import FilmOutcome
from preparation.films.files.find import find_image_files, passed_over_note
from preparation.films.film_layout import LayoutOptions
from preparation.films.image_files import ImageFileReader
from preparation.films.label_matching import matched
from preparation.films.label_options import LabelOptions
from preparation.films.prepare import FilmOptions, cache_settings, prepared_with_sheet
from preparation.films.releases.chexpert import read_chexpert
from preparation.films.releases.mimic import read_mimic
from preparation.films.releases.nih import read_nih
from preparation.films.releases.options import ReleaseOptions
from preparation.films.releases.policy import Policy
from preparation.films.releases.release import SPLIT, VIEW, Release, ReleaseReader
from preparation.films.shards.labels import LabelsOfFilms
from preparation.films.shards.make import MakeFilmShard
from preparation.films.shards.patients import PatientsOfFilms
from preparation.pseudonym import PatientOptions
from preparation.split import Split
from preparation.synthetic_files import SyntheticFiles
from provenance import UserError, sha256_of

_NO_PATIENT = "Left out; the release's table names none."


def released_films(
    out: Path,
    source: Path,
    layout: LayoutOptions,
    channels: Literal[1, 3],
    release: ReleaseOptions,
    labels: LabelOptions,
    patients: PatientOptions,
    synthetic: SyntheticFiles,
    options: FilmOptions,
) -> FilmOutcome:
    """Prepare films in the layout of ChestX-ray14, CheXpert or MIMIC-CXR-JPG.

    Args:
        out: Folder of the cache.
        source: Folder, zip or tar of the release; only read.
        layout: How films are stored.
        channels: 1: grey, 3: colour.
        release: Which release, and what of it is kept.
        labels: What uncertain and blank findings become; its table is the release's.
        patients: How they are named.
        synthetic: Whether synthetic films are taken.
        options: How the work is done.

    Raises:
        UserError: A table is missing or is not the release's, or the films are not those of it.
    """
    naming, folder = patients.naming(), opened(source, out)
    policy = Policy(labels.uncertain_labels, labels.blank_labels or "negative")
    read = _read(folder, release, policy)
    flags = {
        **layout.settings(),
        "channels": channels,
        **release.settings(),
        "unlabelled": labels.unlabelled,
        "uncertain_labels": policy.uncertain,
        "blank_labels": policy.blank,
        **synthetic.settings(),
    }
    hashes = {path.name: sha256_of(path) for path in read.tables}
    settings = cache_settings("image_folder", flags, hashes, naming.names, options)
    with_split = _split(options, release)
    files = find_image_files(folder)
    if not files:
        raise UserError(
            f"--source {folder}: holds the tables of the release, and no image. Give the folder "
            "with both." + "".join(f" Besides: {note}" for note in passed_over_note(folder))
        )
    # Before anything is made: a table of other films is a mistake at once.
    table, more = matched(read.label_table(), files)
    told = {}
    for file in files:
        name = Path(file.name)
        row = table.row_of((file.name, name.name, name.stem))
        if row is not None:
            told[file.name] = (row[VIEW], row.get(SPLIT, ""))
    pictures = ImageFileReader(channels, allow_synthetic=synthetic.allow_synthetic)
    with claimed(out, settings, with_split):
        work = MakeFilmShard(
            out=out,
            reader=ReleaseReader(pictures, told, release.wanted_views),
            layout=layout.layout(
                "image_folder", channels, clahe="none" if channels == 3 else "after_resize"
            ),
            patients=PatientsOfFilms(
                patients.salt.read(),
                naming.ids,
                no_patient=_NO_PATIENT if with_split.by == "patient" else None,
            ),
            # Of most films some finding is not known.
            labels=LabelsOfFilms(table, table.columns, keep_unlabelled=True),
            strict=options.strict,
            note_inverted=channels == 1,
        )
        notes = [*table.notes, *more, *patients.salt.note(), *empty_members_note(folder)]
        return prepared_with_sheet(
            files, work, with_split, settings, options, notes, known_data(read.licence)
        )


def _read(folder: Path, release: ReleaseOptions, policy: Policy) -> Release:
    if release.layout == "nih":
        return read_nih(folder, release)
    if release.layout == "chexpert":
        return read_chexpert(folder, release, policy)
    return read_mimic(folder, release, policy)


def _split(options: FilmOptions, release: ReleaseOptions) -> Split:
    if not release.published_split:
        return options.split
    if options.split_by != "patient" or options.split_all_to is not None:
        flag = "--split-all-to" if options.split_all_to is not None else "--split-by image"
        raise UserError(
            f"{flag}: says another split than --published-split. Leave one of them out."
        )
    return replace(options.split, published=True)
