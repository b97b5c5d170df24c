"""Images that are translated, or were: of a cache or of a synthetic set, one by one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.film_cache import UNLABELLED, FilmCache
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from provenance import UserError, read_json
from synthetic_marks import SET_FORMAT


@dataclass(frozen=True)
class Original:
    """One image as it was before.

    Attributes:
        id: Its name in its cache or set.
        patient_id: Whose it is; of a synthetic image, its unit.
        read: Gives its grey values, (H, W) or (3, H, W), uint8 or uint16.
        read_mask: Gives its labels (H, W) uint8; None for a film.
        label: Name of its class; None without.
        class_pixels: Of its label map; empty without.
        pixel_spacing_mm: (row, column); None where unknown.
        slice_spacing_mm: Thickness, likewise.
    """

    id: str
    patient_id: str
    read: Callable[[], NDArray[Any]]
    read_mask: Callable[[], NDArray[np.uint8]] | None = None
    label: str | None = None
    class_pixels: tuple[int, ...] = ()
    pixel_spacing_mm: tuple[float, float] | None = None
    slice_spacing_mm: float | None = None

    def unit(self, channels: int) -> NDArray[np.float32]:
        """(channels, H, W) in [-1, 1]; a grey image is repeated."""
        pixels = self.read()
        half = 32767.5 if pixels.dtype == np.uint16 else 127.5
        planes = pixels[None] if pixels.ndim == 2 else pixels
        scaled: NDArray[np.float32] = (planes / half - 1.0).astype(np.float32)
        return np.repeat(scaled, channels, axis=0) if len(scaled) < channels else scaled


def open_source(root: Path) -> SliceCache | FilmCache | SyntheticSet:
    """A cache or a synthetic set, as the manifest in the folder says.

    Raises:
        UserError: Neither is there.
    """
    manifest = Path(root) / "manifest.json"
    content: Any = read_json(manifest) if manifest.is_file() else None
    if isinstance(content, dict) and content.get("format") == SET_FORMAT:
        return SyntheticSet.open(root)
    return open_cache(root)


def of_set(made: SyntheticSet) -> list[Original]:
    """All images of a synthetic set."""
    return [
        Original(
            item.id,
            item.unit,
            lambda item=item: made.image(item),  # type: ignore[misc]
            (lambda item=item: made.mask(item)) if item.class_pixels else None,  # type: ignore[misc]
            item.label,
            item.class_pixels,
            item.pixel_spacing_mm,
            item.slice_spacing_mm,
        )
        for item in made.items
    ]


def of_slices(cache: SliceCache, indices: Sequence[int] | NDArray[np.int64]) -> list[Original]:
    """Slices of a cache."""
    return [
        Original(
            item.id,
            item.patient_id,
            lambda item=item: cache.image(item),  # type: ignore[misc]
            (lambda item=item: cache.mask(item)) if item.class_pixels else None,  # type: ignore[misc]
            None,
            item.class_pixels,
            item.pixel_spacing_mm,
            item.slice_spacing_mm,
        )
        for item in (cache.items[int(index)] for index in indices)
    ]


def of_films(
    cache: FilmCache,
    indices: Sequence[int] | NDArray[np.int64],
    column: str | None,
    resolution: int | None = None,
) -> list[Original]:
    """Films of a cache, their middles as evaluations see them.

    Args:
        cache: Where they lie.
        indices: Which.
        column: Of their classes; None for none.
        resolution: Side in pixels to which squares of each are averaged, as by --data.resolution;
            None for the films' own.
    """
    names = [] if column is None else cache.class_names(column)
    labels = None if column is None else cache.labels(column)
    offset, size = (cache.stored_size - cache.image_size) // 2, cache.image_size
    inside = slice(offset, offset + size)
    smaller = None
    if resolution is not None and resolution != size:
        from datamodules.beside_synthetic import film_levels  # loads torch

        smaller = film_levels(cache, np.asarray(indices), resolution)

    def label_of(index: int) -> str | None:
        if labels is None or labels[index] == UNLABELLED:
            return None
        return names[labels[index]]

    def reader_of(place: int, index: int) -> Callable[[], NDArray[Any]]:
        if smaller is not None:
            return lambda: smaller(place)
        return lambda: np.array(cache.image(index)[..., inside, inside])

    return [
        Original(
            str(cache.ids[index]),
            str(cache.patient_ids[index]),
            reader_of(place, index),
            label=label_of(index),
        )
        for place, index in enumerate(map(int, indices))
    ]


def names_in_target(given: Sequence[str] | None, ours: Sequence[str]) -> dict[str, str]:
    """What the target calls the source's classes that have another name there.

    Args:
        given: The source's class for each of the target's (--data.source_classes); None: they
            have the same names.
        ours: The target's classes. A training refuses another number of them.
    """
    return dict(zip(given, ours, strict=False)) if given else {}


def all_originals(root: Path, told: Mapping[str, Any]) -> dict[str, Original]:
    """All images of the cache or set of which a translated set was made, by their ids.

    Args:
        root: Where it lies.
        told: What the translated set says that it was made of.

    Raises:
        UserError: It is another one.
    """
    opened = open_source(root)
    if isinstance(opened, SyntheticSet):
        found, expected = opened.content_sha256, told.get("set_sha256")
        originals = of_set(opened)
    else:
        found, expected = opened.split_id, told.get("split_id")
        every = opened.indices(None)
        if isinstance(opened, FilmCache):
            originals = of_films(opened, every, None)
        else:
            originals = of_slices(opened, every)
    if found != expected:
        raise UserError(
            f"--source {root}: is not the cache or the set that was translated (its id is "
            f"{found[:16]}, expected {str(expected)[:16]}). Give that one."
        )
    return {one.id: one for one in originals}


def check_fits(
    source: Path,
    size: int,
    wanted: int,
    of_slices: bool,
    are_slices: bool,
    flag: str = "--source",
    model: str = "translator",
) -> None:
    """Refuse images of another size or kind than those that a model was trained on.

    Args:
        source: Folder of the images.
        size: Theirs in pixels.
        wanted: The model's.
        of_slices: Whether the model is for slices; else for films.
        are_slices: Whether the images are slices.
        flag: Names the folder.
        model: What the model is, in the sentence.

    Raises:
        UserError: Says which.
    """
    if of_slices != are_slices:
        kinds = {True: "slices", False: "films"}
        raise UserError(
            f"{flag} {source}: holds {kinds[are_slices]}, but the {model} was trained on "
            f"{kinds[of_slices]}. Give another folder, with {kinds[of_slices]}."
        )
    if size != wanted:
        raise UserError(
            f"{flag} {source}: images of {size} px, but the {model} was trained on {wanted} px. "
            f"Prepare them with --image-size {wanted}."
        )
