"""A study of downstream models: do the images of a generator help them?

Its jobs are cells, each the training of one model and its evaluation, and for the scenarios with
synthetic images a generator per seed (or one per seed and class), trained before them.
"""

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from provenance import UserError
from spelling import meant
from studies.run.fingerprint import Inputs, describe_training
from studies.run.folder import Study
from studies.run.job import Job
from studies.run.subgroups import check_subgroups
from studies.specification.arms import data_setting
from studies.specification.parts import Cell, GeneratorPlan
from studies.specification.paths import from_this_folder
from studies.specification.specification import (
    Specification,
    find_path,
    seed_of_generator,
    size_of_generator,
    words_of,
)
from studies.statistics.results import holds_score, known_scores

_LABEL_COLUMN = "--data.label_column"
_FIRST = "pretrain"  # what the first of two trainings is called


def ready(study: Study) -> Study:
    """The study with the generator's label maps, and its classes by name.

    Raises:
        UserError: Weights that nothing takes, or data without the classes that are wanted, the
            study's target among them, or without the columns of its subgroups.
    """
    _check_target(study)
    if study.labels is not None and study.specification.synthetic is not None:
        raise UserError(
            f"--labels {study.labels}: are for a generator, and this study has a finished set in "
            "its place (`synthetic`). Leave it out."
        )
    columns = study.specification.subgroups
    check_subgroups(study.root, columns, label_column_of(study.specification.arguments))
    generator = study.specification.generator
    if generator is not None and generator.with_class is not None:
        _check_with_class(study, generator)
    if generator is not None and isinstance(generator.per_class, str):
        generator = replace(generator, per_class=_classes(study))
        study = replace(study, specification=replace(study.specification, generator=generator))
    if any(scenario.pretrain is True for scenario in study.specification.scenarios):
        study = replace(study, specification=_with_pretraining(study))
    if study.labels is None and generator is not None and generator.labels:
        study = replace(study, labels=find_path(generator.labels))
    _check_label_maps(study)
    if study.weights is not None:
        raise UserError(
            f"--weights {study.weights}: this study has no extractor that takes weights. Leave it "
            "out."
        )
    return study


def settings(specification: Specification, name: str, inputs: Inputs) -> dict[str, Any]:
    """All that a cell's, or a generator's, outcome depends on."""
    plan = specification.generator
    generator: dict[str, Any] | None = None
    if plan:
        generator = {
            "config": describe_training(plan.config, plan.arguments),
            "num_images": plan.num_images,
            "labels": inputs.labels,
            "with_class": plan.with_class,
            "checkpoint": plan.checkpoint,
        }
        if plan.per_class:
            generator["per_class"] = list(plan.per_class)
        if plan.into is not None:
            generator["into"] = plan.into
    seed = seed_of_generator(name)
    if seed is not None:
        of = {"seed": seed, "data": inputs.data, "generator": generator}
        some = specification.patients_flags(seed, size_of_generator(name))
        return {**of, "patients": some} if some else of
    cell = specification.cell(name)
    found: dict[str, Any] = {
        "seed": specification.training_seed(cell),
        "data": inputs.data,
        # The joined list, so that a flag may move from the study to a scenario or a model.
        "model": describe_training(cell.model.config, specification.flags_of(cell)),
        "generator": generator if specification.needs_images(cell.scenario) else None,
    }
    if specification.synthetic is not None and specification.needs_images(cell.scenario):
        found["synthetic_set"] = inputs.synthetic_sha256
    pretrain = cell.scenario.pretrain
    if pretrain is not None:
        assert isinstance(pretrain, tuple)  # `ready` put the data's flags there
        found["pretrain"] = list(pretrain)
    if cell.scenario.control is not None:
        found["control"] = cell.scenario.control
    return found


def perform(job: Job) -> None:
    """Train a generator and make its images, or train a model and score it."""
    seed = seed_of_generator(job.name)
    if seed is None:
        _train_and_score(job)
    else:
        _make_images(job, seed)


def trainings_of_generator(specification: Specification, name: str) -> dict[str, list[str]]:
    """Flags of a generator's trainings by their part: one per class, or one without a name."""
    generator, seed = specification.generator, seed_of_generator(name)
    assert generator is not None
    assert seed is not None
    assert not isinstance(generator.per_class, str)  # `ready` put the data's classes there
    return {
        part: [
            *from_this_folder(generator.arguments),
            *specification.patients_flags(seed, size_of_generator(name)),
            *(("--data.only_label", part) if part else ()),
        ]
        for part in generator.per_class or ("",)
    }


def trainings_of_cell(
    specification: Specification, cell: Cell, images: Path
) -> dict[str, list[str]]:
    """Flags of a cell's trainings by their part, the pretraining first where there is one.

    A pretraining sees the synthetic images; the training after it sees real images alone, and is
    further told to start from its weights. A control is told of the images too, since it trains as
    long as with them.

    Args:
        specification: The study, as `ready` gave it.
        cell: One of its cells.
        images: Folder of the synthetic images of its seed.
    """
    synthetic = ["--data.synthetic", str(images)]
    if cell.scenario.control is not None:
        synthetic += ["--data.control", cell.scenario.control]
    pretrain, flags = cell.scenario.pretrain, from_this_folder(specification.flags_of(cell))
    # Those that its generator saw, and the same in every scenario, whatever the training's seed.
    some = _keeps_some_films(specification, cell)
    kept = ["--data.imbalance_seed", str(cell.seed)] if some else []
    flags = [*kept, *flags]
    if pretrain is None:
        before = synthetic if specification.needs_images(cell.scenario) else []
        return {"": [*before, *flags]}
    assert isinstance(pretrain, tuple)  # `ready` put the data's flags there
    words = [*specification.arguments, *pretrain, *cell.model.arguments]
    words += specification.patients_flags(cell.seed, cell.scenario.size)
    return {_FIRST: [*synthetic, *kept, *from_this_folder(words)], "": flags}


