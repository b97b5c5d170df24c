"""Refuses what is wrong in a study's comparisons: controls, the primary family, pairs."""

from collections.abc import Sequence

from studies.specification.arms import SHARE
from studies.specification.parts import Scenario
from studies.specification.specification import PLACEBO, Specification, words_of


def wrong_controls(specification: Specification) -> list[str]:
    """Sentences on controls that control nothing or lack, and on sweeps that say two things."""
    found = []
    by_id = {scenario.id: scenario for scenario in specification.scenarios}
    for scenario in specification.scenarios:
        name = f"scenario {scenario.id}"
        if scenario.controls and not scenario.synthetic:
            found.append(
                f"{name} has controls, but nothing synthetic to control. Add `synthetic: true`, or "
                "leave them out."
            )
        for other in scenario.controls if isinstance(scenario.controls, tuple) else ():
            if other not in by_id or by_id[other].synthetic:
                plain = ", ".join(one.id for one in specification.scenarios if not one.synthetic)
                found.append(
                    f"{name}: its control {other!r} is no scenario of real images; there are "
                    f"{plain or 'none'}."
                )
        named = scenario.controls if isinstance(scenario.controls, tuple) else ()
        if len({*named}) < len(named):
            found.append(
                f"{name}: controls holds one scenario more than once. One must show as many "
                "images, another as many real ones."
            )
        models = [model.arguments for model in specification.models]
        if scenario.ratios and any(
            SHARE in words_of(words) for words in (scenario.arguments, *models)
        ):
            found.append(
                f"{name} has ratios, which are its {SHARE}, and a flag says another. Leave the "
                "flag out of the scenario and of the models, or write the scenario without ratios."
            )
        if scenario.ratios and scenario.pretrain is not None:
            found.append(
                f"{name} has ratios and a pretraining. Write a scenario for each ratio, with "
                "--data.synthetic_share among the words of `pretrain`."
            )
        if (scenario.control_of is None) != (scenario.control is None):
            found.append(f"{name}: give both `control_of` and `control`, or neither.")
        elif scenario.control_of is not None:
            found += _wrong_control(scenario, by_id.get(scenario.control_of))
    if any(ratio <= 0 for scenario in specification.scenarios for ratio in scenario.ratios):
        found.append("ratios must be above 0: synthetic images for each real one.")
    return found


def _wrong_control(scenario: Scenario, arm: Scenario | None) -> list[str]:
    name = f"scenario {scenario.id}"
    if arm is None or not arm.synthetic:
        return [
            f"{name} is the control of {scenario.control_of!r}, which is no synthetic scenario."
        ]
    if scenario.synthetic or scenario.arguments not in ((), arm.arguments):
        return [
            f"{name} takes the flags of {arm.id}, whose control it is. Leave out `synthetic` and "
            "`arguments`."
        ]
    if scenario.generator not in (None, arm.generator):
        return [
            f"{name} takes the generator of {arm.id}, whose control it is. Leave out `generator`."
        ]
    return []


def wrong_primary(specification: Specification) -> list[str]:
    """Sentences on what cannot decide: scenarios that are none, the baseline, the placebo."""
    if specification.primary is None:
        return []
    if specification.distances:
        return ["primary: a study of generators ranks them, and tests nothing. Leave it out."]
    if not specification.primary:
        return ["primary is empty; name the comparisons that decide, or leave it out."]
    found = []
    scenarios = [scenario.id for scenario in specification.scenarios]
    for named in specification.primary:
        unknown = [identifier for identifier in named if identifier not in scenarios]
        if specification.placebo and any(one.partition("_")[0] == PLACEBO for one in named):
            found.append("primary: the placebo is shown beside the others, and decides nothing.")
        elif unknown:
            found.append(f"primary: there is no scenario {unknown[0]!r}.")
        elif len(named) not in (1, 2) or len({*named}) < len(named):
            found.append(f"primary: {list(named)} is no scenario and no pair of two.")
        elif named == (specification.baseline_scenario,):
            found.append(f"primary: {named[0]} is the baseline. Name what is compared with it.")
    return found


def wrong_pairs(specification: Specification) -> list[str]:
    """Sentences on scenarios against themselves, and on one difference under both its signs."""
    extra = specification.extra_comparisons
    found = [
        f"extra_comparisons: {treated} is compared with itself. Name two scenarios."
        for treated, control in extra
        if treated == control
    ]
    named = {"extra_comparisons": [tuple(pair) for pair in extra]}
    named["primary"] = [
        one if len(one) == 2 else (*one, _baseline_of(specification, one[0]))
        for one in specification.primary or ()
        if len(one) == 2 or (len(one) == 1 and not _has_controls(specification, one[0]))
    ]
    for key, pairs in named.items():
        found += [f"{key}: {told}" for told in _both_signs(pairs)]
    found += [
        f"extra_comparisons: {list(pair)} has the baseline first, and every scenario is compared "
        "with the baseline already. Leave it out."
        for pair in extra
        if pair[0] == specification.baseline_scenario
    ]
    return found


def _baseline_of(specification: Specification, identifier: str) -> str:
    named = [one for one in specification.scenarios if one.id == identifier]
    known = specification.baseline_scenario in {one.id for one in specification.scenarios}
    return specification.baseline_of(named[0]) if named and known else ""


def _both_signs(pairs: Sequence[tuple[str, ...]]) -> list[str]:
    return [
        f"{list(pair)} and {list(pair[::-1])} are one difference, once with each sign. Leave one "
        "of them out."
        for index, pair in enumerate(pairs)
        if pair[0] != pair[-1] and pair[::-1] in pairs[:index]
    ]


def _has_controls(specification: Specification, identifier: str) -> bool:
    return any(one.controls for one in specification.scenarios if one.id == identifier)
