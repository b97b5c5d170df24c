"""The synthetic sets of a study, each asked once for its labels: does a model find what they say?

The model is the study's own baseline, trained on real images with the seed of the set's generator.
These checks come after the trainings and change none of them: a study may be given one afterwards.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from datamodules.synthetic import SyntheticSet, found_labels_in
from display.numbers import count, listed
from provenance import read_json, sha256_of
from studies.run.attempt import do_claimed
from studies.run.audits import GIVEN, sets_of
from studies.run.external import checkpoint_of
from studies.run.folder import Study
from studies.run.records import read_record
from studies.run.verbs import Verbs
from studies.specification.parts import Cell
from studies.specification.specification import Specification

CHECK = "evaluation.json"
SPLIT = "test"
TOLD_APART = "shows_nothing"  # classes that the model is not shown to tell apart in real images


def check_labels(
    study: Study, load_verbs: Callable[[], Verbs], say: Callable[[str], None]
) -> list[tuple[str, str]]:
    """Ask for the labels of every finished set whose baseline is finished too.

    Args:
        study: The study.
        load_verbs: Gives the verbs.
        say: Prints a line.

    Returns:
        (name, message) of the checks that failed now.
    """
    if not study.specification.label_check:
        return []
    failed: list[tuple[str, str]] = []
    judges = judges_of(study.specification)
    for name, path in sets_of(study).items():
        record = _asked_cell(study, judges.get(name))
        if record is None or finished_check(study, name, path, record) is not None:
            continue
        job = f"labels__{name}"
        work = partial(_checked, study, name, path, record, load_verbs)
        _, message = do_claimed(job, study, say, work, _in_words)
        if message is not None:
            failed.append((job, message))
    return failed


def judges_of(specification: Specification) -> dict[str, str]:
    """Names of the cells whose models are asked, by the names of the sets that `sets_of` gives.

    They are of the baseline, of a set's size where it has one, and of the study's first model.
    """
    model = specification.models[0]
    baseline = specification.scenario(specification.baseline_scenario)
    found = {GIVEN: Cell(baseline, model, specification.seeds[0]).name}
    for cell in specification.cells():
        if specification.generator_of(cell) is not None:
            own = specification.scenario(specification.baseline_of(cell.scenario))
            made = specification.generator_job(cell).set_name
            found.setdefault(made, Cell(own, model, cell.seed).name)
    return found


def finished_check(
    study: Study, name: str, path: Path, record: dict[str, Any]
) -> dict[str, Any] | None:
    """The check of a set, if there is one of these very images by this very model.

    One that the set's record does not hold counts as none: then it is made again and recorded,
    beside what other models found. Nor does one of an earlier version, which did not ask whether
    the model tells the classes apart in real images.
    """
    file = study.folder.label_check(name) / CHECK
    if not file.is_file():
        return None
    found: dict[str, Any] = read_json(file)
    made = SyntheticSet.open(path)
    wanted = {
        "synthetic_sha256": made.content_sha256,
        "checkpoint_sha256": record["checkpoint_sha256"],
    }
    recorded = {one.get("evaluation_sha256") for one in found_labels_in(made.manifest)}
    if TOLD_APART not in found or sha256_of(file) not in recorded:
        return None
    return found if all(found.get(key) == value for key, value in wanted.items()) else None


def _asked_cell(study: Study, name: str | None) -> dict[str, Any] | None:
    """The finished cell whose model is asked; None while it is not there."""
    if name is None or not study.folder.record(name).is_file():
        return None
    return read_record(study.folder.record(name))


def _checked(
    study: Study,
    name: str,
    path: Path,
    record: dict[str, Any],
    load_verbs: Callable[[], Verbs],
) -> dict[str, Any]:
    out = study.folder.label_check(name)
    # Of other images or another model, or cut short: it is computed again.
    shutil.rmtree(out, ignore_errors=True)
    return load_verbs().labels(
        synthetic=path,
        checkpoint=checkpoint_of(study, record),
        root=study.root,
        split=SPLIT,
        out=out,
    )


def _in_words(found: dict[str, Any]) -> str:
    """Such as "83 % of kidney found in 48 images; shows nothing about tumour"."""
    shares = {
        key.removeprefix("found:").removesuffix(":synthetic"): 100 * entry["value"]
        for key, entry in found["summary"].items()
        if key.startswith("found:") and key.endswith(":synthetic")
    }
    told = listed([f"{share:.0f} % of {name}" for name, share in shares.items()] or ["nothing"])
    unknown = list(found[TOLD_APART])
    end = f"; shows nothing about {listed(unknown)}" if unknown else ""
    return f"{told} found in {count(found['num_images'], 'image')}{end}"
