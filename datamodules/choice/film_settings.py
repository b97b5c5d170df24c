"""Settings of films for training: what they choose, and what is refused of them."""

from collections.abc import Sequence

from datamodules.film_cache import UNLABELLED, FilmCache
from datamodules.open_cache import open_cache
from provenance import UserError

WITHOUT_LABELS = "none"


def refuse_numbers(
    imbalance: float | None, num_images: int | None, fraction_of_patients: float
) -> None:
    """Refuse a ratio of classes below 1, and a number of films below 1 or beside a share.

    Raises:
        UserError: Names the flags.
    """
    if imbalance is not None and not imbalance >= 1:  # NaN neither
        raise UserError(f"--data.imbalance is {imbalance}; it must be 1 or more.")
    if num_images is None:
        return
    if num_images < 1:
        raise UserError(f"--data.num_images is {num_images}; it must be 1 or more.")
    if fraction_of_patients != 1:
        raise UserError(
            f"--data.num_images {num_images}: and --data.fraction_of_patients both say how many "
            "patients to train on. Leave one of the two out."
        )


def unlabelled_note(cache: FilmCache, column: str | None) -> list[str]:
    """A sentence where films without a label are left out."""
    missing = 0 if column is None else int((cache.labels(column) == UNLABELLED).sum())
    if not missing:
        return []
    return [
        f"{cache.root}: {missing} of {len(cache)} films have no {column} and are left out. "
        f"--data.label_column {WITHOUT_LABELS} uses all, without labels."
    ]


def few_films_note(root: str, usable: int, num_images: int) -> list[str]:
    """A sentence where more films are asked for than the training split has for this run."""
    if num_images <= usable:
        return []
    return [
        f"note: --data.num_images {num_images}: the training split of {root} has {usable} films "
        "that this run can use, so all of them are."
    ]


def no_film(
    root: str, split: str, only_label: str | None, class_names: Sequence[str], findings: bool
) -> UserError:
    """What is said where a split has no film that a run uses.

    Args:
        root: The cache folder.
        split: "train", "val" or "test".
        only_label: The one class that is used; None for all.
        class_names: Of the labels or findings; empty for films without labels.
        findings: Whether these are findings, each of which a film has or has not.
    """
    wanted = only_label or " or ".join(class_names)
    wanted += " or without" if findings else ""
    return UserError(
        f"{root}: the {split} split has no film"
        + (f" labelled {wanted}" if wanted else "")
        + ". Prepare more patients, or other --split-ratios or --split-seed."
    )


def open_films(root: str, channels: int) -> FilmCache:
    """Open the cache of --data.root.

    Args:
        root: Its folder.
        channels: That the network takes, 1 or 3.

    Raises:
        UserError: There is no cache, or one of slices, or one of colour for a network of grey.
    """
    cache = open_cache(root)
    if not isinstance(cache, FilmCache):
        raise UserError(
            f"--data.root {root}: holds CT slices, expected films. Give a cache of films; to train "
            "on slices, a configuration for slices (`python train.py list`)."
        )
    if cache.channels > channels:
        raise UserError(
            f"--data.channels {channels}: {root} holds colour pictures. Give --data.channels 3."
        )
    return cache


def usable_size(cache: FilmCache, resolution: int | None) -> int:
    """Side in pixels of what the network sees.

    Args:
        cache: The films.
        resolution: The side that is asked for; None is the films' own.

    Raises:
        UserError: It would need uneven averaging; lists those that do not.
    """
    size = cache.image_size if resolution is None else resolution
    usable = [side for side in range(4, cache.image_size + 1) if cache.image_size % side == 0]
    if size not in usable:
        raise UserError(
            f"--data.resolution {size}: films of {cache.image_size} px can be averaged to "
            f"{', '.join(map(str, usable))} px. Give one of these, or prepare the films with "
            f"--image-size {size}."
        )
    return size


def chosen_column(cache: FilmCache, asked: str | None) -> str | None:
    """The label column that batches carry; None for no labels.

    Args:
        cache: The films.
        asked: A column, `WITHOUT_LABELS`, or None for the first that the cache has.

    Raises:
        UserError: The cache has no such column.
    """
    if asked is None:
        return cache.label_columns[0] if cache.label_columns else None
    if asked == WITHOUT_LABELS:
        return None
    cache.class_names(asked)
    return asked


def like_column(cache: FilmCache, asked: str | None) -> str | None:
    """The label column of another cache than the one that a column was asked of; None: no labels.

    Args:
        cache: The films.
        asked: As for `chosen_column`; a column that this cache lacks stands for its first one.
    """
    known = (WITHOUT_LABELS, *cache.label_columns)
    return chosen_column(cache, asked if asked in known else None)
