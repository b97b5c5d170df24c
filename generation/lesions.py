"""Slices with lesions put in or taken out: real training slices, painted in a region alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.choice.fewer_patients import some_patients
from datamodules.slice_cache import SliceCache
from datamodules.slice_dataset import unit_image
from datamodules.synthetic import ImageFormat, SyntheticItem, SyntheticSet
from display.colours import colour_mask
from display.png import save_png
from display.sheet import sheet
from generation.generators import TrainedGenerator
from generation.lesion_edits import Edit, Edits, Into, Lenders, Wish
from generation.set_files import SetFiles
from generation.slices import choose, label_cache_of
from generation.synthetic_set import Generation, Made, finite_pictures
from knowledge import Knowledge
from lightning_modules import LesionInfilling
from lightning_modules.loading import data_root
from lightning_modules.step.seeds import derived_seed
from provenance import UserError
from synthetic_marks import COMPOSITE_NOTICE

_SHOWN = 8


def generate_lesions(
    generation: Generation,
    labels: Path | None = None,
    lesions: Wish = "put",
    into: Into = "healthy",
    dropout: bool = True,
    format: ImageFormat = "png",
) -> None:
    """Paint lesions into real training slices, or out of them, and show what changed.

    Image i depends on the checkpoint, its slice and (seed, i). Outside of the painted regions it is
    the slice, to the bit; the finished files are compared with the slices.

    Args:
        generation: The call. More images than there are slices: these are used again.
        labels: A cache whose lesions lend their shapes; None: the training slices, where each gets
            the shape of another patient's lesion.
        lesions: "put" one into a part of the organ that has none, or "remove" all of a slice.
        into: "healthy" slices alone, which hold no lesion; or "any" that has a part of the organ
            without one.
        dropout: Keep the generator's dropout active, if it has any.
        format: png or npy.

    Raises:
        UserError: No usable slice or shape, a format that would say that no picture is a patient's,
            or a folder that holds something else.
    """
    if format not in ("png", "npy"):
        raise UserError(
            f"--format {format}: its files would say that they are nobody's, and each is a "
            "patient's slice with a painted region. Give png or npy."
        )
    [generator] = generation.generators
    module = generator.module
    assert isinstance(module, LesionInfilling)  # generate.py gives others to other functions
    cache = _own_slices(generator)
    patients = _patients(generator, cache)
    if lesions == "put":
        lenders = Lenders.find(cache, labels, module, generator.record, patients)
    else:
        lenders = None
        for flag, given in (("--labels", labels), ("--into", into != "healthy")):
            if given:
                raise UserError(f"{flag}: is for lesions that are put in, and --lesions remove "
                                "takes them out. Leave it out.")  # fmt: skip
    source = Edits(cache, module, patients, lenders, into)
    chosen = choose(source.usable(), generator.num_images, generation.seed)
    generation.claim_folder(
        lesions=lesions,
        into=into,
        label_maps=None if lenders is None else lenders.cache.split_id,
        dropout=dropout,
        format=format,
    )
    seeds = [generation.seed_of(index) for index in range(len(chosen))]

    def edit(index: int) -> Edit:
        return source.edit(chosen[index], seeds[index])

    items, lent = [], set()
    for index, item in enumerate(chosen):
        drawn = edit(index)
        lent |= {drawn.lender.id} if drawn.lender is not None else set()
        pixels = np.bincount(drawn.wish.ravel(), minlength=module.num_classes)
        items.append(
            SyntheticItem(
                id=f"synthetic_{index:06d}",
                seed=seeds[index],
                label_item_id=item.id,
                label_patient_id=item.patient_id,
                class_pixels=tuple(pixels.tolist()),
                pixel_spacing_mm=item.pixel_spacing_mm,
                slice_spacing_mm=item.slice_spacing_mm,
            )
        )

    def make(indices: range) -> Made:
        edits = [edit(index) for index in indices]
        images = [
            _painted(module, cache, one, seeds[index], dropout, generator.checkpoint)
            for index, one in zip(indices, edits, strict=True)
        ]
        return np.stack(images), np.stack([one.wish for one in edits])

    files = SetFiles(generation.out, format, type(module).__name__, notice=COMPOSITE_NOTICE)
    generation.write_images(generator, items, make, generation.batch_size, files)
    made = SyntheticSet(
        generation.out, {"image_format": format, "image_size": module.image_size, "items": []}
    )
    generation.finish(
        items,
        flags={
            "labels": labels,
            "lesions": None if lesions == "put" else lesions,
            "into": None if into == "healthy" else into,
            "dropout": None if dropout else False,
            "format": None if format == "png" else format,
        },
        lent=[] if lenders is None else [lenders.cache.licence],
        also_seen=None if lenders is None else _known(lenders.cache, lent),
        notice=COMPOSITE_NOTICE,
        painted={
            "lesion": module.class_names[module.lesion],
            "what": lesions,
            "margin": module.margin,
            **_changes(made, items, cache, edit),
        },
        **files.in_manifest,
        label_cache=label_cache_of(cache, chosen),
    )
    _save_sheet(made, items[:_SHOWN], cache, edit)


def _own_slices(generator: TrainedGenerator) -> SliceCache:
    """The slices that the generator was trained on.

    Raises:
        UserError: They are not there, or are split in another way by now.
    """
    cache = SliceCache.open(data_root(generator.checkpoint, generator.record, "--checkpoint"))
    if cache.split_id != generator.record["split"]["split_id"]:
        raise UserError(
            f"{cache.root}: is not split into the patients that {generator.checkpoint} was trained "
            "on, so its training slices may be of patients who were held out. Put that cache back."
        )
    return cache


def _patients(generator: TrainedGenerator, cache: SliceCache) -> frozenset[str]:
    """Whose slices may be used: training patients that the generator has seen."""
    told, patients = generator.in_manifest, cache.patients("train")
    if "fraction_of_patients" in told:
        share, seed = told["fraction_of_patients"], told["patients_seed"]
        patients = some_patients(patients, share, seed)
    return frozenset(patients)


def _known(cache: SliceCache, ids: set[str]) -> Knowledge:
    return cache.knowledge(np.flatnonzero(np.isin(cache.ids, sorted(ids))))


def _painted(
    module: LesionInfilling,
    cache: SliceCache,
    edit: Edit,
    seed: int,
    dropout: bool,
    checkpoint: Path,
) -> NDArray[np.uint8]:
    """A slice (H, W) after its edit; alone, so that no other slice changes its last digit."""
    source = np.array(cache.image(edit.item))
    image = unit_image(torch.from_numpy(source)[None, None]).to(module.device)
    wish = torch.from_numpy(edit.wish)[None].to(module.device)
    for number, region in enumerate(edit.regions):
        inside = torch.from_numpy(region)[None].to(module.device)
        noise = derived_seed(seed, "region", number)
        image = module.infill(image, wish, inside, [noise], dropout)
    [made] = finite_pictures(image, checkpoint)
    # On the grid of the file too, whatever a rounding might do.
    return np.where(edit.changed, made, source)


def _changes(
    made: SyntheticSet,
    items: Sequence[SyntheticItem],
    cache: SliceCache,
    edit: Callable[[int], Edit],
) -> dict[str, Any]:
    """What the files differ in from their slices: nothing outside of the regions.

    Raises:
        UserError: A file does; then it is not the one that was written.
    """
    inside, outside = [], 0
    for index, item in enumerate(items):
        drawn = edit(index)
        difference = np.abs(made.image(item).astype(int) - cache.image(drawn.item))
        outside = max(outside, int(difference[~drawn.changed].max(initial=0)))
        inside.append(float(difference[drawn.changed].mean()))
        if outside:
            raise UserError(
                f"{made.root}: {item.id} differs from its slice outside of the painted region, so "
                "its file was changed, or is another set's. Remove it and give the command again."
            )
    return {"largest_difference_outside": outside, "mean_difference_inside": float(np.mean(inside))}


def _save_sheet(
    made: SyntheticSet,
    items: Sequence[SyntheticItem],
    cache: SliceCache,
    edit: Callable[[int], Edit],
) -> None:
    """Slices before and after, and their differences: grey where nothing changed."""
    rows: list[list[NDArray[np.uint8]]] = [[], [], [], [], []]
    for index, item in enumerate(items):
        drawn, image = edit(index), made.image(item)
        source = np.array(cache.image(drawn.item))
        difference = image.astype(int) - source
        pictures = (colour_mask(cache.mask(drawn.item)), source, colour_mask(drawn.wish), image)
        for row, picture in zip(rows, pictures, strict=False):
            row.append(picture)
        rows[-1].append((128 + difference).clip(0, 255).astype(np.uint8))
    titles = ["labels before", "real slice", "labels after", "painted", "difference"]
    caption = "Difference: grey 128 where nothing changed, which is everywhere but in the regions."
    picture = sheet(rows, row_titles=titles, cell_size=160, caption=caption)
    save_png(made.root / "sheet.png", picture)  # it shows patients, so it is not called synthetic
