"""External test sets of a study: every finished cell is tested on all images of each, once.

These evaluations come after the trainings and change none of them: a study may be given an external
set afterwards, as long as its checkpoints are there.
"""

import shutil
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from display.numbers import count
from provenance import UserError, library_versions, read_json, sha256_of, write_json_atomic
from studies.run.attempt import do_claimed
from studies.run.external_sets import described
from studies.run.folder import Study, StudyFolder
from studies.run.job import now
from studies.run.logged import labels_of, logged_scores
from studies.run.verbs import Verbs, verb_command
from studies.statistics.results import holds_score, known_scores
from wandb_runs.run import add_to_summary, labelled


def evaluate_external(
    study: Study,
    chosen: Collection[str],
    load_verbs: Callable[[], Verbs],
    say: Callable[[str], None],
) -> list[tuple[str, str]]:
    """Test every finished cell on every external set where that was not done with these images.

    Args:
        study: The study.
        chosen: Names of the cells of this call.
        load_verbs: Gives the verbs.
        say: Prints a line.

    Returns:
        (name, message) of the evaluations that failed now.
    """
    failed: list[tuple[str, str]] = []
    sets = described(study)
    cells = {record["name"]: record for record in study.folder.finished()}
    wanted = [cells[one.name] for one in study.specification.cells() if one.name in cells]
    lacking = [
        (name, record)
        for name in sets
        for record in wanted
        if record["name"] in chosen
        and external_record(study.folder, name, record, sets[name]["data"]) is None
    ]
    if lacking:
        say(f"{count(len(lacking), 'evaluation')} on external sets, which train nothing.")
    for name, record in lacking:
        job = f"external__{name}__{record['name']}"
        work = partial(_evaluated, study, name, sets[name]["data"], record, load_verbs)
        _, message = do_claimed(job, study, say, work, str)
        if message is not None:
            failed.append((job, message))
    return failed


def external_record(
    folder: StudyFolder, name: str, record: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any] | None:
    """A finished cell's test on an external set; None where it is of other weights or images.

    Args:
        folder: The study's.
        name: Of the set.
        record: The cell's.
        data: What the set is now, as `describe_data` says.
    """
    path = folder.external(name, record["name"])
    if not path.is_file():
        return None
    found: Any = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("evaluation"), dict):
        raise UserError(
            f"{path}: is not what study.py run writes. Remove it, and run the study again."
        )
    same = found.get("checkpoint_sha256") == record["checkpoint_sha256"]
    of = found.get("data") or {}
    return found if same and of.get("content_sha256") == data["content_sha256"] else None


def _evaluated(
    study: Study,
    name: str,
    data: dict[str, Any],
    record: Mapping[str, Any],
    load_verbs: Callable[[], Verbs],
) -> str:
    """Test a cell on an external set and write it down; gives the score in words."""
    path = study.folder.external(name, record["name"])
    out = path.with_suffix("")
    # Of other weights or images, or cut short: it is computed again, from what is still there.
    shutil.rmtree(out, ignore_errors=True)
    started = time.monotonic()
    checkpoint = checkpoint_of(study, record)
    keywords: dict[str, Any] = {
        "checkpoint": checkpoint,
        "out": out,
        "root": study.external[name],
        "split": "all",
        "seen": "exclude",
    }
    evaluation = load_verbs().evaluate(**keywords)
    metric = study.specification.metric.name
    if not holds_score(evaluation, metric):
        raise UserError(
            f"Its evaluation on {name} holds no score {metric!r}; it holds "
            f"{', '.join(known_scores(evaluation)) or 'none'}."
        )
    content = {
        "format": "understudy-external",
        "format_version": 1,
        "name": record["name"],
        "set": name,
        "data": data,
        "checkpoint_sha256": record["checkpoint_sha256"],
        "command": verb_command("evaluate.py", keywords),
        "seconds": time.monotonic() - started,
        "finished": now(),
        "versions": library_versions(),
        "evaluation": evaluation,
    }
    write_json_atomic(path, content)
    with labelled(labels_of(study, record["name"], "")):  # gone on with: the training's own run
        scores = logged_scores(evaluation, f"external/{name}")
        add_to_summary(checkpoint.parents[1], study.logged, scores)
    value = (evaluation.get("summary", {}).get(metric) or {}).get("value")
    return f"{metric} {value:.3f}" if isinstance(value, float) else f"{metric} undefined"


def checkpoint_of(study: Study, record: Mapping[str, Any]) -> Path:
    """The cell's weights, where they were written or in the study's folder if that was moved.

    Raises:
        UserError: They are gone, or others.
    """
    written = Path(record["checkpoint"])
    moved = study.folder.run(record["name"]) / "checkpoints" / written.name
    found = next((path for path in (written, moved) if path.is_file()), None)
    again = (
        f"To train the cell again, remove {study.folder.record(record['name'])} and give the same "
        "command."
    )
    if found is None:
        raise UserError(
            f"{written}: the cell's checkpoint is gone, so its model cannot be asked about other "
            f"images. {again}"
        )
    if sha256_of(found) != record["checkpoint_sha256"]:
        raise UserError(f"{found}: holds other weights than those of the finished cell. {again}")
    return found
