"""The numbers of each kind of evaluation, by the names that --require knows them by."""

from collections.abc import Mapping
from typing import Any

from evaluation.told_apart import is_told_apart
from gates.figures import Figure, counted, of_entry

_FIDELITY = ("precision", "recall", "density", "coverage")
_OF_SETS = ("frechet", "kernel", "diversity", *_FIDELITY)
_FEWEST_TO_HALVE = 4
_NO_INTERVAL_BY_NATURE = ("ece",)  # see `classification.summary.summary_of`


def figures_of(result: Mapping[str, Any]) -> dict[str, Figure]:
    """All numbers that rules may be about.

    Args:
        result: evaluation.json's content.
    """
    kinds = {"images": _of_images, "labels": _of_labels, "survival": _of_survival}
    return kinds.get(result["task"], _of_checkpoint)(result)


def _of_checkpoint(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Scores by their keys, differences to other classifiers, what corruptions cost, and counts."""
    found = {
        key: counted(entry["value"]) if key in _NO_INTERVAL_BY_NATURE else _over_patients(entry)
        for key, entry in result["summary"].items()
    }
    for other in result.get("comparisons", ()):
        found[f"auroc_minus:{other['name']}"] = of_entry(
            other, "patient", result["num_patients"], 2
        )
    for name, each in result.get("corruption_scores", {}).items():
        for score, entry in each["lost"].items():
            found[f"{score}_lost:{name}"] = _over_patients(entry)
    return found | {key: counted(result[key]) for key in ("num_images", "num_patients")}


def _of_labels(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Shares by their keys; none of synthetic images for a class that the check shows nothing of.

    So no rule about these holds, which a model that says one class of every image would meet.
    """
    found, summary = _of_checkpoint(result), result["summary"]
    for key in summary:
        told, _, which = key.rpartition(":")
        name = told.partition(":")[2]
        if which in ("synthetic", "difference") and not is_told_apart(name, summary):
            why = f"The model is not shown to recognise {name} in real images"
            found[key] = Figure(None, lacking=result["shows_nothing"].get(name, why).rstrip("."))
    return found


def _of_survival(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Shares by their keys; none where the model says one class of every image."""
    found = _of_checkpoint(result)
    if result["says_only"] is not None:
        why = f"The model says {result['says_only']} of every image, so nothing is shown"
        found |= {name: Figure(None, lacking=why) for name in result["summary"]}
    return found


def _over_patients(entry: Mapping[str, Any]) -> Figure:
    return of_entry(entry, "patient", entry.get("num_patients") or 0, 2)


def _of_images(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Scores of the two sets, of each set by itself (`diversity:real`), and of pairs.

    `coverage` is understood for `coverage_random_vgg`, and `ms_ssim_3_scales` for that of the
    synthetic set.
    """
    from metrics.image_sets import NUM_NEIGHBOURS

    least = min(result["num_real"], result["num_synthetic"])
    either, to_halve = "image of either set", 2 * (NUM_NEIGHBOURS + 1)
    sides = {
        "synthetic": ("synthetic image", result["num_synthetic"]),
        "real": ("real patient", result["num_real_patients"]),
    }
    found: dict[str, Figure] = {}
    for key, entry in {**result["distances"], **result["scores"]}.items():
        short = tuple(one for one in _OF_SETS if key.startswith(f"{one}_"))
        if "value" in entry:
            fewest = to_halve if short and short[0] in _FIDELITY else _FEWEST_TO_HALVE
            found[key] = of_entry(entry, either, least, fewest, short)
            continue
        for side, (unit, number) in sides.items():
            also = tuple(f"{one}:{side}" for one in short)
            also += (key, *short) if side == "synthetic" else ()
            found[f"{key}:{side}"] = of_entry(entry[side], unit, number, _FEWEST_TO_HALVE, also)
    if least <= NUM_NEIGHBOURS:
        why = f"too few images: {least} of either set, where at least {to_halve} are needed"
        found |= {name: Figure(None, lacking=why) for name in _FIDELITY}
    for split, summary in result["pairs"].items():
        for key, entry in summary.items():
            found[f"{key}:{split}"] = _over_patients(entry)
    counts = ("num_real", "num_real_patients", "num_synthetic")
    return found | {key: counted(result[key]) for key in counts}
