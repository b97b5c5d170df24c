"""Refuses what no single key of a study shows: clashing names, references to nothing."""

import re
from collections.abc import Sequence

from provenance import UserError
from studies.specification.arms import SHARE
from studies.specification.external import wrong_external
from studies.specification.specification import (
    FRACTION,
    PATIENTS_SEED,
    PLACEBO,
    Scenario,
    Specification,
    words_of,
)

# Names become file names, and "__" separates the parts of a cell's name.
_PLAIN_NAME = re.compile(r"(?!.*__)[A-Za-z0-9][A-Za-z0-9_.-]*")

_START_FROM = "--model.start_from"
# The runner sets these itself; a study that sets them too would make cells overwrite each other.
_RUNNERS_OWN_FLAGS = (
    "--run_folder",
    "--seed_everything",
    "--data.root",
    "--data.synthetic",
    "--data.control",
    "--data.only_label",
    PATIENTS_SEED,
    _START_FROM,
    "--resume",
)
_AUDITED_SPLITS = ("val", "test", "val+test")
# What `distances` says; given twice, the flags would win without a word.
_DISTANCE_FLAGS = ("extractor", "weights", "num_images", "every_epochs", "random_vgg_too")


def check_specification(specification: Specification, source: str) -> None:
    """Refuse what no single key shows: clashing names, references to nothing, no generator.

    Raises:
        UserError: The sentence begins with `source`, the file that the study was read from.
    """
    for sentence in (
        _wrong_flags(specification)
        + _wrong_sizes(specification)
        + _wrong_names(specification)
        + _wrong_references(specification)
        + _wrong_controls(specification)
        + _wrong_primary(specification)
        + _wrong_pairs(specification)
        + _wrong_numbers(specification)
        + _wrong_audit(specification)
        + wrong_external(specification)
    ):
        raise UserError(f"{source}: {sentence}")


def _wrong_flags(specification: Specification) -> list[str]:
    generator = specification.generator
    given = {"arguments": specification.arguments}
    given["generator.arguments"] = generator.arguments if generator else ()
    for index, scenario in enumerate(specification.scenarios):
        given[f"scenarios[{index}].arguments"] = scenario.arguments
        pretrain = scenario.pretrain
        given[f"scenarios[{index}].pretrain"] = pretrain if isinstance(pretrain, tuple) else ()
    for index, model in enumerate(specification.models):
        given[f"models[{index}].arguments"] = model.arguments
    found = [
        f"{key}: {flag} is set by the study for every cell. Leave it out."
        for key, words in given.items()
        for flag in (word.split("=")[0] for word in words)
        if flag in _RUNNERS_OWN_FLAGS
        # A study of generators trains none of them twice, so they may go on from another run's.
        if not (flag == _START_FROM and specification.distances)
    ]
    found += [
        f"{key}: {FRACTION}: write `sizes: [0.25]` beside a scenario instead, which makes one for "
        "each share of the patients, and gives its generator the same patients."
        for key, words in given.items()
        if FRACTION in words_of(words)
    ]
    if specification.distances:
        flags = {f"--distance.{name}" for name in _DISTANCE_FLAGS}
        doubled = flags & {word.split("=")[0] for words in given.values() for word in words}
        found += [
            f"arguments: {f} stands under `distances` in this study." for f in sorted(doubled)
        ]
    return found


def _wrong_sizes(specification: Specification) -> list[str]:
    found, seeds = [], len(specification.seeds)
    for scenario in specification.scenarios:
        name, size, trained = f"scenario {scenario.id}", scenario.size, scenario.num_seeds
        if size is not None and not 0 < size <= 1:
            found.append(
                f"{name}: sizes are shares of the training patients, above 0 and at most 1; found "
                f"{size:g}."
            )
        if size is not None and specification.distances:
            found.append(f"{name}: a study with `distances` knows no sizes. Leave them out.")
        if trained is not None and not 1 <= trained <= seeds:
            found.append(
                f"{name}: num_seeds is {trained}, expected 1 to {seeds}, the number of seeds."
            )
    return found


def _wrong_audit(specification: Specification) -> list[str]:
    plan = specification.audit
    if plan is None:
        return []
    found = []
    makers = (specification.generator, specification.distances, specification.synthetic)
    if all(one is None for one in makers):
        found.append("audit: this study makes no synthetic set to audit. Leave it out.")
    if plan.split not in _AUDITED_SPLITS:
        found.append(f"audit.split: {plan.split}: expected one of {', '.join(_AUDITED_SPLITS)}.")
    for name, value, least in (
        ("num_images", plan.num_images, 0),
        ("num_held_out", plan.num_held_out, 1),
        ("num_planted", plan.num_planted, 20),
    ):
        if value < least:
            found.append(f"audit.{name}: {value}: expected {least} or more.")
    return found


def _wrong_names(specification: Specification) -> list[str]:
    found = []
    names = {
        "scenarios": [scenario.id for scenario in specification.scenarios],
        "models": [model.name for model in specification.models],
        "seeds": [str(seed) for seed in specification.seeds],
        "name": [specification.name],
    }
    for kind, values in names.items():
        if not values:
            found.append(f"{kind} is empty; give at least one.")
        doubled = sorted({value for value in values if values.count(value) > 1})
        if doubled:
            found.append(f"{kind} holds {', '.join(doubled)} more than once.")
        for value in values:
            if kind != "seeds" and not _PLAIN_NAME.fullmatch(value):
                found.append(
                    f"{kind}: {value!r} becomes part of a file name. Use letters, digits, '-', "
                    "'.' and single '_', and write the full name under title."
                )
    found += [
        f"scenario {scenario.id}: this name is kept for the placebo, which `placebo: true` beside "
        "the scenarios adds. Take another id, and leave out `placebo` there."
        for scenario in specification.scenarios
        if scenario.placebo != (scenario.id.partition("_")[0] == PLACEBO)
    ]
    return found


