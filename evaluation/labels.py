"""Whether a frozen model finds the labels of a synthetic set as often as those of real images.

A set's labels are what its generator was asked for: a class, or a label map. A model that was
trained on real images looks whether they are there. What it says of real images that it was not
trained on is the control: one that does not tell a class apart there shows nothing about synthetic
ones, and no rule about these can hold.

The flags of evaluate.py labels are the function's arguments, and those of `Asking`; nothing heavy
is imported before it is called.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device import chosen_device
from evaluation.folder import RESULT, Split, write_csv
from evaluation.label_record import AS_USUAL, Asking
from evaluation.told_apart import BY_CHANCE, not_told_apart, other_patients, youden
from gates.names import OF_LABELS
from gates.rules import parse_rules
from output_folder import check_folder, refuse_taken
from provenance import UserError, library_versions, sha256_of, write_json_atomic

if TYPE_CHECKING:
    from datamodules.synthetic import SyntheticSet
    from datamodules.unpaired.originals import Original
    from evaluation.asked_model import AskedModel

_IMAGES = "images.csv"
_BOTH = ("synthetic", "real")


def evaluate_labels(
    synthetic: Path,
    checkpoint: Path,
    out: Path,
    root: Path | None = None,
    split: Split = "test",
    require: str | None = None,
    asking: Asking = AS_USUAL,
) -> dict[str, Any]:
    """Ask a frozen classifier or segmenter for the labels of a synthetic set.

    For each class, the share of images of that label in which the model finds it, in the set and in
    real images beside it, and the difference, with 95 % intervals over patients (of synthetic
    images: over the patients of their label maps; films from noise count one by one). "added" is
    the share of images without the class of which the model says it, or marks some. A classifier
    finds the class that it thinks most probable. A segmenter finds a structure where Dice with the
    label map reaches `found_at`, and "dice" is its mean. "youden" says whether the model tells the
    class apart in real images; where this is not shown, the check shows nothing about the class,
    and says so. Writes evaluation.json and images.csv.

    Args:
        synthetic: A synthetic set whose images have classes or label maps.
        checkpoint: Checkpoint of a classifier or a segmenter that was trained on real images only.
        out: Folder for the results. One that holds another evaluation is refused, never
            overwritten; the same evaluation is computed again.
        root: The cache with the real images. Default: the one on which the model was trained.
        split: The real images of this split. Those of patients whom the model was trained on are
            left out and counted; of "val" a note says that they chose the checkpoint.
        require: Rules such as "found:tumour:synthetic>=0.5, found:tumour:difference>=-0.1". If a
            number has a confidence interval, its unfavourable end is used. Exit status 0: all rules
            hold; 3: one does not; 4: one cannot be decided, for example since the model does not
            tell the class apart in real images.
        asking: How the model is asked.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: A set without labels, a model of other classes or another size, or no real image
            that the model was not trained on.
    """
    from datamodules.synthetic import SyntheticSet
    from datamodules.unpaired.originals import of_set
    from evaluation.asked_model import AskedModel
    from evaluation.figures import figures_of
    from gates.judge import judged
    from lightning_modules.loading import data_root

    rules = parse_rules(require, OF_LABELS)
    refuse_taken(Path(out), "labels")
    out, made = Path(out), SyntheticSet.open(synthetic)
    if not made.has_label_maps and not any(item.label is not None for item in made.items):
        raise UserError(
            f"{synthetic}: its images have neither classes nor label maps, so there is nothing to "
            "look for. Give a set of a generator that was trained with labels."
        )
    asked = AskedModel.open(checkpoint, made, chosen_device(asking.device))
    found_at = asking.dice_from(asked.segments, checkpoint)
    real_at = root or data_root(Path(checkpoint), asked.record, "--root")
    real = _real_images(Path(real_at), asked, split)
    identity = {
        "task": "labels",
        "synthetic_sha256": made.content_sha256,
        "checkpoint_sha256": sha256_of(Path(checkpoint)),
        "real_sha256": real.content_sha256,
        "split": split,
        "found_at": found_at,
    }
    check_folder(out, RESULT, identity, "evaluation", [_IMAGES])
    images = of_set(made)
    rows = [
        {"id": one.id, "patient_id": one.patient_id, "set": which, **found}
        for which, those in zip(_BOTH, (images, real.images), strict=True)
        for one, found in _answers(asked, those, which, found_at, asking)
    ]
    summary = summary_of(rows)
    summary |= youden(summary, asked.segments)
    result: dict[str, Any] = {
        **identity,
        "model": type(asked.module).__name__,
        "class_names": asked.class_names,
        "painted": "painted" in made.manifest,
        "num_images": len(images),
        "num_patients": len({one.patient_id for one in images}),
        "num_real": len(real.images),
        "num_real_patients": len({one.patient_id for one in real.images}),
        "real_left_out": real.left_out,
        "summary": summary,
        "shows_nothing": not_told_apart(summary, asked.segments),
        "notes": _notes(asked, made, real),
        "versions": library_versions(),
    }
    if rules:
        result["require"] = judged(rules, figures_of(result))
    write_csv(out / _IMAGES, rows)
    write_json_atomic(out / RESULT, result)
    return result


def _notes(asked: "AskedModel", made: "SyntheticSet", real: "_RealImages") -> list[str]:
    """What a reader of the shares has to know."""
    notes = []
    if asked.record.get("also_seen", {}).get("training_patients"):
        notes.append(
            "The model was trained with synthetic images too, so what it finds is not what one of "
            "real images would find."
        )
    if "painted" in made.manifest:
        notes.append(
            "Painted slices are real ones outside the lesion, and the model may have been trained "
            "on them: evaluate.py lesions looks at the painted pixels alone."
        )
    if real.left_out:
        notes.append(
            f"{real.left_out} real images of patients that the model was trained on are left out."
        )
    if real.chose:
        notes.append(
            f"{real.chose} of the real images are of the validation split that chose the "
            "checkpoint, so the model finds labels in them a little more often than in others."
        )
    return notes


def _answers(
    asked: "AskedModel",
    images: "Sequence[Original]",
    which: str,
    found_at: float | None,
    asking: Asking,
) -> "Iterator[tuple[Original, dict[str, Any]]]":
    """Each image with what the model finds of its labels; of real slices also by chance."""
    from evaluation.asked_model import dice

    structures = dict(enumerate(asked.class_names[1:], start=1)) if asked.segments else {}
    others = {
        label: other_patients(images, label) if which == "real" else {} for label in structures
    }
    for part in asking.batches(len(images), f"labels, {which}"):
        said_of = zip(asked.says(images[part]), images[part], strict=True)
        for place, (said, image) in enumerate(said_of, part.start):
            found = asked.found(said, image, found_at)
            for label, name in structures.items():
                other = others[label].get(place)
                read_mask = None if other is None else images[other].read_mask
                found[f"{BY_CHANCE}:{name}"] = (
                    None
                    if read_mask is None or found_at is None
                    else int(dice(read_mask() == label, said == label) >= found_at)
                )
            yield image, found


@dataclass(frozen=True)
class _RealImages:
    """The control.

    Attributes:
        images: Labelled ones that the model was not trained on.
        left_out: How many it was.
        chose: How many of `images` are of the validation split that chose its checkpoint.
        content_sha256: Of their cache.
    """

    images: "list[Original]"
    left_out: int
    chose: int
    content_sha256: str


def _real_images(root: Path, asked: "AskedModel", split: Split) -> _RealImages:
    """The control of a cache's split.

    Raises:
        UserError: Other classes or another size than the model's, or none is left.
    """
    import numpy as np

    from datamodules.choice.film_settings import like_column
    from datamodules.film_cache import FilmCache
    from datamodules.open_cache import open_cache
    from datamodules.unpaired.originals import check_fits, of_films, of_slices
    from lightning_modules.loading import chosen_by, seen_by

    cache = open_cache(root)
    films = isinstance(cache, FilmCache)
    size = int(asked.record.get("image_size") or cache.image_size)
    # Larger films are averaged down, as those of a training with --data.resolution are.
    shown = size if films and cache.image_size % size == 0 else cache.image_size
    check_fits(root, shown, size, asked.segments, not films, "--root", asked.kind)
    by_item = cache.split_by != "patient"
    known = seen_by(asked.record).overlap(cache, by_item=by_item).known
    indices = np.asarray(cache.indices(split))
    unseen = indices[~known[indices]]
    if isinstance(cache, FilmCache):
        column = like_column(cache, asked.record["data"]["init_args"].get("label_column"))
        there = cache.class_names(column) if column else []
        every = of_films(cache, unseen, column, size)
        real = [one for one in every if one.label is not None]
    else:
        there, real = cache.class_names, of_slices(cache, unseen)
    # Masks are read by number, so their names must stand in the same order; films have names.
    alike = there == asked.class_names if asked.segments else {*there} == {*asked.class_names}
    if not alike:
        raise UserError(
            f"--root {root}: is labelled {', '.join(there) or 'with nothing'}, and the model tells "
            f"apart {', '.join(asked.class_names)}. Give a cache of these classes."
        )
    if not real:
        raise UserError(
            f"--root {root}: no labelled image of --split {split} is left that the model was not "
            f"trained on ({len(indices)} images). Give another split or another cache."
        )
    chose = chosen_by(asked.record).overlap(cache, by_item=by_item).known
    ids = {str(cache.ids[index]) for index in unseen[chose[unseen]]}
    return _RealImages(
        real,
        len(indices) - len(unseen),
        sum(one.id in ids for one in real),
        cache.content_sha256,
    )


def summary_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Shares in both sets with their intervals over patients, and the differences.

    Args:
        rows: One for each image, with its "set"; a key such as "found:tumour" holds 1, 0, or None
            where the image does not count.

    Returns:
        "<what>:synthetic", "<what>:real", "<what>:difference"; a class that a set does not show is
        left out there.
    """
    from metrics.intervals import difference_of_independent, patient_interval

    of = {which: [row for row in rows if row["set"] == which] for which in _BOTH}
    whats = dict.fromkeys(key for row in rows for key in row if ":" in key)
    found: dict[str, dict[str, Any]] = {}
    for what in whats:
        one, other = (
            patient_interval(
                [row.get(what) for row in those],
                [str(row["patient_id"]) for row in those],
                share=not what.startswith("dice:"),
            )
            for those in of.values()
        )
        difference = difference_of_independent(one, other)
        for name, interval in zip((*_BOTH, "difference"), (one, other, difference), strict=True):
            if interval.value is not None:
                found[f"{what}:{name}"] = interval.as_dict()
    return found
