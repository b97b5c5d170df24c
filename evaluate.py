"""Score a segmenter, or compare synthetic with real images.

    python evaluate.py --checkpoint runs/.../checkpoints/best.ckpt --out DIR
    python evaluate.py images --synthetic DIR --root CACHE --out DIR

The first gives IoU per image, Dice and HD95 per patient, and means with 95 % intervals over
patients; the second distances with their floors. Both leave evaluation.json, CSV and pictures.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from command_line import parsed, run_verb, verb_parser, with_underscores
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
    flags = with_underscores([_root(word) for word in given[int(images) :]])
    settings = parsed(parser, flags)
    settings.pop("config")
    result = function(**vars(settings))
    print("\n".join(_image_lines(result) if images else _segmentation_lines(result)))
    print(f"Scores and pictures: {settings.out} (evaluation.json)")
    return 0


def _description(images: bool) -> str:
    if images:
        return (
            "Compare a synthetic set with the real images of a cache: distances of the two sets, "
            "diversity, and scores of the pairs that share a label map."
        )
    return (
        "Score a segmenter's checkpoint on one split of a cache. "
        "To compare synthetic with real images instead: evaluate.py images --help."
    )


def _root(word: str) -> str:
    """--data.root, as train.py and study.py name it, means --root."""
    same = word == "--data.root" or word.startswith("--data.root=")
    return word.replace("--data.root", "--root", 1) if same else word


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
    for key, entry in result["distances"].items():
        if "value" not in entry:
            lines.append(f"  {key}: synthetic {entry['synthetic']:.4g}, real {entry['real']:.4g}")
        elif entry["floor"] is None:
            lines.append(f"  {key}: {entry['value']:.4g}; too few patients for a floor")
        else:
            lines.append(
                f"  {key}: {entry['value']:.4g}; with {entry['num_images_at_floor']} images a side "
                f"{entry['value_at_floor_size']:.4g}, real against real {entry['floor']:.4g}"
            )
    for split, summary in result["pairs"].items():
        for key, entry in summary.items():
            lines.append(
                f"  {key}, {entry['num_values']} pairs of {split} patients: {_interval(entry)}"
            )
    return lines


def _interval(entry: Mapping[str, Any]) -> str:
    if entry["value"] is None:
        return "undefined"
    if entry["low"] is None:
        return f"{entry['value']:.3f} (one patient: no interval)"
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


if __name__ == "__main__":
    sys.exit(run_verb("evaluate.py", main))