def _wrong_references(specification: Specification) -> list[str]:
    found = []
    scenarios = [scenario.id for scenario in specification.scenarios]
    models = [model.name for model in specification.models]
    pairs = [identifier for pair in specification.extra_comparisons for identifier in pair]
    for identifier in (specification.baseline_scenario, *pairs):
        if identifier not in scenarios:
            found.append(f"there is no scenario {identifier!r}; there are {', '.join(scenarios)}.")
    if specification.synthetic and specification.generator:
        found.append(
            "synthetic and generator: each says where the synthetic images are from. Leave one out."
        )
    if specification.synthetic and not any(one.synthetic for one in specification.scenarios):
        found.append("synthetic: no scenario is `synthetic: true`, so the set joins none.")
    if specification.synthetic and specification.distances:
        found.append("synthetic: a study with `distances` trains generators on real films alone.")
    if specification.distances and specification.target:
        found.append("target: a study with `distances` trains generators, which find no class.")
    for scenario in specification.scenarios:
        if scenario.synthetic and not (specification.generator or specification.synthetic):
            found.append(
                f"scenario {scenario.id} is synthetic, but there is no generator. Add it, or give "
                "a finished set with `synthetic: FOLDER`."
            )
        if scenario.pretrain is not None and not (scenario.synthetic or scenario.control_of):
            found.append(
                f"scenario {scenario.id} pretrains on synthetic images: add `synthetic: true`."
            )
        if specification.distances and (scenario.synthetic or scenario.pretrain is not None):
            found.append(
                f"scenario {scenario.id} is synthetic, but a study with `distances` trains "
                "generators, on real films alone."
            )
    for row_name, row in (specification.paper.values if specification.paper else {}).items():
        if specification.distances:  # a generator's rows, with epochs as columns
            unknown = [row_name] if row_name not in models else []
            unknown += [name for name in row if not name.isdigit()]
            kinds = "model, or no number of an epoch,"
        else:
            unknown = [row_name] if row_name not in scenarios else []
            unknown += [name for name in row if name not in models]
            kinds = "scenario or model"
        found += [f"paper.values: {name!r} is no {kinds} here." for name in unknown]
    return found


def _wrong_controls(specification: Specification) -> list[str]:
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
    return []


def _wrong_primary(specification: Specification) -> list[str]:
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


def _wrong_pairs(specification: Specification) -> list[str]:
    """Scenarios against themselves, and one difference under both its signs."""
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


def _clashing_seeds(specification: Specification) -> list[str]:
    """Scenarios two of whose trainings would have one seed, by one chance in many millions."""
    if specification.shared_seeds:
        return []
    of: dict[int, str] = {}
    for cell in specification.cells():
        scenario, seed = cell.scenario.id, specification.training_seed(cell)
        if of.setdefault(seed, scenario) != scenario and not cell.scenario.placebo:
            return [
                f"scenarios {of[seed]} and {scenario} would each train with seed {seed}. Take "
                "another id for one of them, or smaller seeds."
            ]
    return []


def _wrong_numbers(specification: Specification) -> list[str]:
    found = []
    if min(specification.seeds, default=0) < 0:
        found.append("seeds must not be negative.")
    taken = {*specification.seeds}
    for scenario in specification.scenarios:
        if scenario.placebo and taken & {*specification.seeds_of(scenario)}:
            found.append("seeds: the placebo's are each 10,000 higher, and overlap with others.")
    found += _clashing_seeds(specification)
    if specification.generator and specification.generator.num_images < 1:
        found.append("generator.num_images must be at least 1.")
    kept = specification.generator.checkpoint if specification.generator else "last"
    if kept not in ("last", "best"):
        found.append(f"generator.checkpoint is {kept!r}, expected last or best.")
    distances = specification.distances
    if distances and (distances.num_images < 4 or distances.every_epochs < 1):
        found.append("distances.num_images must be at least 4, and every_epochs at least 1.")
    if distances and distances.split not in ("train", "val", "test"):
        found.append(f"distances.split is {distances.split!r}, expected train, val or test.")
    if distances and distances.checkpoint not in ("last", "best"):
        found.append(f"distances.checkpoint is {distances.checkpoint!r}, expected last or best.")
    if distances and any(epoch % distances.every_epochs for epoch in distances.epochs):
        found.append(
            f"distances.epochs: only every {distances.every_epochs}th epoch is measured; name "
            "multiples of every_epochs."
        )
    if specification.subgroups and specification.distances:
        found.append("subgroups: a study of generators scores no patients. Leave it out.")
    doubled = sorted({c for c in specification.subgroups if specification.subgroups.count(c) > 1})
    if doubled:
        found.append(f"subgroups holds {', '.join(doubled)} more than once.")
    if not 0.5 <= specification.confidence < 1:
        found.append(f"confidence is {specification.confidence}, expected 0.5 to below 1.")
    return found
