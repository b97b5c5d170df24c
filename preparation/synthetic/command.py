"""`prepare.py synthetic`: images that another program made become a synthetic set."""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from datamodules.film_cache import FilmCache
from licences import Licence, together
from output_folder import check_folder, claim_folder, locked
from preparation.claim import refuse_one_in_the_other
from preparation.disk import full_disk_as_user_error
from preparation.left_out import stop_at_the_first
from preparation.private_table import keep_command
from preparation.synthetic.assemble import NO_LABEL, SyntheticOutcome, assemble
from preparation.synthetic.labels import Classes, ClassOptions, classes_of_films
from preparation.synthetic.reading import SourceReader
from preparation.synthetic.request import (
    UNKNOWN,
    SliceChoices,
    chosen_origin,
    film_reader,
    refuse_flags,
    scale_of,
    slice_reader,
)
from preparation.synthetic.source import SourceFile, file_of, find_source
from preparation.synthetic.write import (
    NOT_ASKED_FOR,
    MakeChunk,
    finished,
    in_chunks,
    record_of,
)
from private_paths import command_for_others
from provenance import UserError, read_json
from worker_pool import in_processes

_REQUEST = "request.json"


def synthetic(
    *,
    out: Path,
    source: Path,
    trained_on: str = UNKNOWN,
    trained_on_split: Literal["train", "all"] = "train",
    like: Path | None = None,
    made_by: str = "another generator",
    processing: Literal["as_cache", "none"] = "as_cache",
    values: tuple[float, ...] = (),
    classes: ClassOptions = ClassOptions(),
    choices: SliceChoices = SliceChoices(),
    licence: str | None = None,
    workers: int = 1,
    strict: bool = False,
) -> SyntheticOutcome:
    """Make a synthetic set of another program's images, such as a diffusion model's.

    PNG, JPEG and the like, DICOM, NIfTI and NumPy files become a synthetic set with the size and
    the grey values of a cache, for --data.synthetic, evaluate.py images and audit, and studies.

    Args:
        out: Folder of the set.
        source: Folder of the images, or one file with several; only read.
        trained_on: The cache on which their generator was trained, or unknown: then nobody can say
            whether it has seen test patients, and everything that uses the set says so.
        trained_on_split: Which images of that cache the generator has seen.
        like: The cache whose size, contrast and window the images get. Default: --trained-on.
        made_by: The program that made them, in your words; it is copied into the card, so do not
            name a person.
        processing: Films only. as_cache: process the images like the cache's raw files (squared,
            resized, equalised, cropped). none: only resize, for a generator that was trained on
            images of a cache and so makes such images.
        values: Black and white in NumPy and NIfTI files, such as -1 1; in 8-bit files always 0 and
            255. Default: the lowest and highest value of each film; slices are in HU.
        classes: See `ClassOptions`.
        choices: See `SliceChoices`.
        licence: Licence of the images, or of the data behind them; values as for the other sources.
            The licence of the cache on which their generator was trained holds too.
        workers: Number of processes; each has one file in memory.
        strict: Stop at the first file that cannot be used. Default: list it, use the others, and
            end with exit status 3.
    """
    if workers < 1:
        raise UserError(f"--workers {workers}: expected 1 or more.")
    scale = scale_of(values)
    stated = () if licence is None else (Licence.of_text(licence),)
    files, notes = find_source(source)  # first: the other flags are about these images
    origin = chosen_origin(trained_on, trained_on_split, like)
    cache = origin.like
    refuse_one_in_the_other(out, source, choices.masks, "set")
    reader: SourceReader
    if isinstance(cache, FilmCache):
        refuse_flags(choices, SliceChoices(), f"{cache.root} holds films")
        found = classes_of_films(files, cache, classes, source)
        reader, more = film_reader(cache, processing, scale), list(found.notes)
    else:
        of_films = replace(classes, label_map=())
        refuse_flags(of_films, ClassOptions(), f"{cache.root} holds slices")
        if processing != "as_cache":
            raise UserError(
                f"--processing {processing}: is for films, and {cache.root} holds slices, whose "
                "grey values are never equalised. Leave it out."
            )
        found = Classes(tuple(cache.class_names), {})
        reader, more = slice_reader(cache, classes, choices, scale)
    settings = {
        "command": "synthetic",
        "trained_on": origin.trained_on,
        "trained_on_split_id": origin.split_id,
        "trained_on_split": trained_on_split,
        "prepared_like": _prepared_like(cache),
        "processing": processing,
        "values": list(values),
        "made_by": made_by,
        **{key: value for key, value in asdict(classes).items() if key != "labels"},
        "label_map": _pairs_of(classes),
        "classes": hashlib.sha256(repr(sorted(found.of_file.items())).encode()).hexdigest(),
        **asdict(choices),
        "masks": choices.masks is not None,
        "bytes": hashlib.sha256(repr([one.file.num_bytes for one in files]).encode()).hexdigest(),
    }
    check_folder(out, _REQUEST, settings, "synthetic set")
    with locked(out, "prepare.py"):
        claim_folder(out, _REQUEST, settings, "synthetic set")
        lacking = [one for one in files if _lacks_label(one, found, classes)]
        if strict:
            stop_at_the_first((one.file.name, ": ".join(NO_LABEL)) for one in lacking)
        used = [one for one in files if not _lacks_label(one, found, classes)]
        records, num_resumed = _made(out, used, reader, workers, strict)
        command = _command(settings, source, out, cache.root, classes, choices, trained_on, licence)
        keep_command(out, command)
        outcome = assemble(
            out=out,
            files=files,
            lacking=lacking,
            records=records,
            origin=origin,
            classes=found,
            described={
                "made_by": made_by,
                "licences": together((*origin.licences, *stated)) or [Licence()],
                "prepared_like": settings["prepared_like"] | {"processing": processing},
            },
            command=command_for_others(command),
        )
    outcome.num_resumed = num_resumed
    outcome.trained_on = None if trained_on == UNKNOWN else Path(trained_on)
    outcome.notes[:0] = notes + more
    return outcome


