"""What `prepare.py` says at the end: found, used, skipped and why, where it is, what is next."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from datamodules.prepared_cache import SPLITS
from display.numbers import count
from licences import Licence
from preparation.left_out import left_out_line
from preparation.licence import licence_line
from preparation.private_table import SKIPPED, private_folder
from preparation.trainable_sizes import is_doubled
from preparation.verify import MOST_LISTED, moved_lines, print_checked, print_listed
from preparation.volumes.prepare import SliceOutcome

_NEXT = {
    "masks": "python generate.py --checkpoint runs/<run>/checkpoints/best.ckpt --labels {out} "
    "--num-images {images} --out synthetic/{name}",
    "test": "python evaluate.py --checkpoint runs/<run>/checkpoints/best.ckpt --root {out} "
    "--out runs/<run>/evaluation_{name}",
    "train": "python train.py fit --config configs/kits19/pix2pix.yaml --data.root {out}",
    "verify": "python prepare.py verify {out}",
}


def print_slice_summary(outcome: SliceOutcome) -> None:
    """Print the account of a preparation; its last line names the next command."""
    manifest, out = outcome.manifest, outcome.out
    if outcome.verification is not None:
        print_checked(outcome.verification)
    items, split = manifest["items"], manifest["split"]
    if number := manifest.get("num_synthetic"):
        print(f"note: {number:,} slices say that they are synthetic; every result will say so.")
    notes = Counter(outcome.notes)
    for note, times in list(notes.items())[:MOST_LISTED]:
        print(f"note: {note}" + (f" ({times:,} times)" if times > 1 else ""))
    if len(notes) > MOST_LISTED:
        print(f"note: and {len(notes) - MOST_LISTED} more, in {out / 'records'}.")
    used = len(manifest["shards"])
    num_patients = len({item["patient_id"] for item in items})
    volumes, of = count(used, "volume"), count(num_patients, "patient")
    slices = count(len(items), "slice")
    resumed = f", {outcome.num_resumed} of them finished before" if outcome.num_resumed else ""
    print(
        f"{outcome.num_found} found, {volumes} of {of} used with {slices}{resumed}, "
        f"{len(outcome.skipped)} skipped."
    )
    print_listed(outcome.skipped, "skipped")
    if outcome.skipped:
        own = private_folder(out) / SKIPPED
        print(left_out_line(len(outcome.skipped), own if own.is_file() else out / SKIPPED))
    if split["by"] == "slice":
        print(
            "warning: split by slice. Slices of one patient are in training and in test, so "
            "scores are overstated; never report them beside scores split by patient."
        )
    if "duplicates" in manifest:
        print("\n".join(_copy_lines(manifest["duplicates"], split["by"], outcome.identifiers)))
    names = manifest["class_names"]
    print("\n".join(_split_lines(items, names)))
    classes = _class_line(items, names)
    print(licence_line(Licence.of_plain(manifest["licence"]), out))
    size = manifest["image_size"]
    print(f"{size}x{size} pixels, {_seen(manifest)}; {classes}.")
    kind = manifest["dataset"] if manifest["dataset"] == "masks" else split["all_to"] or "train"
    if kind == "train" and not is_doubled(size):
        kind = "verify"
    following = _NEXT.get(kind, _NEXT["train"]).format(
        out=out, name=out.name, images=_useful(items)
    )
    if (private := private_folder(out)).is_dir():
        print(
            f"{private}: the names of patients and files behind the pseudonyms. Never give "
            "it to others."
        )
    tables = "skipped.csv, duplicates.csv" if "duplicates" in manifest else "skipped.csv"
    print(f"Results: {out} (manifest.json, {tables}). Next: {following}")


def _seen(manifest: Mapping[str, Any]) -> str:
    """How the images became grey, in words."""
    if window := manifest["window"]:
        return f"window {window['width_hu']:g} HU around {window['center_hu']:g} HU"
    if channels := manifest.get("channels"):
        return ", ".join(_channel(one) for one in channels)
    return "grey values as they came" if manifest["has_images"] else "label maps alone"


def _channel(one: Mapping[str, Any]) -> str:
    if "percentiles" in one:
        low, high = one["percentiles"]
        return f"{one['name']} from percentile {low:g} to {high:g} of each volume"
    return f"{one['name']} {one['width']:g} wide around {one['center']:g}"


def _copy_lines(copies: dict[str, Any], by: str, identifiers: Mapping[str, str]) -> list[str]:
    """What is there twice, and who was moved for it, as the source names them."""
    whose = f"{by}s"
    pairs = "pair" if copies["pairs"] == 1 else "pairs"
    different = " under different patients" if by == "patient" else ""
    return [
        f"duplicates.csv: {copies['pairs']:,} {pairs} of volumes with equal slices{different}; the "
        f"{copies['kept_together']:,} {whose} concerned are kept together.",
        *moved_lines({identifiers.get(n, n): m for n, m in copies["moved"].items()}, whose),
    ]


def _split_lines(items: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    lines = []
    for split in SPLITS:
        own = [item for item in items if item["split"] == split]
        patients = len({item["patient_id"] for item in own})
        word = "patient " if patients == 1 else "patients"
        holding = [
            f"{sum(item['class_pixels'][label] > 0 for item in own):,d} with {name}"
            for label, name in enumerate(names)
            if label > 0
        ]
        lines.append(
            f"  {split:5s} {patients:4d} {word} {len(own):7,d} slices, {', '.join(holding)}"
        )
    return lines


def _useful(items: Sequence[dict[str, Any]]) -> int:
    """Slices with foreground, at most a thousand: a number of images to begin with."""
    return min(1000, sum(1 for item in items if any(item["class_pixels"][1:])))


def _class_line(items: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    totals = [sum(item["class_pixels"][i] for item in items) for i in range(len(names))]
    whole = max(1, sum(totals))
    return ", ".join(f"{n} {100 * t / whole:.2f} %" for n, t in zip(names, totals, strict=True))
