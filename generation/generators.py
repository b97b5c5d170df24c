"""The generators of one call: whether they fit together, their classes, whom they have seen."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from datamodules import ChestXrayDataModule
from datamodules.synthetic import SyntheticSet
from knowledge import Knowledge
from licences import Licence
from lightning_modules import GAN, CycleGAN, LesionInfilling, Pix2Pix
from lightning_modules.generator_average import STATISTICS_CORRECTED
from lightning_modules.loading import (
    file_known_by,
    licences_behind,
    load_module,
    path_of_data,
    seen_by,
)
from provenance import UserError, sha256_of

# What all images of a set have in common, as a checkpoint's record names it.
_IN_COMMON = ("dataset", "image_size", "class_names")


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator from its checkpoint, and what is asked of it.

    Attributes:
        checkpoint: Its file.
        module: The generator, on the device that it works on.
        record: What its checkpoint says of it; see `load_module`.
        num_images: How many images it makes.
        label: Class of its images; None where it knows none.
        class_index: Of its class, where several generators make one set; None where it is alone.
        corrected: Its checkpoint, of an earlier version, holds an average with the batch statistics
            of other weights; they are estimated anew, so it makes other images than it did then.
    """

    checkpoint: Path
    module: GAN | Pix2Pix | LesionInfilling | CycleGAN
    record: dict[str, Any]
    num_images: int
    label: str | None = None
    class_index: int | None = None
    corrected: bool = False

    @classmethod
    def open(
        cls, checkpoint: Path, num_images: int, label: str | None, device: torch.device
    ) -> "TrainedGenerator":
        """Load a generator; without a label its images have the class that it was trained on.

        Raises:
            UserError: A file that cannot be loaded, or holds no generator.
        """
        module, record = load_module(checkpoint)
        if not isinstance(module, GAN | Pix2Pix | LesionInfilling | CycleGAN):
            raise UserError(
                f"{checkpoint}: holds a {type(module).__name__}, which makes no images. Give the "
                "checkpoint of a Pix2Pix run, of a lesion infilling, of a CycleGAN or of a GAN's."
            )
        if isinstance(module, GAN) and label is None:
            label = record["data"]["init_args"].get("only_label")
        corrected = isinstance(module, GAN) and module.averaged.statistics_are_stale
        if corrected:
            print(
                f"note: {checkpoint}: {STATISTICS_CORRECTED}, so it makes other images than the "
                "version that trained it, and better ones as a rule.",
                file=sys.stderr,
            )
        module = module.to(device)
        return cls(checkpoint, module, record, num_images, label, corrected=corrected)

    @cached_property
    def checkpoint_sha256(self) -> str:
        """Hash of its file."""
        return sha256_of(file_known_by(self.checkpoint))

    @property
    def data(self) -> dict[str, Any]:
        """Settings of the data that it was trained on."""
        settings: dict[str, Any] = self.record["data"]["init_args"]
        return settings

    def seen(self) -> Knowledge:
        """Whom its images know.

        One that was trained with synthetic images has seen what their generator had seen, and the
        patients whose label maps these were painted from. A checkpoint of an earlier version does
        not name them, and their set is asked.

        Raises:
            UserError: That set is not there any more, so that nobody can say whom it knew.
        """
        seen = seen_by(self.record)
        if "also_seen" not in self.record and self.data.get("synthetic") is not None:
            seen |= _first_generators_set(self.checkpoint, self.record).seen()
        return seen

    def licences(self) -> list[Licence]:
        """Of all data that it has learnt from."""
        return licences_behind(self.record)

    @property
    def in_manifest(self) -> dict[str, Any]:
        """What a set's manifest says of it; of its data, what decided which films it saw."""
        described = {
            "label": self.label,
            "checkpoint_sha256": self.checkpoint_sha256,
            "module": type(self.module).__name__,
            "num_images": self.num_images,
            "images_seen": self.record["images_seen"],
            "trained_on_label": self.data.get("only_label"),
            "imbalance": self.data.get("imbalance"),
            "data_seed": self._seed_of_choice(),
            **self._share_of_patients(),
            "batch_statistics": STATISTICS_CORRECTED if self.corrected else None,
        }
        return {name: value for name, value in described.items() if value is not None}

    def _share_of_patients(self) -> dict[str, Any]:
        """Which of the training patients it saw, and the seed that chose them; nothing for all."""
        if self.data.get("num_images") is not None and "chosen_patients" in self.record:
            return {
                "trained_on_at_most": self.data["num_images"],
                "trained_on_patients": list(self.record["chosen_patients"]),
            }
        share, own = self.data.get("fraction_of_patients", 1.0), self.data.get("patients_seed")
        seed = self.data.get("seed") if own is None else own
        return {} if share == 1 else {"fraction_of_patients": share, "patients_seed": seed}

    def _seed_of_choice(self) -> Any:
        """Of the films that `--data.imbalance` kept."""
        own = self.data.get("imbalance_seed")
        return self.data.get("seed") if own is None else own


