"""Scenarios that a study makes of one line: sweeps, controls of synthetic images, the placebo.

A scenario with synthetic images shows T images, R of them real. `controls: true` gives it two
controls without synthetic images: one shows T real images, the other R. Where a scenario of the
study is such a control already, it is taken: with `--data.images_per_epoch` real images alone are
shown as often, without it as many real images are shown.
"""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

from studies.specification.generator_kinds import paints_lesions, translates
from studies.specification.generators import as_many_images, differ_in_generator
from studies.specification.parts import Model, Scenario
from studies.specification.settings import setting_in
from studies.specification.specification import (
    FRACTION,
    PLACEBO,
    Specification,
    words_of,
)

SHARE = "--data.synthetic_share"
_BALANCE = ("--data.balance", "synthetic")
_NO_REAL = ("--data.real_films", "--data.real_slices")
_UNIFORM = {None, "uniform"}


def with_arms(specification: Specification) -> Specification:
    """The study with every scenario that its YAML asks for; one that has them stays as it is."""
    scenarios: list[Scenario] = []
    for scenario in specification.scenarios:
        scenarios += _sweep(scenario) if scenario.ratios else [scenario]
    by_id = {scenario.id: scenario for scenario in scenarios}
    scenarios = [_like_its_arm(scenario, by_id) for scenario in scenarios]
    whole = replace(specification, scenarios=tuple(scenarios))
    for scenario in scenarios:
        if scenario.controls is True:
            whole = _with_controls(whole, scenario)
    if whole.placebo and PLACEBO not in {scenario.id for scenario in whole.scenarios}:
        whole = replace(whole, scenarios=(*whole.scenarios, *_placebos(whole)))
    return whole


def with_sizes(specification: Specification) -> Specification:
    """The study with a scenario for each size: `none` and 0.25 make `none_25`."""
    scenarios: list[Scenario] = []
    for scenario in specification.scenarios:
        scenarios += [
            replace(scenario, id=f"{scenario.id}_{100 * size:g}", sizes=(), size=size)
            for size in scenario.sizes
        ] or [scenario]
    return replace(specification, scenarios=tuple(scenarios))


def with_placebo(specification: Specification) -> Specification:
    """The study with its placebo, as if its YAML said `placebo: true`."""
    return with_arms(replace(specification, placebo=True))


def flags_beside_synthetic(scenario: Scenario) -> list[tuple[str, ...]]:
    """A scenario's flags but for those that say how many synthetic images join.

    The share of the patients is one of them.
    """
    flags: list[tuple[str, ...]] = []
    if scenario.size not in (None, 1):
        flags.append((FRACTION, f"{scenario.size:g}"))
    for word in words_of(scenario.arguments):
        if word.startswith("--"):
            flags.append((word,))
        elif flags:
            flags[-1] += (word,)
    return [flag for flag in flags if flag[0] != SHARE and flag != _BALANCE]


def shows_real(scenario: Scenario) -> bool:
    """Whether its training, or the second one after a pretraining, shows real images."""
    return not any(
        flag in _NO_REAL and value.lower() == "false"
        for flag, value in pairwise(words_of(scenario.arguments))
    )


def share_in_words(synthetic: Fraction) -> str:
    """Such as "half of the images synthetic", from their share of all."""
    if synthetic in (0, 1):
        return "synthetic images alone" if synthetic else "real images alone"
    if synthetic == Fraction(1, 2):
        return "half of the images synthetic"
    return f"{100 * float(synthetic):.2g} % of the images synthetic"


def _sweep(scenario: Scenario) -> list[Scenario]:
    """A scenario for each ratio of synthetic to real images; `r` and 0.5 make `r50`."""
    prefix = "" if scenario.name == scenario.id else f"{scenario.name}, "
    return [
        replace(
            scenario,
            id=f"{scenario.id}{100 * ratio:g}",
            name=prefix + share_in_words(_share_of_all(ratio)),
            synthetic=True,
            arguments=(SHARE, f"{ratio:g}", *scenario.arguments),
            ratios=(),
        )
        for ratio in scenario.ratios
    ]


def _share_of_all(ratio: float) -> Fraction:
    exact = Fraction(str(ratio))
    return exact / (1 + exact)


def _like_its_arm(scenario: Scenario, by_id: dict[str, Scenario]) -> Scenario:
    """A control that the YAML names, with the flags of the scenario that it is the control of."""
    arm = by_id.get(scenario.control_of or "")
    if arm is None or scenario.placebo:
        return scenario
    whole = _control(arm, scenario.control)
    name = whole.name if scenario.name == scenario.id else scenario.name
    return replace(whole, id=scenario.id, name=name)


