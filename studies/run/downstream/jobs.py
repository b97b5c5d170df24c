"""The jobs of a study of downstream models: what each trains, and what its outcome depends on."""

import shutil
from pathlib import Path
from typing import Any

from provenance import UserError
from studies.run.fingerprint import Inputs, describe_training
from studies.run.job import Job
from studies.specification.arms import data_setting
from studies.specification.generator_kinds import SOURCE, translates
from studies.specification.generator_names import GeneratorJob, generator_job
from studies.specification.parts import Cell, GeneratorPlan
from studies.specification.paths import from_this_folder
from studies.specification.specification import Specification, find_path, words_of
from studies.statistics.results import holds_score, known_scores

_FIRST = "pretrain"  # what the first of two trainings is called


def settings(specification: Specification, name: str, inputs: Inputs) -> dict[str, Any]:
    """All that a cell's, or a generator's, outcome depends on."""
    made = generator_job(name)
    if made is not None:
        generator = _settings_of(specification, made.generator, inputs)
        of = {"seed": made.seed, "data": inputs.data, "generator": generator}
        some = specification.patients_flags(made.seed, made.size)
        return {**of, "patients": some} if some else of
    cell = specification.cell(name)
    of_generator = specification.plans and specification.needs_images(cell.scenario)
    maker = specification.made_by(cell.scenario)
    found: dict[str, Any] = {
        "seed": specification.training_seed(cell),
        "data": inputs.data,
        # The joined list, so that a flag may move from the study to a scenario or a model.
        "model": describe_training(cell.model.config, specification.flags_of(cell)),
        "generator": _settings_of(specification, maker, inputs) if of_generator else None,
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


def _settings_of(specification: Specification, generator: str, inputs: Inputs) -> dict[str, Any]:
    """All that a generator's images depend on but the seed and the data; not how it is called."""
    plan = specification.plans[generator]
    found: dict[str, Any] = {
        "config": describe_training(plan.config, plan.arguments),
        "num_images": plan.num_images,
        "labels": inputs.labels[generator],
        "with_class": plan.with_class,
        "checkpoint": plan.checkpoint,
    }
    if plan.per_class:
        found["per_class"] = list(plan.per_class)
    if plan.into is not None:
        found["into"] = plan.into
    if plan.source is not None:
        found["source"] = inputs.sources[generator]
    return found


def perform(job: Job) -> None:
    """Train a generator and make its images, or train a model and score it."""
    made = generator_job(job.name)
    if made is None:
        _train_and_score(job)
    else:
        _make_images(job, made)


def trainings_of_generator(
    specification: Specification, made: GeneratorJob
) -> dict[str, list[str]]:
    """Flags of a generator's trainings by their part: one per class, or one without a name."""
    plan = specification.plans[made.generator]
    assert not isinstance(plan.per_class, str)  # `ready` put the data's classes there
    return {
        part: [
            *_source_flags(plan),
            *from_this_folder(plan.arguments),
            *specification.patients_flags(made.seed, made.size),
            *(("--data.only_label", part) if part else ()),
        ]
        for part in plan.per_class or ("",)
    }


def _source_flags(plan: GeneratorPlan) -> list[str]:
    """What a translator translates; its configuration may name another source."""
    if not translates(plan):
        return []
    return [SOURCE, "null" if plan.source is None else str(find_path(plan.source))]


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


def _make_images(job: Job, made: GeneratorJob) -> None:
    """Train a generator with a seed, once or once per class, and make its images."""
    specification = job.study.specification
    plan = specification.plans[made.generator]
    fits = [
        job.fit(plan.config, flags, plan.checkpoint, part)
        for part, flags in trainings_of_generator(specification, made).items()
    ]
    out = job.study.folder.synthetic(made)
    if not all(fit.reused for fit in fits) and out.exists():
        # Images of an earlier checkpoint; those of this one would be gone on with.
        shutil.rmtree(out)
    checkpoints = [Path(fit.checkpoint) for fit in fits]
    written = job.call(
        "generate.py",
        job.verbs.generate,
        checkpoint=checkpoints if plan.per_class else checkpoints[0],
        labels=job.study.labels_of(made.generator),
        num_images=plan.num_images,
        out=out,
        seed=made.seed,
        with_class=plan.with_class,
        **({} if plan.into is None else {"into": plan.into}),
        **({} if plan.source is None else {"source": find_path(plan.source)}),
    )
    job.write(synthetic={"folder": written, "num_images": plan.num_images})


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
