"""The course's own films: drawn ones with findings that a small network can learn in minutes."""

import csv
from collections.abc import Mapping
from pathlib import Path

from phantom.chest.write_set import write_phantom_cxr

LEARNT = ("large_heart", "effusion")
PLAIN = 0.3
"""Strength of a finding from which a film counts as abnormal; 1 is the plainest."""


def draw(folder: Path, num_patients: int, image_size: int) -> Path:
    """Draw patients as DICOM, and write the labels that the course gives them.

    Args:
        folder: For the films; what is there already stays.
        num_patients: 1 to 3 visits each.
        image_size: What a network will see, in pixels; films are 5 % larger for random crops.

    Returns:
        The table of labels, `course_labels.csv`: film and "normal" or "abnormal".
    """
    write_phantom_cxr(folder, num_patients=num_patients, image_size=image_size * 21 // 20, seed=0)
    with open(folder / "labels.csv", newline="", encoding="utf-8") as stream:
        rows = [(row["image"], label_of(row)) for row in csv.DictReader(stream)]
    table = folder / "course_labels.csv"
    with open(table, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("image", "label"), *(row for row in rows if row[1])])
    return table


def label_of(row: Mapping[str, str]) -> str | None:
    """Label of a drawn film, or None to leave it out.

    Abnormal are a large heart and an effusion, unless they are faint; films of other findings are
    left out, and every second normal patient, so that the classes are about equal.
    """
    if row["label"] == "normal":
        case = int(row["image"].split("case_")[1][:6])
        return "normal" if case % 2 == 0 else None
    found = dict(zip(row["finding"].split("|"), row["strength"].split("|"), strict=True))
    plain = any(float(found.get(kind, 0)) >= PLAIN for kind in LEARNT)
    return "abnormal" if plain else None
