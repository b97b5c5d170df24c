"""Synthetic films: a GAN turns noise into pictures."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.synthetic import ImageFormat, SyntheticItem, SyntheticSet
from display.png import save_png
from display.sheet import sheet
from generation.file_formats import film_files
from generation.generators import TrainedGenerator
from generation.interpolation import check_animation, frames_between, save_animation
from generation.synthetic_set import (
    Generation,
    Made,
    finite_pictures,
    value_or_list,
)
from lightning_modules import GAN
from provenance import UserError

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
        format: Of the images; see `film_files`.
        label: The only generator's class as the person gave it, for the command in the card.
        interpolation: Also write an animation between latents; its ending says how.

    Raises:
        UserError: A truncation that the generator cannot do, an animation that cannot be written, a
            folder that holds something else, or a generator that makes no numbers.
    """
    if not 0 <= truncation <= 1:
        raise UserError(
            f"--truncation {truncation:g}: expected a number from 0, where all images are nearly "
            "the same, to 1, which leaves them as they are."
        )
    files = film_files(generation, format)
    if interpolation is not None:
        check_animation(interpolation)
        if len(generation.generators) > 1:
            raise UserError(
                f"--interpolation {interpolation}: leads from image to image of one generator, "
                f"and this set has {len(generation.generators)}. Leave it out."
            )
    with _full_precision():
        for generator in generation.generators:
            # What a generator cannot do, it refuses here, before the folder is claimed.
            _made(generator, [generation.seed_of(0)], truncation)
    if label is not None:
        _say_where_the_label_is_from(generation.generators[0], label)
    labels = value_or_list([generator.label for generator in generation.generators])
    asked = {"truncation": truncation, "format": format, "label": labels}
    if any(generator.corrected for generator in generation.generators):
        # A set that an earlier version began is not gone on with: its images are other ones.
        asked["batch_statistics"] = "estimated anew"
    generation.claim_folder(**asked)
    files = files.with_origin()

    items: list[SyntheticItem] = []
    step = _GROUP * max(1, generation.batch_size // _GROUP)
    for generator in generation.generators:
        class_index = generator.class_index
        prefix = "synthetic" if class_index is None else f"synthetic_{class_index}"
        seeds = [generation.seed_of(index) for index in range(generator.num_images)]
        own = [
            SyntheticItem(id=f"{prefix}_{index:06d}", seed=seed, label=generator.label)
            for index, seed in enumerate(seeds)
        ]

        def make(indices: range, generator: TrainedGenerator = generator) -> Made:
            starts = range(indices.start, indices.stop, _GROUP)
            # The last group is whole too, though not all of it is kept.
            groups = [
                [generation.seed_of(start + row) for row in range(_GROUP)] for start in starts
            ]
            images = [_made(generator, group, truncation) for group in groups]
            return np.concatenate(images)[: len(indices)], None

        with _full_precision():
            generation.write_images(generator, own, make, step, files)
        items += own
    generation.finish(
        items,
        flags={
            "truncation": None if truncation == 1 else truncation,
            "format": None if format == "png" else format,
            "label": label,
        },
        channels=generation.generators[0].module.image_channels,
        truncation=truncation,
        **files.in_manifest,
    )
    _save_sheet(generation, items)
    if interpolation is not None:
        with _full_precision():
            frames = frames_between(_gan(generation.generators[0]), generation.seed, truncation)
            save_animation(interpolation, frames)


def _made(generator: TrainedGenerator, seeds: list[int], truncation: float) -> NDArray[np.uint8]:
    """Images (N, H, W) or (N, H, W, 3) of the running average; image i depends on seed i."""
    return finite_pictures(_gan(generator).synthesise(seeds, truncation), generator.checkpoint)


@contextmanager
def _full_precision() -> Iterator[None]:
    """On a GPU, real float32 and the same sums every time; by default it rounds to 10 bits."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def _gan(generator: TrainedGenerator) -> GAN:
    assert isinstance(generator.module, GAN)  # generate.py refuses others
    return generator.module


def _say_where_the_label_is_from(generator: TrainedGenerator, label: str) -> None:
    only_label = generator.data.get("only_label")
    if label == only_label:
        return
    known = only_label or " and ".join(generator.record["class_names"]) or "no particular class"
    print(
        f"--label {label}: taken as given; the generator was trained on films of {known}.",
        file=sys.stderr,
    )


def _save_sheet(generation: Generation, items: list[SyntheticItem]) -> None:
    """The first images; of several generators, the first of each in rows of their own."""
    made, generators = SyntheticSet.open(generation.out), generation.generators
    num_rows = _SHEET_ROWS if len(generators) == 1 else 2
    rows: list[Any] = []
    titles: list[str] = []
    start, num_shown = 0, 0
    for generator in generators:
        shown = items[start : start + min(generator.num_images, num_rows * _SHEET_COLUMNS)]
        images: list[Any] = [made.image(item) for item in shown]
        images = [p if p.ndim == 2 else np.moveaxis(p, 0, -1) for p in images]
        starts = range(0, len(images), _SHEET_COLUMNS)
        rows += [images[first : first + _SHEET_COLUMNS] for first in starts]
        titles += [str(generator.label), *[""] * (len(starts) - 1)]
        start, num_shown = start + generator.num_images, num_shown + len(shown)
    caption = f"Synthetic: the first {num_shown} of {len(items)} images."
    if len(generators) > 1:
        caption = f"Synthetic: the first of each class, {num_shown} of {len(items)} images."
    picture = sheet(rows, row_titles=titles if len(generators) > 1 else None, caption=caption)
    save_png(generation.out / "sheet.png", picture, synthetic=True)
