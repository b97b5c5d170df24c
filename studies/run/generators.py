"""A study of generators: whose films are nearest to real ones?

A cell is the training of one generator with its distances on the way, and in the end the distance
of its films to those of patients that it never saw.
"""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from provenance import UserError
from studies.run.curves import read_points
from studies.run.fingerprint import Inputs, describe_training
from studies.run.folder import Study
from studies.run.job import Job
from studies.specification.parts import Distances
from studies.specification.paths import from_this_folder
from studies.specification.specification import Specification

_MEASURED = ("val/fid", "val/frechet_", "val/kernel_", "val/num_", "val/div")


def distances_of(specification: Specification) -> Distances:
    """What such a study measures."""
    assert specification.distances is not None  # by them a study is of this kind
    return specification.distances


def ready(study: Study) -> Study:
    """The study as it is, if the extractor has the weights that it needs.

    Raises:
        UserError: Weights are given or missing: before the first of many trainings, not after it.
    """
    extractor, weights = distances_of(study.specification).extractor, study.weights
    if extractor == "random_vgg":
        if weights is not None:
            raise UserError(
                f"--weights {weights}: this study has no extractor that takes weights. Leave it "
                "out."
            )
    elif weights is None or not weights.is_file():
        raise UserError(
            f"--weights {'' if weights is None else weights}: this study measures with "
            f"{extractor}, whose weights are a file that "
            f"{'must be given' if weights is None else 'is not there'}. Nothing is downloaded; "
            "for features without weights, write `extractor: random_vgg` under `distances`."
        )
    return study


def settings(specification: Specification, name: str, inputs: Inputs) -> dict[str, Any]:
    """All that a cell's outcome depends on."""
    cell = specification.cell(name)
    # Which epochs the table shows may change; the measurements are the same.
    measured = asdict(distances_of(specification))
    del measured["epochs"]
    return {
        "seed": specification.training_seed(cell),
        "data": inputs.data,
        "model": describe_training(cell.model.config, specification.flags_of(cell)),
        "generator": None,
        "distances": {**measured, "weights_sha256": inputs.weights_sha256},
    }


def perform(job: Job) -> None:
    """Train a generator that the study is about, and compare its films with held-out ones."""
    study, cell = job.study, job.cell
    distances = distances_of(study.specification)
    measuring = [
        *("--distance.extractor", distances.extractor),
        *(("--distance.weights", str(study.weights)) if study.weights else ()),
        *("--distance.num_images", str(distances.num_images)),
        *("--distance.every_epochs", str(distances.every_epochs)),
        *("--distance.random_vgg_too", "true"),
    ]
    flags = [*measuring, *from_this_folder(study.specification.flags_of(cell))]
    fit = job.fit(cell.model.config, flags, distances.checkpoint)
    films = study.folder.films(job.name)
    if not fit.reused and films.exists():
        shutil.rmtree(films)
    job.call(
        "generate.py",
        job.verbs.generate,
        checkpoint=Path(fit.checkpoint),
        num_images=distances.num_images,
        out=films,
        seed=cell.seed,
    )
    evaluations: dict[str, dict[str, Any]] = {}
    for extractor in dict.fromkeys((distances.extractor, "random_vgg")):
        out = study.folder.run(job.name) / f"distances_{extractor.removeprefix('timm:')}"
        shutil.rmtree(out, ignore_errors=True)
        evaluations[extractor] = job.call(
            "evaluate.py images",
            job.verbs.evaluate_images,
            root=study.root,
            split=distances.split,
            synthetic=films,
            extractor=extractor,
            weights=None if extractor == "random_vgg" else study.weights,
            num_images=distances.num_images,
            out=out,
        )
    points = read_points(study.folder.run(job.name) / "metrics.csv")
    summary: dict[str, Any] = {}
    for evaluation in evaluations.values():
        summary |= evaluation["distances"] | evaluation["scores"]
    job.write(
        **cell.as_dict(),
        # Every measurement as it was logged, whereas `curves` are thinned for plots.
        measured={name: rows for name, rows in points.items() if name.startswith(_MEASURED)},
        evaluation={"summary": summary, "by_extractor": evaluations},
    )
