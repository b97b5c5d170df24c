"""What `prepare.py` says about films: found, used, refused and why, where it is, what is next.

Counts: the names of files may identify somebody, and what is printed ends in a log. Only patients
whose identifiers are spelt in several ways are named, for somebody to see who became one.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from datamodules.film_cache import UNLABELLED, FilmCache
from datamodules.findings import finding_values
from datamodules.prepared_cache import SPLITS
from display.numbers import count
from preparation.films.assemble import FilmOutcome
from preparation.films.names import REJECTED
from preparation.films.tally import counted
from preparation.left_out import left_out_line
from preparation.licence import licence_line
from preparation.private_table import private_folder
from preparation.trainable_sizes import is_doubled
from preparation.verify import moved_lines


def print_film_summary(outcome: FilmOutcome) -> None:
    """Print the account of a preparation; its last line names the next command."""
    tally, out = outcome.tally, outcome.out
    for note in outcome.notes:
        print(f"note: {note}")
    resumed = f" ({outcome.num_resumed:,} finished before)" if outcome.num_resumed else ""
    refused = sum(tally.rejected.values())
    why = f": {counted(tally.rejected)}" if refused else ""
    print(
        f"{count(tally.num_files, 'file')} found{resumed}, {count(tally.num_used, 'film')} used, "
        f"{refused:,} refused{why}."
    )
    if tally.suspicions:
        print(
            f"  used, but look at them: {counted(tally.suspicions)} "
            "(column suspicions of items.csv)."
        )
    if outcome.num_left_out:
        own = private_folder(out) / REJECTED
        print(left_out_line(outcome.num_left_out, own if own.is_file() else out / REJECTED))
    if outcome.manifest is None:
        print(
            f"Results: {out} is one part. When all are made: python prepare.py merge PART PART ... "
            "--out CACHE"
        )
        return
    cache = outcome.cache
    print("\n".join([*_split_lines(cache), *_finding_lines(cache)]))
    print(_layout_line(cache))
    print(licence_line(cache.licence, out))
    found = cache.manifest["duplicates"]
    if found["exact_groups"] or found["near_pairs"]:
        print(
            f"duplicates.csv: {count(found['exact_groups'], 'group')} of equal films and "
            f"{count(found['near_pairs'], 'pair')} of nearly equal ones, "
            f"{found['across_splits']:,} across splits."
        )
        whose = "patients" if cache.split_by == "patient" else "films"
        for line in moved_lines(found.get("moved", {}), whose):
            print(line)
    print(f"Results: {out} (manifest.json, items.csv){_kept(out)}. Next: {_next(cache)}")


def _kept(out: Path) -> str:
    """Where the names are, if any are."""
    folder = private_folder(out)
    return f"; {folder} says who is who and is yours alone" if folder.is_dir() else ""


def _split_lines(cache: FilmCache) -> list[str]:
    column = cache.label_columns[0] if cache.label_columns else None
    lines = []
    for split in SPLITS:
        indices = cache.indices(split)
        patients, films = len(cache.patients(split)), len(indices)
        line = f"  {split:5s} {patients:6,d} {'patient ' if patients == 1 else 'patients'}"
        line += f" {films:7,d} film{'' if films == 1 else 's'}"
        if column is not None:
            names = [*cache.class_names(column), "unlabelled"]
            counts = Counter(cache.labels(column)[indices].tolist())
            each = [f"{counts[i]:,} {name}" for i, name in enumerate(names[:-1])]
            each += [f"{counts[UNLABELLED]:,} unlabelled"] if counts[UNLABELLED] else []
            line += ": " + ", ".join(each)
        lines.append(line)
    if cache.split_by == "image":
        lines.append(
            "warning: split by image. Films of one patient may be in training and in test, so "
            "scores are overstated; never report them beside scores split by patient."
        )
    return lines


def _finding_lines(cache: FilmCache) -> list[str]:
    """How many films of each split have each of several findings, have it not, or nobody knows."""
    if len(cache.findings) < 2:
        return []
    rows = [["finding, with / without / unknown", *SPLITS]]
    for name in cache.findings:
        counts = []
        for split in SPLITS:
            known = finding_values(cache, name)[cache.indices(split)]
            each = (known == 1, known == 0, np.isnan(known))
            counts.append(" / ".join(f"{int(one.sum()):,}" for one in each))
        rows.append([name, *counts])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *(map(str.rjust, row[1:], widths[1:]))])
        for row in rows
    ]


def _layout_line(cache: FilmCache) -> str:
    size, stored = cache.image_size, cache.stored_size
    crop = f" cropped from {stored}x{stored}" if stored != size else ""
    clahe = cache.manifest["clahe"].replace("_", " ")
    colour = "colour" if cache.channels == 3 else "grey"
    number = len(cache) * cache.channels * stored**2 * cache.manifest["bit_depth"] // 8
    return (
        f"{size}x{size} pixels{crop}, {colour}, {cache.manifest['bit_depth']} bits, CLAHE {clahe}; "
        f"{number / 1e6:,.1f} MB."
    )


def _next(cache: FilmCache) -> str:
    """A training where there are films to train on, at a size that the networks have."""
    size = cache.image_size
    if len(cache.indices("train")) and is_doubled(size):
        findings = len(cache.findings) > 1
        name = "resnet18_findings" if findings else "se_msg_pggan"
        config = f"configs/chest_xray/{name}.yaml"
        return f"python train.py fit --config {config} --data.root {cache.root}"
    return f"python prepare.py verify {cache.root}"
