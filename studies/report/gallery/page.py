"""Every augmentation on images of one's own, as a page: figures 1 and 5 of Kim and Bae 2020.

The page shows patients, and stays with the data.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmentations.batch_mixing import mix_batch
from augmentations.catalogue import BATCH_OPERATIONS, OPERATIONS
from augmentations.language import read_policy
from augmentations.mixture import GROUP
from augmentations.operation import BatchOperation, Images, Operation
from augmentations.policy import Policy
from augmentations.presets import PRESET_SOURCES, PRESETS
from datamodules.open_cache import open_cache
from display.numbers import count
from display.pages import PageFigure, render_page
from display.sheet import sheet
from provenance import UserError, write_text_atomic
from studies.report.gallery_pictures import Picture, batch_of, training_pictures
from studies.report.sheets import shrunk

LEVELS = (1 / 3, 2 / 3, 1.0)
_LEVEL_NAMES = ("original", "1/3", "2/3", "1")
_DRAWS = 5
_TEMPLATE = Path(__file__).with_name("gallery.html.j2")
_CHOICES = {"identity", "one_of", "one_at_a_level"}  # look like what they choose
_NUMBERED = [name for name in OPERATIONS if name not in _CHOICES]


def write_gallery(
    root: Path,
    out: Path,
    images: int = 2,
    seed: int = 0,
    augmentation: list[Any] | str | None = None,
) -> Path:
    """Show every augmentation of images at three strengths, and every preset, on your own images.

    Outlines of masks are drawn over slices. The page shows patients: it stays with the data.

    Args:
        root: Cache that prepare.py wrote. Images of its training split are shown.
        out: The HTML file to write; one that is there is not overwritten.
        images: How many images to show, spread evenly over the split; for mixing up to three more
            are borrowed.
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
    shown, names = training_pictures(cache, max(images, GROUP))
    pictures, first = shown[:: len(shown) // images or 1][:images], shown[0]
    kind = Images(len(first.image), first.mask is not None, first.label is not None)
    others = [one for one in shown if all(one is not each for each in pictures)]
    policies: dict[str, list[Any] | str] = {name: name for name in PRESETS if name != "none"}
    if augmentation is not None:
        own = read_policy(augmentation, kind, "--augmentation")
        policies = {"your policy": own.plain(), **policies}
    page = render_page(
        _TEMPLATE,
        root=Path(root).name,
        seed=seed,
        count=count(len(pictures), cache.CONTENTS.removesuffix("s")),
        borrowed=len(others),
        legend=names[1:] if kind.masks else [],
        overview=_overview(pictures[0], kind, names, seed),
        operations=list(_operations(pictures, kind, names, seed)),
        presets=list(_presets(policies, pictures, others, kind, names, seed)),
        mixing=list(_mixing(shown[:GROUP], kind, names, seed)) if len(shown) > 1 else [],
    )
    write_text_atomic(Path(out), page)
    return Path(out)


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


def _legend(kind: Images, names: Sequence[str]) -> Sequence[str] | None:
    """Class names for a sheet's colour key; None where no outlines are drawn."""
    return names if kind.masks else None


def _overview(picture: Picture, kind: Images, classes: Sequence[str], seed: int) -> PageFigure:
    """One image under every operation at full strength, as in the review's figure 1."""
    cells, names = [picture.shown()], ["original"]
    for number, name in enumerate(_NUMBERED, start=1):
        operation = _at_full_strength(name, kind)
        if isinstance(operation, Operation):
            changed = _changed(operation, picture, seed, 1.0)[0]
            cells.append(changed.shown())
            names.append(f"[{number}] {name.replace('_', ' ')}")
    width = 6
    titled = [
        np.asarray(sheet([[cell]], column_titles=[name], cell_size=170), dtype=np.uint8)
        for cell, name in zip(cells, names, strict=True)
    ]
    rows = [titled[start : start + width] for start in range(0, len(titled), width)]
    picture_of_all = sheet(rows, cell_size=195, legend=_legend(kind, classes))
    return PageFigure(
        "Every operation at full strength",
        shrunk(picture_of_all),
        f"One image under {len(names) - 1} operations",
        f"Numbers as in the list below; seed {seed}.",
    )


def _operations(
    pictures: Sequence[Picture], kind: Images, classes: Sequence[str], seed: int
) -> Iterator[dict[str, Any]]:
    """Name, meaning and figure of every operation."""
    for name in _NUMBERED:
        made = OPERATIONS[name]
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
            shrunk(sheet(rows, column_titles=names, cell_size=170, legend=_legend(kind, classes))),
            f"{name} on {count(len(pictures), 'image')}",
            "It changes nothing of these images." if same else _numbers(drawn),
            "" if made.graded else "narrow",
        )
        yield {**told, "figure": figure}


