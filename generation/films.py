"""Synthetic films: a GAN turns noise into pictures."""

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.synthetic import SyntheticItem, SyntheticSet
from display.sheet import save_png, sheet
from generation.generators import Generator
from generation.interpolation import check_animation, frames_between, save_animation
from generation.synthetic_set import Generation, finite_pictures, save_picture
from lightning_modules import GAN
from provenance import UserError

ImageFormat = Literal["png", "npy"]

# Libraries sum in another order when a batch has another shape, and a pixel in 10,000 then rounds
# to the next grey level. So the network always sees groups of this many images, image i always
# beside the same others. Eight keep a GPU busy at the sizes of films.
_GROUP = 8

_SHEET_ROWS, _SHEET_COLUMNS = 3, 8


def generate_films(
    generation: Generation,
    truncation: float = 1.0,
    format: ImageFormat = "png",
    label: str | None = None,
    interpolation: Path | None = None,
) -> None:
    """Make images of each generator's running average, and a sheet of the first.

    Image i of a generator depends on its checkpoint, (seed, i) and the truncation only: bit for bit
    on one machine, whatever the number of images, the batch size and the other generators.

    Args:
        generation: The call; its generators are GANs, growing or not.
        truncation: 0 to 1; below 1 draws images towards the average one.
        format: 8-bit PNG, grey or RGB; or NumPy files, which load faster.
        label: What the person said of the only generator's class, for the command in the card.
        interpolation: Also write a short film between latents; its ending says how.

    Raises:
        UserError: A truncation that the generator cannot do, a film that cannot be written, a
            folder that holds something else, or a generator that makes no numbers.
    """
    out, seed = generation.out, generation.seed_of
    if not 0 <= truncation <= 1:
        raise UserError(
            f"--truncation {truncation:g}: expected a number from 0, where all images are nearly "
            "the same, to 1, which leaves them as they are."
        )
    if interpolation is not None:
        check_animation(interpolation)
        if len(generation.generators) > 1:
            raise UserError(
                f"--interpolation {interpolation}: leads from image to image of one generator, "
                f"and this set has {len(generation.generators)}. Leave it out."
            )
    with _full_precision():
        for maker in generation.generators:
            # What a generator cannot do, it refuses here, before the folder is claimed.
            finite_pictures(_gan(maker).synthesise([seed(0)], truncation), maker.checkpoint)
    if label is not None:
        _say_where_the_label_is_from(generation.generators[0], label)
    generation.claim_folder(truncation=truncation, format=format, label=generation.of_each("label"))

    items: list[SyntheticItem] = []
    step = _GROUP * max(1, generation.batch_size // _GROUP)
    with ThreadPoolExecutor() as pool, _full_precision():
        writing: list[Future[None]] = []
        for maker in generation.generators:
            prefix = "synthetic" if maker.place is None else f"synthetic_{maker.place}"
            own = [
                SyntheticItem(id=f"{prefix}_{place:06d}", seed=seed(place), label=maker.label)
                for place in range(maker.num_images)
            ]
            paths = [out / "images" / f"{item.id}.{format}" for item in own]
            made = [path.exists() for path in paths]
            for places in generation.missing(made.__getitem__, step, maker):
                pictures = _pictures(generation, maker, places, truncation)
                # One step is written while the next is made, and no more: memory stays the same.
                _wait_for(writing)
                writing = [
                    pool.submit(save_picture, paths[place], picture)
                    for place, picture in zip(places, pictures, strict=True)
                    if not made[place]
                ]
            items += own
        _wait_for(writing)
    generation.finish(
        items,
        flags={
            "truncation": None if truncation == 1 else truncation,
            "format": None if format == "png" else format,
            "label": label,
        },
        channels=generation.module.image_channels,
        image_format=format,
        truncation=truncation,
    )
    _save_sheet(generation, items)
    if interpolation is not None:
        with _full_precision():
            frames = frames_between(_gan(generation.generators[0]), generation.seed, truncation)
            save_animation(interpolation, frames)


def _pictures(
    generation: Generation, maker: Generator, places: range, truncation: float
) -> NDArray[np.uint8]:
    """Pictures of places that begin with a group; (N, H, W) or (N, H, W, 3)."""
    groups = []
    for start in range(places.start, places.stop, _GROUP):
        # The last group is whole too, though not all of it is kept.
        seeds = [generation.seed_of(place) for place in range(start, start + _GROUP)]
        images = _gan(maker).synthesise(seeds, truncation)
        groups.append(finite_pictures(images, maker.checkpoint))
    return np.concatenate(groups)[: len(places)]


@contextmanager
def _full_precision() -> Iterator[None]:
    """On a GPU, real float32 and the same sums every time; by default it rounds to 10 bits."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def _wait_for(writing: list[Future[None]]) -> None:
    """Until all is written; what went wrong there goes wrong here."""
    for one in writing:
        one.result()


def _gan(maker: Generator) -> GAN:
    assert isinstance(maker.module, GAN)  # generate.py refuses others
    return maker.module


def _say_where_the_label_is_from(maker: Generator, label: str) -> None:
    only_label = maker.data.get("only_label")
    if label == only_label:
        return
    known = only_label or " and ".join(maker.record["class_names"]) or "no particular class"
    print(
        f"--label {label}: taken as given; the generator was trained on films of {known}.",
        file=sys.stderr,
    )


def _save_sheet(generation: Generation, items: list[SyntheticItem]) -> None:
    """The first images; of several generators, the first of each in rows of their own."""
    made, makers = SyntheticSet.open(generation.out), generation.generators
    num_rows = _SHEET_ROWS if len(makers) == 1 else 2
    rows: list[Any] = []
    titles: list[str] = []
    start, num_shown = 0, 0
    for maker in makers:
        shown = items[start : start + min(maker.num_images, num_rows * _SHEET_COLUMNS)]
        pictures: list[Any] = [made.image(item) for item in shown]
        pictures = [p if p.ndim == 2 else np.moveaxis(p, 0, -1) for p in pictures]
        starts = range(0, len(pictures), _SHEET_COLUMNS)
        rows += [pictures[first : first + _SHEET_COLUMNS] for first in starts]
        titles += [str(maker.label), *[""] * (len(starts) - 1)]
        start, num_shown = start + maker.num_images, num_shown + len(shown)
    caption = f"Synthetic: the first {num_shown} of {len(items)} images."
    if len(makers) > 1:
        caption = f"Synthetic: the first of each class, {num_shown} of {len(items)} images."
    picture = sheet(rows, row_titles=titles if len(makers) > 1 else None, caption=caption)
    save_png(generation.out / "sheet.png", picture)
