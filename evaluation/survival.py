"""Whether a frozen model still finds the label of an image after it was translated.

A translator is trained without pairs, so nothing in its losses says that disease stays where it
was. The same model looks at each translated image and at its original: what it finds of the
originals is the control, since a model that never found the label would not find it afterwards.

The flags of evaluate.py survival are the function's arguments, and those of `Asking`; nothing heavy
is imported before it is called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from device import chosen_device
from evaluation.folder import RESULT, write_csv
from evaluation.label_record import AS_USUAL, Asking
from gates.names import OF_SURVIVALS
from gates.rules import parse_rules
from output_folder import check_folder, refuse_taken
from provenance import UserError, library_versions, sha256_of, write_json_atomic

_IMAGES = "images.csv"
_BY = ("translated", "original", "change")


def evaluate_survival(
    synthetic: Path,
    source: Path,
    checkpoint: Path,
    out: Path,
    require: str | None = None,
    asking: Asking = AS_USUAL,
) -> dict[str, Any]:
    """Ask a frozen classifier or segmenter whether labels survived a translation.

    For each class, the share of images of that label in which the model finds it: translated, in
    the originals beside it, and the change from one to the other, with 95 % intervals over the
    source's patients. A classifier finds the class that it thinks most probable. A segmenter finds
    a structure where Dice with the label map reaches `found_at`, and "dice" is its mean; "added" is
    the share of images without the class of which it says it, or marks some. "same" is the share of
    images of which the model says the same as of the original, whatever their label; of films
    without a class it is all that is measured. Writes evaluation.json and images.csv.

    Args:
        synthetic: A translated set, as generate.py --source made it.
        source: The cache or the set that was translated.
        checkpoint: Checkpoint of a classifier or a segmenter; preferably one that was trained on
            real images of the target domain, and on none of these patients.
        out: Folder for the results. One that holds another evaluation is refused, never
            overwritten; the same evaluation is computed again.
        require: Rules such as "found:tumour:translated>=0.8, found:tumour:change>=-0.05". If a
            number has a confidence interval, its unfavourable end is used. Exit status 0: all rules
            hold; 3: one does not; 4: one cannot be decided.
        asking: How the model is asked.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: A set that was not translated, another source than its own, a model of other
            classes or another size.
    """
    from datamodules.synthetic import SyntheticSet
    from datamodules.unpaired.originals import all_originals, of_set
    from evaluation.asked_model import AskedModel
    from evaluation.figures import figures_of
    from gates.judge import judged
    from lightning_modules.loading import seen_by

    rules = parse_rules(require, OF_SURVIVALS)
    refuse_taken(Path(out), "survival")
    out, made = Path(out), SyntheticSet.open(synthetic)
    told = made.manifest.get("translated_from")
    if told is None:
        raise UserError(
            f"{synthetic}: was not translated, so there are no originals to compare with. Give a "
            "set that generate.py made with a CycleGAN; labels of any set are looked for by "
            "evaluate.py labels."
        )
    asked = AskedModel.open(checkpoint, made, chosen_device(asking.device))
    found_at = asking.dice_from(asked.segments, checkpoint)
    originals = all_originals(Path(source), told)
    missing = [x for x in made.items if x.source_item_id not in originals]
    if missing:
        raise UserError(
            f"--source {source}: lacks {missing[0].source_item_id}, of which {missing[0].id} was "
            "made. Give the cache or the set that was translated."
        )
    identity = {
        "task": "survival",
        "synthetic_sha256": made.content_sha256,
        "checkpoint_sha256": sha256_of(Path(checkpoint)),
        "found_at": found_at,
    }
    check_folder(out, RESULT, identity, "evaluation", [_IMAGES])
    rows: list[dict[str, Any]] = []
    images, names = of_set(made), asked.class_names
    for part in asking.batches(len(images), "survival"):
        items, after = made.items[part], images[part]
        before = [
            # Of a film the class that it has now, of a slice the label map that went along.
            replace(originals[str(one.source_item_id)], label=now.label, read_mask=now.read_mask)
            for one, now in zip(items, after, strict=True)
        ]
        said = asked.says(after), asked.says(before)
        for row, item in enumerate(items):
            found: dict[str, Any] = {"id": item.id}
            found["patient_id"] = item.source_patient_id or item.id
            if not asked.segments:
                found["label"] = item.label
                found |= {_BY[i]: names[int(said[i][row])] for i in range(2)}
            for which, each, image in zip(_BY, said, (after[row], before[row]), strict=False):
                answer = asked.found(each[row], image, found_at)
                found |= {f"{what}:{which}": value for what, value in answer.items()}
            rows.append(found | {"same": _same(said[0][row], said[1][row], found_at)})
    known = seen_by(asked.record)
    owners = {str(row["patient_id"]) for row in rows}
    seen = len(owners & known.patients)
    # Of every image the same: labels of this class are all found, and none of another one.
    kinds = set() if asked.segments else {row[which] for row in rows for which in _BY[:2]}
    only = next(iter(kinds)) if len(kinds) == 1 else None
    result: dict[str, Any] = {
        **identity,
        "translated_from": {k: v for k, v in told.items() if k != "knowledge"},
        "model": type(asked.module).__name__,
        "class_names": names,
        "num_images": len(rows),
        "num_patients": len(owners),
        "patients_that_the_model_was_trained_on": seen,
        "summary": summary_of(rows),
        "says_only": only,
        "notes": _notes(seen, len(owners), only),
        "versions": library_versions(),
    }
    if rules:
        result["require"] = judged(rules, figures_of(result))
    write_csv(out / _IMAGES, rows)
    write_json_atomic(out / RESULT, result)
    return result


def _notes(seen: int, patients: int, only: str | None) -> list[str]:
    """What a reader of the shares has to know."""
    notes = []
    if only is not None:
        notes.append(
            f"The model says {only} of every image, translated or not, so this check shows nothing "
            "about the labels."
        )
    if seen:
        notes.append(
            f"The model was trained on {seen} of these {patients} patients, so it may know their "
            "originals by heart, and the change looks worse than it is."
        )
    return notes


def summary_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Shares over images with their intervals over patients, by what was looked for.

    Args:
        rows: One for each image; a key "<what>:translated" has its "<what>:original" beside it,
            with 1, 0 or None where the image does not count.

    Returns:
        "<what>:translated", "<what>:original", "<what>:change", and "same".
    """
    from evaluation.before_after import before_after
    from metrics.intervals import patient_interval

    patients = [str(row["patient_id"]) for row in rows]
    found: dict[str, dict[str, Any]] = {}
    whats = dict.fromkeys(
        key.rpartition(":")[0] for row in rows for key in row if key.endswith(":translated")
    )
    for what in whats:
        after, before = ([row.get(f"{what}:{name}") for row in rows] for name in _BY[:2])
        intervals = before_after(after, before, patients, share=not what.startswith("dice:"))
        for name, interval in zip(_BY, intervals, strict=True):
            if interval.value is not None:
                found[f"{what}:{name}"] = vars(interval)
    found["same"] = vars(patient_interval([row["same"] for row in rows], patients, share=True))
    return found


def _same(after: Any, before: Any, found_at: float | None) -> int:
    """Whether the model says the same of both: the class, or structures that overlap enough."""
    from evaluation.asked_model import dice

    if after.ndim == 0:
        return int(after == before)
    assert found_at is not None  # of slices
    marked = {*after.ravel().tolist(), *before.ravel().tolist()} - {0}
    overlaps = [dice(after == label, before == label) for label in marked]
    return int(min(overlaps, default=1.0) >= found_at)
