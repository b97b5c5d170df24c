"""What evaluate.py prints: the summary of each kind of evaluation in a few lines."""

from collections.abc import Callable, Mapping
from typing import Any

from display.numbers import bracketed, count, number
from evaluation.images.fid_card import digits, ends


def lines_of(result: Mapping[str, Any]) -> tuple[list[str], str]:
    """Lines that sum up an evaluation, and the names of its most important files."""
    lines, files = _KINDS[result["task"]]
    return lines(result), files


def _segmentation_lines(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{result['split']}: {count(result['num_images'], 'image')} of "
        f"{count(result['num_patients'], 'patient')}, "
        f"{result['slices']} slices, absent class: {result['absent_class']}"
    ]
    for key, entry in result["summary"].items():
        unit = f" {result['hd95_unit']}" if key.startswith("hd95") else ""
        lines.append(f"  {key:<16} {_interval(entry)}{unit}")
    trivial = result["trivial_all_background"]["iou_mean"]
    lines.append(f"  all background would score iou_mean {trivial:.3f}")
    for name, best in result["trivial_grey_range"].items():
        in_hu = "low_hu" in best
        limits, unit = (("low_hu", "high_hu"), " HU") if in_hu else (("low", "high"), "")
        low, high = (f"{best[end]:.0f}" for end in limits)
        channel = f" of channel {best['channel']}" if "channel" in best else ""
        lines.append(
            f"  the best range of grey values{channel}, {low} to {high}{unit}, would score "
            f"dice_{name} {best['dice']:.3f}"
        )
    if result["hd95_undefined"]:
        lines.append(
            f"  hd95 leaves out {count(result['hd95_undefined'], 'comparison')} where a structure "
            "was missed or invented whole"
        )
    return [*lines, *(f"  note: {note}" for note in result["notes"])]


def _classification_lines(result: Mapping[str, Any]) -> list[str]:
    counts = ", ".join(f"{number} {name}" for name, number in result["class_counts"].items())
    lines = [
        f"{result['split']}: {count(result['num_images'], 'film')} of "
        f"{count(result['num_patients'], 'patient')} ({counts})"
    ]
    lines += [f"  {key:<17} {_interval(entry)}" for key, entry in result["summary"].items()]
    trivial = result["trivial_majority_class"]["accuracy"]
    lines.append(f"  always {result['trivial_majority_class']['class']}: accuracy {trivial:.3f}")
    for comparison in result["comparisons"]:
        p = comparison["p"]
        tested = "not tested" if p is None else f"p {p:.2g} (DeLong)"
        lines.append(
            f"  auroc minus that of {comparison['name']}: {_interval(comparison)}, {tested}"
        )
    return [*lines, *(f"  note: {note}" for note in result["notes"])]


def _finding_lines(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{result['split']}: {count(result['num_images'], 'film')} of "
        f"{count(result['num_patients'], 'patient')}, "
        f"{count(len(result['class_names']), 'finding')}; means over them:"
    ]
    of_findings = {f"auroc_{name}": name for name in result["class_names"]}
    for key, entry in result["summary"].items():
        if key in ("auroc", "average_precision", "log_loss", "brier"):
            lines.append(f"  {key:<17} {_interval(entry)}")
    lines.append("  auroc of each (films with / without):")
    for key, name in of_findings.items():
        counts = result["finding_counts"][name]
        told = f"({counts['with']} / {counts['without']})"
        lines.append(f"    {name:<26} {_interval(result['summary'][key])} {told}")
    return [*lines, *(f"  note: {note}" for note in result["notes"])]


def _lesion_lines(result: Mapping[str, Any]) -> list[str]:
    done = "put in" if result["painted"]["what"] == "put" else "taken out"
    lines = [
        f"{result['painted']['lesion']} {done}: {count(result['num_images'], 'image')} of "
        f"{count(result['num_patients'], 'patient')}; share of its pixels that the segmenter finds"
    ]
    told = {
        "lesion_found": "painted image",
        "lesion_found_before": "slice before, same pixels",
        "lesion_found_real": "held-out real lesions",
    }
    for key, what in told.items():
        half = result["half_found"][key]
        lines.append(
            f"  {what:<25} {_interval(result['summary'][key])}; half or more of "
            f"{half['found']} of {half['of']}"
        )
    lines.append(f"  {'change':<25} {_interval(result['summary']['lesion_found_change'])}")
    return [*lines, *(f"  note: {note}" for note in result["notes"])]


