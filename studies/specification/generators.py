"""The generators of a study: what is wrong with them, and which scenarios differ in them alone."""

from dataclasses import replace

from spelling import meant
from studies.specification.generator_kinds import translates, wrong_of_kind
from studies.specification.generator_names import key_of_generator
from studies.specification.parts import GeneratorPlan, Scenario
from studies.specification.specification import Specification


def wrong_generators(specification: Specification) -> list[str]:
    """Sentences on where synthetic images are from: twice said, unknown, of nobody, for nothing."""
    found = []
    if specification.generator is not None and specification.generators is not None:
        found.append(
            "generator and generators: write the one generator under `generators` too, with a "
            "name, or leave it out."
        )
        return found
    if specification.generators == {}:
        found.append("generators is empty; give at least one, or leave it out.")
    key = "generators" if specification.generators is not None else "generator"
    if specification.synthetic and specification.plans:
        found.append(
            f"synthetic and {key}: each says where the synthetic images are from. Leave one out."
        )
    for scenario in specification.scenarios:
        found += _wrong_of_scenario(specification, scenario)
    used = {specification.made_by(one) for one in specification.scenarios if one.synthetic}
    found += [
        f"generators.{name}: no scenario is of its images, so it would be trained for nothing. "
        f"Write `generator: {name}` beside a synthetic scenario, or leave it out."
        for name in specification.generators or ()
        if name not in used
    ]
    for name, plan in specification.plans.items():
        if plan.num_images < 1:
            found.append(f"{key_of_generator(name)}.num_images must be at least 1.")
        if plan.checkpoint not in ("last", "best"):
            found.append(
                f"{key_of_generator(name)}.checkpoint is {plan.checkpoint!r}, expected last or "
                "best."
            )
        found += wrong_of_kind(plan, key_of_generator(name))
    return found


def _wrong_of_scenario(specification: Specification, scenario: Scenario) -> list[str]:
    name, plans = f"scenario {scenario.id}", specification.plans
    maker = plans.get(specification.made_by(scenario))
    if scenario.synthetic and scenario.size not in (None, 1) and maker and translates(maker):
        return [
            f"{name}: sizes: its generator is a CycleGAN, which learns from all patients of both "
            "domains and not from a share of them. Leave `sizes` out."
        ]
    if scenario.generator is None:
        if not scenario.synthetic or specification.synthetic or len(plans) == 1:
            return []
        if not plans:
            return [
                f"{name} is synthetic, but there is no generator. Add it, or give a finished set "
                "with `synthetic: FOLDER`."
            ]
        return [
            f"{name} is synthetic, and the study has several generators. Say whose images it is "
            f"shown: `generator:` with one of {', '.join(plans)}."
        ]
    if not (scenario.synthetic or scenario.control_of):
        return [
            f"{name} names a generator, but is shown no synthetic images. Add `synthetic: true`, "
            "or leave it out."
        ]
    if specification.generators is None:
        return [
            f"{name}: generator: {scenario.generator}: this study has no `generators` with names "
            "to choose from. Leave it out, or write them."
        ]
    if scenario.generator not in plans:
        return [
            f"{name}: generator: {scenario.generator}: there is no generator of this name."
            f"{meant(scenario.generator, list(plans))} There are {', '.join(plans)}."
        ]
    return []


def differ_in_generator(specification: Specification, one: Scenario, other: Scenario) -> bool:
    """Whether two scenarios are shown the images of two generators, and differ in nothing else."""
    if not (one.synthetic and other.synthetic):
        return False
    makers = {specification.made_by(one), specification.made_by(other)}
    return len(makers) == 2 and _beside_generator(one) == _beside_generator(other)


def as_many_images(one: GeneratorPlan, other: GeneratorPlan) -> bool:
    """Whether two generators make equally many images, of each class where one is of a class."""
    return (one.num_images, one.per_class) == (other.num_images, other.per_class)


def _beside_generator(scenario: Scenario) -> Scenario:
    return replace(scenario, id="", name="", generator=None, controls=(), num_seeds=None)
