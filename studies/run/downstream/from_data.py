"""What a study of downstream models takes from its data, which are checked before a training."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from provenance import UserError
from spelling import meant
from studies.run.folder import Study
from studies.run.sources import refuse_wrong_sources
from studies.run.subgroups import check_subgroups
from studies.specification.arms import data_setting
from studies.specification.generator_kinds import translates
from studies.specification.generator_names import key_of_generator
from studies.specification.parts import GeneratorPlan
from studies.specification.specification import Specification

_LABEL_COLUMN = "--data.label_column"


def ready(study: Study) -> Study:
    """The study with the classes of its generators by name, and its pretrainings' flags.

    Raises:
        UserError: Weights that nothing takes, or data without the classes that are wanted, the
            study's target among them, or without the columns of its subgroups.
    """
    _check_target(study)
    plans = dict(study.specification.plans)
    if study.labels is not None and plans and all(map(translates, plans.values())):
        raise UserError(
            f"--labels {study.labels}: are for a generator that paints label maps, and this "
            "study's translate images with theirs. Leave it out."
        )
    if study.labels is not None and study.specification.synthetic is not None:
        raise UserError(
            f"--labels {study.labels}: are for a generator, and this study has a finished set in "
            "its place (`synthetic`). Leave it out."
        )
    columns = study.specification.subgroups
    check_subgroups(study.root, columns, label_column_of(study.specification.arguments))
    refuse_wrong_sources(study.specification, study.root)
    for name, plan in plans.items():
        if plan.with_class is not None:
            _check_with_class(study, name, plan.with_class)
        if isinstance(plan.per_class, str):
            plans[name] = replace(plan, per_class=_classes(study, name, plan))
    study = replace(study, specification=study.specification.with_plans(plans))
    if any(scenario.pretrain is True for scenario in study.specification.scenarios):
        study = replace(study, specification=_with_pretraining(study))
    _check_label_maps(study)
    if study.weights is not None:
        raise UserError(
            f"--weights {study.weights}: this study has no extractor that takes weights. Leave it "
            "out."
        )
    return study


def _with_pretraining(study: Study) -> Specification:
    """The specification with the data's own flag for what `pretrain: true` stands for."""
    films = isinstance(open_cache(study.root), FilmCache)
    alone = ("--data.real_films" if films else "--data.real_slices", "false")
    specification = study.specification
    scenarios = tuple(
        replace(scenario, pretrain=alone) if scenario.pretrain is True else scenario
        for scenario in specification.scenarios
    )
    return replace(specification, scenarios=scenarios)


def _check_target(study: Study) -> None:
    """Refuse a target that this study's data, or its classifiers, do not look for."""
    from datamodules import ChestXrayDataModule  # loads torch

    target = study.specification.target
    if target is None:
        return
    cache = open_cache(study.root)
    looked_for: tuple[str, ...]
    if isinstance(cache, SliceCache):
        looked_for = tuple(cache.foreground)
    else:
        column = label_column_of(study.specification.arguments)
        data = ChestXrayDataModule(str(study.root), label_column=column, channels=3)
        if len(data.class_names) != 2 and not data.cache.findings:
            raise UserError(
                f"target: {target}: {study.root} has {len(data.class_names)} classes, and only of "
                "two is one the positive one, with a sensitivity. Leave `target` out of the study."
            )
        assert isinstance(cache, FilmCache)
        # A classifier of several findings may look for any: `trainings` knows which.
        looked_for = (
            *(data.class_names[1:] if len(data.class_names) == 2 else ()),
            *cache.findings,
        )
    if target not in looked_for:
        raise UserError(
            f"target: {target}: {study.root} has no such class; it has {', '.join(looked_for)}. "
            "Correct `target` in the study's YAML, or give the data that the study is for."
        )


def _check_label_maps(study: Study) -> None:
    """Refuse to paint images of few patients from the label maps of all of them."""
    specification = study.specification
    fewer = [
        (one.id, maker)
        for one in specification.scenarios
        if one.size not in (None, 1)
        and specification.needs_generator(one)
        and study.labels_of(maker := specification.made_by(one)) is None
    ]
    if fewer and isinstance(open_cache(study.root), SliceCache):
        scenario, maker = fewer[0]
        raise UserError(
            f"scenario {scenario}: its generator would paint the label maps of all training "
            "patients, and the scenario is about a share of them. Give label maps of other "
            f"people: --labels CACHE, or {key_of_generator(maker)}.labels in the study's YAML."
        )


def _check_with_class(study: Study, generator: str, with_class: str) -> None:
    """Refuse a class that no label map of the generator holds, before the generator is trained."""
    labels = study.labels_of(generator) or study.root
    cache = open_cache(labels)
    known = cache.foreground if isinstance(cache, SliceCache) else ()
    if with_class not in known:
        raise UserError(
            f"{key_of_generator(generator)}.with_class: {with_class}: the label maps of {labels} "
            f"hold no such class.{meant(with_class, known)} There is "
            f"{', '.join(known) or 'none'}. Correct it in the study's YAML."
        )


def tells_findings(specification: Specification) -> bool:
    """Whether some training of the study is of several findings of a film."""
    return any(
        data_setting(specification, scenario, model, "findings") is not None
        for scenario in specification.scenarios
        for model in specification.models
    )


def label_column_of(arguments: Sequence[str]) -> str | None:
    """The label column that the last of these flags names; None where none does."""
    words = [part for word in arguments for part in word.split("=", 1)]
    return next(
        (v for f, v in reversed(list(itertools.pairwise(words))) if f == _LABEL_COLUMN), None
    )


def _classes(study: Study, generator: str, plan: GeneratorPlan) -> tuple[str, ...]:
    """The names that `per_class: all` or `smaller` stands for.

    Counted on the training split, before any `--data.imbalance`: that leaves the largest class
    whole, so the smaller ones stay the smaller ones.

    Raises:
        UserError: The data has no labels, or less than two classes with training films.
    """
    from datamodules import ChestXrayDataModule  # loads torch

    root, named = study.root, f" {generator}" if generator else ""
    wish = f"`per_class: {plan.per_class}` of the study's generator{named}"
    column = label_column_of(plan.arguments)
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
    if plan.per_class == "smaller":
        chosen.remove(names[int(counts.argmax())])
    return tuple(chosen)
