"""What a study's translator will translate, known before it is trained: which images, which labels.

A translation has the labels of its original, so their number and their classes are those of the
source.
"""

from dataclasses import replace

import numpy as np
import yaml

from datamodules.choice.film_settings import like_column
from datamodules.film_cache import FilmCache
from datamodules.prepared_cache import PreparedCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from datamodules.unpaired.originals import (
    Original,
    names_in_target,
    of_films,
    of_set,
    of_slices,
    open_source,
)
from provenance import UserError
from spelling import meant
from studies.specification.generator_kinds import data_setting_of
from studies.specification.parts import GeneratorPlan
from studies.specification.specification import find_path


def translated(plan: GeneratorPlan, cache: PreparedCache) -> list[Original]:
    """The images that a translator may translate, with the labels that their translations get.

    Args:
        plan: Of a CycleGAN.
        cache: Of the study, the target.

    Raises:
        UserError: The source is neither a cache nor a set.
    """
    opened = cache if plan.source is None else open_source(find_path(plan.source))
    if isinstance(opened, SyntheticSet):
        return _in_target(of_set(opened), plan, cache)
    if isinstance(opened, SliceCache):
        every = data_setting_of(plan, "slices") == "all"
        chosen = [i for i in opened.indices("train") if every or opened.items[i].has_foreground]
        return of_slices(opened, chosen)
    assert isinstance(opened, FilmCache)
    column = like_column(opened, data_setting_of(plan, "label_column"))
    films = of_films(opened, opened.indices("train"), column)
    only = data_setting_of(plan, "source_label")
    return _in_target([one for one in films if only in (None, one.label)], plan, cache)


def drawn(plan: GeneratorPlan, cache: PreparedCache) -> list[Original]:
    """As many of them as the translator will translate, evenly spread."""
    every = translated(plan, cache)
    chosen = np.linspace(0, len(every) - 1, min(plan.num_images, len(every))).round()
    return [every[int(index)] for index in chosen]


def refuse_too_many(plan: GeneratorPlan, key: str, cache: PreparedCache) -> None:
    """Refuse more translations than there are images, before the translator is trained.

    Args:
        plan: Of a CycleGAN.
        key: Where it stands in the YAML.
        cache: Of the study.

    Raises:
        UserError: Says how many there are.
    """
    there = len(translated(plan, cache))
    if not there:
        _refuse_unknown_class(plan, key, cache)
    if plan.num_images > there:
        only = data_setting_of(plan, "source_label")
        raise UserError(
            f"{key}.num_images: {plan.num_images}: the training split of "
            f"{cache.root if plan.source is None else plan.source} has {there} images"
            f"{f' of the class {only}' if only else ''} to translate, and each has one "
            "translation. Give fewer in the study's YAML."
        )


def _refuse_unknown_class(plan: GeneratorPlan, key: str, cache: PreparedCache) -> None:
    """Refuse a class that the films to translate do not have, by the name of its flag."""
    only = data_setting_of(plan, "source_label")
    opened = cache if plan.source is None else open_source(find_path(plan.source))
    if only is None or not isinstance(opened, FilmCache):
        return
    column = like_column(opened, data_setting_of(plan, "label_column"))
    known = [] if column is None else opened.class_names(column)
    if only not in known:
        raise UserError(
            f"{key}.arguments: --data.source_label {only}: {opened.root} has no such class."
            f"{meant(str(only), known)} There is {', '.join(known) or 'none'}. Correct it in the "
            "study's YAML."
        )


def _in_target(
    originals: list[Original], plan: GeneratorPlan, cache: PreparedCache
) -> list[Original]:
    """Films with the target's names of their classes.

    A translator from class to class gives all of them the class that it makes. Those of a class
    that the target lacks are left out, as long as class shares are matched.
    """
    made = data_setting_of(plan, "target_label")
    if made is not None and data_setting_of(plan, "source_label") is not None:
        return [replace(one, label=made) for one in originals]
    if not isinstance(cache, FilmCache):
        return originals
    column = like_column(cache, data_setting_of(plan, "label_column"))
    if column is None:
        return originals
    ours, given = cache.class_names(column), data_setting_of(plan, "source_classes")
    theirs = yaml.safe_load(given) if isinstance(given, str) else given
    names = names_in_target(theirs, ours)
    called = [
        one if one.label is None else replace(one, label=names.get(one.label, one.label))
        for one in originals
    ]
    if data_setting_of(plan, "class_shares") == "as_they_are":
        return called
    return [one for one in called if one.label is None or one.label in ours]
