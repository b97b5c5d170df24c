"""Groups of films by what the data say of their patients: sex, age, view."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from datamodules.film_cache import UNLABELLED, FilmCache
from datamodules.open_cache import open_cache
from provenance import UserError

# First year of each band; numbers with no more different values than bands stay as they are.
_BANDS = (0, 18, 40, 60, 80)
_AGE = re.compile(r"0*(\d{1,3})(?:\.\d*)?Y?")


def groups_of_films(root: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """For each column the group of every test film, and how many films of each were trained on.

    A column of whole numbers, such as ages, is cut into bands.

    Args:
        root: The study's cache.
        columns: Label columns of it.

    Returns:
        column, films (id -> group, of the test split; films without a value are left out),
        training (group -> real training films).
    """
    if not columns:
        return []
    cache = open_cache(root)
    assert isinstance(cache, FilmCache)  # as `check_subgroups` saw
    found = []
    for column in columns:
        names = _banded(cache.class_names(column))
        labels = cache.labels(column)
        test, train = (
            [int(index) for index in cache.indices(split) if labels[index] != UNLABELLED]
            for split in ("test", "train")
        )
        training = Counter(names[labels[index]] for index in train)
        found.append(
            {
                "column": column,
                "films": {str(cache.ids[index]): names[labels[index]] for index in test},
                "training": {name: training[name] for name in dict.fromkeys(sorted(names))},
            }
        )
    return found


def check_subgroups(root: Path, columns: tuple[str, ...], classes: str | None) -> None:
    """Refuse columns that make no groups of this data's patients.

    Args:
        root: The study's cache.
        columns: Label columns of it.
        classes: The column whose classes the models tell apart; None: the first.

    Raises:
        UserError: The data have no such column, or it is that of the classes.
    """
    if not columns:
        return
    cache = open_cache(root)
    there = list(cache.label_columns) if isinstance(cache, FilmCache) else []
    for column in columns:
        if column not in there:
            raise UserError(
                f"subgroups: {root} knows no {column!r} of its images (it knows "
                f"{', '.join(there) or 'nothing'}). Prepare the films with --label-columns, which "
                "keeps columns of the label table beside the label, or leave it out."
            )
        if column == (classes or there[0]):
            raise UserError(
                f"subgroups: {column} is what the models tell apart, and within one class there is "
                "nothing to tell apart. Leave it out."
            )


def _banded(names: list[str]) -> list[str]:
    """The names as they are, or the bands of ages that they are."""
    ages = [_AGE.fullmatch(name) for name in names]
    if len(names) <= len(_BANDS) or not all(ages):
        return list(names)
    return [_band(int(age[1])) for age in ages if age]


def _band(age: int) -> str:
    first = max(start for start in _BANDS if start <= age)
    later = [start for start in _BANDS if start > first]
    return f"{first} to {later[0] - 1}" if later else f"{first} and more"
