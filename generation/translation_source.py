"""Which images a CycleGAN translates: those of a cache or a set, of the classes that it knows."""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.choice.film_settings import like_column
from datamodules.film_cache import FilmCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from datamodules.unpaired.originals import (
    Original,
    check_fits,
    names_in_target,
    of_films,
    of_set,
    of_slices,
    open_source,
)
from generation.generators import TrainedGenerator
from knowledge import Knowledge
from licences import Licence
from lightning_modules.loading import held_out_of, path_of_data
from provenance import UserError


@dataclass(frozen=True)
class Source:
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


def trained_on(generator: TrainedGenerator, domain: str) -> Path:
    """Where the images of a domain lay in training."""
    name = "root" if domain == "target" or generator.data.get("source") is None else "source"
    return path_of_data(generator.checkpoint, generator.record, name, "--source")


def source_at(
    root: Path, generator: TrainedGenerator, domain: str, number: int | None, seed: int
) -> Source:
    """The images of a folder that are translated: of a cache some of its training split.

    Args:
        root: A cache or a synthetic set.
        generator: The CycleGAN.
        domain: "source" or "target", where the images are taken from.
        number: How many, drawn by the seed; None: all.
        seed: Of the choice.

    Raises:
        UserError: Images of another size, kind or class, none at all, or fewer than asked for.
    """
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
        return Source(chosen, opened.seen(), opened.licences, told)
    check_fits(root, opened.image_size, wanted, for_slices, isinstance(opened, SliceCache))
    indices = _training_images(opened, generator)
    if isinstance(opened, FilmCache):
        originals = of_films(
            opened, indices, like_column(opened, generator.data.get("label_column"))
        )
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
    return Source(chosen, opened.knowledge(shown), [opened.licence], told)


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
    names = [in_target(generator, one.label, domain) for one in originals]
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


def in_target(generator: TrainedGenerator, name: str | None, domain: str) -> str | None:
    """What the target calls a class of the source."""
    if domain == "target" or name is None:
        return name
    given, ours = generator.data.get("source_classes"), generator.record["class_names"]
    return names_in_target(given, ours).get(name, name)
