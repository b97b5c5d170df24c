"""What a study's translators translate: known by content, and refused where nothing comes of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from datamodules.open_cache import open_cache
from provenance import UserError
from studies.run.fingerprint import describe_source
from studies.run.records import read_record
from studies.run.translations import refuse_too_many
from studies.specification.generator_kinds import data_setting_of, translates
from studies.specification.generator_names import generator_job, key_of_generator
from studies.specification.parts import GeneratorPlan
from studies.specification.specification import Specification, find_path


def sources_of(
    specification: Specification, record_of: Callable[[str], Path]
) -> dict[str, dict[str, Any]]:
    """The content of each translator's source, by the translators' names.

    A source that is gone is needed no more where all translations of it are made: then it is what
    the finished translators say.

    Args:
        specification: The study.
        record_of: Gives the path of a finished job's record, by its name.

    Raises:
        UserError: There is no such source, and a translator is still to be trained.
    """
    found = {}
    for name, plan in specification.plans.items():
        if plan.source is None:
            continue
        kept = None if is_there(plan) else _kept(specification, name, record_of)
        try:
            found[name] = kept or describe_source(find_path(plan.source))
        except UserError as error:
            raise UserError(f"{key_of_generator(name)}.source: {error}") from error
    return found


def refuse_wrong_sources(specification: Specification, root: Path) -> None:
    """Refuse translators that would make nothing, or too few images, before they are trained.

    Args:
        specification: The study.
        root: Its cache, the target.

    Raises:
        UserError: A source is the study's own data, which would be translated into themselves, or
            has too few images.
    """
    for name, plan in specification.plans.items():
        # A source that is gone has been found to be needed no more.
        if translates(plan) and is_there(plan):
            key = key_of_generator(name)
            _refuse_own_data(plan, key, root)
            refuse_too_many(plan, key, open_cache(root))


def is_there(plan: GeneratorPlan) -> bool:
    """Whether a translator's source lies where the plan says; the study's own data do."""
    return plan.source is None or (find_path(plan.source) / "manifest.json").is_file()


def _refuse_own_data(plan: GeneratorPlan, key: str, root: Path) -> None:
    labels = [data_setting_of(plan, name) for name in ("source_label", "target_label")]
    from_class_to_class = None not in labels and labels[0] != labels[1]
    if plan.source is None or from_class_to_class:
        return
    content = describe_source(find_path(plan.source)).get("content_sha256")
    if content == open_cache(root).content_sha256:
        raise UserError(
            f"{key}.source: {plan.source}: holds the study's own data, which would be translated "
            "into themselves. Give another cache or set; or, to translate films from one class to "
            "another, leave `source` out and add --data.source_label and --data.target_label to "
            f"{key}.arguments."
        )


def _kept(
    specification: Specification, name: str, record_of: Callable[[str], Path]
) -> dict[str, Any] | None:
    """The source as a translator's trainings say; None where one of them is not finished."""
    jobs = {specification.generator_of(cell) for cell in specification.cells()}
    own = [job for job in jobs if job and (made := generator_job(job)) and made.generator == name]
    paths = [record_of(job) for job in own]
    if not paths or not all(path.is_file() for path in paths):
        return None
    source: dict[str, Any] = read_record(paths[0])["settings"]["generator"]["source"]
    return source
