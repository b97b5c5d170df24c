"""The trainings of a study, counted and timed without doing them."""

import re
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from datamodules.open_cache import open_cache
from datamodules.prepared_cache import PreparedCache
from datamodules.synthetic import SyntheticSet
from display.numbers import count
from provenance import UserError
from spelling import meant
from studies.run.downstream.jobs import trainings_of_cell, trainings_of_generator
from studies.run.folder import Study
from studies.run.stand_in import is_stand_in, write_stand_in
from studies.run.verbs import Rehearsal, Verbs
from studies.specification.claims import claims
from studies.specification.generator_names import (
    GeneratorJob,
    generator_job,
    key_of_generator,
)
from studies.specification.paths import from_this_folder
from studies.specification.specification import (
    FRACTION,
    PATIENTS_SEED,
    Specification,
    find_path,
    words_of,
)
from studies.statistics.fairness import subject_of, unfairness
from studies.statistics.score_names import CLASSIFICATION, FINDINGS, score_names

GENERATOR = "generator"
_A_MOMENT = 2.0  # seconds
# What a training advises of its own set; a study's is made by its generator.
_LARGER_SET = re.compile(r"Generate a larger set in another folder: .* --num-images (\d+).*")
ONE_PER_CLASS = "one per class"  # as many as data have classes that are not known yet
# Flags that say which images a step shows or how many steps there are, not what a step does.
_SAME_STEP = {
    "--data.synthetic", "--data.control", "--data.synthetic_share", "--data.real_films",
    "--data.real_slices", "--data.balance", "--data.imbalance", "--data.imbalance_seed",
    "--data.only_label", FRACTION, PATIENTS_SEED,
    "--data.sampling", "--data.images_per_epoch", "--trainer.max_epochs",
}  # fmt: skip


@dataclass(frozen=True)
class Training:
    """One training of a study, which is done once per seed.

    Attributes:
        arm: Id of the scenario, or `GENERATOR`.
        model: Name of the model, or of the generator.
        part: "pretrain", a generator's class, `ONE_PER_CLASS`, or nothing.
        count: How many seeds it is done with.
        config: Its YAML.
        flags: As its cell would give them; empty where there is no cache.
        step: Equal ones take equally long a step.
        length: Counted; None where there is no cache.
        measured: What its steps take, timed with it or with one whose steps are alike.
    """

    arm: str
    model: str
    part: str
    count: int
    config: str
    flags: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    length: Rehearsal | None = None
    measured: Rehearsal | None = None

    @property
    def name(self) -> str:
        """Such as `unet_light in 3`."""
        what = f"{self.model} in {self.arm}"
        if self.arm == GENERATOR:
            what = f"{GENERATOR} {self.model}".rstrip()
        return f"{what}, {self.part}" if self.part else what


def all_trainings(
    specification: Specification, cache: PreparedCache | None, images: Path
) -> list[Training]:
    """Every training, once for all its seeds; generators first.

    Makes in `images` the stand-ins for those of the generators, in a folder for each that has a
    name; a set in their place is there already.
    """
    found = []
    if specification.synthetic is not None:
        images = SyntheticSet.open(find_path(specification.synthetic)).root
    for name, plan in specification.plans.items():
        needing = [
            one
            for one in specification.scenarios
            if specification.needs_images(one) and specification.made_by(one) == name
        ]
        for size in dict.fromkeys(one.size for one in needing):
            alike = [one for one in needing if one.size == size]
            seeds = {seed for one in alike for seed in specification.seeds_of(one)}
            parts: dict[str, list[str]] = {ONE_PER_CLASS: []}
            if isinstance(plan.per_class, tuple):
                made = GeneratorJob(name, specification.seeds[0], size)
                parts = trainings_of_generator(specification, made)
            for part, flags in parts.items():
                found.append(_training(GENERATOR, name, part, len(seeds), plan.config, flags))
        if needing and cache is not None:
            write_stand_in(images / name, cache, plan)
    for cell in specification.cells()[: len(specification.scenarios) * len(specification.models)]:
        parts = {"": from_this_folder(specification.flags_of(cell))}
        if cell.scenario.pretrain is not None:
            parts = {"pretrain": [], "": []}
        if cache is not None and specification.kind == "downstream":
            maker = specification.made_by(cell.scenario)
            parts = trainings_of_cell(specification, cell, images / maker)
        count = len(specification.seeds_of(cell.scenario))
        for part, flags in parts.items():
            found.append(
                _training(cell.scenario.id, cell.model.name, part, count, cell.model.config, flags)
            )
    return found


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


