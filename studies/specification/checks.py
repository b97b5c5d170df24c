"""Refuses what no single key of a study shows: clashing names, references to nothing."""

import re

from provenance import UserError
from studies.specification.comparisons import wrong_controls, wrong_pairs, wrong_primary
from studies.specification.external import wrong_external
from studies.specification.generator_names import key_of_generator
from studies.specification.generators import wrong_generators
from studies.specification.specification import (
    FRACTION,
    PATIENTS_SEED,
    PLACEBO,
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
        + wrong_generators(specification)
        + wrong_controls(specification)
        + wrong_primary(specification)
        + wrong_pairs(specification)
        + _wrong_numbers(specification)
        + _wrong_audit(specification)
        + _wrong_label_check(specification)
        + wrong_external(specification)
    ):
        raise UserError(f"{source}: {sentence}")


def _wrong_flags(specification: Specification) -> list[str]:
    given = {"arguments": specification.arguments}
    for name, plan in specification.plans.items():
        given[f"{key_of_generator(name)}.arguments"] = plan.arguments
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
    if not (specification.plans or specification.distances or specification.synthetic):
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


def _wrong_label_check(specification: Specification) -> list[str]:
    if not specification.label_check:
        return []
    baseline = specification.scenario(specification.baseline_scenario)
    found = []
    if not (specification.plans or specification.synthetic) or specification.distances:
        found.append("label_check: this study shows no model synthetic images. Leave it out.")
    if baseline.synthetic:
        found.append(
            f"label_check: a model of real images is asked for labels, and the baseline "
            f"{baseline.id} is shown synthetic ones. Leave it out, or take another baseline."
        )
    return found


def _wrong_names(specification: Specification) -> list[str]:
    found = []
    names = {
        "scenarios": [scenario.id for scenario in specification.scenarios],
        "models": [model.name for model in specification.models],
        "seeds": [str(seed) for seed in specification.seeds],
        "name": [specification.name],
        "generators": list(specification.generators or ()),
    }
    for kind, values in names.items():
        if not values and kind != "generators":
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
    if specification.synthetic and not any(one.synthetic for one in specification.scenarios):
        found.append("synthetic: no scenario is `synthetic: true`, so the set joins none.")
    if specification.synthetic and specification.distances:
        found.append("synthetic: a study with `distances` trains generators on real films alone.")
    if specification.distances and specification.target:
        found.append("target: a study with `distances` trains generators, which find no class.")
    for scenario in specification.scenarios:
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
