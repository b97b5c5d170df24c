"""Several generators whose images are one set, each of a class."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from generation.class_shortfalls import class_shortfalls
from generation.generators import TrainedGenerator
from lightning_modules import GAN
from provenance import UserError

# What all images of a set have in common, as a checkpoint's record names it.
_IN_COMMON = ("dataset", "image_size", "class_names")


def one_set(
    generators: Sequence[TrainedGenerator], balance: Path | None = None
) -> list[TrainedGenerator]:
    """The generators of a set with a class each, in the order of the classes.

    Args:
        generators: As they were given.
        balance: A cache that decides how many images each makes; see `class_shortfalls`. Those
            that make none are left out.

    Raises:
        UserError: They make no common set, or cannot balance that cache.
    """
    _check_one_set(generators)
    wanted = None if balance is None else class_shortfalls(generators, balance)
    order = list(generators[0].record["class_names"] if wanted is None else wanted)
    chosen = []
    for generator in sorted(generators, key=lambda one: order.index(str(one.label))):
        number = generator.num_images if wanted is None else wanted[str(generator.label)]
        if number:
            chosen.append(replace(generator, num_images=number))
        else:
            print(
                f"--balance {balance}: {generator.label} is among the largest classes; no film of "
                "it is made.",
                file=sys.stderr,
            )
    if len(chosen) == 1:
        return chosen
    return [replace(one, class_index=order.index(str(one.label))) for one in chosen]


def _check_one_set(generators: Sequence[TrainedGenerator]) -> None:
    """Refuse several generators whose images cannot be one set, each of another class.

    Raises:
        UserError: One makes other images, was trained on another split, has no class, or has the
            class of another one.
    """
    for generator in generators:
        if not isinstance(generator.module, GAN) and len(generators) > 1:
            raise UserError(
                f"--checkpoint {generator.checkpoint}: holds a {type(generator.module).__name__}, "
                "which makes a set alone. Several generators in one set are GANs, each of a class."
            )
    first = generators[0]
    for other in generators[1:]:
        for name in _IN_COMMON:
            if first.record[name] != other.record[name]:
                raise UserError(
                    f"--checkpoint: {first.checkpoint} and {other.checkpoint} make no common set: "
                    f"{name.replace('_', ' ')} {first.record[name]} and {other.record[name]}. "
                    "Train them on one cache with the same settings, but for --data.only_label."
                )
        if first.module.image_channels != other.module.image_channels:
            raise UserError(
                f"--checkpoint: {first.checkpoint} and {other.checkpoint} make no common set: one "
                "makes grey images, the other one colour."
            )
        if first.record["split"]["split_id"] != other.record["split"]["split_id"]:
            raise UserError(
                f"--checkpoint: {first.checkpoint} and {other.checkpoint} were trained on "
                "different patient splits, so one of them may have seen the test patients of the "
                "other. Train them on one cache."
            )
    for generator in generators:
        if generator.label is None:
            raise UserError(
                f"--checkpoint {generator.checkpoint}: was trained on all classes together, so "
                "nobody knows which one its images show. Where classes matter, each generator is "
                "trained on one: train.py fit ... --data.label_column COLUMN --data.only_label "
                "CLASS."
            )
    for label, count in Counter(generator.label for generator in generators).items():
        if count > 1:
            paths = [str(one.checkpoint) for one in generators if one.label == label]
            raise UserError(
                f"--checkpoint: {' and '.join(paths)} all make {label}. Give one generator of "
                "each class."
            )
