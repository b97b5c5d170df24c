"""Score a segmenter, or compare synthetic with real images.

    python evaluate.py --checkpoint runs/.../checkpoints/best.ckpt --out DIR
    python evaluate.py images --real CACHE --synthetic DIR --out DIR

The first gives IoU per image, Dice and HD95 per patient, and means with 95 % intervals over
patients; the second distances with their floors, for films and slices alike, and a card with all
that is needed to compute them again. Both leave evaluation.json and pictures.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from command_line import parsed, run_verb, verb_parser, with_underscores
from studies.fid_card import interval, number
from studies.image_evaluation import evaluate_images
from studies.segmentation_evaluation import evaluate

__all__ = ["evaluate", "evaluate_images", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    images = given[:1] == ["images"]
    function: Any = evaluate_images if images else evaluate
    parser = verb_parser("evaluate.py images" if images else "evaluate.py", _description(images))
    parser.add_function_arguments(function, as_group=False, skip={"show_progress"})
    flags = _one_name(with_underscores(given[int(images) :]))
    settings = parsed(parser, flags)
    settings.pop("config")
    result = function(**vars(settings))
    print("\n".join(_image_lines(result) if images else _segmentation_lines(result)))
    files = "evaluation.json, fid_card.md, sheet.png" if images else "evaluation.json"
    print(f"Scores and pictures: {settings.out} ({files})")
    return 0


def _description(images: bool) -> str:
    if images:
        return (
            "Compare a synthetic set with the real images of a cache, films or slices: distances "
            "of the two sets (FID with --extractor inception), precision and recall, diversity, "
            "and scores of the pairs that share a label map."
        )
    return (
        "Score a segmenter's checkpoint on one split of a cache. "
        "To compare synthetic with real images instead: evaluate.py images --help."
    )


def _one_name(words: Sequence[str]) -> list[str]:
    """Flags under the one name that the functions know: --real and --data.root mean --root."""
    names = {"--data.root": "--root", "--real": "--root", "--inception_weights": "--weights"}
    renamed = []
    for word in words:
        flag, equals, value = word.partition("=")
        renamed.append(f"{names.get(flag, flag)}{equals}{value}")
    return renamed


def _segmentation_lines(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{result['split']}: {result['num_images']} images of {result['num_patients']} patients, "
        f"{result['slices']} slices, absent class: {result['absent_class']}"
    ]
    for key, entry in result["summary"].items():
        unit = f" {result['hd95_unit']}" if key.startswith("hd95") else ""
        lines.append(f"  {key:<16} {_interval(entry)}{unit}")
    trivial = result["trivial_all_background"]["iou_mean"]
    lines.append(f"  all background would score iou_mean {trivial:.3f}")
    if result["hd95_undefined"]:
        lines.append(
            f"  hd95 leaves out {result['hd95_undefined']} comparisons where a structure was "
            "missed or invented whole"
        )
    return lines


def _image_lines(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{result['num_synthetic']} synthetic images, {result['num_real']} real ones of "
        f"{result['num_real_patients']} patients ({result['split']})"
    ]
    for key, entry in {**result["distances"], **result["scores"]}.items():
        if "value" not in entry:
            both = [f"{name} {_with_range(entry[name])}" for name in ("synthetic", "real")]
            lines.append(f"  {key}: {', '.join(both)}")
        elif entry.get("floor") is not None:
            lines.append(
                f"  {key}: {_with_range(entry)}; with {entry['num_images_at_floor']} images a side "
                f"{number(entry['value_at_floor_size'])}, real against real "
                f"{number(entry['floor'])}"
            )
        else:
            floor = "; too few patients for a floor" if "floor" in entry else ""
            lines.append(f"  {key}: {_with_range(entry)}{floor}")
    for split, summary in result["pairs"].items():
        for key, entry in summary.items():
            lines.append(
                f"  {key}, {entry['num_values']} pairs of {split} patients: {_interval(entry)}"
            )
    return lines


def _with_range(entry: Mapping[str, Any]) -> str:
    """A score of sets with its interval."""
    return f"{number(entry['value'])} [{interval(entry)}]"


def _interval(entry: Mapping[str, Any]) -> str:
    if entry["value"] is None:
        return "undefined"
    if entry["low"] is None:
        return f"{entry['value']:.3f} (one patient: no interval)"
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


if __name__ == "__main__":
    sys.exit(run_verb("evaluate.py", main))
