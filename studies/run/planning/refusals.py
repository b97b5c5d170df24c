"""What a study would be refused for, or could not show, told before its first training."""

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from datamodules.open_cache import open_cache
from display.numbers import count
from studies.run.folder import Study
from studies.run.planning.rehearsals import counted
from studies.run.planning.trainings import GENERATOR, Training, all_trainings
from studies.run.verbs import Verbs
from studies.specification.claims import claims
from studies.specification.generator_names import generator_job
from studies.specification.specification import Specification
from studies.statistics.fairness import subject_of, unfairness

_A_MOMENT = 2.0  # seconds


def refuse_wrong_trainings(
    study: Study,
    names: Collection[str],
    load_verbs: Callable[[], Verbs],
    say: Callable[[str], None],
) -> None:
    """Refuse a study that a training or its scores would be refused in, before the first training.

    Controls that will not be fair are said.

    Args:
        study: As its kind's `ready` gave it.
        names: Jobs that are to be done; what is done already is not looked at.
        load_verbs: Gives the verbs.
        say: Prints a line, once, where it takes more than a moment.

    Raises:
        UserError: As `counted`.
    """
    started, told = time.monotonic(), False

    def tell(left: int) -> None:
        nonlocal told
        if not told and time.monotonic() - started > _A_MOMENT:
            told = True
            kinds = count(left, "kind")
            say(f"Before the first training flags, data and metric are checked: {kinds} left ...")

    specification = study.specification
    wanted = {(GENERATOR, made.generator) for made in map(generator_job, names) if made}
    wanted |= {(c.scenario.id, c.model.name) for c in specification.cells() if c.name in names}
    with TemporaryDirectory(prefix="check-") as temporary:
        images = Path(temporary) / "synthetic"
        every = all_trainings(specification, open_cache(study.root), images)
        chosen = [one for one in every if (one.arm, one.model) in wanted]
        lengths = counted(chosen, study.root, specification, load_verbs().rehearse, tell)
    for line in unfair_lines(specification, lengths):
        say(line)


def unfair_lines(specification: Specification, trainings: Sequence[Training]) -> list[str]:
    """What comparisons of synthetic images will lack, by the images that trainings will show."""
    shown: dict[tuple[str, str], tuple[int, int]] = {}
    for one in trainings:
        if one.length is not None and one.arm != GENERATOR:
            images, real = shown.get((one.arm, one.model), (0, 0))
            total = images + one.length.images, real + one.length.real_images
            shown[one.arm, one.model] = total
    lines: dict[str, None] = {}
    for claim in claims(specification):
        about = subject_of(specification, claim.scenario, claim.against) != "change"
        for model in specification.models if about and claim.role == "primary" else ():
            lacking = unfairness(specification, claim.scenario, claim.against, model.name, shown)
            pair = f"{claim.scenario} against {' and '.join(claim.against)}"
            if lacking:
                lines[f"Without a fair control, {pair}: {'; '.join(lacking)}."] = None
    return [*lines, *(("So the report will not say that these help or hurt.",) if lines else ())]
