"""How many films each class lacks to be as large as the largest one."""

from collections.abc import Sequence
from pathlib import Path

from datamodules import ChestXrayDataModule
from generation.generators import TrainedGenerator
from provenance import UserError


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
    _check_settings(generators, root)
    data = _training_split(generators[0], root)
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


def _check_settings(generators: Sequence[TrainedGenerator], root: Path) -> None:
    """Refuse generators that were not trained on the films of one training split.

    Raises:
        UserError: One counted the films of its own class alone, or settings that choose films
            differ.
    """
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


def _training_split(generator: TrainedGenerator, root: Path) -> ChestXrayDataModule:
    """The data as a generator was trained on them, but for its class.

    Raises:
        UserError: The cache is split into other patients.
    """
    column = generator.data.get("label_column")
    data = ChestXrayDataModule(
        str(root),
        label_column=None if column == "none" else column,
        imbalance=generator.data.get("imbalance"),
        fraction_of_patients=generator.data.get("fraction_of_patients", 1.0),
        patients_seed=generator.data.get("patients_seed"),
        seed=generator.data.get("seed", 0),
    )
    if data.cache.split_id != generator.record["split"]["split_id"]:
        raise UserError(
            f"--balance {root}: is not split into the patients that {generator.checkpoint} was "
            "trained and tested on. Give the cache that it was trained on."
        )
    return data
