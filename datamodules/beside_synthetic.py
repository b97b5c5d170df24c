"""Real images beside a synthetic set: of its kind and size, and in 8 bits as it has them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from datamodules.film_cache import FilmCache
from datamodules.film_dataset import FilmDataset, to_unit
from datamodules.prepared_cache import PreparedCache
from datamodules.synthetic import SyntheticSet
from provenance import UserError

SMALLEST_SIDE = 16
"""Pixels that every network which looks at images here can take."""


def refuse_other_images(
    fakes: SyntheticSet, cache: PreparedCache, of_kind: str, of_size: str
) -> None:
    """Refuse a cache whose images cannot be laid beside those of a synthetic set.

    Films may be larger by a whole factor, since a generator may have been trained at a fraction of
    their size.

    Args:
        fakes: The synthetic set; one without images fits both kinds.
        cache: Where the real images lie.
        of_kind: What to do where one holds films and the other slices.
        of_size: What to do where the sizes do not fit, or are below `SMALLEST_SIDE`.

    Raises:
        UserError: The cache does not fit.
    """
    of_films = isinstance(cache, FilmCache)
    if of_films == fakes.of_slices and fakes.items:
        slices = "slices with label maps" if fakes.has_label_maps else "slices"
        kinds = (slices, "films") if of_films else ("films", "slices")
        raise UserError(
            f"{fakes.root}: holds {kinds[0]}, but {cache.root} holds {kinds[1]}. {of_kind}"
        )
    size = fakes.image_size
    fits = cache.image_size % size == 0 if of_films else cache.image_size == size
    if not fits or size < SMALLEST_SIDE:
        raise UserError(
            f"{fakes.root}: images of {size} px, but {cache.root} holds {cache.image_size} px. "
            f"{of_size}"
        )


def film_levels(
    cache: FilmCache, indices: NDArray[np.int64], size: int
) -> Callable[[int], NDArray[np.uint8]]:
    """A reader of films as a generator of `size` pixels is shown them.

    Args:
        cache: Where they lie.
        indices: Of the films that the reader's 0, 1, ... stand for.
        size: Side in pixels; squares of the centre crop are averaged down to it.

    Returns:
        From a place in `indices` to (C, size, size), rounded to 8 bits where the film has more.
    """
    films = FilmDataset(cache, indices)

    def read(place: int) -> NDArray[np.uint8]:
        image = to_unit({"image": films[place]["image"][None]}, size)["image"][0]
        levels: NDArray[np.uint8] = ((image + 1) * 127.5).round().byte().numpy()
        return levels

    return read


def spread(count: int, wanted: int | None) -> list[int]:
    """So many of the indices 0 to count - 1, evenly spread; all where fewer or None is wanted."""
    if wanted is None or wanted >= count:
        return list(range(count))
    return np.linspace(0, count - 1, wanted).round().astype(int).tolist()
