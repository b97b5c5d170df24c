"""The first table of a set's card: what its images are, who made them, and from what."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cards.files import depth
from cards.page import Row
from datamodules.synthetic import SyntheticItem, has_label_maps, licences_in
from display.numbers import count
from foreign_text import printable


def facts_of(
    items: Sequence[SyntheticItem], manifest: Mapping[str, Any], outside: bool
) -> list[Row]:
    """The rows.

    Args:
        items: The set's images.
        manifest: Its manifest.
        outside: Whether another program made them.
    """
    origin = manifest["generator"]
    size = manifest["image_size"]
    makers = origin.get("generators", [origin])
    rows: dict[str, Any] = {
        "images": f"{len(items)}, {size}x{size}, {depth(manifest)}",
        "labels": _labels_in_words(items, manifest),
        **(_brought_in(manifest) if outside else _generators_in_words(makers)),
        "trained on": _trained_on(origin, makers),
        "truncation": manifest.get("truncation"),
        "batch statistics": next(filter(None, (m.get("batch_statistics") for m in makers)), None),
    }
    if told := manifest.get("translated_from"):
        owners = {item.source_patient_id for item in items}
        whose = count(len(owners), "patient") if told["shows_patients"] else "nobody"
        kind = "of the synthetic set" if "set_sha256" in told else "of"
        rows["translated from"] = (
            f"{count(len(items), 'image')} {kind} {printable(told['dataset'])}, of {whose}; "
            f"{told['direction']}"
        )
    if any(item.label_patient_id for item in items):
        rows["label maps"] = (
            f"{len({item.label_item_id for item in items})} of "
            f"{count(len({item.label_patient_id for item in items}), 'patient')}"
        )
    if painted := manifest.get("painted"):
        done = "put in" if painted["what"] == "put" else "taken out"
        rows["painted"] = (
            f"{printable(painted['lesion'])} {done}, in a region with a margin of "
            f"{count(painted['margin'], 'pixel')}; largest difference from the slice outside of "
            f"it: {painted['largest_difference_outside']} of 255, mean inside: "
            f"{painted['mean_difference_inside']:.1f}"
        )
    if without := manifest.get("without_copies"):
        rows["left out"] = (
            f"{without['left_out']:,} of {without['of']:,} images, which an audit found suspicious "
            f"(audit.json of SHA-256 `{without['audit_sha256']}`)"
        )
    rows |= {
        "licence of the data behind it": "; ".join(one.in_words for one in licences_in(manifest)),
        "format": manifest.get("files"),
        "seed": manifest.get("seed"),
        "software": f"Understudy {manifest['versions']['understudy']}",
    }
    return [(name, str(value)) for name, value in rows.items() if value is not None]


def _brought_in(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Rows of a set whose images another program made."""
    origin, source = manifest["generator"], manifest["source"]
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in source["kinds"].items())
    return {
        "made by": printable(origin["made_by"]),
        "came as": f"{kinds}; {source['num_left_out']:,} left out",
        "prepared like": printable(manifest["prepared_like"]["dataset"])
        + f", split id `{manifest['prepared_like']['split_id'][:16]}`",
    }


def _trained_on(origin: Mapping[str, Any], makers: Sequence[dict[str, Any]]) -> str:
    """The row of whom the generator knows."""
    if origin.get("trained_on") == "unknown":
        return "unknown: whether its images copy anybody's, and whom, cannot be told from here"
    patients = count(len(origin["training_patients"]), "patient")
    if len(makers) == 1 and "trained_on_patients" in makers[0]:
        chosen = len(makers[0]["trained_on_patients"])
        at_most = makers[0]["trained_on_at_most"]
        patients += f", of whom {chosen} were trained on (at most {count(at_most, 'image')})"
    if "trained_on" in origin:
        return f"the training split of {printable(origin['trained_on'])}, {patients}"
    only = makers[0].get("trained_on_label") if len(makers) == 1 else None
    seen = f"{patients}, {count(origin['images_seen'], 'image')} seen"
    split = f"; split id `{origin['split_id'][:16]}`" if "split_id" in origin else ""
    return f"{seen}, only of {only}{split}" if only else f"{seen}{split}"


def _generators_in_words(makers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One row each."""
    if len(makers) == 1:
        module = f"{makers[0]['module']}, " if "module" in makers[0] else ""
        return {"generator": f"{module}checkpoint SHA-256 `{makers[0]['checkpoint_sha256']}`"}
    return {
        f"generator of {maker['label']}": f"{maker['module']}, {maker['images_seen']} images seen, "
        f"checkpoint SHA-256 `{maker['checkpoint_sha256']}`"
        for maker in makers
    }


def _labels_in_words(items: Sequence[SyntheticItem], manifest: Mapping[str, Any]) -> str | None:
    """The row of labels: of pixels, of images with how many, or none."""
    if has_label_maps(items):
        return ", ".join(f"{i} {name}" for i, name in enumerate(manifest["class_names"]))
    counts = Counter(item.label for item in items if item.label is not None)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or None