def _presets(
    policies: dict[str, list[Any] | str],
    pictures: Sequence[Picture],
    others: Sequence[Picture],
    kind: Images,
    names: Sequence[str],
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Each policy as a training would draw it, for a batch of these pictures.

    Of a policy that mixes images the batch also holds `others`, whose rows are not shown.
    """
    for name, written in policies.items():
        told: dict[str, Any] = {
            "name": name,
            "source": PRESET_SOURCES.get(name, ""),
            "operations": [],
            "figure": None,
            "refused": "",
        }
        try:
            policy = read_policy(written, kind)
        except UserError as error:
            yield {**told, "refused": str(error).removeprefix("--data.augmentation ")}
            continue
        meets = any(one.meets for one in policy.on_batches)
        batch = [*pictures, *others][: max(len(pictures), GROUP)] if meets else [*pictures]
        if meets and len(batch) < 2:
            yield {**told, "refused": "it mixes images, and the training split holds one alone."}
            continue
        columns = [pictures]
        for draw in range(_DRAWS):
            of_draw = np.random.default_rng([seed, draw]).integers(2**62, size=len(batch))
            columns.append(_drawn(policy, batch, names, of_draw.tolist())[: len(pictures)])
        rows = [[one.shown() for one in row] for row in zip(*columns, strict=True)]
        titles = ["original", *(f"draw {draw + 1}" for draw in range(_DRAWS))]
        picture = sheet(rows, column_titles=titles, cell_size=180, legend=_legend(kind, names))
        yield {
            **told,
            "operations": [_entry(one) for one in policy.plain()],
            "figure": PageFigure(
                "",
                shrunk(picture),
                f"{name}, drawn anew",
                f"Mixed with {count(len(batch) - 1, 'image')} of the split." if meets else "",
            ),
        }


def _drawn(
    policy: Policy, pictures: Sequence[Picture], names: Sequence[str], seeds: Sequence[int]
) -> list[Picture]:
    """A batch under a policy; of views the first is shown."""
    changed = []
    for picture, seed in zip(pictures, seeds, strict=True):
        drawn = policy.draw(seed, picture.size)
        # Scaled already, so that what works on stored levels works on these.
        pair = policy.apply(picture.image, picture.mask, drawn, lambda image: image)
        changed.append(Picture(*pair, picture.label))
    if not policy.on_batches:
        return changed
    mixed = mix_batch(batch_of(changed), policy.on_batches, seeds, len(names))
    images = mixed["views"][:, 0] if "views" in mixed else mixed["image"]
    masks = mixed.get("mask", [None] * len(changed))
    return [Picture(*pair) for pair in zip(images, masks, strict=True)]


def _mixing(
    pictures: Sequence[Picture], kind: Images, names: Sequence[str], seed: int
) -> Iterator[dict[str, Any]]:
    """Each operation on a batch, done to all of a small one, as in the review's figure 5."""
    batch = batch_of(pictures)
    seeds = [int(np.random.default_rng([seed, k]).integers(2**62)) for k in range(len(pictures))]
    for name, made in BATCH_OPERATIONS.items():
        told: dict[str, Any] = {
            "name": name,
            "what": _what(made),
            "breaks": (kind.masks and made.breaks_meaning_of_masks) or made.breaks_meaning,
            "source": made.source,
            "figure": None,
            "refused": "",
        }
        try:
            policy = read_policy([{name: {"probability": 1}}], kind)
        except UserError as error:
            yield {**told, "refused": str(error).removeprefix("--data.augmentation: ")}
            continue
        mixed = mix_batch(batch, policy.on_batches, seeds, len(names))
        views = mixed["views"].unbind(1) if "views" in mixed else (mixed["image"],)
        masks = mixed.get("mask", [None] * len(pictures))
        rows = [[one.shown() for one in pictures]]
        rows += [
            [Picture(*pair).shown() for pair in zip(view, masks, strict=True)] for view in views
        ]
        titles = ["before", *("after" if len(views) == 1 else f"view {k + 1}" for k in range(9))]
        picture = sheet(
            rows, row_titles=titles[: len(rows)], cell_size=170, legend=_legend(kind, names)
        )
        shares = [_shares(target, names) for target in mixed.get("target", [])]
        caption = f"Labels after it: {'; '.join(shares)}." if shares else ""
        yield {**told, "figure": PageFigure("", shrunk(picture), f"{name} in a batch", caption)}


def _entry(plain: dict[str, Any]) -> str:
    """An operation as a policy writes it, with those it holds; full strength and 1 are left out."""
    [(name, settings)] = plain.items()
    told = [
        f"{key}: {_value(value)}"
        for key, value in settings.items()
        if not (key in ("probability", "strength") and value == 1)
    ]
    return f"{name}: {{{', '.join(told)}}}" if told else name


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_entry(one) for one in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _shares(target: Tensor, names: Sequence[str]) -> str:
    """Such as "normal 70 %, pneumonia 30 %"."""
    held = [(float(share), name) for share, name in zip(target, names, strict=True)]
    return ", ".join(f"{name} {share:.0%}" for share, name in held if share > 0.005)


def _what(kind: type[Operation] | type[BatchOperation]) -> str:
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