def _lacks_label(file: SourceFile, found: Classes, options: ClassOptions) -> bool:
    """Whether a film is left out since it has no label, where others have one."""
    return (
        bool(found.of_file) and options.unlabelled == "reject" and file.number not in found.of_file
    )


def _made(
    out: Path, files: Sequence[SourceFile], reader: SourceReader, workers: int, strict: bool
) -> tuple[list[dict[str, Any]], int]:
    """The records of all chunks, and how many files were finished before."""
    chunks = in_chunks(files)

    def check(record: dict[str, Any]) -> None:
        stop_at_the_first(
            (file_of(files, name), f"{reason}: {sentence}")
            for name, reason, sentence in (record["left_out"] if strict else ())
            if reason != NOT_ASKED_FOR
        )

    todo = [chunk for chunk in chunks if not finished(out, chunk)]
    num_resumed = len(files) - sum(len(chunk.files) for chunk in todo)
    work = MakeChunk(out, reader)
    decoders = any(one.kind == "DICOM file" for one in files)
    bar = tqdm(total=len(files), initial=num_resumed, unit="file", desc="prepare synthetic")
    with bar, full_disk_as_user_error(out, "images"):
        for chunk, record in in_processes(work, todo, workers, isolated=decoders):
            check(record)
            bar.update(len(chunk.files))
    records = [read_json(record_of(out, chunk)) for chunk in chunks]
    for record in records:  # those of an earlier call too
        check(record)
    return records, num_resumed


def _prepared_like(cache: Any) -> dict[str, Any]:
    told = {"dataset": cache.dataset, "split_id": cache.split_id, "image_size": cache.image_size}
    return told | {key: value for key, value in cache.preparation.items() if value is not None}


def _command(
    settings: dict[str, Any],
    source: Path,
    out: Path,
    like: Path,
    classes: ClassOptions,
    choices: SliceChoices,
    trained_on: str,
    licence: str | None,
) -> str:
    """What to type for the same set."""
    words: list[Any] = ["--source", source, "--trained-on", trained_on]
    if trained_on != str(like):
        words += ["--like", like]
    for flag, usual in (("trained_on_split", "train"), ("processing", "as_cache")):
        if settings[flag] != usual:
            words += [f"--{flag.replace('_', '-')}", settings[flag]]
    if settings["values"]:
        words += ["--values", *(f"{value:g}" for value in settings["values"])]
    for flag in ("label", "label_column", "key_column", "window_width_hu", "window_center_hu"):
        if settings[flag] is not None:
            words += [f"--{flag.replace('_', '-')}", settings[flag]]
    if classes.labels is not None:
        words += ["--labels", classes.labels]
    if settings["label_map"]:
        words += ["--label-map", *settings["label_map"]]
    if classes.unlabelled != "reject":
        words += ["--unlabelled", classes.unlabelled]
    if choices.masks is not None:
        words += ["--masks", choices.masks, "--slices", choices.slices]
    if choices.volume_from != "file":
        words += ["--volume-from", choices.volume_from]
    if licence is not None:
        words += ["--licence", licence]
    words += ["--made-by", settings["made_by"], "--out", out]
    return shlex.join(["python", "prepare.py", "synthetic", *map(str, words)])


def _pairs_of(classes: ClassOptions) -> list[str]:
    """The label map as it was given; what a file of it holds, since its name tells nobody."""
    if all("=" in word for word in classes.label_map):
        return list(classes.label_map)
    return [f"{old}={new}" for old, new in classes.new_names.items()]
