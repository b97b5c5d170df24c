"""A study's report as a run of its own in Weights & Biases, without paths of this machine."""

import contextlib
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

from provenance import read_json, write_text_atomic
from studies.run.folder import StudyFolder, load_study
from studies.run.logged import logged_scores
from wandb_runs.environment import Destination, library
from wandb_runs.run import Labels, begin_run, finish_run, labelled

_FILES = ("report.html", "report.md", "report.json")
# Absolute, of somebody's home, or above the working folder; not what follows in a URL.
_PATH = re.compile(r"(?<![\w./:~-])(?:/|~/|\.\./)[^\s'\"`,;()<>=]+")


def log_report(out: Path, destination: Destination) -> None:
    """Log the report of a study's folder as an artefact, with the arms' scores as summary.

    Gone on with, the study has the same run, and the artefact a new version.

    Args:
        out: Folder of the study, with its report.
        destination: See `wandb_runs.environment.resolve`.
    """
    if destination.mode == "disabled":
        return
    folder = StudyFolder(Path(out))
    specification, _ = load_study(folder)
    name = specification.name
    labels = Labels(
        name=f"{name} report",
        group=name,
        job_type="report",
        tags=(name,),
        config={"study": {"name": name, "folder": folder.root.name}},
    )
    with labelled(labels):
        run = begin_run(folder.root, destination, {}, resume=True, quiet=True)
    if run is None:
        return
    content = read_json(folder.root / "report.json")
    run.summary.update(_summary(folder, content, specification.metric.name))
    artifact = library().Artifact(re.sub(r"[^\w.-]", "-", f"{name}-report"), "report")
    _write_without_paths(folder, content)
    # Where the files lie stands in the record on disk: from the study's folder, so that it names
    # no place, and the folder may be sent from another machine.
    offline = run.settings.mode == "offline"
    with contextlib.chdir(folder.root) if offline else contextlib.nullcontext():
        for name in _FILES:
            place = Path("wandb/report") / name
            artifact.add_file(
                str(place if offline else (folder.root / place).resolve()),
                name=name,
                policy="immutable",
                skip_cache=True,
            )
    run.log_artifact(artifact)
    where = f"offline, in {folder.root / 'wandb'}" if offline else run.url
    finish_run()
    print(f"W&B: the report is logged {where}")


def _summary(folder: StudyFolder, content: dict[str, Any], metric: str) -> dict[str, Any]:
    """What is found at a glance: the answer, how much is done, and each arm's mean over seeds."""
    records = folder.finished()
    arms: dict[str, list[float]] = {}
    for record in records:
        score = logged_scores(record["evaluation"]).get(f"test/{metric}")
        if score is not None:
            key = f"test/{metric}/{record['scenario']}__{record['model']}"
            arms.setdefault(key, []).append(score)
    elsewhere = {
        f"external/{one['name']}/{metric}/{group['scenario']}__{group['model']}": (
            group["external"]["value"]
        )
        for one in content.get("external") or []
        for group in one["groups"]
        if group["external"]["value"] is not None
    }
    return {
        "headline": _shortened(content["answer"]["headline"]),
        "cells_done": len(records),
        "cells_missing": len(content["cells_missing"]),
        "failed": len(content["failures"]),
        **{arm: mean(scores) for arm, scores in arms.items()},
        **elsewhere,
    }


def _write_without_paths(folder: StudyFolder, content: dict[str, Any]) -> None:
    """Copy the report's files, with the last part alone of every path that it names."""
    paths = {path for text in _texts(content) for path in _PATH.findall(text)}
    for name in _FILES:
        text = (folder.root / name).read_text(encoding="utf-8")
        for path in sorted(paths, key=len, reverse=True):
            for written in {path, html.escape(path), json.dumps(path)[1:-1]}:
                text = text.replace(written, _last_part(path))
        write_text_atomic(folder.root / "wandb" / "report" / name, text)


def _texts(node: Any) -> Iterator[str]:
    """Every text in plain values, keys among them."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from (str(key), *_texts(value))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _texts(value)
    elif isinstance(node, str):
        yield node


def _shortened(text: str) -> str:
    return _PATH.sub(lambda found: _last_part(found[0]), text)


def _last_part(path: str) -> str:
    return Path(path.rstrip("/.:")).name
