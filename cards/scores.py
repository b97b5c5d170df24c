"""Recorded evaluations of a set's images, as rows of its card."""

from collections.abc import Mapping, Sequence
from typing import Any

from cards.page import Row
from datamodules.synthetic import SyntheticItem, found_labels_in, has_label_maps
from display.numbers import count, interval, number
from foreign_text import printable

_OF_COVERAGE = ("recall", "coverage", "diversity", "ms_ssim")
MEASURE = (
    "not measured: `python evaluate.py images --real CACHE --synthetic SET --out FOLDER --record`"
)

_MEASURE_SURVIVAL = (
    "not measured: `python evaluate.py survival --synthetic SET --source CACHE --checkpoint FILE "
    "--out FOLDER --record`"
)
_MEASURE_LABELS = (
    "not measured: `python evaluate.py labels --synthetic SET --root CACHE --checkpoint FILE "
    "--out FOLDER --record`"
)

_OF_PAINTED = (
    "; the images are real slices outside the painted lesion, and it may have been trained on them"
)


def rows_of(evaluations: Sequence[Mapping[str, Any]], of_coverage: bool) -> list[Row]:
    """Every score with its interval, its floor, and the numbers of images.

    Args:
        evaluations: As the manifest holds them.
        of_coverage: Those of variety; else those of likeness.
    """
    rows: list[Row] = []
    for found in evaluations:
        beside = (
            f"{count(found['num_synthetic'], 'synthetic image')}, {found['num_real']:,} real of "
            f"{count(found['num_real_patients'], 'patient')} ({found['split']} split)"
        )
        for name, entry in found["scores"].items():
            if name.startswith(_OF_COVERAGE) == of_coverage:
                rows.append((name, f"{_score(entry)}; {beside}"))
        if not of_coverage:
            rows += _of_pairs(found.get("pairs", {}))
            rows += [
                (
                    f"real patients, {found['split']}, {found['extractor']}",
                    f"the generator was trained on {found['real_patients_trained_on']} of them",
                )
            ]
    return rows or [("closeness" if not of_coverage else "variety", MEASURE)]


def rows_of_labels(items: Sequence[SyntheticItem], manifest: Mapping[str, Any]) -> list[Row]:
    """How often frozen models find each label, in the set and in real images: one after the other.

    No rows for images without labels; nor, before it is measured, for translated ones, whose labels
    are compared with those of their originals.
    """
    checks = found_labels_in(manifest)
    if not checks:
        labelled = has_label_maps(items) or any(item.label is not None for item in items)
        waits = bool(items) and labelled and "translated_from" not in manifest
        return [("labels, looked for by a model", _MEASURE_LABELS)] if waits else []
    return [row for found in checks for row in _of_labels(found, "painted" in manifest)]


def _of_labels(found: Mapping[str, Any], painted: bool) -> list[Row]:
    """Of one model, which comes first: the rows after it are its own."""
    summary = found["summary"]
    real = count(found["num_real_patients"], "patient")
    rows = [
        (
            "labels, looked for by a model",
            f"a frozen {_named(found)}; {count(found['num_images'], 'image')}, and "
            f"{found['num_real']:,} real of {real} ({found['split']} split) that it was "
            f"not trained on{_OF_PAINTED * painted}",
        )
    ]
    rows += _side_by_side(summary, "synthetic", ("real", "difference"))
    rows += [
        (f"{printable(name.removesuffix(':real'))}, real", _with_ends(entry))
        for name, entry in summary.items()
        if name.startswith("youden:")
    ]
    told = [*found.get("shows_nothing", {}).values(), *found.get("notes", ())]
    rows += [("note", printable(note)) for note in told]
    required = found.get("required", ())
    return rows + [("required", f"{printable(r['rule'])}: {r['verdict']}") for r in required]


def _named(found: Mapping[str, Any]) -> str:
    """A model by its kind and its checkpoint, and when a structure counts as found."""
    bound = found["found_at"]
    from_dice = "" if bound is None else f", which finds a structure from a Dice of {bound:g} on"
    return f"{found['model']} (SHA-256 {found['checkpoint_sha256'][:12]}){from_dice}"


def rows_of_survival(manifest: Mapping[str, Any]) -> list[Row]:
    """How often a frozen model finds each label of a translated set; no rows for other sets."""
    if "translated_from" not in manifest:
        return []
    survival = manifest.get("survival")
    if survival is None:
        return [("labels after the translation", _MEASURE_SURVIVAL)]
    summary = survival["summary"]
    rows = _side_by_side(summary, "translated", ("original", "change"))
    whose = "of nobody"
    if manifest["translated_from"]["shows_patients"]:
        known = survival["patients_that_the_model_was_trained_on"]
        patients = count(survival["num_patients"], "patient")
        whose = f"of {patients}, of whom it was trained on {known}"
    rows.append(
        (
            "labels after the translation",
            f"a frozen {_named(survival)}; it says of a share of {_with_ends(summary['same'])} "
            f"the same as of the original; {count(survival['num_images'], 'image')} {whose}",
        )
    )
    rows += [("note", printable(note)) for note in survival.get("notes", ())]
    required = survival.get("required", ())
    return rows + [("required", f"{printable(r['rule'])}: {r['verdict']}") for r in required]


def _side_by_side(summary: Mapping[str, Any], first: str, others: Sequence[str]) -> list[Row]:
    """A row for each number of the first kind (found:tumour:synthetic) with the others of it."""
    rows: list[Row] = []
    for name, entry in summary.items():
        what, _, which = name.rpartition(":")
        if which == first:
            beside = [(other, summary.get(f"{what}:{other}")) for other in others]
            text = "".join(f"; {other} {_with_ends(found)}" for other, found in beside if found)
            rows.append((f"{printable(what)}, {first}", _with_ends(entry) + text))
    return rows


def _score(entry: Mapping[str, Any]) -> str:
    if "value" not in entry:
        return f"synthetic {_with_ends(entry['synthetic'])}, real {_with_ends(entry['real'])}"
    text = _with_ends(entry)
    if entry.get("floor") is not None:
        text += (
            f"; {number(entry['value_at_floor_size'], '.4g')} at {entry['num_images_at_floor']} "
            f"images a side, where two halves of the real images give {entry['floor']:.4g}"
        )
    return text


def _with_ends(entry: Mapping[str, Any]) -> str:
    ends = interval(entry["low"], entry["high"], ".4g", missing="too few images")
    return f"{number(entry['value'], '.4g', 'none')} [{ends}]"


def _of_pairs(pairs: Mapping[str, Any]) -> list[Row]:
    return [
        (
            f"{key}, pairs of the {split} split",
            f"{_with_ends(entry)}; {entry['num_values']:,} pairs that share a label map",
        )
        for split, summary in pairs.items()
        for key, entry in summary.items()
    ]
