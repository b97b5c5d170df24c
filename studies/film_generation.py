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

from callbacks.pictures import save_png, sheet
from datamodules.synthetic import SyntheticItem, SyntheticSet
from lightning_modules import GAN
from provenance import UserError
from studies.generation import Generation, finite_pictures, save_picture
from studies.interpolation import check_animation, frames_between, save_animation

ImageFormat = Literal["png", "npy"]

# Libraries sum in another order when a batch has another shape, and a pixel in 10,000 then rounds
# to the next grey level. So the network always sees groups of this many images, image i always
# beside the same others. Eight keep a GPU busy at the sizes of films.
_GROUP = 8

_SHEET_ROWS, _SHEET_COLUMNS = 3, 8


def generate_films(
    generation: Generation,
    module: GAN,
    truncation: float = 1.0,
    format: ImageFormat = "png",
    label: str | None = None,
    interpolation: Path | None = None,
) -> None:
    """Make images of the generator's running average, and a sheet of the first.

    Image i depends on the checkpoint, (seed, i) and the truncation only: bit for bit on one
    machine, whatever the number of images and the batch size.

    Args:
        generation: The call.
        module: The GAN, growing or not.
        truncation: 0 to 1; below 1 draws images towards the average one.
        format: 8-bit PNG, grey or RGB; or NumPy files, which load faster.
        label: Class of all images; None: the one class that the GAN was trained on, if it was.
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
    with _full_precision():
        # What the generator cannot do, it refuses here, before the folder is claimed.
        finite_pictures(module.synthesise([seed(0)], truncation), generation.checkpoint)
    only_label = generation.record["data"]["init_args"].get("only_label")
    shown = only_label if label is None else label
    _say_where_the_label_is_from(shown, only_label, generation.record["class_names"])
    generation.claim_folder(truncation=truncation, format=format, label=shown)

    items = [
        SyntheticItem(id=f"synthetic_{place:06d}", seed=seed(place), label=shown)
        for place in range(generation.num_images)
    ]
    paths = [out / "images" / f"{item.id}.{format}" for item in items]
    step = _GROUP * max(1, generation.batch_size // _GROUP)
    with ThreadPoolExecutor() as pool, _full_precision():
        writing: list[Future[None]] = []
        for places in generation.missing(lambda place: paths[place].exists(), step):
            pictures = _pictures(generation, module, places, truncation)
            # One step is written while the next is made, and no more: memory stays the same.
            _wait_for(writing)
            writing = [
                pool.submit(save_picture, paths[place], picture)
                for place, picture in zip(places, pictures, strict=True)
                if not paths[place].exists()
            ]
        _wait_for(writing)
    generation.finish(
        items,
        flags={
            "truncation": None if truncation == 1 else truncation,
            "format": None if format == "png" else format,
            "label": label,
        },
        channels=module.image_channels,
        image_format=format,
        truncation=truncation,
        trained_on_label=only_label,
    )
    _save_sheet(out, items)
    if interpolation is not None:
        with _full_precision():
            frames = frames_between(module, generation.seed, truncation)
            save_animation(interpolation, frames)


def _pictures(
    generation: Generation, module: GAN, places: range, truncation: float
) -> NDArray[np.uint8]:
    """Pictures of places that begin with a group; (N, H, W) or (N, H, W, 3)."""
    groups = []
    for start in range(places.start, places.stop, _GROUP):
        # The last group is whole too, though not all of it is kept.
        seeds = [generation.seed_of(place) for place in range(start, start + _GROUP)]
        images = module.synthesise(seeds, truncation)
        groups.append(finite_pictures(images, generation.checkpoint))
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


def _say_where_the_label_is_from(
    label: str | None, only_label: str | None, class_names: list[str]
) -> None:
    if label is None or label == only_label:
        return
    known = only_label or " and ".join(class_names) or "no particular class"
    print(
        f"--label {label}: taken as given; the generator was trained on films of {known}.",
        file=sys.stderr,
    )


def _save_sheet(out: Path, items: list[SyntheticItem]) -> None:
    made = SyntheticSet.open(out)
    first = items[: _SHEET_ROWS * _SHEET_COLUMNS]
    pictures: list[Any] = [made.image(item) for item in first]
    pictures = [p if p.ndim == 2 else np.moveaxis(p, 0, -1) for p in pictures]
    starts = range(0, len(pictures), _SHEET_COLUMNS)
    rows = [pictures[start : start + _SHEET_COLUMNS] for start in starts]
    caption = f"Synthetic: the first {len(first)} of {len(items)} images."
    save_png(out / "sheet.png", sheet(rows, caption=caption))
