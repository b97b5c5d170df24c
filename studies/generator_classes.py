"""Which classes get a generator of their own, where a study leaves that to the data."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from datamodules.film_cache import UNLABELLED, FilmCache
from provenance import UserError
from studies.specification import Specification

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
    cache = FilmCache.open(root)
    words = list(generator.arguments)
    columns = [words[place + 1] for place, word in enumerate(words[:-1]) if word == _FLAG]
    columns += [word.partition("=")[2] for word in words if word.startswith(f"{_FLAG}=")]
    columns = columns or cache.label_columns[:1]
    if not columns:
        raise UserError(f"{root}: has no labels, which {wish} needs. Prepare it with --labels.")
    column = columns[-1]
    names, labels = cache.class_names(column), cache.labels(column)[cache.select("train")]
    counts = np.bincount(labels[labels != UNLABELLED], minlength=len(names))
    if (counts > 0).sum() < 2:
        told = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
        raise UserError(
            f"{root}: {wish} needs two classes with training films in {column}; there are {told}. "
            "Prepare more patients."
        )
    chosen = [name for name, count in zip(names, counts, strict=True) if count]
    if generator.per_class == "smaller":
        chosen.remove(names[int(counts.argmax())])
    return replace(specification, generator=replace(generator, per_class=tuple(chosen)))
