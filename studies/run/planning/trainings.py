"""The trainings of a study, as its cells will give their flags."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.prepared_cache import PreparedCache
from datamodules.synthetic import SyntheticSet
from studies.run.downstream.jobs import trainings_of_cell, trainings_of_generator
from studies.run.planning.stand_in import write_stand_in
from studies.run.verbs import Rehearsal
from studies.specification.generator_names import GeneratorJob
from studies.specification.paths import from_this_folder
from studies.specification.specification import (
    FRACTION,
    PATIENTS_SEED,
    Specification,
    find_path,
    words_of,
)

GENERATOR = "generator"
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
    specification: Specification,
    cache: PreparedCache | None,
    images: Path,
    chosen: Collection[str] | None = None,
) -> list[Training]:
    """Every training, once for all its seeds; generators first.

    Makes in `images` the stand-ins for those of the generators, in a folder for each that has a
    name; a set in their place is there already.

    Args:
        specification: The study.
        cache: Its data; None where they are not given.
        images: Folder of the stand-ins.
        chosen: Names of the cells that are counted, with the generators they need; None: all.
    """
    found = []
    every = specification.cells()
    counted = [cell for cell in every if chosen is None or cell.name in chosen]
    if specification.synthetic is not None:
        images = SyntheticSet.open(find_path(specification.synthetic)).root
    for name, plan in specification.plans.items():
        needing = [
            one
            for one in specification.scenarios
            if specification.needs_images(one) and specification.made_by(one) == name
        ]
        for size in dict.fromkeys(one.size for one in needing):
            ids = {one.id for one in needing if one.size == size}
            seeds = {cell.seed for cell in counted if cell.scenario.id in ids}
            parts: dict[str, list[str]] = {ONE_PER_CLASS: []}
            if isinstance(plan.per_class, tuple):
                made = GeneratorJob(name, specification.seeds[0], size)
                parts = trainings_of_generator(specification, made)
            for part, flags in parts.items() if seeds else ():
                found.append(_training(GENERATOR, name, part, len(seeds), plan.config, flags))
        if needing and cache is not None:
            write_stand_in(images / name, cache, plan)
    counts = Counter((cell.scenario.id, cell.model.name) for cell in counted)
    for cell in every[: len(specification.scenarios) * len(specification.models)]:
        count = counts[cell.scenario.id, cell.model.name]
        if not count:
            continue
        parts = {"": from_this_folder(specification.flags_of(cell))}
        if cell.scenario.pretrain is not None:
            parts = {"pretrain": [], "": []}
        if cache is not None and specification.kind == "downstream":
            maker = specification.made_by(cell.scenario)
            parts = trainings_of_cell(specification, cell, images / maker)
        for part, flags in parts.items():
            found.append(
                _training(cell.scenario.id, cell.model.name, part, count, cell.model.config, flags)
            )
    return found


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
