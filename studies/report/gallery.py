"""Every augmentation on images of one's own, as a page: figures 1 and 5 of Kim and Bae 2020.

The page shows patients, and stays with the data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmentations.catalogue import OPERATIONS
from augmentations.language import read_policy
from augmentations.operation import Images, Operation
from augmentations.presets import PRESET_SOURCES, PRESETS
from datamodules.film_cache import FilmCache
from datamodules.film_dataset import FilmDataset
from datamodules.film_dataset import to_unit as unit_films
from datamodules.open_cache import open_cache
from datamodules.prepared_cache import PreparedCache
from datamodules.slice_cache import SliceCache
from datamodules.slice_dataset import SliceDataset, unit_image
from display.pages import PageFigure, render_page
from display.sheet import ImageArray, overlay, sheet
from display.tensor_images import image_arrays
from provenance import UserError, write_text_atomic
from studies.report.sheets import shrunk

LEVELS = (1 / 3, 2 / 3, 1.0)
_LEVEL_NAMES = ("original", "1/3", "2/3", "1")
_DRAWS = 5
_TEMPLATE = Path(__file__).with_name("gallery.html.j2")
_NO_PICTURE_OF = {"identity", "one_of", "one_at_a_level"}


@dataclass(frozen=True)
class Picture:
    """An image of the cache as a network gets it.

    Attributes:
        image: (C, H, W) float32 in [-1, 1].
        mask: (H, W) uint8; None for films.
    """

    image: Tensor
    mask: Tensor | None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.image.shape[-2], self.image.shape[-1]

    def shown(self) -> ImageArray:
        """As a cell of a sheet; the outlines of the mask's areas are drawn over it."""
        pixels: ImageArray = image_arrays(self.image[None])[0]
        if self.mask is None:
            return pixels
        return overlay(pixels, self.mask.numpy(), opacity=0.15, contour=1)


def write_gallery(
    root: Path,
    out: Path,
    images: int = 2,
    seed: int = 0,
    augmentation: list[Any] | str | None = None,
) -> Path:
    """Show every augmentation of images at three strengths, and every preset, on your own images.

    Masks are drawn over slices. The page shows patients: it stays with the data.

    Args:
        root: Cache that prepare.py wrote. Images of its training split are shown.
        out: The HTML file to write; one that is there is not overwritten.
        images: How many images to show, spread evenly over the split.
        seed: Of what is drawn: the same seed gives the same page.
        augmentation: A policy of your own, shown beside the presets: a list of operations or a YAML
            file with one, as in --data.augmentation of train.py.

    Raises:
        UserError: The file is there already, or the cache or the policy cannot be used.
    """
    if images < 1:
        raise UserError(f"--images is {images}; it must be 1 or more.")
    if Path(out).exists():
        raise UserError(
            f"--out {out}: is there already, and nothing is overwritten. Give another file."
        )
    cache = open_cache(str(root))
    pictures, legend = _pictures(cache, images)
    kind = Images(len(pictures[0].image), pictures[0].mask is not None, labels=True)
    policies: dict[str, list[Any] | str] = {name: name for name in PRESETS if name != "none"}
    if augmentation is not None:
        own = read_policy(augmentation, kind, "--augmentation")
        policies = {"your policy": own.plain(), **policies}
    page = render_page(
        _TEMPLATE,
        root=Path(root).name,
        seed=seed,
        count=len(pictures),
        contents=cache.CONTENTS,
        legend=legend,
        overview=_overview(pictures[0], kind, seed),
        operations=list(_operations(pictures, kind, seed)),
        presets=list(_presets(policies, pictures, kind, seed)),
        mixing=[],
    )
    write_text_atomic(Path(out), page)
    return Path(out)


def _pictures(cache: PreparedCache, count: int) -> tuple[list[Picture], list[str]]:
    """Images spread evenly over the training split, and the names of their labels.

    Of slices those with the rarest class, so that it is seen.
    """
    if isinstance(cache, FilmCache):
        films = FilmDataset(cache, cache.indices("train"))
        return [
            Picture(unit_films({"image": films[k]["image"][None]})["image"][0], None)
            for k in _spread(np.arange(len(films)), count)
        ], []
    assert isinstance(cache, SliceCache)
    if not cache.has_images:
        raise UserError(f"--data.root {cache.root}: holds label maps without images to augment.")
    slices = SliceDataset(cache, cache.select("train", foreground_only=True))
    held = np.array([item.class_pixels for item in slices.items])[:, 1:] > 0
    chosen = np.flatnonzero(held[:, held.sum(axis=0).argmin()]) if held.size else np.arange(0)
    chosen = np.arange(len(slices)) if len(chosen) < count else chosen
    samples = [slices[int(k)] for k in _spread(chosen, count)]
    return [Picture(unit_image(s["image"]), s["mask"]) for s in samples], cache.class_names


