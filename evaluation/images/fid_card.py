"""The card of a comparison of images: all that another lab needs to compute its numbers again."""

from collections.abc import Mapping
from typing import Any

from display.numbers import count, interval, number
from display.tables import markdown, text_table
from gates.judge import table_of
from metrics.image_sets import INTERVAL, NUM_NEIGHBOURS, NUM_SPLITS
from private_paths import command_for_others

_ESTIMATORS = {
    "Frechet distance": "covariances with N - 1, all images, float64; biased upwards at small N",
    "kernel distance": "unbiased squared MMD, kernel (x.y / D + 1)^3, mean over 100 subsets of "
    "half of the smaller set, at most 1000 images; for floor and interval 10 subsets",
    "precision, recall, density, coverage": f"k = {NUM_NEIGHBOURS} nearest neighbours, closed "
    "balls, all images",
    "diversity": "mean Euclidean distance of features over 2000 random pairs of a set",
    "MS-SSIM": "mean over random pairs of different patients, no image twice; higher = less "
    "diverse",
    "Inception Score": f"mean over {NUM_SPLITS} parts, shuffled as torch-fidelity does",
    "floor": "mean over 10 random splits of the real patients into halves of the distance between "
    "them; beside it that of one half to as many synthetic images",
}


def fid_card(result: Mapping[str, Any]) -> str:
    """Markdown of an evaluation of images.

    Args:
        result: The content of evaluation.json, as `evaluate_images` returns it.
    """
    canonical = "fid" in result["distances"]
    name = "FID" if canonical else "Frechet distance"
    note = (
        "FID and KID by the canonical Inception weights. Its features are those of photographs: "
        "read them beside the floor."
        if canonical
        else "These distances are **not** FID or KID, which are defined by one Inception network. "
        "They compare with numbers of the same extractor and size alone."
    )
    return f"""# {name} card

{count(result["num_synthetic"], "synthetic image")} against \
{count(result["num_real"], "real image")} of {count(result["num_real_patients"], "patient")}.
{note}
{_notes(result)}
## Scores of the two sets

{_required(result)}{_between_sets(result)}
The floor is what two halves of the real images give, with the number of images in the last column \
on a side. Compare it with the column before it, of the same number, not with the value.

## Scores of each set by itself

{_of_sets(result)}{_pairs(result)}
## To compute them again

{markdown(text_table(("", "real", "synthetic"), _sides(result)))}
{markdown(text_table(("", ""), _setting(result)))}
```
{command_for_others(result["command"])}
```
Words in capitals stand for files and folders: give them as they lie with you.

## What they do not say

- Intervals: {INTERVAL} Of MS-SSIM: Student's t over pairs.
- All of them depend on the number of images. Compare sets of equal numbers (--num-images).
- A set that repeats its training images scores well in every one of them. Real patients that the \
generator was trained on: {result["real_patients_trained_on"]}.
- Closeness to real images in these features is no evidence for a diagnosis, and none of privacy.
"""


def _notes(result: Mapping[str, Any]) -> str:
    """What to know before one relies on it, where there is anything."""
    return "".join(f"\n- {note}" for note in result["notes"]) + "\n" * bool(result["notes"])


def _required(result: Mapping[str, Any]) -> str:
    """What was required of the scores, where something was."""
    if "require" not in result:
        return ""
    return f"### What was required\n\n{markdown(table_of(result['require']))}\n### All\n\n"


def _between_sets(result: Mapping[str, Any]) -> str:
    rows = []
    for key, entry in {**result["distances"], **result["scores"]}.items():
        if "value" in entry:
            floor = entry.get("floor")
            rows.append(
                (
                    key,
                    digits(entry["value"]),
                    ends(entry),
                    digits(floor) if "floor" in entry else "",
                    digits(entry["value_at_floor_size"]) if "floor" in entry else "",
                    str(entry["num_images_at_floor"]) if floor is not None else "",
                )
            )
    head = ("score", "value", "interval", "floor", "value at the floor's size", "images a side")
    return markdown(text_table(head, rows))


def _of_sets(result: Mapping[str, Any]) -> str:
    rows = []
    for key, entry in {**result["distances"], **result["scores"]}.items():
        if "value" not in entry:
            real, fake = entry["real"], entry["synthetic"]
            rows.append((key, digits(real["value"]), ends(real), digits(fake["value"]), ends(fake)))
    head = ("score", "real", "interval", "synthetic", "interval")
    return markdown(text_table(head, rows))


def _pairs(result: Mapping[str, Any]) -> str:
    """Scores of pairs that share a label map, where there are any."""
    rows = [
        (split, key, str(entry["num_values"]), digits(entry["value"]), ends(entry))
        for split, summary in result["pairs"].items()
        for key, entry in summary.items()
    ]
    if not rows:
        return ""
    head = ("split", "score", "pairs", "mean", "95 %, for other patients")
    return f"\n## Scores of pairs that share a label map\n\n{markdown(text_table(head, rows))}"


def _sides(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What each set is, line by line; a fact of one side alone leaves the other empty."""
    real, fake = dict(result["real_set"]), dict(result["synthetic_set"])
    pixels = (f"`{real.pop('pixels_sha256')}`", f"`{fake.pop('pixels_sha256')}`")
    rows = [
        ("images", str(result["num_real"]), str(result["num_synthetic"])),
        ("SHA-256 of all pixels, in order", *pixels),
        ("SHA-256 of the list", f"`{result['real_sha256']}`", f"`{result['synthetic_sha256']}`"),
    ]
    keys = [*real, *(key for key in fake if key not in real)]
    return rows + [(key, _cell(real.get(key)), _cell(fake.get(key))) for key in keys]


def _setting(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the scores were computed; the estimators of those that were."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    estimators = dict(_ESTIMATORS)
    if not any(key.startswith("inception_score") for key in result["scores"]):
        del estimators["Inception Score"]
    weights = result["weights_sha256"]
    return [
        ("extractor, with its resizing", result["extractor"]),
        *([("SHA-256 of the weights file", f"`{weights}`")] if weights else []),
        *estimators.items(),
        ("seed", str(result["seed"])),
        ("device", result["device"]),
        ("software", versions),
    ]


def digits(value: float | None) -> str:
    """A score with four digits; "none" where it could not be computed."""
    return number(value, ".4g", "none")


def ends(entry: Mapping[str, Any]) -> str:
    """`low to high` of an entry; why not, where the sets are too small for one."""
    return interval(entry["low"], entry["high"], ".4g", missing="too few images")


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
