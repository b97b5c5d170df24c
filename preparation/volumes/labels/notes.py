"""Sentences on classes of a cache that are none, or not what a person may think."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from preparation.volumes.labels.values import MaskValues
from preparation.volumes.volume import KIDNEY_AND_TUMOUR


def kidneys_alone_note(class_pixels: Iterable[Sequence[int]]) -> list[str]:
    """A sentence where masks mark one thing alone, which need not be the kidney.

    Args:
        class_pixels: Pixels of each label, of every slice of a cache without a label map.
    """
    counts = [sum(of_label) for of_label in zip(*class_pixels, strict=True)]
    if not counts[1] or any(counts[2:]):
        return []
    return [
        "no mask holds 2 (tumour), so all that is marked counts as kidney. If it marks tumours, "
        "pass --label-map 1=tumour, into another --out."
    ]


def label_map_notes(
    label_map: Mapping[str, str], held: Collection[int], labels: Mapping[int, str] | None = None
) -> list[str]:
    """Sentences: which classes a map has made, and which of its values no mask holds.

    Args:
        label_map: As given, without errors.
        held: Those of its values that masks hold.
        labels: See `MaskValues.of`.
    """
    # What a map leaves as it is counts as no change, so nobody looked whether a mask holds it.
    values = MaskValues.of(label_map, labels)
    looked = dict(values.changes)
    lost = [value for value in label_map if int(value) in looked and int(value) not in held]
    sentences = []
    own = [
        f"{label} is {name}"
        for label, name in enumerate(values.class_names)
        if labels is None and name not in KIDNEY_AND_TUMOUR
    ]
    if own:
        sentences.append(f"--label-map: new classes beside kidney and tumour: {', '.join(own)}.")
    if labels is None:
        filled = {label for _, label in values.changes} | {1, 2} - looked.keys()
        empty = [name for label, name in enumerate(KIDNEY_AND_TUMOUR) if label not in {0, *filled}]
        if empty:
            sentences.append(
                f"--label-map: nothing becomes {' or '.join(empty)} any more, which stays a class "
                f"without pixels. With --labels {','.join(KIDNEY_AND_TUMOUR)} beside it, it is "
                "none."
            )
    if lost:
        pairs = ",".join(f"{value}={label_map[value]}" for value in lost)
        sentences.append(
            f"--label-map {pairs}: no mask that is used holds the value {' or '.join(lost)}; is it "
            "misspelt?"
        )
    return sentences


def absent_note(class_names: Sequence[str], class_pixels: Iterable[Sequence[int]]) -> list[str]:
    """A sentence on declared classes that no slice shows, which nothing can learn.

    Args:
        class_names: Of the cache.
        class_pixels: Pixels of each label, of every slice of the cache.
    """
    counts = [sum(of_label) for of_label in zip(*class_pixels, strict=True)]
    lost = [name for name, number in zip(class_names, counts, strict=True) if not number]
    if not lost:
        return []
    which = f"{', '.join(lost)} {'is a class' if len(lost) == 1 else 'are classes'}"
    return [
        f"no slice shows {', '.join(lost)}: {which} that nothing can learn or be scored on. Merge "
        "it with another, or make it background, with --label-map, into another --out."
    ]
