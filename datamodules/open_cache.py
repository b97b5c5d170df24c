"""Opens a prepared cache of which only the folder is known."""

from pathlib import Path

from datamodules.film_cache import FilmCache
from datamodules.opening import opened
from datamodules.slice_cache import SliceCache


def open_cache(root: str | Path) -> SliceCache | FilmCache:
    """The cache of a folder, of slices or of films.

    Raises:
        UserError: No cache there, a newer format, or files that are missing or cut short.
    """
    kinds: tuple[type[SliceCache] | type[FilmCache], ...] = (SliceCache, FilmCache)
    return opened(Path(root), *kinds)
