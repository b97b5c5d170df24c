"""Translated images: a CycleGAN gives those of a cache or of a set the look of another domain."""

import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.film_cache import FilmCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import ImageFormat, SyntheticItem, SyntheticSet
from datamodules.unpaired.originals import (
    Original,
    check_fits,
    of_films,
    of_set,
    of_slices,
    open_source,
)
from display.sheet import colour_mask, save_png, sheet
from generation.file_formats import film_files, slice_files
from generation.generators import TrainedGenerator
from generation.synthetic_set import Generation, Made, finite_pictures
from knowledge import Knowledge
from licences import Licence
from lightning_modules import CycleGAN
from lightning_modules.loading import held_out_of, path_of_data
from provenance import UserError
from synthetic_marks import NOTICE, TRANSLATED_NOTICE

Direction = Literal["forward", "backward"]
_SHOWN = 8


@dataclass(frozen=True)
class _Source:
    """What is translated.

    Attributes:
        originals: The images.
        knowledge: Whom they show.
        licences: Of their data.
        told: What the set's manifest says of them.
    """

    originals: list[Original]
    knowledge: Knowledge
    licences: list[Licence]
    told: dict[str, Any]


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
    root = source if source is not None else _trained_on(generator, from_)
    found = _source_at(root, generator, from_, num_images, generation.seed)
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


def _trained_on(generator: TrainedGenerator, domain: str) -> Path:
    """Where the images of a domain lay in training."""
    name = "root" if domain == "target" or generator.data.get("source") is None else "source"
    return path_of_data(generator.checkpoint, generator.record, name, "--source")


def _source_at(
    root: Path, generator: TrainedGenerator, domain: str, number: int | None, seed: int
) -> _Source:
    """The images of a folder that are translated: of a cache some of its training split."""
    record, opened = generator.record, open_source(root)
    for_slices = "clahe" not in record["preparation"]  # which is said of films alone
    wanted, only = generator.module.image_size, generator.data.get(f"{domain}_label")
    if isinstance(opened, SyntheticSet):
        are_slices = any(item.class_pixels for item in opened.items)
        check_fits(root, opened.image_size, wanted, for_slices, are_slices)
        chosen = _chosen(_shown(of_set(opened), generator, domain, root), only, number, seed, root)
        earlier = opened.manifest.get("translated_from", {})
        told = {
            "dataset": opened.manifest["dataset"],
            "set_sha256": opened.content_sha256,
            "shows_patients": bool(earlier.get("shows_patients")) or "painted" in opened.manifest,
        }
        return _Source(chosen, opened.seen(), opened.licences, told)
    check_fits(root, opened.image_size, wanted, for_slices, isinstance(opened, SliceCache))
    indices = _training_images(opened, generator)
    if isinstance(opened, FilmCache):
        originals = of_films(opened, indices, _column(opened, generator))
    else:
        if opened.class_names != list(record["class_names"]):
            raise UserError(
                f"--source {root}: its labels are {', '.join(opened.class_names)}, but the "
                f"translator was trained with {', '.join(record['class_names'])}."
            )
        foreground = generator.data.get("slices", "foreground") == "foreground"
        kept = [i for i in indices if opened.items[i].has_foreground or not foreground]
        originals = of_slices(opened, kept)
    chosen = _chosen(_shown(originals, generator, domain, root), only, number, seed, root)
    told = {
        "dataset": opened.dataset,
        "split_id": opened.split_id,
        "shows_patients": not opened.dataset.startswith("phantom"),
    }
    shown = np.flatnonzero(np.isin(opened.ids, [one.id for one in chosen]))
    return _Source(chosen, opened.knowledge(shown), [opened.licence], told)