def _keeps_some_films(specification: Specification, cell: Cell) -> bool:
    """Whether a seed that is not the training's own says which films `--data.imbalance` keeps."""
    if specification.training_seed(cell) == cell.seed:
        return False
    pretrain = cell.scenario.pretrain if isinstance(cell.scenario.pretrain, tuple) else ()
    setting = data_setting(specification, cell.scenario, cell.model, "imbalance")
    return setting is not None or "--data.imbalance" in words_of(pretrain)


def _make_images(job: Job, seed: int) -> None:
    """Train the generators of a seed, one or one per class, and make their images."""
    generator = job.study.specification.generator
    assert generator is not None  # the specification refuses synthetic scenarios without one
    fits = [
        job.fit(generator.config, flags, generator.checkpoint, part)
        for part, flags in trainings_of_generator(job.study.specification, job.name).items()
    ]
    out = job.study.folder.synthetic(job.name)
    if not all(fit.reused for fit in fits) and out.exists():
        # Images of an earlier checkpoint; those of this one would be gone on with.
        shutil.rmtree(out)
    checkpoints = [Path(fit.checkpoint) for fit in fits]
    made = job.call(
        "generate.py",
        job.verbs.generate,
        checkpoint=checkpoints if generator.per_class else checkpoints[0],
        labels=job.study.labels,
        num_images=generator.num_images,
        out=out,
        seed=seed,
        with_class=generator.with_class,
        **({} if generator.into is None else {"into": generator.into}),
    )
    job.write(synthetic={"folder": made, "num_images": generator.num_images})


def _train_and_score(job: Job) -> None:
    """Train a model, after a pretraining where the scenario has one, and score it."""
    specification, folder, cell = job.study.specification, job.study.folder, job.cell
    trainings = trainings_of_cell(specification, cell, job.study.images(cell))
    after: list[str] = []
    if _FIRST in trainings:
        pretrained = job.fit(cell.model.config, trainings[_FIRST], part=_FIRST)
        after = ["--model.start_from", pretrained.checkpoint]
    fit = job.fit(cell.model.config, [*trainings[""], *after])
    out = folder.run(job.name) / "evaluation"
    # What a killed evaluation left is refused by the next one, and it is quick to make again.
    shutil.rmtree(out, ignore_errors=True)
    evaluation = job.call(
        "evaluate.py",
        job.verbs.evaluate,
        checkpoint=Path(fit.checkpoint),
        out=out,
        root=job.study.root,
        split="test",
    )
    metric = specification.metric.name
    if not holds_score(evaluation, metric):
        raise UserError(
            f"The evaluation holds no score {metric!r}, which the study decides by; it holds "
            f"{', '.join(known_scores(evaluation))}. Correct `metric` in the study's YAML."
        )
    job.write(**cell.as_dict(), evaluation=evaluation)


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
            f"target: {target}: {study.root} has no such class to find; there is "
            f"{', '.join(looked_for)}. Correct `target` in the study's YAML."
        )


def _check_label_maps(study: Study) -> None:
    """Refuse to paint images of few patients from the label maps of all of them."""
    fewer = [
        one.id
        for one in study.specification.scenarios
        if one.size not in (None, 1) and study.specification.needs_generator(one)
    ]
    if fewer and study.labels is None and isinstance(open_cache(study.root), SliceCache):
        raise UserError(
            f"scenario {fewer[0]}: its generator would paint the label maps of all training "
            "patients, and the scenario is about a share of them. Give label maps of other "
            "people: --labels CACHE, or generator.labels in the study's YAML."
        )


def _check_with_class(study: Study, generator: GeneratorPlan) -> None:
    """Refuse a class that no label map of the generator holds, before the generator is trained."""
    labels = study.labels or (find_path(generator.labels) if generator.labels else study.root)
    cache = open_cache(labels)
    known = cache.foreground if isinstance(cache, SliceCache) else ()
    if generator.with_class not in known:
        raise UserError(
            f"generator.with_class: {generator.with_class}: the label maps of {labels} hold no "
            f"such class.{meant(str(generator.with_class), known)} There is "
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


def _classes(study: Study) -> tuple[str, ...]:
    """The names that `per_class: all` or `smaller` stands for.

    Counted on the training split, before any `--data.imbalance`: that leaves the largest class
    whole, so the smaller ones stay the smaller ones.

    Raises:
        UserError: The data has no labels, or less than two classes with training films.
    """
    from datamodules import ChestXrayDataModule  # loads torch

    root, generator = study.root, study.specification.generator
    assert generator is not None
    wish = f"`per_class: {generator.per_class}` of the study's generator"
    column = label_column_of(generator.arguments)
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
    return tuple(chosen)
