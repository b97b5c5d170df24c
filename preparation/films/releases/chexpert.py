"""CheXpert: `train.csv`, `valid.csv` and, of the later release, `test.csv`; the patient in paths.

Irvin et al. 2019 (arXiv:1901.07031). Without `test.csv` the 200 studies of `valid.csv`, which
radiologists labelled, are what is tested on, as in most papers.
"""

import re
from pathlib import Path

from preparation.films.releases.options import ReleaseOptions
from preparation.films.releases.policy import NO_FINDING, Policy, age_in_years, sex
from preparation.films.releases.release import (
    ANY_FRONTAL,
    PATIENT,
    SPLIT,
    VIEW,
    Collected,
    Release,
    findings_of,
)
from preparation.films.releases.table import found_table, read_table
from provenance import UserError

FINDINGS = (
    NO_FINDING, "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
_PATIENT = re.compile(r"(?:^|/)(patient\d+)/")


def read_chexpert(source: Path, options: ReleaseOptions, policy: Policy) -> Release:
    """Read the tables of CheXpert.

    Args:
        source: The folder of the release.
        options: What of it is kept.
        policy: What uncertain and blank findings become.

    Raises:
        UserError: A table is missing or has other columns or values.
    """
    train = found_table(source, ["train.csv"], "the table of CheXpert's training films")
    valid = found_table(source, ["valid.csv"], None)
    test = found_table(source, ["test.csv", "test_labels.csv"], None)
    assert train is not None
    tables_of = {"train": train, "val" if test else "test": valid}
    tables_of |= {"test": test} if test else {}
    if options.published_split and valid is None:
        raise UserError(
            f"--published-split: --source {source} holds no valid.csv, which is CheXpert's. Put it "
            "beside train.csv, or leave the flag out."
        )
    kept, num_cells = options.wanted_findings(FINDINGS), 0
    rows: dict[str, dict[str, str]] = {}
    for split, path in tables_of.items():
        if path is None:
            continue
        table, more = read_table(path), "" if path == train else "?"
        collected = Collected(table)
        about = ("Path", "Sex?", "Age?", f"Frontal/Lateral{more}", f"AP/PA{more}")
        # The test table lacks what is no finding, and some findings.
        names = FINDINGS if path == train else tuple(n for n in FINDINGS if table.has(n))
        for line, cells in table.rows(*about, *names):
            film, gender, age, side, projection = cells[: len(about)]
            found = _PATIENT.search(film)
            if found is None:
                raise UserError(
                    f"{path}: line {line}: {film!r} names no patient. Expected a path such as "
                    "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg."
                )
            said = dict(zip(names, cells[len(about) :], strict=True))
            labels = findings_of(table, line, said, policy, [n for n in kept if n in said])
            num_cells += len(said)
            row = {
                **{"label": "", **dict.fromkeys(kept, "")},
                **labels,
                "sex": sex(gender),
                "age": age_in_years(age),
                PATIENT: found[1],
                VIEW: _view(film, side, projection),
            }
            if options.published_split:
                row[SPLIT] = "" if split == "train" and test is None else split
            collected.add(line, film, row)
        if twice := rows.keys() & collected.rows.keys():
            raise UserError(
                f"{path}: has {min(twice)}, which another table of the release has too "
                f"({len(twice):,} such films). Give the tables as they were published."
            )
        rows.update(collected.rows)
    tables = tuple(path for path in tables_of.values() if path is not None)
    return Release(rows, kept, tables, "chexpert", (policy.note(num_cells),))


def _view(film: str, side: str, projection: str) -> str:
    """PA, AP, lateral, or frontal where no projection is named."""
    lateral = side.lower() == "lateral" or (not side and film.endswith("_lateral.jpg"))
    frontal = side.lower() == "frontal" or (not side and film.endswith("_frontal.jpg"))
    if lateral:
        return "lateral"
    if frontal:
        return projection.upper() if projection.upper() in ("PA", "AP") else ANY_FRONTAL
    return ""
