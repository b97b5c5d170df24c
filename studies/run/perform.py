"""What a job does: makes synthetic images, scores a downstream model, or measures a generator."""

import os
import platform
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provenance import UserError, library_versions, sha256_of, write_json_atomic
from studies.run.cells import Cell, cells_of
from studies.run.commands import (
    JobContext,
    Verbs,
    cell_fit_arguments,
    evaluate_arguments,
    evaluate_images_arguments,
    films_arguments,
    generate_arguments,
    generator_fit_arguments,
    pretrain_fit_arguments,
    verb_command,
)
from studies.run.curves import read_curves, read_points
from studies.run.fingerprint import describe_data, settings_of
from studies.run.fit_once import fit_once, jsonable
from studies.statistics.scores_of_cells import holds_score, known_scores

Perform = Callable[[str, JobContext, Verbs, list[str]], None]


def perform_of(name: str, context: JobContext) -> Perform:
    """The function that does a job of this name."""
    if name.startswith("generator__"):
        return _perform_generator
    return _perform_subject if context.specification.distances else _perform_cell


def _perform_generator(name: str, context: JobContext, verbs: Verbs, commands: list[str]) -> None:
    """Train the generators of a seed, one or one per class, and make their images."""
    seed = int(name.removeprefix("generator__seed"))
    settings = _settings(name, context)
    generator = context.specification.generator
    assert generator is not None
    assert not isinstance(generator.per_class, str)  # `run_study` put the data's classes there
    fits = []
    for part in generator.per_class or ("",):
        arguments = generator_fit_arguments(context, seed, part)
        fits.append(
            fit_once(
                name, context, settings, arguments, verbs, commands, generator.checkpoint, part
            )
        )
    if not all(fit["reused"] for fit in fits) and context.folder.synthetic(seed).exists():
        # Images of an earlier checkpoint; those of this one would be gone on with.
        shutil.rmtree(context.folder.synthetic(seed))
    keywords = generate_arguments(context, seed, [Path(fit["checkpoint"]) for fit in fits])
    commands.append(verb_command("generate.py", keywords))
    started = time.monotonic()
    made = verbs.generate(**keywords)
    record = _record(name, settings, commands, fits, context)
    record["timings"]["generate_seconds"] = time.monotonic() - started
    record["synthetic"] = {"folder": str(made), "num_images": keywords["num_images"]}
    write_json_atomic(context.folder.record(name), jsonable(record))


def _perform_cell(name: str, context: JobContext, verbs: Verbs, commands: list[str]) -> None:
    """Train a downstream model, after a pretraining where the scenario has one, and score it."""
    cell, settings = _cell(name, context), _settings(name, context)
    fits, start_from = [], None
    if cell.scenario.pretrain is not None:
        arguments = pretrain_fit_arguments(context, cell)
        fits.append(
            fit_once(name, context, settings, arguments, verbs, commands, "best", "pretrain")
        )
        start_from = Path(fits[0]["checkpoint"])
    arguments = cell_fit_arguments(context, cell, start_from)
    fits.append(fit_once(name, context, settings, arguments, verbs, commands))
    keywords = evaluate_arguments(context, cell, Path(fits[-1]["checkpoint"]))
    commands.append(verb_command("evaluate.py", keywords))
    # What a killed evaluation left is refused by the next one, and it is quick to make again.
    shutil.rmtree(keywords["out"], ignore_errors=True)
    started = time.monotonic()
    evaluation = verbs.evaluate(**keywords)
    _check_metric(context, evaluation)
    record = _record(name, settings, commands, fits, context)
    record |= {"scenario": cell.scenario.id, "model": cell.model.name, "seed": cell.seed}
    record["timings"]["evaluate_seconds"] = time.monotonic() - started
    record["evaluation"] = evaluation
    write_json_atomic(context.folder.record(name), jsonable(record))