def _shown(
    originals: list[Original], generator: TrainedGenerator, domain: str, root: Path
) -> list[Original]:
    """Those whose class the translator was trained on, or that have none; of the others a count.

    Raises:
        UserError: There are others alone.
    """
    data, record = generator.data, generator.record
    if data.get("source_label") and data.get("target_label"):
        return originals  # of which one class is chosen
    classes = record.get("shown_classes")
    if classes is None and data.get("class_shares", "matched") == "matched" and domain == "source":
        classes = record["class_names"]  # of a checkpoint that does not tell
    if not classes:
        return originals
    names = [_in_target(generator, one.label, domain) for one in originals]
    unknown = Counter(
        str(one.label)
        for one, name in zip(originals, names, strict=True)
        if name is not None and name not in classes
    )
    if not unknown:
        return originals
    told = (
        f"{unknown.total()} images of classes that the translator was not trained on "
        f"({', '.join(f'{name}: {count}' for name, count in sorted(unknown.items()))}). It was "
        f"trained on {', '.join(classes)}, in the target's words; train.py fit "
        "--data.source_classes says what the source calls them."
    )
    if unknown.total() == len(originals):
        raise UserError(f"--source {root}: has nothing to translate but {told}")
    print(f"{root}: left out {told}", file=sys.stderr)
    kept = (name is None or name in classes for name in names)
    return [one for one, wanted in zip(originals, kept, strict=True) if wanted]


def _chosen(
    originals: list[Original], only: str | None, number: int | None, seed: int, root: Path
) -> list[Original]:
    """Those of a class, and of these so many, drawn without replacement, in their order."""
    of_class = [one for one in originals if only is None or one.label == only]
    if not of_class:
        raise UserError(
            f"--source {root}: holds no training image"
            + (f" of the class {only}" if only else "")
            + " that this translator may translate. Give another cache or set."
        )
    if number is None:
        return of_class
    if number > len(of_class):
        raise UserError(
            f"--num-images {number}: {root} has {len(of_class)} images to translate, and each has "
            "one translation. Give fewer, or leave it out for all."
        )
    drawn = np.random.default_rng([seed, 1]).permutation(len(of_class))[:number]
    return [of_class[index] for index in sorted(drawn.tolist())]


def _training_images(
    cache: SliceCache | FilmCache, generator: TrainedGenerator
) -> NDArray[np.int64]:
    """Of the training split, without whom the translator's own data hold out."""
    record, indices = generator.record, cache.indices("train")
    held_out = held_out_of(record)
    known = held_out.overlap(cache, by_item=record["split"]["by"] != "patient").known[indices]
    if known.any():
        print(
            f"{cache.root}: left out {int(known.sum())} images of patients who are in the "
            "validation or test split of the translator's data.",
            file=sys.stderr,
        )
    if gap := held_out.not_compared(f"the held-out data of {generator.checkpoint}", cache):
        print(gap.sentence, file=sys.stderr)
    kept: NDArray[np.int64] = indices[~known]
    return kept


def _column(cache: FilmCache, generator: TrainedGenerator) -> str | None:
    """The label column of films: the one that the translator was trained with, or the first."""
    named = generator.data.get("label_column")
    if named == "none":
        return None
    if named in cache.label_columns:
        return str(named)
    return cache.label_columns[0] if cache.label_columns else None


def _in_target(generator: TrainedGenerator, name: str | None, domain: str) -> str | None:
    """What the target calls a class of the source."""
    given = generator.data.get("source_classes")
    if domain == "target" or not given or name not in given:
        return name
    return str(generator.record["class_names"][list(given).index(name)])


def _label(generator: TrainedGenerator, original: Original, domain: str) -> str | None:
    """The class of a translated film: what the translation makes, or what it was."""
    labels = {name: generator.data.get(f"{name}_label") for name in ("source", "target")}
    other = "target" if domain == "source" else "source"
    if all(labels.values()):
        return _in_target(generator, labels[other], other)
    return _in_target(generator, original.label, domain)


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
    shown = [_in_target(generator, one.label, domain) for one in chosen]
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
