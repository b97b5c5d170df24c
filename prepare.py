"""Prepare raw data once: draw or read it, window it, split the patients, write a cache.

A cache is what train.py, generate.py and evaluate.py read. An interrupted run goes on where it
stopped when the same command is given again; nothing is ever overwritten.
"""

import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jsonargparse import Namespace
from tqdm import tqdm

from command_line import parsed, run_verb, verb_parser, with_underscores
from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from preparation.claim import claim, locked
from preparation.films.command import run_film_command
from preparation.films.command_line import FILM_SOURCES, add_film_flags
from preparation.films.merge import merge
from preparation.films.processing import process
from preparation.films.request import FilmRequest
from preparation.films.summary import print_film_summary
from preparation.split import Split, check_no_split_is_empty
from preparation.verify import verify, verify_films
from preparation.volumes import ct_dicom, nifti, png_slices
from preparation.volumes.flags import OTHERS, SOURCES, add_flags
from preparation.volumes.prepare import common_size, prepare
from preparation.volumes.shard import Layout
from preparation.volumes.summary import print_summary, print_verification
from preparation.volumes.volume import Found, Reader
from provenance import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand. Returns 0, or 1 for damage; UserErrors are left to `run_verb`."""
    chosen = _parse(sys.argv[1:] if arguments is None else arguments)
    name, options = chosen.subcommand, chosen[chosen.subcommand]
    if name == "verify":
        return _verify(Path(options.folder))
    if name == "merge":
        print_film_summary(merge([Path(part) for part in options.parts], Path(options.out)))
        return 0
    if options.workers < 1:
        raise UserError(f"--workers {options.workers}: expected 1 or more.")
    if name in FILM_SOURCES:
        return _prepare_films(name, options)
    return _prepare(name, options)


def _parse(given: Sequence[str]) -> Namespace:
    parser = verb_parser("prepare.py", __doc__)
    commands = parser.add_subcommands(required=True)
    subparsers = []
    for name, text in {**SOURCES, **FILM_SOURCES, **OTHERS}.items():
        sub = verb_parser(f"prepare.py {name}", text)
        (add_film_flags if name in FILM_SOURCES else add_flags)(sub, name)
        commands.add_subcommand(name, sub, help=text)
        subparsers.append(sub)
    return parsed(parser, with_underscores(given), subparsers)


def _prepare(name: str, options: Namespace) -> int:
    out = Path(options.out)
    split = Split(
        options.split_by, tuple(options.split_ratios), options.split_seed, options.split_all_to
    )
    if name == "phantom_ct":
        window: tuple[float, float] | None = (options.window_width_hu, options.window_center_hu)
        layout = Layout(name, options.image_size, window, options.on_nonsquare, True)
        with locked(out):
            claim(out, layout.settings(), split)
            _draw(out / "source", options)
            found = nifti.find_cases(out / "source")
            return _fill(out, found, nifti.read_case, layout, split, options)
    find, read = _source(name, options)
    found = find(Path(options.source))
    window = None
    if name in ("kits19", "ct_dicom"):
        window = (options.window_width_hu, options.window_center_hu)
        if window[0] <= 0:
            raise UserError(f"--window-width-hu {window[0]}: expected a width above 0.")
    size = options.image_size or common_size(found) or 512
    layout = Layout(name, size, window, options.on_nonsquare, name != "masks")
    patients = {job.patient_id for job in found.jobs}
    if len(patients) == 1 and split.all_to is None and split.by == "patient":
        split = replace(split, all_to="test")
        found.notes.append(
            "One patient cannot be divided, so all slices go to the test split, for evaluating "
            "models trained on other data. Pass --split-all-to train to train on them."
        )
    if layout.has_images and split.by == "patient" and patients:
        check_no_split_is_empty(split, patients)
    with locked(out):
        claim(out, layout.settings(), split)
        return _fill(out, found, read, layout, split, options)


def _fill(
    out: Path, found: Found, read: Reader, layout: Layout, split: Split, options: Namespace
) -> int:
    outcome = prepare(out, found, read, layout, split, options.workers)
    damaged = 0
    if options.verify:
        damaged = print_verification(out, verify(SliceCache.open(out), found), brief=True)
    print_summary(outcome)
    return damaged


def _verify(folder: Path) -> int:
    """Check a cache of either kind. Returns 1 where something has changed."""
    cache = open_cache(folder)
    if isinstance(cache, FilmCache):
        return print_verification(folder, verify_films(cache), unit="films")
    return print_verification(folder, verify(cache))


def _prepare_films(name: str, options: Namespace) -> int:
    outcome, request = run_film_command(name, options)
    if outcome.manifest is not None:
        _film_sheet(outcome.cache, request)
    print_film_summary(outcome)
    return 0


def _film_sheet(cache: FilmCache, request: FilmRequest) -> None:
    """Draw eight films as they came and as they are stored, to be looked at: `sheet.png`."""
    from display.sheet import save_png, sheet

    files = {file.name: file for file in request.files}
    with open(cache.root / "sources.csv", newline="", encoding="utf-8") as stream:
        names = [row["file"] for row in csv.DictReader(stream)]
    shown = sorted({len(names) * number // 8 for number in range(8)})
    plain = replace(request.work.layout, clahe="none")
    before = [process(request.work.reader(files[names[place]]).pixels, plain) for place in shown]
    after = [cache.image(place) for place in shown]
    rows = [[_as_picture(film) for film in films] for films in (before, after)]
    titles = ["as it came", "as it is stored"]
    save_png(cache.root / "sheet.png", sheet(rows, row_titles=titles, cell_size=224))


def _as_picture(film: np.ndarray) -> np.ndarray:
    """A stored film as (H, W) or (H, W, 3) uint8."""
    grey = (film >> 8).astype(np.uint8) if film.dtype == np.uint16 else np.asarray(film)
    return np.moveaxis(grey, 0, -1) if grey.ndim == 3 else grey


def _draw(source: Path, options: Namespace) -> None:
    """Draw the phantom's volumes; those that are there already stay as they are."""
    from phantom.ct.write_set import write_phantom_ct

    with tqdm(total=options.num_patients, unit="patient", desc="draw phantom_ct") as bar:
        write_phantom_ct(
            source,
            num_patients=options.num_patients,
            image_size=options.image_size,
            num_slices=options.num_slices,
            seed=options.seed,
            workers=options.workers,
            progress=lambda done, total, case: bar.update(done - bar.n),
        )


def _source(name: str, options: Namespace) -> tuple[Callable[[Path], Found], Reader]:
    if name == "slices":
        return png_slices.find_pairs, png_slices.read_pairs
    if name == "ct_dicom":
        find = partial(
            ct_dicom.find_studies,
            mask_labels=_mask_labels(options.mask_labels),
            series=options.series,
            patient_salt=options.patient_salt,
            patient_id_from=options.patient_id_from,
        )
        return find, ct_dicom.read_study
    return partial(nifti.find_cases, masks_alone=name == "masks"), nifti.read_case


def _mask_labels(pairs: Sequence[str]) -> dict[str, int]:
    try:
        return {name: int(label) for name, label in (pair.split("=") for pair in pairs)}
    except ValueError:
        raise UserError(
            f"--mask-labels {' '.join(pairs)}: expected folder=label pairs such as leftkidney=1."
        ) from None


if __name__ == "__main__":
    sys.exit(run_verb("prepare.py", main))
