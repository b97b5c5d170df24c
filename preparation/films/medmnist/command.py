"""Prepares the films of a MedMNIST file."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from preparation.claim import claimed
from preparation.films.archives.source import unpacked_folder
from preparation.films.assemble import FilmOutcome
from preparation.films.film_layout import LayoutOptions
from preparation.films.label_options import LabelOptions
from preparation.films.medmnist.array_films import (
    MEDMNIST_NOTE,
    ArrayFilmReader,
    find_array_films,
    findings_of,
)
from preparation.films.medmnist.locate import locate_medmnist
from preparation.films.prepare import FilmOptions, prepared_with_sheet
from preparation.films.releases.options import ReleaseOptions
from preparation.films.shards.labels import LabelsOfFilms
from preparation.films.shards.make import MakeFilmShard
from preparation.films.shards.patients import PatientsOfFilms
from preparation.label_map import lost_pairs
from preparation.licence import licence_of_medmnist
from preparation.pseudonym import PatientOptions

# As a source may be named; `locate_medmnist` knows which sets there are.
_NAME = re.compile(r"[a-z]+mnist(_\d+)?")


def is_medmnist(source: Path) -> bool:
    """Whether a source is a MedMNIST file, or the name of one of its sets."""
    return source.suffix == ".npz" or bool(_NAME.fullmatch(str(source)))


def medmnist_films(
    out: Path,
    source: Path,
    layout: LayoutOptions,
    channels: Literal[1, 3],
    download: bool,
    release: ReleaseOptions,
    labels: LabelOptions,
    patients: PatientOptions,
    settings: dict[str, Any],
    options: FilmOptions,
) -> FilmOutcome:
    """Prepare the films of a MedMNIST file, in the split that it prescribes.

    Args:
        out: Folder of the cache.
        source: The `.npz`, or the name of a set.
        layout: How films are stored.
        channels: 1: grey, 3: colour.
        download: Fetch a set that is not there.
        release: Whether its findings are labels of their own, and which.
        labels: What its classes are renamed to, and whether films without one are kept.
        patients: How they are named; no film of MedMNIST names one.
        settings: All that decides on the bytes of the cache.
        options: How the work is done.

    Raises:
        UserError: There is no such file or set, or the file is damaged.
    """
    split = replace(options.split, by="published")
    with claimed(out, settings, split):
        path, class_names = locate_medmnist(str(source), download)
        files = find_array_films(path, unpacked_folder(out))
        findings = findings_of(path, files[0]) if release.layout else ()
        kept = release.wanted_findings(findings)
        arrays = ArrayFilmReader(channels, class_names, findings, kept)
        size = arrays.side(files[0])
        work = MakeFilmShard(
            out=out,
            reader=arrays,
            layout=layout.layout("image_folder", channels, size=size, margin=0.0, clahe="none"),
            patients=PatientsOfFilms(patients.salt.read()),
            labels=LabelsOfFilms(
                columns=("label", *kept),
                new_names=labels.new_names,
                keep_unlabelled=labels.unlabelled == "keep",
            ),
            strict=options.strict,
        )
        lost = [name for name in labels.new_names if name not in (class_names or [name])]
        notes = [MEDMNIST_NOTE, *lost_pairs(str(path), lost, class_names or ())]
        licence = licence_of_medmnist(path.stem)
        return prepared_with_sheet(files, work, split, settings, options, notes, licence)
