"""What a study would take and could show, told before anything is trained.

Trainings are counted by building each of them as its cell would, with a stand-in for the synthetic
images that are not made yet; a few steps of each kind are timed. Nothing is written but in a
temporary folder.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from datamodules.open_cache import open_cache
from provenance import UserError
from studies.run.external_sets import check_external, external_lines
from studies.run.folder import Study, StudyFolder, load_study
from studies.run.kind import KINDS
from studies.run.planning.plan_text import disk_lines, header_lines, time_lines, training_lines
from studies.run.planning.prospect_text import prospect_lines
from studies.run.planning.refusals import unfair_lines
from studies.run.planning.rehearsals import counted, timed
from studies.run.planning.trainings import all_trainings
from studies.run.runner import chosen_cells
from studies.run.verbs import Verbs
from studies.run.workers import accelerators, num_cores, thread_settings
from studies.specification.arms import with_placebo
from studies.specification.specification import Specification
from studies.statistics.prospects import has_prospects


def plan_study(
    specification: Specification,
    source: Path,
    root: Path | None,
    load_verbs: Callable[[], Verbs],
    *,
    out: Path | None = None,
    labels: Path | None = None,
    weights: Path | None = None,
    only: str | None = None,
    kept: Path | None = None,
    workers: int = 1,
    placebo: bool = False,
    measure: bool = True,
    external: Mapping[str, Path] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Estimate a study's trainings, detectable differences, time and disk space before it runs.

    Only a few steps of each kind are trained, in a temporary folder; nothing else is written.

    Args:
        specification: The study.
        source: Its YAML.
        root: Cache that prepare.py wrote. None: what depends on the data is left out.
        load_verbs: Gives the verbs.
        out: Folder that the study will have; the free disk space there is reported.
        labels: Cache with label maps for the generator, as for `study.py run`.
        weights: File with the weights of the feature extractor, for a study of generators, as for
            `study.py run`. None: whether they are there is not checked.
        only: Count only cells whose name matches, such as '*__unet_light__seed0', and the
            generators that they need. Detectable differences are those of the whole study.
        kept: Folder of a finished study of the same metric, whose standard deviations are used for
            the detectable differences. None: assumed standard deviations.
        workers: Cells at a time, as for `study.py run`: steps are timed with the cores that each
            cell will have.
        placebo: Add the baseline once more with other seeds, as `study.py run --placebo` does.
        measure: Time a few steps of each kind of training on this machine.
        external: Folder of an external test set of the YAML's `external`, as NAME=CACHE; give the
            flag once per set. None: their images are not counted.
        say: Prints a line.

    Raises:
        UserError: A training of the study would be refused, the data is missing, no cell matches,
            or the kept study cannot tell.
    """
    if workers < 0:
        raise UserError(f"--workers {workers}: expected 0 or more.")
    # Before torch is loaded, as in a worker.
    cores = max(1, num_cores() // max(1, workers))
    os.environ.update(thread_settings(os.environ, cores))
    for flag, given in (("labels", labels), ("weights", weights)):
        if root is None and given is not None:
            raise UserError(
                f"--{flag} {given}: is checked together with the data, and none are given. Add "
                f"--data.root, or leave --{flag} out."
            )
    specification = with_placebo(specification) if placebo else specification
    chosen = chosen_cells(specification, only)
    spreads = None
    if kept is not None:
        if not has_prospects(specification):
            raise UserError(
                f"--from {kept}: this study decides by {specification.metric.title}, of which no "
                "smallest difference is computed before its trainings are there. Leave it out."
            )
        folder = StudyFolder(kept)
        spreads = load_study(folder)[0], folder.finished()
    cache = None if root is None else open_cache(root)
    if labels is not None:
        open_cache(labels)  # what is wrong with it is said now
    if root is not None and (specification.kind == "downstream" or weights is not None):
        outside = external or {}
        study = Study(specification, root, out or Path("."), labels, weights, external=outside)
        check_external(study)
        specification = KINDS[specification.kind].ready(study).specification
    why_not, at_once = None if measure else "as --no-measure asks", max(1, workers)
    with TemporaryDirectory(prefix="plan-") as temporary:
        trainings = all_trainings(specification, cache, Path(temporary) / "synthetic", chosen)
        if root is None:
            why_not = "since no cache is given"
        else:
            rehearse = load_verbs().rehearse
            trainings = counted(trainings, root, specification, rehearse)
        for line in (
            *header_lines(specification, source, cache),
            *training_lines(specification, trainings, only),
            *unfair_lines(specification, trainings),
            *external_lines(specification, external or {}),
            *prospect_lines(specification, source, cache, spreads),
        ):
            say(line)
        if why_not is None and root is not None:  # minutes, with large networks
            trainings = timed(trainings, root, specification.seeds[0], rehearse)
    if any(one.measured is not None and one.measured.device == "cuda" for one in trainings):
        at_once = min(at_once, max(1, len(accelerators())))
    for line in (
        *time_lines(specification, trainings, workers, at_once, why_not),
        *disk_lines(specification, trainings, cache, out),
    ):
        say(line)