def _spread(chosen: Any, count: int) -> list[int]:
    if not len(chosen):
        raise UserError("--data.root: its training split holds no image to show.")
    inner = (np.arange(min(count, len(chosen))) + 0.5) / min(count, len(chosen))
    return [int(chosen[int(place * len(chosen))]) for place in inner]


def _at_full_strength(name: str, kind: Images) -> Operation | str:
    """An operation with its defaults, or why these images have none."""
    try:
        return read_policy([name], kind).on_images[0]
    except UserError as error:
        return str(error).removeprefix("--data.augmentation: ")


def _changed(
    operation: Operation, picture: Picture, seed: int, level: float
) -> tuple[Picture, dict[str, Any]]:
    """A picture at a level, and what was drawn; the side of a two-sided operation by the seed."""
    drawn = operation.draw(torch.Generator().manual_seed(seed), picture.size, level)
    if drawn is None:
        return picture, {}
    return Picture(*operation.apply(picture.image, picture.mask, drawn)), drawn


def _overview(picture: Picture, kind: Images, seed: int) -> PageFigure:
    """One image under every operation at full strength, as in the review's figure 1."""
    cells, names = [picture.shown()], ["original"]
    for name in OPERATIONS:
        operation = _at_full_strength(name, kind)
        if name not in _NO_PICTURE_OF and isinstance(operation, Operation):
            changed = _changed(operation, picture, seed, 1.0)[0]
            cells.append(changed.shown())
            names.append(f"[{len(names)}] {name.replace('_', ' ')}")
    width = 6
    titled = [
        np.asarray(sheet([[cell]], column_titles=[name], cell_size=170), dtype=np.uint8)
        for cell, name in zip(cells, names, strict=True)
    ]
    rows = [titled[start : start + width] for start in range(0, len(titled), width)]
    picture_of_all = sheet(rows, cell_size=195)
    return PageFigure(
        "Every operation at full strength",
        shrunk(picture_of_all),
        f"One image under {len(names) - 1} operations",
        f"Numbers as in the list below; seed {seed}.",
    )


def _operations(pictures: Sequence[Picture], kind: Images, seed: int) -> Iterator[dict[str, Any]]:
    """Name, meaning and figure of every operation."""
    for name, made in OPERATIONS.items():
        if name in _NO_PICTURE_OF:
            continue
        operation = _at_full_strength(name, kind)
        told: dict[str, Any] = {
            "name": name,
            "what": _what(made),
            "breaks": made.breaks_meaning,
            "source": made.source,
            "figure": None,
            "refused": "",
        }
        if isinstance(operation, str):
            yield {**told, "refused": operation}
            continue
        levels = LEVELS if made.graded else (1.0,)
        rows, drawn, same = [], [], True
        for place, picture in enumerate(pictures):
            changed = [_changed(operation, picture, seed + place, level) for level in levels]
            rows.append([picture.shown(), *(one.shown() for one, _ in changed)])
            drawn.append(_in_words(changed[-1][1]))
            same &= torch.equal(changed[-1][0].image, picture.image)
        names = _LEVEL_NAMES if made.graded else ("original", "done")
        figure = PageFigure(
            "",
            shrunk(sheet(rows, column_titles=names, cell_size=170)),
            f"{name} on {len(pictures)} images",
            "It changes nothing of these images." if same else _numbers(drawn),
            "" if made.graded else "narrow",
        )
        yield {**told, "figure": figure}


def _presets(
    policies: dict[str, list[Any] | str], pictures: Sequence[Picture], kind: Images, seed: int
) -> Iterator[dict[str, Any]]:
    """Each policy as a training would draw it."""
    for name, written in policies.items():
        policy = read_policy(written, kind)
        rows = []
        for place, picture in enumerate(pictures):
            cells = [picture.shown()]
            for draw in range(_DRAWS):
                of_draw = np.random.default_rng([seed, place, draw]).integers(2**62)
                drawn = policy.draw(int(of_draw), picture.size)
                # Scaled already, so that what works on stored levels works on these.
                changed = policy.apply(picture.image, picture.mask, drawn, lambda image: image)
                cells.append(Picture(*changed).shown())
            rows.append(cells)
        names = ["original", *(f"draw {draw + 1}" for draw in range(_DRAWS))]
        listed = [next(iter(entry)) for entry in policy.plain()]
        yield {
            "name": name,
            "source": PRESET_SOURCES.get(name, ""),
            "operations": ", ".join(listed),
            "figure": PageFigure(
                "", shrunk(sheet(rows, column_titles=names, cell_size=180)), f"{name}, drawn anew"
            ),
        }


def _what(kind: type[Operation]) -> str:
    """The first sentence of an operation's docstring."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _numbers(drawn: Sequence[str]) -> str:
    told = "; ".join(one for one in drawn if one)
    return f"Drawn at full strength: {told}." if told else ""


def _in_words(drawn: dict[str, Any]) -> str:
    """Numbers that say something by themselves: no seeds and no lists."""
    numbers = {
        key: value
        for key, value in drawn.items()
        if isinstance(value, int | float) and key != "seed"
    }
    return ", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in numbers.items())
