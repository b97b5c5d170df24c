"""Whether a model tells a class apart in real images: only then do its other answers show anything.

A model that calls every image normal finds all labels of a synthetic set of normal films. So in
real images what it finds where a label stands is compared with what it says where the label does
not stand: Youden's index, the first share minus the second. It is 0 for a model that does not look
at the image, and 1 for one that is always right; with two classes it is twice the balanced accuracy
minus 1.

- A classifier: the share of the films of the class that it calls so, minus the share of the films
  of other classes that it calls so too.
- A segmenter: the share of the slices with the structure in which it finds it, minus the share in
  which what it marks would count as found with the label map of another patient. One that always
  marks the same place has both alike.

Its interval is Newcombe's for two independent groups of patients. A class counts as told apart if
the lower end is above 0, which takes at least four patients on both sides.

Source: Youden 1950, Cancer 3:32; Newcombe 1998, Statistics in Medicine 17:873, method 10.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from display.numbers import bracketed, number, score

if TYPE_CHECKING:
    from datamodules.unpaired.originals import Original

BY_CHANCE = "by_chance"
_SUMMARY = Mapping[str, Mapping[str, Any]]


def other_patients(images: "Sequence[Original]", label: int) -> dict[int, int]:
    """For each image that holds a structure, one of another patient that holds it: the next one.

    Args:
        images: Slices.
        label: Of the structure in the label maps.

    Returns:
        By an image's place that of the other one; empty where one patient alone holds it.
    """
    holding = [i for i, one in enumerate(images) if one.class_pixels[label]]
    if len({images[i].patient_id for i in holding}) < 2:
        return {}
    patients = [images[index].patient_id for index in holding]
    found: dict[int, int] = {}
    other = None
    for step in reversed(range(2 * len(holding))):  # twice round, so that the last ones find it too
        here, following = step % len(holding), (step + 1) % len(holding)
        if patients[here] != patients[following]:
            other = holding[following]
        if other is not None:
            found[holding[here]] = other
    return found


def youden(summary: _SUMMARY, segments: bool) -> dict[str, dict[str, Any]]:
    """Youden's index in the real images of each class that both its sides are known of.

    Args:
        summary: Shares with their intervals, such as `found:normal:real`.
        segments: Whether a segmenter was asked.

    Returns:
        By keys such as `youden:normal:real`.
    """
    from metrics.intervals import Interval, difference_of_independent

    found: dict[str, dict[str, Any]] = {}
    for name in classes_of(summary):
        sides = [summary.get(key) for key in _sides(name, segments)]
        if sides[0] is not None and sides[1] is not None:
            index = difference_of_independent(*(Interval(**side) for side in sides if side))
            found[f"youden:{name}:real"] = index.as_dict()
    return found


def not_told_apart(summary: _SUMMARY, segments: bool) -> dict[str, str]:
    """The synthetic images' own classes that the model is not shown to tell apart in real ones.

    Args:
        summary: With the indices that `youden` gives.
        segments: Whether a segmenter was asked.

    Returns:
        A sentence for each class, which says that the check shows nothing of it.
    """
    return {
        name: _sentence(name, summary, segments)
        for name in classes_of(summary, "synthetic")
        if f"found:{name}:synthetic" in summary and not is_told_apart(name, summary)
    }


def is_told_apart(name: str, summary: _SUMMARY) -> bool:
    """Whether the interval of a class's index lies above 0."""
    low = (summary.get(f"youden:{name}:real") or {}).get("low")
    return low is not None and low > 0.0


def classes_of(summary: _SUMMARY, which: str = "real") -> list[str]:
    """The classes that a summary has numbers of, in a set."""
    keys = (key.partition(":")[2].rpartition(":") for key in summary)
    return list(dict.fromkeys(name for name, _, of in keys if of == which))


def _sides(name: str, segments: bool) -> tuple[str, str]:
    return f"found:{name}:real", f"{BY_CHANCE if segments else 'added'}:{name}:real"


def _sentence(name: str, summary: _SUMMARY, segments: bool) -> str:
    there, elsewhere = (summary.get(key) for key in _sides(name, segments))
    index = summary.get(f"youden:{name}:real")
    if there is None:
        why = f"no real image has {name}"
    elif elsewhere is None or index is None:
        others = "of another patient holds it" if segments else "has another class"
        why = f"no real image {others}"
    else:
        shares = [f"{score(side['value'], percent=True)} %" for side in (there, elsewhere)]
        said = (
            f"it finds it in {shares[0]} of them, and in {shares[1]} if they are given another "
            "patient's label map"
            if segments
            else f"it says {name} of {shares[0]} of these films, and of {shares[1]} of the others"
        )
        why = f"{said} (Youden's index {number(index['value'], '.2f')} {bracketed(index, '.2f')})"
    return (
        f"The model is not shown to recognise {name} in real images: {why}. So this check shows "
        f"nothing about {name} in the synthetic ones."
    )