def _perform_subject(name: str, context: JobContext, verbs: Verbs, commands: list[str]) -> None:
    """Train a generator that the study is about, and compare its films with held-out ones."""
    cell, settings = _cell(name, context), _settings(name, context)
    distances = context.specification.distances
    assert distances is not None
    arguments = cell_fit_arguments(context, cell)
    fit = fit_once(name, context, settings, arguments, verbs, commands, distances.checkpoint)
    films = films_arguments(context, cell, Path(fit["checkpoint"]))
    if not fit["reused"] and films["out"].exists():
        shutil.rmtree(films["out"])
    commands.append(verb_command("generate.py", films))
    started = time.monotonic()
    verbs.generate(**films)
    generated = time.monotonic()
    evaluations = {}
    for extractor in dict.fromkeys((distances.extractor, "random_vgg")):
        keywords = evaluate_images_arguments(context, cell, extractor)
        commands.append(verb_command("evaluate.py images", keywords))
        shutil.rmtree(keywords["out"], ignore_errors=True)
        evaluations[extractor] = verbs.evaluate_images(**keywords)
    record = _record(name, settings, commands, [fit], context)
    record |= {"scenario": cell.scenario.id, "model": cell.model.name, "seed": cell.seed}
    record["timings"] |= {
        "generate_seconds": generated - started,
        "evaluate_seconds": time.monotonic() - generated,
    }
    # Every measurement as it was logged, whereas `curves` are thinned for plots.
    points = read_points(context.folder.run(name) / "metrics.csv")
    record["measured"] = {
        measure: rows
        for measure, rows in points.items()
        if measure.startswith(("val/fid", "val/frechet_", "val/kernel_", "val/num_", "val/div"))
    }
    record["evaluation"] = {
        "summary": {key: e for value in evaluations.values() for key, e in _scores(value)},
        "by_extractor": evaluations,
    }
    write_json_atomic(context.folder.record(name), jsonable(record))


def _scores(evaluation: dict[str, Any]) -> list[tuple[str, Any]]:
    return [*evaluation["distances"].items(), *evaluation["scores"].items()]


def _check_metric(context: JobContext, evaluation: dict[str, Any]) -> None:
    """Refuse an evaluation that lacks what the study decides by."""
    metric = context.specification.metric.name
    if not holds_score(evaluation, metric):
        raise UserError(
            f"The evaluation holds no score {metric!r}, which the study decides by; it holds "
            f"{', '.join(known_scores(evaluation))}. Correct `metric` in the study's YAML."
        )


def _record(
    name: str,
    settings: dict[str, Any],
    commands: list[str],
    fits: list[dict[str, Any]],
    context: JobContext,
) -> dict[str, Any]:
    """What every job's JSON holds. The last training is the job's; those before led to it."""
    fit = fits[-1]
    return {
        "format": "understudy-job",
        "format_version": 1,
        "name": name,
        "status": "done",
        "settings": settings,
        "commands": list(commands),
        "run_folder": fit["run_folder"],
        "checkpoint": fit["checkpoint"],
        "checkpoint_sha256": fit["checkpoint_sha256"],
        "curves": read_curves(Path(fit["run_folder"]) / "metrics.csv"),
        "parts": [
            {"name": one["part"], "checkpoint_sha256": one["checkpoint_sha256"]}
            for one in fits
            if one["part"]
        ],
        "timings": {
            "fit_seconds": sum(one["seconds"] for one in fits),
            "images_seen": sum(one["images_seen"] for one in fits),
            "resumed": any(one["resumed"] for one in fits),
        },
        "machine": _machine(),
        "finished": now(),
        "versions": library_versions(),
    }


def _machine() -> str:
    """What a timing needs to be understood; not the host's name, which may say whose it is."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{gpu}"


def _settings(name: str, context: JobContext) -> dict[str, Any]:
    labels = describe_data(context.labels) if context.labels else None
    weights = sha256_of(context.weights) if context.weights else None
    data = describe_data(context.root)
    settings: dict[str, Any] = jsonable(
        settings_of(context.specification, name, data, labels, weights)
    )
    return settings


def _cell(name: str, context: JobContext) -> Cell:
    return next(cell for cell in cells_of(context.specification) if cell.name == name)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