def _with_controls(specification: Specification, scenario: Scenario) -> Specification:
    """The study with a scenario's controls after it, or those that it has already."""
    own, names = [], []
    for control in ("steps", "real"):
        if control == "real" and not shows_real(scenario):
            continue
        there = _same_already(specification, scenario, control)
        there = there or _shared(specification, scenario, control)
        if there is None:
            own.append(_control(scenario, control))
            there = own[-1].id
        names.append(there)
    scenarios = list(specification.scenarios)
    at = scenarios.index(scenario)
    scenarios[at : at + 1] = [replace(scenario, controls=tuple(names)), *own]
    return replace(specification, scenarios=tuple(scenarios))


def _control(arm: Scenario, control: Any) -> Scenario:
    in_words = {
        "steps": "real images in place of the synthetic ones",
        "real": "its real images alone",
    }
    return Scenario(
        id=f"{arm.id}_{control}",
        name=f"{arm.name}: {in_words[control]}",
        arguments=arm.arguments,
        size=arm.size,
        num_seeds=arm.num_seeds,
        pretrain=arm.pretrain if control == "steps" else None,
        control_of=arm.id,
        control=control,
        generator=arm.generator,
    )


def _shared(specification: Specification, arm: Scenario, control: str) -> str | None:
    """A control of another generator's scenario that is this very training; None: there is none.

    A control shows no synthetic image, but asks how many there are, and of which classes.
    """
    for other in specification.scenarios:
        if other.control != control or other.control_of is None:
            continue
        first = specification.scenario(other.control_of)
        if differ_in_generator(specification, arm, first) and arm.num_seeds == first.num_seeds:
            own, others = (specification.plans[specification.made_by(s)] for s in (arm, first))
            by_share = SHARE in words_of(arm.arguments)
            counted = by_share or as_many_images(own, others)
            # Which labels slices have depends on the kind of generator: those controls stay apart.
            of_classes = own.per_class == others.per_class != ()
            if counted and (control == "real" or of_classes):
                return other.id
    return None


def _same_already(specification: Specification, arm: Scenario, control: str) -> str | None:
    """A scenario of real images alone that is this control of an arm; None where none is."""
    flags = [flag for flag in flags_beside_synthetic(arm) if flag[0] not in _NO_REAL]
    alike = [
        scenario.id
        for scenario in specification.scenarios
        if not (scenario.synthetic or scenario.control_of or scenario.placebo)
        and flags_beside_synthetic(scenario) == flags
    ]
    if not alike:
        return None
    if arm.pretrain is not None:  # the second training is the whole of it
        return alike[0] if control == "real" else None

    def setting(name: str) -> list[Any]:
        return [data_setting(specification, arm, model, name) for model in specification.models]

    fixed = [length is not None for length in setting("images_per_epoch")]
    if control == "steps":
        return alike[0] if all(fixed) and _like_real_ones(specification, arm) else None
    drawn_alike = "oversample" not in setting("balance") and set(setting("sampling")) <= _UNIFORM
    return alike[0] if not any(fixed) and drawn_alike else None


def _like_real_ones(specification: Specification, arm: Scenario) -> bool:
    """Whether the synthetic images that join are made up of classes as the real ones are.

    A share of films counts each class by itself. One of slices counts them all together. Slices
    made `with_class` all hold it, painted ones all hold a lesion, and translations have the classes
    of their source.
    """
    plan = specification.plans.get(specification.made_by(arm))
    words = words_of(arm.arguments)
    if _BALANCE in pairwise(words) or plan is None:
        return False
    if plan.with_class is not None or paints_lesions(plan) or translates(plan):
        return False
    return SHARE in words or not plan.per_class


def data_setting(specification: Specification, scenario: Scenario, model: Model, name: str) -> Any:
    """A setting of the data in a scenario's training of a model; see `setting_of`."""
    return setting_of(specification, scenario, model, "data", name)


def setting_of(
    specification: Specification,
    scenario: Scenario,
    model: Model,
    part: Literal["data", "trainer"],
    name: str,
) -> Any:
    """A setting of a scenario's training of a model; None where nothing says it."""
    flags = [*specification.arguments, *scenario.arguments, *model.arguments]
    return setting_in(model.config, flags, part, name)


def _placebos(specification: Specification) -> list[Scenario]:
    """The baseline again; only its seeds, which `Specification.seeds_of` gives, are others.

    One more for each size that the baseline has with all of the seeds.
    """
    baseline = specification.scenario(specification.baseline_scenario)
    same = [one for one in specification.scenarios if specification.baseline_of(one) == one.id]
    others = [one for one in same if one != baseline and one.num_seeds is None]
    return [
        replace(
            one,
            id=PLACEBO if one == baseline else f"{PLACEBO}_{100 * (one.size or 1):g}",
            name=f"{one.name} again, with other seeds",
            controls=(),
            placebo=True,
        )
        for one in (baseline, *others)
    ]
