"""Translated images: a CycleGAN gives those of a cache or of a set the look of another domain."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.synthetic import ImageFormat, SyntheticItem, SyntheticSet
from datamodules.unpaired.originals import Original
from display.colours import colour_mask
from display.png import save_png
from display.sheet import sheet
from generation.file_formats import film_files, slice_files
from generation.generators import TrainedGenerator
from generation.synthetic_set import Generation, Made, finite_pictures
from generation.translation_source import in_target, source_at, trained_on
from lightning_modules import CycleGAN
from provenance import UserError
from synthetic_marks import NOTICE, TRANSLATED_NOTICE

Direction = Literal["forward", "backward"]
_SHOWN = 8


def translate_images(
    generation: Generation,
    source: Path | None = None,
    direction: Direction = "forward",
    num_images: int | None = None,
    format: ImageFormat = "png",
) -> None:
    """Translate the training images of a cache, or all of a synthetic set, and a sheet of some.

    Image i depends on the checkpoint and on its original alone. Labels go with their images: label
    maps unchanged; the class unchanged, or, of a translator from class to class, the one that it
    makes. Whether a label still holds is measured by evaluate.py survival.

    Args:
        generation: The call; its generator is a CycleGAN.
        source: A cache or a synthetic set; None: the source that the translator was trained on, or
            backward the target.
        direction: "forward" from source to target, as the training named them, or "backward".
        num_images: How many, drawn by the seed; None: all.
        format: Of the images.

    Raises:
        UserError: Images of another size, kind or class, none at all, or fewer than asked for.
    """
    [generator] = generation.generators
    module = generator.module
    assert isinstance(module, CycleGAN)  # generate.py refuses others
    from_, to = ("source", "target") if direction == "forward" else ("target", "source")
    root = source if source is not None else trained_on(generator, from_)
    found = source_at(root, generator, from_, num_images, generation.seed)
    originals = found.originals
    generation = replace(generation, generators=[replace(generator, num_images=len(originals))])
    names = list(generator.record["class_names"])
    labels = [_label(generator, original, from_) for original in originals]
    items = [
        SyntheticItem(
            id=f"synthetic_{index:06d}",
            source_item_id=original.id,
            source_patient_id=original.patient_id,
            class_pixels=original.class_pixels,
            label=label,
            pixel_spacing_mm=original.pixel_spacing_mm,
            slice_spacing_mm=original.slice_spacing_mm,
        )
        for index, (original, label) in enumerate(zip(originals, labels, strict=True))
    ]
    with_masks = all(original.read_mask is not None for original in originals)
    files = slice_files(generation, items, format) if with_masks else film_files(generation, format)
    notice = NOTICE
    if found.told["shows_patients"]:
        notice = TRANSLATED_NOTICE
        if format not in ("png", "npy"):
            raise UserError(
                f"--format {format}: its files would say that they are nobody's, and each is a "
                "patient's image, translated. Give png or npy."
            )
        files = replace(files, notice=notice)
    of_films_alone: dict[str, Any] = {} if with_masks else {"channels": module.image_channels}
    told = {**found.told, "direction": direction, "knowledge": found.knowledge.plain()}
    asked = {"translated_from": found.told, "direction": direction, "format": format}
    generation.claim_folder(**asked)
    files = files.with_origin()

    def make(indices: range) -> Made:
        chosen = [originals[index] for index in indices]
        images = np.stack([one.unit(module.image_channels) for one in chosen])
        masks = (
            np.stack([one.read_mask() for one in chosen if one.read_mask]) if with_masks else None
        )
        shown = None
        if module.conditioned:
            shown = _condition(generator, chosen, masks, names, from_).to(module.device)
        # One by one: an image's translation, to the bit, does not depend on who is beside it.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            made = torch.cat(
                [
                    module.translate(
                        torch.from_numpy(images[row : row + 1]).to(module.device),
                        None if shown is None else shown[row : row + 1],
                        to,
                    )
                    for row in range(len(images))
                ]
            )
        return finite_pictures(made, generator.checkpoint), masks

    generation.write_images(generator, items, make, generation.batch_size, files)
    generation.finish(
        items,
        flags={
            "source": source,
            "direction": None if direction == "forward" else direction,
            "format": None if format == "png" else format,
        },
        lent=found.licences,
        notice=notice,
        **of_films_alone,
        **files.in_manifest,
        translated_from=told,
    )
    _save_sheet(generation.out, originals)


def _label(generator: TrainedGenerator, original: Original, domain: str) -> str | None:
    """The class of a translated film: what the translation makes, or what it was."""
    labels = {name: generator.data.get(f"{name}_label") for name in ("source", "target")}
    other = "target" if domain == "source" else "source"
    if all(labels.values()):
        return in_target(generator, labels[other], other)
    return in_target(generator, original.label, domain)


def _condition(
    generator: TrainedGenerator,
    chosen: list[Original],
    masks: NDArray[np.uint8] | None,
    names: list[str],
    domain: str,
) -> torch.Tensor:
    """Label maps, or the numbers of the classes, that a conditioned translator is shown."""
    if masks is not None:
        return torch.from_numpy(masks)
    shown = [in_target(generator, one.label, domain) for one in chosen]
    unknown = [one.id for one, name in zip(chosen, shown, strict=True) if name not in names]
    if unknown:
        raise UserError(
            f"--source: {unknown[0]} has no class among {', '.join(names)}, which this translator "
            "is shown (--model.conditioned true). Give labelled images."
        )
    return torch.tensor([names.index(str(name)) for name in shown])


def _save_sheet(out: Path, originals: list[Original]) -> None:
    """Some originals above their translations, evenly spread over the set."""
    made = SyntheticSet.open(out)
    shown = np.unique(np.linspace(0, len(originals) - 1, _SHOWN).round().astype(int)).tolist()
    rows: list[list[Any]] = [[], []]
    titles = ["original", "translated"]
    for index in shown:
        for row, image in zip(
            rows, (originals[index].read(), made.image(made.items[index])), strict=True
        ):
            eight_bits = (image // 257).astype(np.uint8) if image.dtype == np.uint16 else image
            row.append(eight_bits if image.ndim == 2 else np.moveaxis(eight_bits, 0, -1))
    if all(item.class_pixels for item in made.items):
        rows.insert(0, [colour_mask(made.mask(made.items[index])) for index in shown])
        titles.insert(0, "label map")
    caption = f"{len(shown)} of {len(originals)} images, evenly spread."
    picture = sheet(rows, row_titles=titles, caption=caption, cell_size=160)
    save_png(out / "sheet.png", picture, synthetic=True)
