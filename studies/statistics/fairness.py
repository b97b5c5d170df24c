"""Whether the controls of a scenario with synthetic images are fair, by what trainings showed.

Such a scenario shows T training images, R of them real. Only against controls without synthetic
images, one of which shows T images and one R, are the synthetic images what makes a difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from studies.specification.arms import flags_beside_synthetic, setting_of
from studies.specification.generators import differ_in_generator
from studies.specification.parts import Scenario
from studies.specification.specification import Specification

# Epochs are whole batches, so numbers of images that are meant to be the same differ a little: by
# this share of them, or by a batch an epoch where that is more, up to a quarter.
_ABOUT_THE_SAME = 0.05
_AT_MOST = 0.25
# Flags that say which images a training shows, and how many: what the numbers are about.
_OF_IMAGES = {
    "--data.synthetic_share", "--data.balance", "--data.real_films", "--data.real_slices",
    "--data.images_per_epoch", "--trainer.max_epochs", "--data.imbalance_seed",
}  # fmt: skip

Shown = Mapping[tuple[str, str], tuple[int, int | None]]
"""Images of a scenario's training of a model, and real ones of them; None: they were not counted"""


Subject = Literal["synthetic", "generator", "change"]


def subject_of(specification: Specification, scenario: str, against: Sequence[str]) -> Subject:
    """What a comparison is about.

    Synthetic images against real ones alone; one generator's images against another's, with all
    else alike; or another change.
    """
    treated = specification.scenario(scenario)
    others = [specification.scenario(one) for one in against]
    if not treated.synthetic or treated.placebo:
        return "change"
    if not any(one.synthetic for one in others):
        return "synthetic"
    alike = all(differ_in_generator(specification, treated, one) for one in others)
    return "generator" if alike else "change"


def unfairness(
    specification: Specification, scenario: str, against: Sequence[str], model: str, shown: Shown
) -> list[str]:
    """What its controls lack to show that the synthetic images made a difference; empty: nothing.

    Of two generators, whose images are to be what differs, each is shown as many of them.

    Args:
        specification: The study.
        scenario: With synthetic images.
        against: What it is compared with: its controls, the baseline alone, or a scenario of
            another generator.
        model: Name of the model.
        shown: What is known of it; scenarios that are not there are taken for unknown.
    """
    arm, there = specification.scenario(scenario), shown.get((scenario, model))
    controls = [specification.scenario(one) for one in against]
    if subject_of(specification, scenario, against) == "generator":
        return list(_other_numbers(arm, controls, model, shown))
    known = {
        one.id: shown[one.id, model][0] for one in controls if (one.id, model) in shown
    }  # of real images alone, so all are real
    if there is None or len(known) < len(controls):
        return []
    images, real = there
    beside = ", ".join(f"scenario {one}: {number:,}" for one, number in known.items())
    found = list(_other_flags(arm, controls))
    may_differ = _batch_an_epoch(specification, arm, model)

    def is_there(kind: str, wanted: int) -> bool:
        """Whether a control shows so many, or was made to."""
        most = min(max(_ABOUT_THE_SAME * wanted, may_differ), _AT_MOST * wanted)
        return any(
            (one.control_of == arm.id and one.control == kind)
            or abs(known[one.id] - wanted) <= most
            for one in controls
        )

    if not is_there("steps", images):
        found.append(f"it shows {images:,} images, and no control as many ({beside})")
    if real is None:
        if not any(one.control_of == arm.id and one.control == "real" for one in controls):
            found.append("how many real images it showed was not counted, by an earlier version")
    elif real and not is_there("real", real):
        found.append(f"it shows {real:,} real images, and no control as many ({beside})")
    return found


def _other_numbers(
    arm: Scenario, others: Sequence[Scenario], model: str, shown: Shown
) -> Iterator[str]:
    """Where scenarios of two generators show other numbers of images."""
    images, real = shown.get((arm.id, model), (0, None))
    for other in others:
        its_images, its_real = shown.get((other.id, model), (0, None))
        if real is None or its_real is None:
            continue
        pairs = ((images, its_images), (real, its_real))
        if any(abs(one - two) > _ABOUT_THE_SAME * max(one, two) for one, two in pairs):
            yield (
                f"it shows {images:,} images, {real:,} of them real, and {other.id} "
                f"{its_images:,}, {its_real:,} of them real; give both generators the same "
                "`num_images`, or both scenarios the same --data.synthetic_share"
            )


def _other_flags(arm: Scenario, controls: Sequence[Scenario]) -> Iterator[str]:
    """Flags that the arm or a control has alone, of controls that were not made for it."""

    def flags(scenario: Scenario) -> set[tuple[str, ...]]:
        return {one for one in flags_beside_synthetic(scenario) if one[0] not in _OF_IMAGES}

    for control in controls:
        if control.control_of != arm.id and flags(control) != flags(arm):
            names = sorted({flag[0] for flag in flags(control) ^ flags(arm)})
            yield f"it differs from {control.id} in {', '.join(names)} too"


def _batch_an_epoch(specification: Specification, arm: Scenario, model: str) -> float:
    """Images of one batch for every epoch; 0 where the YAMLs do not say."""
    of = specification.model(model)
    batch = setting_of(specification, arm, of, "data", "batch_size")
    epochs = setting_of(specification, arm, of, "trainer", "max_epochs")
    try:
        return float(batch) * float(epochs)
    except (TypeError, ValueError):
        return 0.0
