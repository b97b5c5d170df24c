"""The synthetic sets of a study, each audited once for copies of training images.

Audits come after the trainings and change none of them: a study may be given one afterwards.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from datamodules.synthetic import SyntheticSet
from gates.names import OF_AUDITS
from gates.rules import parse_rules
from provenance import read_json
from studies.run.attempt import do_claimed
from studies.run.folder import Study
from studies.run.verbs import Verbs
from studies.specification.specification import Specification

AUDIT = "audit.json"
GIVEN = "given"  # the name of the audit of a set in place of a generator


def check_audit(specification: Specification) -> None:
    """Refuse rules that are none, before anything is trained.

    Raises:
        UserError: Names the rule.
    """
    if specification.audit is not None:
        parse_rules(specification.audit.require, OF_AUDITS, "audit.require")


def sets_of(study: Study) -> dict[str, Path]:
    """The synthetic sets of this study that are finished, by the names of their audits."""
    folder, specification = study.folder, study.specification
    cells = specification.cells()
    if study.synthetic_set is not None:
        return {GIVEN: study.synthetic_set.root}
    if specification.kind == "generators":
        names = {cell.name: folder.films(cell.name) for cell in cells}
    else:
        made = [specification.generator_job(c) for c in cells if specification.generator_of(c)]
        names = {job.set_name: folder.synthetic(job) for job in made}
    return {name: path for name, path in names.items() if (path / "manifest.json").is_file()}


def audit_sets(
    study: Study, load_verbs: Callable[[], Verbs], say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Audit every finished set that has no audit with these settings.

    Args:
        study: The study.
        load_verbs: Gives the verbs.
        say: Prints a line.

    Returns:
        What its rules came to, of all sets; and (name, message) of the audits that failed now.
    """
    plan = study.specification.audit
    required: list[dict[str, Any]] = []
    failed: list[tuple[str, str]] = []
    for name, path in sets_of(study).items() if plan else ():
        job = f"audit__{name}"
        found = finished_audit(study, name, path)
        if found is None:
            work = partial(_audited, study, name, path, load_verbs)
            made = do_claimed(job, study, say, work, lambda audit: str(audit["verdict"]))
            found, message = made
            if message is not None:
                failed.append((job, message))
            if found is None:
                continue
        study.folder.failure(job).unlink(missing_ok=True)
        required += found.get("require", [])
    return required, failed


def finished_audit(study: Study, name: str, path: Path) -> dict[str, Any] | None:
    """The audit of a set, if there is one of these very images with the study's settings."""
    file = study.folder.audit(name) / AUDIT
    if not file.is_file():
        return None
    found: dict[str, Any] = read_json(file)
    wanted = {**_settings(study), "synthetic_sha256": SyntheticSet.open(path).content_sha256}
    required = parse_rules(wanted.pop("require"), OF_AUDITS, "audit.require")
    rules = [str(rule) for rule in required]
    same = all(found.get(key) == value for key, value in wanted.items())
    return found if same and [row["rule"] for row in found.get("require", ())] == rules else None


def _audited(
    study: Study, name: str, path: Path, load_verbs: Callable[[], Verbs]
) -> dict[str, Any]:
    out = study.folder.audit(name)
    # Of other images or settings, or cut short: it is computed again, from what is still there.
    shutil.rmtree(out, ignore_errors=True)
    return load_verbs().audit(synthetic=path, root=study.root, out=out, **_settings(study))


def _settings(study: Study) -> dict[str, Any]:
    plan = study.specification.audit
    assert plan is not None  # no audit without one
    return {
        "require": plan.require,
        "split": plan.split,
        "num_images": plan.num_images or None,
        "num_held_out": plan.num_held_out,
        "num_planted": plan.num_planted,
    }
