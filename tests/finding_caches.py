"""A small film cache whose films have several findings, some of them unknown."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from provenance import sha256_of
from tests.conftest import write_film_cache

# Taken in turn; a film is drawn with a bright disc where the first is 1.
TURNS: Mapping[str, Sequence[str]] = {
    "Edema": ("1", "0", "0", "1", "0"),
    "Mass": ("0", "1", "", "0"),
    "Hernia": ("0", "0"),
}


def with_findings(
    root: Path,
    findings: Mapping[str, Sequence[str]] = TURNS,
    patients: dict[str, str] | None = None,
) -> Path:
    """Write a cache; class lists hold what films have of each finding, as prepare.py writes them.

    Args:
        root: Folder to write.
        findings: Values of each, taken in turn; empty for unknown.
        patients: See `write_film_cache`.
    """
    first = next(iter(findings.values()))
    labels = ["abnormal" if value == "1" else "normal" for value in first]
    write_film_cache(root, patients, labels=labels)
    items, path = root / "items.csv", root / "manifest.json"
    with open(items, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        row |= {f"label:{n}": values[number % len(values)] for n, values in findings.items()}
    with open(items, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    manifest = json.loads(path.read_text())
    for name in findings:
        held = {row[f"label:{name}"] for row in rows} - {""}
        manifest["labels"][name] = sorted(held)
    manifest["sha256_items"] = sha256_of(items)
    path.write_text(json.dumps(manifest))
    return root
