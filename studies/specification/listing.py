"""The studies that there are: what each asks, how much it trains, and what it needs."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from provenance import UserError
from spelling import from_here, meant_path
from studies.specification.arms import data_setting, setting_of
from studies.specification.generator_kinds import translates
from studies.specification.generator_names import generator_job
from studies.specification.read import load_specification
from studies.specification.specification import PROJECT_ROOT, Specification, find_path, words_of

STUDIES = PROJECT_ROOT / "configs" / "studies"


def list_studies(folder: Path, needs_of: Callable[[Path], Iterable[str]]) -> Iterator[str]:
    """Lines on each study of a folder; one that cannot be read is named with its reason.

    Args:
        folder: Where to look, in its folders too.
        needs_of: What the training of a configuration needs.

    Raises:
        UserError: There is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder.{meant_path(folder)}")
    found = sorted(folder.rglob("*.yaml"))
    for path in found:
        try:
            study = load_specification(path)
        except UserError as error:
            yield f"{error}\n"
            continue
        yield f"{from_here(path)}: {study.title}\n  {study.question}"
        yield f"  Size: {size_of(study)}"
        # Between semicolons, since titles of generators and lists of columns hold commas.
        yield f"  Needs: {'; '.join(_without_less(_needs(study, needs_of)))}\n"
    if not found:
        yield f"{folder}: holds no study."


def size_of(study: Specification) -> str:
    """Its cells, the generators before them, and how long each training is."""
    seeds = len(study.seeds)
    counts = ((len(study.scenarios), "scenario"), (len(study.models), "model"), (seeds, "seed"))
    parts = " x ".join(f"{number} {word}{'s' * (number != 1)}" for number, word in counts)
    said = [f"{len(study.cells())} trainings ({parts})"]
    trained = {name for cell in study.cells() if (name := study.generator_of(cell)) is not None}
    for name, plan in study.plans.items():
        number = sum(job.generator == name for job in map(generator_job, trained) if job)
        titled = f" {study.title_of(name)}" if study.title_of(name) else ""
        per_class = " of each class" if plan.per_class else ""
        said.append(f"{number} generator{'s' * (number != 1)}{titled}{per_class}")
    lengths = {
        (setting_of(study, scenario, model, "trainer", "max_epochs"),
         data_setting(study, scenario, model, "images_per_epoch"))
        for scenario in study.scenarios
        for model in study.models
    }  # fmt: skip
    if len(lengths) == 1:
        ((epochs, images),) = lengths
        told = "all training images"
        if images is not None:
            told = f"{int(images):,} images" if str(images).isdigit() else f"{images} images"
        said.append(f"{epochs or 1000} epochs of {told} each")
    return "; ".join(said)


def _without_less(needs: Iterable[str]) -> list[str]:
    """Each need once, and none that another one includes, such as films beside labelled films."""
    found = list(dict.fromkeys(needs))
    return [need for need in found if not any(one.startswith(f"{need} ") for one in found)]


def _needs(study: Specification, needs_of: Callable[[Path], Iterable[str]]) -> Iterator[str]:
    plans = study.plans.values()
    # What a translator needs beside the study's own data is its source, which is named below.
    makers = [plan.config for plan in plans if not translates(plan)]
    for config in [*makers, *(model.config for model in study.models)]:
        yield from needs_of(find_path(config))
    given = [study.arguments, *(one.arguments for one in study.scenarios)]
    given += [one.arguments for one in study.models]
    given += [plan.arguments for plan in plans]
    for flag, value in (pair for arguments in given for pair in pairwise(words_of(arguments))):
        if flag.endswith(".weights") and value == "imagenet":
            yield "ImageNet weights (downloaded, or a file)"
        elif flag.endswith("weights_path"):
            yield f"the file {value}"
    for plan in plans:
        if plan.labels:
            yield f"the label maps of {plan.labels}"
        if plan.source:
            yield f"the images of {plan.source}"
    if study.synthetic is not None:
        yield f"the synthetic set {study.synthetic}"
    if study.distances is not None and study.distances.extractor != "random_vgg":
        yield f"the weights of {study.distances.extractor} (--weights)"
    if study.subgroups:
        yield f"the label columns {', '.join(study.subgroups)}"
    if study.external:
        flags = " ".join(f"--external {one}=CACHE" for one in study.external)
        yield f"external test sets ({flags})"
