"""What kind of generator a plan is for, by its configuration, and what that kind cannot use."""

from typing import Any

from studies.specification.parts import GeneratorPlan
from studies.specification.settings import in_file, setting_in
from studies.specification.specification import words_of

SOURCE = "--data.source"
# What a translator has no use for: its labels are those of the images that it translates.
_NOT_OF_TRANSLATORS = ("labels", "with_class", "per_class", "into")


def paints_lesions(plan: GeneratorPlan) -> bool:
    """Whether its images are real slices that a lesion infilling has put a lesion into.

    Each of them holds one, whichever slices `into` names and however few of the real ones do.
    """
    return plan.into is not None or _module_of(plan) == "LesionInfilling"


def translates(plan: GeneratorPlan) -> bool:
    """Whether it is a CycleGAN: its images are translations, and have the labels of these."""
    return plan.source is not None or _module_of(plan) == "CycleGAN"


def data_setting_of(plan: GeneratorPlan, name: str) -> Any:
    """A setting of the data in a generator's training; None where nothing says it."""
    return setting_in(plan.config, plan.arguments, "data", name)


def wrong_of_kind(plan: GeneratorPlan, key: str) -> list[str]:
    """Sentences on what a plan says that its kind of generator cannot use.

    Args:
        plan: The plan.
        key: Where it stands in the YAML, such as `generators.dcgan`.
    """
    if plan.source is not None and _module_of(plan) not in ("CycleGAN", None):
        return [
            f"{key}.source: is for a CycleGAN, which translates its images, and {plan.config} is "
            f"of {_module_of(plan)}. Leave it out."
        ]
    if not translates(plan):
        return []
    found = [
        f"{key}.{name}: a CycleGAN translates images with their labels, and has no use for it. "
        "Leave it out."
        for name in _NOT_OF_TRANSLATORS
        if getattr(plan, name)
    ]
    if SOURCE in words_of(plan.arguments):
        found.append(
            f"{key}.arguments: {SOURCE}: write `source:` beside `config`, so that the study knows "
            "its content. Without it, films of one class of the study's own data are translated."
        )
    if plan.source is None and not (
        data_setting_of(plan, "source_label") and data_setting_of(plan, "target_label")
    ):
        found.append(
            f"{key}: {plan.config} is of a CycleGAN, and nothing says what it translates. Add "
            "`source: CACHE_OR_SET`, or name two classes of the study's own films among its "
            "arguments: --data.source_label and --data.target_label."
        )
    return found


def _module_of(plan: GeneratorPlan) -> str | None:
    """Name of its module's class; None where the configuration does not say it."""
    module = in_file(plan.config, ("model", "class_path"))
    return None if module is None else str(module).rpartition(".")[-1]
