"""Cases of nnU-Net's layout and of the Decathlon's; a case is a patient by its name."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from patient_names import RoundedNumberError
from preparation import left_out
from preparation.pseudonym import Naming
from preparation.volumes.data_sets.dataset_file import NAME, DatasetFile, Pair
from preparation.volumes.labels.values import MaskValues
from preparation.volumes.nifti.file import NamedFile
from preparation.volumes.nifti.job import nifti_job
from preparation.volumes.volume import Found, Job, SkipVolume
from provenance import UserError

Part = Literal["Tr", "Ts"]
"""Which of the folders imagesTr and imagesTs: training, or test."""

_SHOWN = 3


def find_nnunet_cases(
    source: Path,
    about: DatasetFile,
    part: Part,
    values: MaskValues,
    naming: Naming,
    pattern: re.Pattern[str] | None = None,
) -> Found:
    """List the cases of a data set. Reads headers only.

    Args:
        source: Its folder.
        about: Its `dataset.json`.
        part: Of which folders.
        values: What the values of the masks mean.
        naming: How patients are named.
        pattern: Finds the patient in the name of a case; None: the case is the patient.

    Returns:
        Jobs sorted by the cases' names, and the cases that cannot be used.

    Raises:
        UserError: There is no label map.
    """
    pairs = _pairs(source, about, part)
    if not pairs:
        raise UserError(
            f"--source {source}: labels{part}/ holds no label map *{about.ending}. Expected "
            f"labels{part}/NAME{about.ending} and images{part}/NAME"
            f"{'' if about.is_decathlon else '_0000'}{about.ending}"
            + (f", or the cases that {NAME} lists." if part == "Tr" else ".")
            + _test_without_labels(source, part)
        )
    found = Found(naming=naming)
    found.notes += _number_note(about, part, len(pairs)) + _others(source, about, part, pairs)
    for name, pair in sorted(pairs.items()):
        try:
            found.jobs.append(_job(source, about, name, pair, values, found, pattern))
        except SkipVolume as skip:
            found.skipped.append((skip.file, skip.reason))
        except Exception as error:  # headers raise what they like
            alias = found.own_names.add(naming.alias(name), name, source / pair.label)
            found.skipped.append((alias, left_out.cannot_be_read(error, source / pair.label)))
    return found


def _pairs(source: Path, about: DatasetFile, part: Part) -> dict[str, Pair]:
    """The files of each case: as the file lists them, else by the names in the folders."""
    if about.pairs is not None and part == "Tr":
        return dict(about.pairs)
    images = sorted(_names(source / f"images{part}", about.ending))
    pairs: dict[str, Pair] = {}
    numbered = re.compile(rf"(.+)_\d{{4}}{re.escape(about.ending)}")
    of_case: dict[str, list[str]] = {}
    for image in images:
        match = numbered.fullmatch(image)
        if about.is_decathlon or match is None:
            of_case.setdefault(image.removesuffix(about.ending), []).append(image)
        else:
            of_case.setdefault(match[1], []).append(image)
    for label in _names(source / f"labels{part}", about.ending):
        name = label.removesuffix(about.ending)
        files = tuple(f"images{part}/{image}" for image in of_case.pop(name, ()))
        if about.is_decathlon and not files:  # said as missing, or of nnU-Net's version 1
            files = (f"images{part}/{label}",)
        pairs[name] = Pair(files, f"labels{part}/{label}")
    if part == "Tr" and not about.is_decathlon:
        for name, lone in of_case.items():  # said as a case without a label map
            pairs[name] = Pair(tuple(f"imagesTr/{one}" for one in lone), f"labelsTr/{name}")
    return pairs if any((source / pair.label).is_file() for pair in pairs.values()) else {}


def _names(folder: Path, ending: str) -> list[str]:
    """Files of a folder; not those that begin with a point, which macOS adds to archives."""
    if not folder.is_dir():
        return []
    return [
        path.name
        for path in folder.iterdir()
        if path.name.endswith(ending) and not path.name.startswith(".")
    ]


def _job(
    source: Path,
    about: DatasetFile,
    name: str,
    pair: Pair,
    values: MaskValues,
    found: Found,
    pattern: re.Pattern[str] | None,
) -> Job:
    identifier, reason = name, "has the name of a missing value. Left out."
    if pattern is not None:
        match = pattern.search(name)
        identifier = (match[1] if pattern.groups else match[0]) or "" if match else ""
        reason = "has no patient in its name by --patient-pattern. Left out."
    try:
        patient = found.naming.patient_id(identifier)
    except RoundedNumberError as error:
        patient, reason = "", f"{error} Left out."
    if not patient:
        alias = found.own_names.add(found.naming.alias(name), name, source / pair.label)
        raise SkipVolume(alias, reason)
    shard = found.new_shard(patient)
    label = _inside(source, pair.label, f"{shard}/label", found)
    if not label[0].is_file():
        raise SkipVolume(label[1], "has an image and no label map. Left out.")
    wanted = len(about.channels)
    images, in_file = pair.images, wanted if about.is_decathlon else 1
    if about.is_decathlon and (numbered := _of_version_1(source, pair, wanted, about.ending)):
        images, in_file = numbered, 1
    files = [
        _inside(source, image, f"{shard}/image_{place}", found)
        for place, image in enumerate(images)
    ]
    missing = [named for path, named in files if not path.is_file()]
    if missing:
        raise SkipVolume(missing[0], f"is missing, and {label[1]} is its label map. Left out.")
    numbers = [f"{place:04d}" for place in range(wanted)]
    if not about.is_decathlon and about.pairs is None and len(files) == wanted:
        ends = [path.name.removesuffix(about.ending)[-4:] for path, _ in files]
        if ends != numbers:
            raise SkipVolume(
                label[1],
                f"has the images {', '.join(ends)}, expected {', '.join(numbers)} of the channels "
                f"{', '.join(about.channels)}. Left out.",
            )
    if len(files) * in_file != wanted:
        there = [path.name.removesuffix(about.ending)[-4:] for path, _ in files]
        lost = [
            f"{number} ({channel})"
            for number, channel in zip(numbers, about.channels, strict=True)
            if number not in there
        ]
        raise SkipVolume(
            label[1],
            f"has {len(files)} of {wanted} images beside it"
            + (f"; {', '.join(lost)} is missing" if len(files) < wanted and files else "")
            + f", and {NAME} names the channels {', '.join(about.channels)}. Left out.",
        )
    return nifti_job(shard, patient, identifier, [label, *files], values, in_file, name)


def _of_version_1(source: Path, pair: Pair, channels: int, ending: str) -> tuple[str, ...]:
    """The files of each channel, which nnU-Net's version 1 lists as one that there is not."""
    [image] = pair.images
    stem = image.removesuffix(ending)
    numbered = tuple(f"{stem}_{place:04d}{ending}" for place in range(channels))
    there = not (source / image).is_file() and any((source / one).is_file() for one in numbered)
    return numbered if there else ()