def _robustness_lines(result: Mapping[str, Any]) -> list[str]:
    images = "slice" if result["kind"] == "segmenter" else "film"
    lines = [
        f"{result['split']}: {count(result['num_images'], images)} of "
        f"{count(result['num_patients'], 'patient')}, "
        f"{count(len(result['corruptions']), 'corruption')} at five severities, "
        f"seed {result['seed']}"
    ]
    lines += [f"  {key:<24} {_interval(entry)}" for key, entry in result["summary"].items()]
    primary = result["primary"]
    lost = {name: each["lost"][primary] for name, each in result["corruption_scores"].items()}
    told = ", ".join(
        f"{name} {number(value)}" for name, value in result["trivial"]["scores"].items()
    )
    lines.append(f"  {result['trivial']['what']} would score, clean: {told}")
    lines.append(f"  {primary} lost by corruption, mean of its severities:")
    for name in sorted(lost, key=lambda name: -(lost[name]["value"] or 0)):
        lines.append(f"    {name:<16} {_interval(lost[name])}")
    return [*lines, *(f"  note: {note}" for note in result["notes"])]


def _image_lines(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{count(result['num_synthetic'], 'synthetic image')}, {result['num_real']:,} real of "
        f"{count(result['num_real_patients'], 'patient')} ({result['split']})"
    ]
    for key, entry in {**result["distances"], **result["scores"]}.items():
        if "value" not in entry:
            both = [f"{name} {_with_range(entry[name])}" for name in ("synthetic", "real")]
            lines.append(f"  {key}: {', '.join(both)}")
        elif entry.get("floor") is not None:
            lines.append(
                f"  {key}: {_with_range(entry)}; with {entry['num_images_at_floor']} images a side "
                f"{digits(entry['value_at_floor_size'])}, real against real "
                f"{digits(entry['floor'])}"
            )
        else:
            floor = "; too few patients for a floor" if "floor" in entry else ""
            lines.append(f"  {key}: {_with_range(entry)}{floor}")
    for split, summary in result["pairs"].items():
        for key, entry in summary.items():
            lines.append(
                f"  {key}, {count(entry['num_values'], 'pair')} of {split} patients: "
                f"{_interval(entry)}"
            )
    return [*lines, *(f"  note: {note}" for note in result["notes"])]


def _survival_lines(result: Mapping[str, Any]) -> list[str]:
    told = result["translated_from"]
    shows = told["shows_patients"]
    whose = count(result["num_patients"], "patient") if shows else "nobody"
    lines = [
        f"{count(result['num_images'], 'translated image')} of {whose} "
        f"({told['dataset']}, {told['direction']}), asked of a {result['model']}"
    ]
    lines += [f"  {key:<28} {_interval(entry)}" for key, entry in result["summary"].items()]
    return [*lines, *(f"  note: {note}" for note in result["notes"])]


def _label_lines(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{count(result['num_images'], 'synthetic image')}, {result['num_real']:,} real of "
        f"{count(result['num_real_patients'], 'patient')} ({result['split']}), asked of a "
        f"{result['model']}"
    ]
    for key, entry in result["summary"].items():
        shares = key.endswith(":real") and not key.startswith("youden:")  # else of two groups
        images, patients = entry["num_values"], entry["num_patients"]
        whose = f"; {count(images, 'image')} of {count(patients, 'patient')}" if shares else ""
        lines.append(f"  {key:<28} {_interval(entry)}{whose}")
    lines += result["shows_nothing"].values()
    return [*lines, *(f"  note: {note}" for note in result["notes"])]


def _with_range(entry: Mapping[str, Any]) -> str:
    """A score of sets with its interval."""
    return f"{digits(entry['value'])} [{ends(entry)}]"


def _interval(entry: Mapping[str, Any]) -> str:
    value = number(entry["value"], missing="undefined")
    return f"{value} {bracketed(entry, between=', ')}".rstrip()


_KINDS: dict[str, tuple[Callable[[Mapping[str, Any]], list[str]], str]] = {
    "segmentation": (_segmentation_lines, "evaluation.json"),
    "classification": (_classification_lines, "evaluation.json, report.html"),
    "findings": (_finding_lines, "evaluation.json, findings.csv, report.html"),
    "robustness": (_robustness_lines, "evaluation.json, report.html"),
    "survival": (_survival_lines, "evaluation.json, images.csv"),
    "labels": (_label_lines, "evaluation.json, images.csv"),
    "images": (_image_lines, "evaluation.json, fid_card.md, sheet.png"),
    "lesions": (_lesion_lines, "evaluation.json, images.csv, found.png"),
}