def _first_generators_set(checkpoint: Path, record: dict[str, Any]) -> SyntheticSet:
    """The set that a generator was trained with."""
    root = path_of_data(checkpoint, record, "synthetic", "")
    if not (root / "manifest.json").is_file():
        raise UserError(
            f"{checkpoint}: was trained with the synthetic set {root}, which is not there as seen "
            "from this folder. Whom that set's generator knew cannot be told without its "
            "manifest.json, and a later run could not be shown to be free of test data. Put it "
            "back, or use a generator that was trained on real images alone."
        )
    return SyntheticSet.open(root)


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


def class_shortfalls(generators: Sequence[TrainedGenerator], root: Path) -> dict[str, int]:
    """How many films each class needs to be as large as the largest one of a real training split.

    Counted after the imbalance that the generators were trained with.

    Args:
        generators: Each with its class.
        root: The cache that they were trained on.

    Returns:
        By the names of all classes of the cache, in its order; 0 for the largest.

    Raises:
        UserError: Another cache, generators of different imbalance, a class that lacks films and
            has no generator, a generator of no class of the cache, or classes of equal size.
    """
    first = generators[0]
    for generator in generators:
        if (number := generator.data.get("num_images")) is not None:
            raise UserError(
                f"--balance {root}: {generator.checkpoint} was trained with --data.num_images "
                f"{number}, which counts the films of its own class alone, so there is no training "
                "split whose classes it could fill up. Say with --num-images how many to make, or "
                "train it with --data.fraction_of_patients."
            )
    # Which films an imbalance keeps depends on the seed of the data.
    for name, settings in (
        ("label_column", [one.data.get("label_column") for one in generators]),
        ("imbalance", [one.data.get("imbalance") for one in generators]),
        ("seed", [one.data.get("seed") for one in generators if one.data.get("imbalance")]),
        ("fraction_of_patients", [one.data.get("fraction_of_patients", 1.0) for one in generators]),
        ("patients_seed", [one.data.get("patients_seed") for one in generators]),
    ):
        if len(set(settings)) > 1:
            flag = "--seed_everything" if name == "seed" else f"--data.{name}"
            raise UserError(
                f"--balance {root}: the generators were trained with different {flag} "
                f"({' and '.join(str(value).lower() for value in settings)}), so not on the films "
                "of one training split. Train them with the same."
            )
    column = first.data.get("label_column")
    data = ChestXrayDataModule(
        str(root),
        label_column=None if column == "none" else column,
        imbalance=first.data.get("imbalance"),
        fraction_of_patients=first.data.get("fraction_of_patients", 1.0),
        patients_seed=first.data.get("patients_seed"),
        seed=first.data.get("seed", 0),
    )
    if data.cache.split_id != first.record["split"]["split_id"]:
        raise UserError(
            f"--balance {root}: is not split into the patients that {first.checkpoint} was "
            "trained and tested on. Give the cache that it was trained on."
        )
    counts = dict(zip(data.class_names, data.class_counts().tolist(), strict=True))
    if not counts:
        raise UserError(f"--balance {root}: has no label column, so no classes to balance.")
    largest = max(counts.values())
    wanted = {name: largest - count for name, count in counts.items()}
    made = [str(generator.label) for generator in generators]
    for name in made:
        if name not in counts:
            raise UserError(
                f"--balance {root}: a generator makes {name}, but its classes are "
                f"{', '.join(counts)}."
            )
    there = ", ".join(f"{count} {name}" for name, count in counts.items())
    for name, count in wanted.items():
        if count and name not in made:
            raise UserError(
                f"--balance {root}: {count} films of {name} are lacking (its training split: "
                f"{there}), and no --checkpoint makes them. Train a generator with "
                f"--data.only_label {name}."
            )
    if not any(wanted.values()):
        raise UserError(
            f"--balance {root}: all classes are equally large already ({there}). There is nothing "
            "to generate; --num-images makes a set of any size."
        )
    return wanted
