"""What was asked for, checked: which cache, which knowledge, and the reader that follows it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from knowledge import Knowledge
from licences import Licence
from preparation.films.film_layout import FilmLayout
from preparation.synthetic.films import ReadFilms, ReadPictures
from preparation.synthetic.labels import ClassOptions
from preparation.synthetic.slices import ReadSlices
from preparation.synthetic.source import SourceFile, find_source
from provenance import UserError
from spelling import meant

UNKNOWN = "unknown"
PICTURES = "pictures"
"""Dataset of the caches that `pictures.py` makes of plain folders."""
_PREPARATION = ("on_nonsquare", "clahe", "clahe_clip_limit", "margin", "channels")


@dataclass(frozen=True, kw_only=True)
class SliceChoices:
    """What slices need besides films.

    Attributes:
        masks: Slices only. Folder of label maps, each named like its image except for the suffix
            (PNG, NIfTI, NumPy). Without it a set can be compared and audited, but not be trained
            on.
        slices: With --masks: use slices whose label map marks something (foreground), or all.
        volume_from: Slices only. Slices of one synthetic volume resemble each other. file: those of
            one file are one volume. folder: also those of all files of a folder. DICOM files are
            grouped by their series.
        window_width_hu: Slices in HU for a cache that does not state its window (prepare.py
            slices): width of the window in HU.
        window_center_hu: Likewise the centre of the window, in HU.
    """

    masks: Path | None = None
    slices: Literal["foreground", "all"] = "foreground"
    volume_from: Literal["file", "folder"] = "file"
    window_width_hu: float | None = None
    window_center_hu: float | None = None


@dataclass(frozen=True)
class Origin:
    """Where the images are from, as far as it is known.

    Attributes:
        like: The cache that they shall look like.
        trained_on: "unknown", or the kind of source of the cache that their generator learnt from.
        split_id: Of that cache; None where it is unknown.
        knowledge: Whom the generator knows.
        licences: Of the data that it learnt from; none where these are unknown.
    """

    like: FilmCache | SliceCache
    trained_on: str
    split_id: str | None
    knowledge: Knowledge
    licences: tuple[Licence, ...] = ()


def chosen_origin(trained_on: str, split: str, like: Path | None) -> Origin:
    """Open the caches that were named.

    Args:
        trained_on: A cache, or "unknown".
        split: Which of its images the generator learnt from: "train" or "all".
        like: The cache that the images shall look like; None: that of `trained_on`.

    Raises:
        UserError: None is named, or they are of two kinds, or hold no images.
    """
    if trained_on == UNKNOWN:
        if split != "train":
            raise UserError(
                f"--trained-on-split {split}: of which cache? Name it with --trained-on."
            )
        if like is None:
            raise UserError(
                "--like: is missing. With --trained-on unknown it names the cache whose size, "
                "contrast and window the images get."
            )
        return Origin(_with_images(open_cache(like)), UNKNOWN, None, Knowledge(of_unknown=True))
    if not Path(trained_on).exists() and (near := meant(trained_on, [UNKNOWN])):
        raise UserError(
            f"--trained-on {trained_on}: is neither a folder nor the word {UNKNOWN}.{near} Give "
            "the cache that the generator was trained on, or that word."
        )
    teacher = open_cache(Path(trained_on))
    cache = _with_images(teacher if like is None else open_cache(like))
    if isinstance(cache, FilmCache) != isinstance(teacher, FilmCache):
        raise UserError(
            f"--like {like}: is not of the kind of --trained-on {trained_on}: one holds films, the "
            "other slices. Give two of one kind, or leave --like out."
        )
    known = teacher.knowledge(teacher.indices("train" if split == "train" else None))
    return Origin(cache, teacher.dataset, teacher.split_id, known, (teacher.licence,))


def _with_images(cache: FilmCache | SliceCache) -> FilmCache | SliceCache:
    if isinstance(cache, SliceCache) and not cache.has_images:
        raise UserError(
            f"{cache.root}: holds label maps without images, so no image can be made like its. "
            "Give a cache with images."
        )
    return cache


def scale_of(values: Sequence[float]) -> tuple[float, float] | None:
    """Read --values; None where it is not given."""
    if not values:
        return None
    if len(values) != 2 or not values[0] < values[1]:
        raise UserError(
            f"--values {' '.join(f'{v:g}' for v in values)}: expected two numbers, what is black "
            "and what is white, such as -1 1."
        )
    return values[0], values[1]


def refuse_flags(given: Any, default: Any, why: str) -> None:
    """No flag is ignored without a word."""
    for name, value in asdict(given).items():
        if value != getattr(default, name):
            raise UserError(f"--{name.replace('_', '-')} {value}: {why}. Leave it out.")


def film_reader(cache: FilmCache, processing: str, scale: tuple[float, float] | None) -> ReadFilms:
    """The reader that treats films as a cache's were.

    Raises:
        UserError: The cache does not say how.
    """
    missing = [key for key in _PREPARATION if key not in cache.manifest]
    if missing:
        raise UserError(
            f"{cache.root}: does not say how its films were prepared ({', '.join(missing)}), so "
            "no others can be prepared alike. Prepare it again with this version."
        )
    layout = FilmLayout(
        dataset=cache.dataset,
        image_size=cache.image_size,
        margin=cache.manifest["margin"],
        channels=cache.manifest["channels"],
        on_nonsquare=cache.manifest["on_nonsquare"],
        clahe=cache.manifest["clahe"],
        clahe_clip_limit=cache.manifest["clahe_clip_limit"],
        resample=bool(cache.manifest.get("resample")),
    )
    if processing == "none":
        layout = replace(layout, clahe="none", margin=0.0)
    pictures = ReadPictures(layout.channels, scale, with_ct=cache.dataset == PICTURES)
    return ReadFilms(layout, pictures)


def slice_reader(
    cache: SliceCache,
    classes: ClassOptions,
    choices: SliceChoices,
    scale: tuple[float, float] | None,
) -> tuple[ReadSlices, list[str]]:
    """The reader that windows and fits slices as a cache's were, and sentences on label maps.

    Raises:
        UserError: Flags that do not go together, or label maps that are not there.
    """
    masks: dict[str, SourceFile] | None = None
    notes: list[str] = []
    changes: tuple[tuple[int, int], ...] = ()
    if choices.masks is not None:
        of_masks, notes = find_source(choices.masks, "--masks")
        masks = {one.stem: one for one in of_masks}
        changes = _changes(classes, cache)
    elif classes.label_map or choices.slices != "foreground":
        flag = "--label-map" if classes.label_map else f"--slices {choices.slices}"
        raise UserError(f"{flag}: is about label maps. Give them with --masks, or leave it out.")
    told = cache.manifest.get("window")
    window = (float(told["width_hu"]), float(told["center_hu"])) if told else None
    given = (choices.window_width_hu, choices.window_center_hu)
    if given != (None, None):
        if window is not None:
            raise UserError(
                f"--window-width-hu and --window-center-hu: {cache.root} was made with a window of "
                f"{window[0]:g} HU around {window[1]:g} HU, and the images get the same. Leave "
                "them out."
            )
        if given[0] is None or given[1] is None or given[0] <= 0:
            raise UserError(
                "--window-width-hu and --window-center-hu: expected both, and a width above 0."
            )
        window = (given[0], given[1])
    return (
        ReadSlices(
            image_size=cache.image_size,
            class_names=tuple(cache.class_names),
            window=window,
            resample=bool(cache.manifest.get("resample")),
            masks=masks,
            changes=changes,
            scale=scale,
            foreground_only=choices.slices == "foreground",
            volume_from=choices.volume_from,
        ),
        notes,
    )


def _changes(classes: ClassOptions, cache: SliceCache) -> tuple[tuple[int, int], ...]:
    """Values of label maps and the cache's labels that they become."""
    names = cache.class_names
    changes = []
    for value, label in classes.new_names.items():
        if not value.isdecimal() or not (label in names or label.isdecimal()):
            raise UserError(
                f"--label-map {value}={label}: expected a value of the label maps and a class of "
                f"{cache.root}: {', '.join(names)}."
            )
        number = names.index(label) if label in names else int(label)
        if number >= len(names):
            raise UserError(
                f"--label-map {value}={label}: {cache.root} has the labels 0 to {len(names) - 1}."
            )
        changes.append((int(value), number))
    return tuple(changes)
