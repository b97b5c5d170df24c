"""The card of a synthetic set, out of its manifest alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cards.facts import facts_of
from cards.files import marks, named_files, pixels
from cards.header import dataset_header
from cards.page import Card, Row
from cards.scores import rows_of, rows_of_labels, rows_of_survival
from datamodules.synthetic import (
    SyntheticItem,
    found_labels_in,
    has_label_maps,
    licences_in,
    made_elsewhere,
)
from display.numbers import count
from foreign_text import printable
from licences import Licence

_WHAT = "Every image here was made by a neural network. None is a picture of a patient."
_WHAT_OUTSIDE = (
    "Every image here is synthetic, as whoever brought the set in says: none is meant to be a "
    "picture of a patient."
)
_WHAT_PAINTED = (
    "Every image here is a patient's slice in which a neural network painted a region. Outside of "
    "it the slice is unchanged, so the set is to be kept, shared and deleted as the patients' data."
)
_WHAT_TRANSLATED = (
    "Every image here is a patient's image that a neural network has changed: it still shows that "
    "patient's anatomy, and is to be kept like the original. None may be used as the patient's."
)
_USE = (
    "to join the training split of a model whose validation and test patients the generator never "
    "saw (train.py checks it)"
)
_COPIES_OF_PAINTED = (
    "Outside of the painted regions every image is a copy of a training image, on purpose: an "
    "audit calls most of them copies, and is right. "
)
_NOT_FOR = "diagnosis, or evidence about any person or disease"
_HELPS = (
    "whether training with it helps: not measured here; `python study.py run STUDY.yaml` compares "
    "with and without it"
)


def dataset_card(items: Sequence[SyntheticItem], manifest: Mapping[str, Any], command: str) -> Card:
    """What a set's manifest tells, under the headings of a card.

    Args:
        items: Its images.
        manifest: Its manifest, or what it will be.
        command: What made it.
    """
    outside = made_elsewhere(manifest)
    painted = "painted" in manifest  # by a lesion infilling
    licences = licences_in(manifest)
    title = f"Synthetic images: {len(items)} of {printable(manifest['dataset'])}"
    evaluations = manifest.get("evaluations") or []
    task = "unconditional-image-generation"
    if any(item.label is not None for item in items):
        task = "image-classification"
    if has_label_maps(items):
        task = "image-segmentation"
    use, opened = _use(items, manifest)
    data = [one.data or printable(manifest["dataset"]) for one in licences]
    return Card(
        title=title,
        statement=_statement(manifest, outside),
        facts=facts_of(items, manifest, outside),
        command=command,
        copies=_COPIES_OF_PAINTED * painted
        + _audit_in_words(manifest.get("audit"), bool(manifest.get("without_copies"))),
        sections={
            "Congruence": rows_of(evaluations, of_coverage=False),
            "Coverage": [*rows_of(evaluations, of_coverage=True), *_variety(items)],
            "Constraint": _constraint(items, manifest),
            "Completeness": _completeness(items, manifest),
            "Compliance": _compliance(items, manifest),
            "Comprehension": [
                ("use", use),
                ("not for", _NOT_FOR),
                ("effect", _HELPS),
                ("files", named_files(items, manifest)),
                ("to open it", opened),
            ],
            "Consistency": _consistency(manifest, outside),
        },
        licences=licences,
        limits=_limits(manifest),
        cite=_cite(licences, manifest),
        header=dataset_header(title, len(items), licences, data, task),
        results={name: manifest.get(name) for name in ("audit", "survival")}
        | {"evaluations": evaluations, "found_labels": found_labels_in(manifest)},
    )


def _statement(manifest: Mapping[str, Any], outside: bool) -> str:
    """What nobody may overlook."""
    if manifest.get("translated_from", {}).get("shows_patients"):
        return _WHAT_TRANSLATED
    if "painted" in manifest:  # by a lesion infilling
        return _WHAT_PAINTED
    return _WHAT_OUTSIDE if outside else _WHAT


def _use(items: Sequence[SyntheticItem], manifest: Mapping[str, Any]) -> tuple[str, str]:
    """What the set is good for, and how it is opened.

    A classifier refuses a film without a class, a segmenter a slice without a label map.
    """
    lacking = sum(one.label is None for one in items)
    if has_label_maps(items) or (manifest.get("shows") != "slices" and not lacking):
        return _USE, "`train.py fit --data.synthetic SET`, or read manifest.json"
    compared = "`evaluate.py images` and `audit` `--synthetic SET`, or read manifest.json"
    if manifest.get("shows") == "slices":
        return (
            "to be compared with real images, and audited. No training takes slices without "
            "label maps",
            compared,
        )
    whose = (
        "none of its images has a class"
        if lacking == len(items)
        else f"{count(lacking, 'image')} without a class"
    )
    return (
        f"to be compared with real images, to be audited, and to join the training split of a GAN "
        f"without classes. A classifier cannot learn from it: {whose}",
        f"{compared}; of a GAN `train.py fit --data.synthetic SET --data.label_column none`",
    )


def _audit_in_words(audit: Mapping[str, Any] | None, without_copies: bool) -> str:
    """The paragraph on copies."""
    if audit is None and without_copies:
        return (
            "**Not audited since** suspicious images were left out. Copies that the audit did not "
            "find are still here, and what else the generator copied is not known: audit this set "
            "before it is handed on."
        )
    if audit is None:
        return (
            "**Not audited.** A generator can reproduce images that it was trained on; whether "
            "this one does was not measured here, so treat the set with the same care as the data "
            "behind it."
        )
    return (
        f"**Audited for copies: {audit['answer']}.** {printable(audit['sentence'])} The "
        "audit sees what its report names, and no more: read it before the set is handed on "
        f"(audit.json of SHA-256 `{audit['audit_sha256']}`)."
    )


def _variety(items: Sequence[SyntheticItem]) -> list[Row]:
    """How many different labels and label maps there are."""
    rows = []
    labels = Counter(item.label for item in items if item.label is not None)
    if labels:
        shares = (f"{name} {100 * n / len(items):.1f} %" for name, n in labels.most_common())
        rows.append(("classes", ", ".join(map(printable, shares))))
    maps = {item.label_item_id for item in items if item.label_item_id}
    if maps:
        most = Counter(item.label_item_id for item in items).most_common(1)[0][1]
        rows.append(("label maps", f"{len(maps):,} different, each used at most {most} times"))
    return rows


def _constraint(items: Sequence[SyntheticItem], manifest: Mapping[str, Any]) -> list[Row]:
    rows = [
        ("pixels", pixels(manifest)),
    ]
    if any(item.class_pixels for item in items):
        names = manifest["class_names"]
        shown = [
            f"{printable(name)} in {sum(bool(one.class_pixels[i]) for one in items):,}"
            for i, name in enumerate(names)
            if i and all(len(one.class_pixels) > i for one in items)
        ]
        rows.append(("label maps", f"images with each structure: {', '.join(shown)}"))
    rows += rows_of_survival(manifest)
    rows += rows_of_labels(items, manifest)
    rows.append(
        (
            "anatomy",
            "not measured: no command here checks it. Look at sheet.png with somebody who reads "
            "such images",
        )
    )
    return rows


def _completeness(items: Sequence[SyntheticItem], manifest: Mapping[str, Any]) -> list[Row]:
    fields = ["id"]
    fields += ["seed"] if any(item.seed is not None for item in items) else []
    fields += ["class"] if any(item.label is not None for item in items) else []
    fields += ["label map"] if has_label_maps(items) else []
    sized = any(item.pixel_spacing_mm is not None for item in items)
    fields += ["size of a pixel, by its label map"] if sized else []
    rows = [("each image has", ", ".join(fields))]
    unlabelled = sum(item.label is None for item in items)
    if "class" in fields and unlabelled:
        rows.append(("without a class", count(unlabelled, "image")))
    if source := manifest.get("source"):
        rows.append(("left out when brought in", count(source["num_left_out"], "file")))
    lacking = "age, sex, device" if sized else "age, sex, size of a pixel, device"
    rows.append(("lacking", f"{lacking}: no generator here makes them"))
    return rows


def _compliance(items: Sequence[SyntheticItem], manifest: Mapping[str, Any]) -> list[Row]:
    """Privacy, marks, and the terms, which follow as a list."""
    audit, origin = manifest.get("audit"), manifest["generator"]
    if audit is None:
        told = (
            "not audited: `python evaluate.py audit --synthetic SET --data.root CACHE --out FOLDER "
            "--record`"
        )
    else:
        told = f"{audit['answer']}: {printable(audit['sentence'])}"
    rows = [("copies of training images", told)]
    if audit is not None and "n" in audit:
        bound, worst = audit.get("upper_bound"), audit.get("upper_bound_of_any_kind")
        at_most = (
            ""
            if bound is None
            else f"; at most {100 * bound:.2g} % are copies mixed evenly over the planted kinds"
        )
        at_most += "" if worst is None else f", at most {100 * worst:.2g} % if all are of one kind"
        at_most += " (95 % bound)" if at_most else ""
        rows.append(
            ("audited images", f"{audit['n']:,}, of them flagged {audit['flagged']:,}{at_most}")
        )
        for row in audit.get("required", ()):
            rows.append(("required", f"{printable(row['rule'])}: {row['verdict']}"))
    named = bool(origin.get("training_patients"))
    rows += [
        (
            "about patients",
            "manifest.json names training patients by the pseudonyms of the cache, and hashes by "
            "which whoever holds an image can test whether it was in the training"
            if named
            else "manifest.json names no training patient",
        ),
        ("marked synthetic", marks(items, manifest)),
    ]
    return rows


def _consistency(manifest: Mapping[str, Any], outside: bool) -> list[Row]:
    if outside:
        return [
            ("made again", "not known: another program made the images"),
            ("subgroups", "not measured"),
        ]
    return [
        ("made again", "the same checkpoint, seed and command give the same images"),
        (
            "other trainings",
            "not measured here: another seed of the training gives another generator; "
            "`python study.py run STUDY.yaml` trains several",
        ),
        ("subgroups", "not measured: the images have no age and no sex"),
    ]


def _limits(manifest: Mapping[str, Any]) -> list[str]:
    found = [
        "That an image looks right, or is close to real ones by a number, does not show that it "
        "is right.",
        "What is rare in the training images is rarer here, or missing.",
        "Not shown to be free of what could identify a person: an audit finds copies, and says "
        "which it would have found.",
    ]
    if manifest["generator"].get("trained_on") == "unknown":
        found.append("Whom its generator was trained on is unknown, so no test can be kept apart.")
    if manifest.get("truncation") not in (1, None):
        found.append("Truncation makes images more usual and less varied than the training's.")
    return found


def _cite(licences: Sequence[Licence], manifest: Mapping[str, Any]) -> list[str]:
    data = [one.demands["attribution"] for one in licences if "attribution" in one.demands]
    version = manifest["versions"]["understudy"]
    return [
        f"This set: its title, what made it (the first table), and Understudy {version}.",
        *(f"The data behind it: {sentence}" for sentence in data),
    ]
