"""MIMIC-CXR-JPG: films by dicom_id, findings by study, the split by film; tables also as `.gz`.

Johnson et al. 2019 (arXiv:1901.07042). Sex and age stand in MIMIC-IV, not here.
"""

from pathlib import Path

from preparation.films.releases.chexpert import FINDINGS
from preparation.films.releases.options import ReleaseOptions
from preparation.films.releases.policy import Policy
from preparation.films.releases.release import PATIENT, SPLIT, VIEW, Collected, Release, findings_of
from preparation.films.releases.table import found_table, read_table
from provenance import UserError

_SPLITS = {"train": "train", "validate": "val", "test": "test"}
_LATERAL = ("LATERAL", "LL", "RL")


def read_mimic(source: Path, options: ReleaseOptions, policy: Policy) -> Release:
    """Read the tables of MIMIC-CXR-JPG; the findings by CheXpert's labeller, else by NegBio's.

    Args:
        source: The folder of the release.
        options: What of it is kept.
        policy: What uncertain and blank findings become.

    Raises:
        UserError: A table is missing or has other columns or values.
    """
    path = found_table(source, ["mimic-cxr-*-metadata.csv"], "the table of MIMIC-CXR-JPG's films")
    labels = found_table(
        source,
        ["mimic-cxr-*-chexpert.csv", "mimic-cxr-*-negbio.csv"],
        "a table of its findings",
    )
    assert path is not None
    assert labels is not None
    kept = options.wanted_findings(FINDINGS)
    of_study, num_cells = {}, 0
    table = read_table(labels)
    for line, cells in table.rows("subject_id", "study_id", *FINDINGS):
        said = dict(zip(FINDINGS, cells[2:], strict=True))
        of_study[cells[0], cells[1]] = findings_of(table, line, said, policy, kept)
        num_cells += len(said)
    split_of: dict[str, str] = {}
    tables: tuple[Path, ...] = (path, labels)
    if options.published_split:
        own = found_table(source, ["mimic-cxr-*-split.csv"], "the table of its published split")
        assert own is not None
        tables, splits = (*tables, own), read_table(own)
        for line, (film, split) in splits.rows("dicom_id", "split"):
            if split not in _SPLITS:
                raise UserError(
                    f"{own}: line {line}: split is {split!r}, expected {', '.join(_SPLITS)}."
                )
            split_of[film] = _SPLITS[split]
    table = read_table(path)
    collected, unread, unlisted = Collected(table), 0, 0
    for line, (film, subject, study, view) in table.rows(
        "dicom_id", "subject_id", "study_id", "ViewPosition"
    ):
        found = of_study.get((subject, study))
        unread += found is None
        row = {
            **(found or {"label": "", **dict.fromkeys(kept, "")}),
            PATIENT: subject,
            VIEW: "lateral" if view.upper() in _LATERAL else view.upper(),
        }
        if options.published_split:
            unlisted += film not in split_of
            row[SPLIT] = split_of.get(film, "")
        collected.add(line, film, row)
    if unlisted:
        raise UserError(
            f"--published-split: {unlisted:,} of the {len(collected.rows):,} films of {path} are "
            f"not in {tables[-1].name}. Give the tables of one release, or leave the flag out."
        )
    notes = [f"findings are those of {labels.name}; {policy.note(num_cells)}"]
    if unread:
        notes.append(
            f"{labels}: lacks the study of {unread:,} films, of which nothing is known then."
        )
    return Release(collected.rows, kept, tables, "mimic-cxr", tuple(notes))