def refuse_wrong_trainings(
    study: Study,
    names: Collection[str],
    load_verbs: Callable[[], Verbs],
    say: Callable[[str], None],
) -> None:
    """Refuse a study that a training or its scores would be refused in, before the first training.

    Controls that will not be fair are said.

    Args:
        study: As its kind's `ready` gave it.
        names: Jobs that are to be done; what is done already is not looked at.
        load_verbs: Gives the verbs.
        say: Prints a line, once, where it takes more than a moment.

    Raises:
        UserError: As `counted`.
    """
    started, told = time.monotonic(), False

    def tell(left: int) -> None:
        nonlocal told
        if not told and time.monotonic() - started > _A_MOMENT:
            told = True
            kinds = count(left, "kind")
            say(f"Before the first training flags, data and metric are checked: {kinds} left ...")

    specification = study.specification
    wanted = {(GENERATOR, made.generator) for made in map(generator_job, names) if made}
    wanted |= {(c.scenario.id, c.model.name) for c in specification.cells() if c.name in names}
    with TemporaryDirectory(prefix="check-") as temporary:
        images = Path(temporary) / "synthetic"
        every = all_trainings(specification, open_cache(study.root), images)
        chosen = [one for one in every if (one.arm, one.model) in wanted]
        lengths = counted(chosen, study.root, specification, load_verbs().rehearse, tell)
    for line in unfair_lines(specification, lengths):
        say(line)


def unfair_lines(specification: Specification, trainings: Sequence[Training]) -> list[str]:
    """What comparisons of synthetic images will lack, by the images that trainings will show."""
    shown: dict[tuple[str, str], tuple[int, int]] = {}
    for one in trainings:
        if one.length is not None and one.arm != GENERATOR:
            images, real = shown.get((one.arm, one.model), (0, 0))
            total = images + one.length.images, real + one.length.real_images
            shown[one.arm, one.model] = total
    lines: dict[str, None] = {}
    for claim in claims(specification):
        about = subject_of(specification, claim.scenario, claim.against) != "change"
        for model in specification.models if about and claim.role == "primary" else ():
            lacking = unfairness(specification, claim.scenario, claim.against, model.name, shown)
            pair = f"{claim.scenario} against {' and '.join(claim.against)}"
            if lacking:
                lines[f"Without a fair control, {pair}: {'; '.join(lacking)}."] = None
    return [*lines, *(("So the report will not say that these help or hurt.",) if lines else ())]


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


def _of_the_generator(sentence: str, training: Training, specification: Specification) -> str:
    """A sentence about a training, with the generator for its stand-in, which nobody knows."""
    for flag, value in pairwise(training.flags):
        if flag == "--data.synthetic" and is_stand_in(Path(value)):
            maker = specification.made_by(specification.scenario(training.arm))
            named = f"generator {maker}".rstrip()
            images = f"the images of the study's {named} (`{key_of_generator(maker)}.num_images`)"
            sentence = _LARGER_SET.sub(r"Give \1 or more.", sentence.replace(value, images))
    return sentence


def _training(
    arm: str, model: str, part: str, count: int, config: str, flags: Sequence[str]
) -> Training:
    groups: list[list[str]] = []
    for word in words_of(flags):
        if word.startswith("--"):
            groups.append([word])
        elif groups:
            groups[-1].append(word)
    step = [word for group in groups if group[0] not in _SAME_STEP for word in group]
    return Training(arm, model, part, count, config, tuple(flags), (config, *step))
