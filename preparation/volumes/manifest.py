"""The manifest of a cache of slices, and for what its split is drawn."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from datamodules.slice_cache import SliceCache
from licences import Licence
from preparation.split import Split, moves, split_id
from preparation.synthetic_files import num_synthetic
from preparation.volumes.copies import Copies, divided_by
from preparation.volumes.grey_values.channel import plain
from preparation.volumes.layout import Layout
from preparation.volumes.volume import Found
from provenance import __version__, read_json


def split_keys(
    found: Found, records: dict[str, dict[str, Any]], split: Split
) -> dict[str, Collection[str]]:
    """For what the split of each patient, or of each slice, is drawn."""
    if split.by == "patient":
        used = {record["patient_id"] for record in records.values()}
        return {who: keys for who, keys in found.split_keys.items() if who in used}
    item_keys = {job.shard: job.item_key for job in found.jobs}
    return {
        item["id"]: (item_keys[shard] + item["id"].removeprefix(shard),)
        for shard, record in records.items()
        for item in record["items"]
    }


def moved_by_spelling(
    split: Split, keys: dict[str, Collection[str]], splits: dict[str, str], copies: Copies
) -> dict[str, list[str]]:
    """Whom the other spellings of the identifier moved; copies have a list of their own."""
    with_copies = {name for group in copies.together for name in group}
    several = (who for who, of in keys.items() if len(of) > 1 and who not in with_copies)
    return moves(split, keys, splits, several)


def manifest_of(
    layout: Layout,
    split: Split,
    records: dict[str, dict[str, Any]],
    found: Found,
    splits: dict[str, str],
    licence: Licence,
) -> dict[str, Any]:
    """What the cache says of itself.

    Args:
        layout: Settings of the cache.
        split: How its slices are divided.
        records: Of the finished volumes, by the names of their shards.
        found: Jobs of the source.
        splits: The split of each patient, or of each slice.
        licence: Of the data.
    """
    unit, class_names = divided_by(split.by), found.class_names
    items = [
        {**item, "split": splits[item[unit]]}
        for name in sorted(records)
        for item in records[name]["items"]
    ]
    width_center = layout.window or (None, None)
    return {
        "format": SliceCache.FORMAT,
        "format_version": SliceCache.FORMAT_VERSION,
        "dataset": layout.dataset,
        "software_version": __version__,
        "image_size": layout.image_size,
        "num_classes": len(class_names),
        "class_names": list(class_names),
        "has_images": layout.has_images,
        "has_masks": True,
        "window": None
        if layout.window is None
        else {"width_hu": width_center[0], "center_hu": width_center[1]},
        **({"resample": True} if layout.resample else {}),
        **({"channels": plain(layout.channels)} if layout.channels else {}),
        "patients": found.naming.names.plain(),
        "licence": licence.plain(),
        "split": split.plain(),
        "split_id": split_id((item[unit], item["split"]) for item in items),
        **num_synthetic(sum(r["content"].get("num_synthetic", 0) for r in records.values())),
        "shards": {name: records[name]["content"] for name in sorted(records)},
        "items": items,
    }


def divided_otherwise(out: Path, manifest: dict[str, Any], unit: str) -> bool:
    """Whether somebody has another split than in the finished cache that is there."""
    if not (out / "manifest.json").is_file():
        return False
    earlier = read_json(out / "manifest.json")["items"]
    before = {item[unit]: item["split"] for item in earlier}
    return any(before.get(i[unit], i["split"]) != i["split"] for i in manifest["items"])
