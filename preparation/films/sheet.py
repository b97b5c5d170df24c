"""Some films as they came and as they are stored, for a person to look at: `sheet.png`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.film_cache import FilmCache
from preparation.films.film import FilmFile
from preparation.films.shards.make import MakeFilmShard
from preparation.films.stored_film import stored_film
from preparation.pseudonym import film_pseudonym

_MOST_SHOWN = 8


def write_film_sheet(cache: FilmCache, files: Sequence[FilmFile], work: MakeFilmShard) -> None:
    """Draw up to eight films of a cache, evenly spread over it.

    Args:
        cache: A finished cache.
        files: The films of its source.
        work: What made it.
    """
    from display.png import save_png
    from display.sheet import sheet

    of_id = {film_pseudonym(file.name, work.patients.salt): file for file in files}
    shown = sorted({len(cache) * number // _MOST_SHOWN for number in range(_MOST_SHOWN)})
    plain = replace(work.layout, clahe="none")
    shown_files = [of_id[str(cache.ids[index])] for index in shown]
    before = [stored_film(work.reader(file).pixels, plain) for file in shown_files]
    after = [cache.image(index) for index in shown]
    rows = [[_displayed(film) for film in films] for films in (before, after)]
    titles = ["as it came", "as it is stored"]
    save_png(cache.root / "sheet.png", sheet(rows, row_titles=titles, cell_size=224))


def _displayed(film: NDArray[Any]) -> NDArray[np.uint8]:
    """A stored film as (H, W) or (H, W, 3) uint8."""
    grey = (film >> 8).astype(np.uint8) if film.dtype == np.uint16 else np.asarray(film)
    return np.moveaxis(grey, 0, -1) if grey.ndim == 3 else grey
