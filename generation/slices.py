"""Synthetic slices: a Pix2Pix generator paints label maps of patients it may know."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.slice_cache import SliceCache, SliceItem
from datamodules.synthetic import ImageFormat, SyntheticItem, SyntheticSet
from display.colours import colour_mask
from display.png import save_png
from display.sheet import as_picture, sheet
from generation.file_formats import slice_files
from generation.synthetic_set import Generation, Made, finite_pictures
from knowledge import Knowledge
from lightning_modules import Pix2Pix
from lightning_modules.loading import data_root, held_out_of
from provenance import UserError


def generate_slices(
    generation: Generation,
    labels: Path | None = None,
    dropout: bool = True,
    with_class: str | None = None,
    format: ImageFormat | None = None,
) -> None:
    """Make images from label maps that hold any foreground, and a sheet of the first.

    Label maps of patients in the validation or test split of the generator's own data are left
    out. Image i depends on the checkpoint, its label map and (seed, i).

    Args:
        generation: The call. More images than there are label maps: these are used again with
            other noise.
        labels: A cache with label maps; None takes the training slices of the generator's data.
        dropout: Keep the generator's dropout active, as in Pix2Pix, where it is the only noise.
        with_class: Only label maps that hold this class; None takes every one with any foreground.
        format: Of the images; see `slice_files`. None: png, or npy of several channels.

    Raises:
        UserError: No usable label map, other image sizes, or a folder that holds something else.
    """
    [generator] = generation.generators
    module = generator.module
    assert isinstance(module, Pix2Pix)  # generate.py refuses others
    checkpoint, record = generator.checkpoint, generator.record
    usual: ImageFormat = "png" if module.image_channels == 1 else "npy"
    if format is None:
        format = usual
    if module.image_channels > 1 and format != "npy":
        raise UserError(
            f"--format {format}: the images of {checkpoint} have {module.image_channels} channels, "
            "which are scans and no colours; npy alone holds them. Leave it out."
        )
    root = labels if labels is not None else data_root(checkpoint, record, "--labels")
    cache = SliceCache.open(root)
    if cache.image_size != module.image_size:
        raise UserError(
            f"{root}: label maps of {cache.image_size} px, but the generator of {checkpoint} makes "
            f"{module.image_size} px. Prepare them again with --image-size {module.image_size}."
        )
    if cache.class_names != record["class_names"]:
        raise UserError(
            f"{root}: its labels are {', '.join(cache.class_names)}, but the generator of "
            f"{checkpoint} was trained on {', '.join(record['class_names'])}. Give label maps of "
            "these classes."
        )
    if labels is None:
        usable = usable_label_maps(cache, None, record["split"]["by"], with_class)
    else:
        held_out = held_out_of(record)
        usable = usable_label_maps(cache, held_out, record["split"]["by"], with_class)
        if gap := held_out.not_compared(f"the held-out data of {checkpoint}", cache):
            print(gap.sentence, file=sys.stderr)
    chosen = choose(usable, generator.num_images, generation.seed)
    asked = {} if format == usual else {"format": format}  # sets of earlier versions go on
    generation.claim_folder(
        label_maps=cache.split_id, dropout=dropout, with_class=with_class, **asked
    )

    items = [
        SyntheticItem(
            id=f"synthetic_{index:06d}",
            seed=generation.seed_of(index),
            label_item_id=source.id,
            label_patient_id=source.patient_id,
            class_pixels=source.class_pixels,
            pixel_spacing_mm=source.pixel_spacing_mm,
            slice_spacing_mm=source.slice_spacing_mm,
        )
        for index, source in enumerate(chosen)
    ]

    def make(indices: range) -> Made:
        masks = np.stack([cache.mask(chosen[index]) for index in indices])
        conditions = torch.from_numpy(masks).to(module.device)
        images = module.synthesise(
            conditions, [generation.seed_of(index) for index in indices], dropout
        )
        return finite_pictures(images, checkpoint), masks

    files = slice_files(generation, items, format).with_origin()
    told: dict[str, Any] = dict(files.in_manifest)
    if module.image_channels > 1:
        told["channels"] = module.image_channels
    generation.write_images(generator, items, make, generation.batch_size, files)
    generation.finish(
        items,
        flags={
            "labels": labels,
            "dropout": None if dropout else False,
            "with_class": with_class,
            "format": None if format == usual else format,
        },
        lent=[cache.licence],
        **told,
        label_cache=label_cache_of(cache, chosen),
    )
    made = SyntheticSet.open(generation.out)
    rows = [
        [colour_mask(made.mask(item)) for item in items[:8]],
        [as_picture(made.image(item)) for item in items[:8]],
    ]
    save_png(
        generation.out / "sheet.png",
        sheet(rows, row_titles=["label map", "synthetic"], cell_size=160),
        synthetic=True,
    )


def label_cache_of(cache: SliceCache, chosen: list[SliceItem]) -> dict[str, Any]:
    """What the manifest says of the cache that the label maps are from; its items name them."""
    known = cache.knowledge(np.flatnonzero(np.isin(cache.ids, [item.id for item in chosen])))
    told = known.plain()
    named = {key: told[key] for key in told if not key.startswith("training_")}
    return {"dataset": cache.dataset, "split_id": cache.split_id, **named}


def usable_label_maps(
    cache: SliceCache, held_out: Knowledge | None, by: str, with_class: str | None = None
) -> list[SliceItem]:
    """Label maps with any foreground that no validation or test patient of the generator has.

    Args:
        cache: Where the label maps lie.
        held_out: Validation and test data of the generator; None: the cache is the generator's
            own, whose training split alone is used.
        by: What of the generator's data was split: "patient" or "slice".
        with_class: Only label maps that hold the class of this name.

    Raises:
        UserError: None is left.
    """
    items = cache.select("train" if held_out is None else None, foreground_only=True)
    wanted = " or ".join(cache.foreground) if with_class is None else with_class
    if with_class is not None:
        if with_class not in cache.foreground:
            raise UserError(
                f"--with-class {with_class}: {cache.root} has no such class; it has "
                f"{', '.join(cache.foreground)}."
            )
        label = cache.class_names.index(with_class)
        items = [item for item in items if item.class_pixels[label] > 0]
    left = items
    if held_out is not None:
        known = held_out.overlap(cache, by_item=by == "slice").known
        known_ids = {*cache.ids[known].tolist()}
        left = [item for item in items if item.id not in known_ids]
    dropped = {item.patient_id for item in items} - {item.patient_id for item in left}
    if dropped:
        print(
            f"{cache.root}: left out {len(items) - len(left)} label maps of {len(dropped)} "
            "patients who are in the validation or test split of the generator's data.",
            file=sys.stderr,
        )
    if not left:
        raise UserError(
            f"{cache.root}: no label map with {wanted} is left"
            + (f" of {len(items)}, all of held-out patients" if items else "")
            + ". Give label maps of other patients with --labels."
        )
    return left


def choose(usable: list[SliceItem], num_images: int, seed: int) -> list[SliceItem]:
    """Draw label maps without replacement, round after round until there are enough."""
    random = np.random.default_rng([seed, 1])
    rounds = [random.permutation(len(usable)) for _ in range(-(-num_images // len(usable)))]
    order: NDArray[np.int64] = np.concatenate(rounds)[:num_images]
    return [usable[int(index)] for index in order]