def _inside(source: Path, written: str, name: str, found: Found) -> NamedFile:
    """A file by its path below the data set's folder.

    Raises:
        SkipVolume: The path leads out of the folder.
    """
    path = source / written
    own = found.own_names.add(name, written.removeprefix("./"), path)
    if not path.resolve().is_relative_to(source.resolve()) and not path.is_symlink():
        raise SkipVolume(own, f"is a path of {NAME} that leads out of its folder. Left out.")
    return path, own


def _number_note(about: DatasetFile, part: Part, count: int) -> list[str]:
    if part == "Ts" or about.num_training in (None, count):
        return []
    return [
        f"{NAME} says numTraining {about.num_training}, and there are {count} cases. Those that "
        "are there are used; was the data set copied whole?"
    ]


def _others(source: Path, about: DatasetFile, part: Part, pairs: dict[str, Pair]) -> list[str]:
    """Sentences on images that are not used, since they have no label map or are not listed."""
    notes = []
    test = _names(source / "imagesTs", about.ending)
    if test and part == "Tr":
        labelled = len(_names(source / "labelsTs", about.ending))
        what = f"{labelled} of them with label maps: " if labelled else ""
        how = (
            "prepare them with --part Ts, into another --out."
            if labelled
            else "without label maps, so they are no part of the cache."
        )
        notes.append(f"imagesTs/ holds {len(test)} files, {what}{how}")
    if about.pairs is not None and part == "Tr":
        listed = Counter(Path(pair.label).name for pair in pairs.values())
        more = [name for name in _names(source / "labelsTr", about.ending) if not listed[name]]
        if more:
            notes.append(
                f"labelsTr/ holds {len(more)} label maps that {NAME} does not list, which are not "
                f"used: {_some(more)}."
            )
    return notes


def _test_without_labels(source: Path, part: Part) -> str:
    if part == "Tr" or not (source / "imagesTs").is_dir():
        return ""
    return " Images without label maps are no part of a cache."


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
