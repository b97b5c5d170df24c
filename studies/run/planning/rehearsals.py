"""The trainings of a study, counted and timed without doing them."""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from provenance import UserError
from spelling import meant
from studies.run.planning.stand_in import is_stand_in
from studies.run.planning.trainings import Training
from studies.run.verbs import Rehearsal
from studies.specification.generator_names import key_of_generator
from studies.specification.paths import from_this_folder
from studies.specification.specification import Specification
from studies.statistics.score_names import CLASSIFICATION, FINDINGS, score_names

# What a training advises of its own set; a study's is made by its generator.
_LARGER_SET = re.compile(r"Generate a larger set in another folder: .* --num-images (\d+).*")


def counted(
    trainings: Sequence[Training],
    root: Path,
    specification: Specification,
    rehearse: Callable[..., Rehearsal],
    tell: Callable[[int], None] = lambda left: None,
) -> list[Training]:
    """The trainings with their lengths.

    Args:
        trainings: See `all_trainings`.
        root: Prepared cache.
        specification: The study.
        rehearse: See `Verbs`.
        tell: Called before each kind of training is built, with how many kinds are left.

    Raises:
        UserError: One of them would be refused, or its evaluation will hold no score of the name
            that the study decides by; the sentence names it.
    """
    kinds: dict[tuple[str, ...], Training] = {}
    for one in trainings:
        kinds.setdefault((one.config, *one.flags), one)
    known: dict[tuple[str, ...], Rehearsal] = {}
    for key, one in kinds.items():
        tell(len(kinds) - len(known))
        try:
            known[key] = _rehearse(one, root, specification.seeds[0], rehearse, timed=False)
        except UserError as error:
            raise UserError(_of_the_generator(str(error), one, specification)) from error
        if specification.kind == "downstream" and known[key].task:
            _check_metric(specification.metric.name, one, known[key])
            _check_target(specification.target, one, known[key])
    return [replace(one, length=known[one.config, *one.flags]) for one in trainings]


def timed(
    trainings: Sequence[Training], root: Path, seed: int, rehearse: Callable[..., Rehearsal]
) -> list[Training]:
    """The trainings with what a step of each takes; steps that are alike are timed once.

    Raises:
        UserError: One of them would be refused; the sentence names it.
    """
    first: dict[tuple[str, ...], Training] = {}
    for one in trainings:
        first.setdefault(one.step, one)
    known = {}
    for number, one in enumerate(first.values(), 1):
        told = f"timing steps, {number} of {len(first)}: {one.name} ..."
        print(told, file=sys.stderr, flush=True)
        known[one.step] = _rehearse(one, root, seed, rehearse, timed=True)
    return [replace(one, measured=known[one.step]) for one in trainings]


def _rehearse(
    training: Training, root: Path, seed: int, rehearse: Callable[..., Rehearsal], timed: bool
) -> Rehearsal:
    args = [
        "fit",
        "--config",
        *from_this_folder([training.config]),
        "--data.root",
        str(root),
        *training.flags,
    ]
    try:
        return rehearse([*args, "--seed_everything", str(seed)], timed=timed)
    except UserError as error:
        told = f"the training of {training.name} would be refused: {error}"
        raise UserError(told) from error


def _check_metric(metric: str, training: Training, built: Rehearsal) -> None:
    names = score_names(built.task, built.class_names)
    if metric not in names:
        raise UserError(
            f"metric: {metric}: no score of {training.name} has this name.{meant(metric, names)} "
            f"There are {', '.join(names)}. Correct `metric` in the study's YAML."
        )


def _check_target(target: str | None, training: Training, built: Rehearsal) -> None:
    """Refuse a target that the training's classifier does not look for."""
    looked_for = {
        FINDINGS: built.class_names,
        CLASSIFICATION: built.class_names[1:] if len(built.class_names) == 2 else (),
    }.get(built.task)
    if target is not None and looked_for is not None and target not in looked_for:
        raise UserError(
            f"target: {target}: {training.name} does not look for it.{meant(target, looked_for)} "
            f"It looks for {', '.join(looked_for)}. Correct `target` in the study's YAML."
        )


def _of_the_generator(sentence: str, training: Training, specification: Specification) -> str:
    """A sentence about a training, with the generator for its stand-in, which nobody knows."""
    for flag, value in pairwise(training.flags):
        if flag == "--data.synthetic" and is_stand_in(Path(value)):
            maker = specification.made_by(specification.scenario(training.arm))
            named = f"generator {maker}".rstrip()
            images = f"the images of the study's {named} (`{key_of_generator(maker)}.num_images`)"
            sentence = _LARGER_SET.sub(r"Give \1 or more.", sentence.replace(value, images))
    return sentence
