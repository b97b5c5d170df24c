"""Which classes get a generator of their own, where a study leaves that to the data."""

from dataclasses import replace
from pathlib import Path

from datamodules import ChestXrayDataModule
from provenance import UserError
from studies.specification.specification import Specification

_FLAG = "--data.label_column"


def with_classes_of(specification: Specification, root: Path) -> Specification:
    """The same study with the names of classes where it says `per_class: all` or `smaller`.

    Counted on the training split, before any `--data.imbalance`: that leaves the largest class
    whole, so the smaller ones stay the smaller ones.

    Args:
        specification: As it was read; returned as it is where it names classes, or needs none.
        root: Cache of films.

    Raises:
        UserError: The data has no labels, or less than two classes with training films.
    """
    generator = specification.generator
    if generator is None or not isinstance(generator.per_class, str):
        return specification
    wish = f"`per_class: {generator.per_class}` of the study's generator"
    words = list(generator.arguments)
    columns = [words[place + 1] for place, word in enumerate(words[:-1]) if word == _FLAG]
    columns += [word.partition("=")[2] for word in words if word.startswith(f"{_FLAG}=")]
    column = columns[-1] if columns else None
    data = ChestXrayDataModule(str(root), label_column=column, channels=3)  # 3 takes grey ones too
    if not data.class_names:
        raise UserError(f"{root}: has no labels, which {wish} needs. Prepare it with --labels.")
    names, counts = data.class_names, data.class_counts()
    if (counts > 0).sum() < 2:
        told = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
        raise UserError(
            f"{root}: {wish} needs two classes with training films in {data.label_column}; there "
            f"are {told}. Prepare more patients."
        )
    chosen = [name for name, count in zip(names, counts, strict=True) if count]
    if generator.per_class == "smaller":
        chosen.remove(names[int(counts.argmax())])
    return replace(specification, generator=replace(generator, per_class=tuple(chosen)))
