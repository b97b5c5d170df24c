"""The card of a synthetic set, and the manifest that makes the set complete."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datamodules.synthetic import FORMAT, SyntheticItem, SyntheticSet, has_label_maps
from display.numbers import count
from display.tables import as_text, markdown, text_table
from foreign_text import printable
from provenance import read_json, write_json_atomic, write_text_atomic

_WHAT = "Every image here was made by a neural network. None is a picture of a patient."
_WHAT_OUTSIDE = (
    "Every image here is synthetic, as whoever brought the set in says: none is meant to be a "
    "picture of a patient."
)


def finish_synthetic_set(
    root: Path, items: list[SyntheticItem], manifest: dict[str, Any], command: str
) -> None:
    """Write the card and, last, the manifest that makes the set complete.

    A set that was finished before keeps what was recorded of its audit; others are not audited.
    """
    entries = [_entry(item) for item in items]
    content = {"format": FORMAT, **manifest, "command": command, "audit": None, "items": entries}
    write_set(root, items, {**content, "audit": _earlier_audit(root, content)}, command)


def record_audit(root: Path, audit: Mapping[str, Any]) -> None:
    """Write into a finished set's card and manifest what an audit of it found.

    The images stay as they are, and so does what the set is known by: `content_sha256`.

    Args:
        root: The set.
        audit: As `audit.record.record_of` gives it.
    """
    found = SyntheticSet.open(root)
    write_set(root, found.items, {**found.manifest, "audit": dict(audit)}, command_of(found))


def write_set(
    root: Path, items: list[SyntheticItem], content: dict[str, Any], command: str
) -> None:
    """Write a set's card, and its manifest as it is given."""
    write_text_atomic(root / "README.md", _card(items, content, command))
    write_json_atomic(root / "manifest.json", content)


def _earlier_audit(root: Path, content: Mapping[str, Any]) -> Any:
    """Of the same images, finished before, perhaps by another version; None of others."""
    if not (root / "manifest.json").is_file():
        return None
    before = read_json(root / "manifest.json")
    same = all(before.get(key) == content.get(key) for key in ("items", "generator", "seed"))
    return before.get("audit") if same else None


def command_of(found: SyntheticSet) -> str:
    """What made a set; earlier versions wrote it into the card alone."""
    if "command" in found.manifest:
        return str(found.manifest["command"])
    card = found.root / "README.md"
    parts = card.read_text(encoding="utf-8").split("```") if card.is_file() else []
    return parts[1].strip() if len(parts) > 2 else "not recorded"


def _card(items: list[SyntheticItem], manifest: Mapping[str, Any], command: str) -> str:
    origin = manifest["generator"]
    size, colour = manifest["image_size"], manifest.get("channels") == 3
    makers = origin.get("generators", [origin])
    outside = "trained_on" in origin  # brought in by prepare.py synthetic
    rows = {
        "images": f"{len(items)}, {size}x{size}, 8-bit {'colour' if colour else 'grey'}",
        "labels": _labels_in_words(items, manifest),
        **(_brought_in(manifest) if outside else _generators_in_words(makers)),
        "trained on": _trained_on(origin, makers),
        "truncation": manifest.get("truncation"),
        "batch statistics": next(filter(None, (m.get("batch_statistics") for m in makers)), None),
    }
    if any(item.label_patient_id for item in items):
        rows["label maps"] = (
            f"{len({item.label_item_id for item in items})} of "
            f"{count(len({item.label_patient_id for item in items}), 'patient')}"
        )
    without = manifest.get("without_copies")
    if without:
        rows["left out"] = (
            f"{without['left_out']:,} of {without['of']:,} images, which an audit found suspicious "
            f"(audit.json of SHA-256 `{without['audit_sha256']}`)"
        )
    rows |= {
        "seed": manifest.get("seed"),
        "software": f"Understudy {manifest['versions']['understudy']}",
    }
    told = [(name, str(value)) for name, value in rows.items() if value is not None]
    return f"""# Synthetic images: {len(items)} of {as_text(printable(manifest["dataset"]))}

**{_WHAT_OUTSIDE if outside else _WHAT}**

{markdown(text_table(("", ""), told))}
{"Brought in by" if outside else "Made by"}

```
{command}
```

Use: to join the *training* split of a model whose validation and test patients the generator
never saw (`train.py` checks it). Not for diagnosis, not as evidence about any person or disease.

{_audit_in_words(manifest["audit"], bool(without))}
"""


def _audit_in_words(audit: Mapping[str, Any] | None, without_copies: bool) -> str:
    """The card's paragraph on copies."""
    if audit is None and without_copies:
        return (
            "**Not audited since** suspicious images were left out. Copies that the audit did not "
            "find are still here, and what else the generator copied is not known: audit this set "
            "before it is handed on."
        )
    if audit is None:
        return (
            "**Not audited.** A generator can reproduce images that it was trained on; whether "
            "this one does was not measured here, so treat the set with the same care as the data "
            "behind it."
        )
    return (
        f"**Audited for copies: {audit['answer']}.** {as_text(printable(audit['sentence']))} The "
        "audit sees what its report names, and no more: read it before the set is handed on "
        f"(audit.json of SHA-256 `{audit['audit_sha256']}`)."
    )


def _brought_in(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The card's rows of a set whose images another program made."""
    origin, source = manifest["generator"], manifest["source"]
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in source["kinds"].items())
    return {
        "made by": as_text(printable(origin["made_by"])),
        "came as": f"{kinds}; {source['num_left_out']:,} left out",
        "prepared like": as_text(printable(manifest["prepared_like"]["dataset"]))
        + f", split id `{manifest['prepared_like']['split_id'][:16]}`",
    }


def _trained_on(origin: dict[str, Any], makers: Sequence[dict[str, Any]]) -> str:
    """The card's row of whom the generator knows."""
    if origin.get("trained_on") == "unknown":
        return "unknown: whether its images copy anybody's, and whom, cannot be told from here"
    patients = count(len(origin["training_patients"]), "patient")
    if "trained_on" in origin:
        return f"the training split of {as_text(printable(origin['trained_on']))}, {patients}"
    only = _only_label(makers)
    seen = f"{patients}, {count(origin['images_seen'], 'image')} seen"
    return f"{seen}, only of {only}" if only else seen


def _generators_in_words(makers: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The card's rows of generators: one row each."""
    if len(makers) == 1:
        return {"generator": f"checkpoint SHA-256 `{makers[0]['checkpoint_sha256']}`"}
    return {
        f"generator of {maker['label']}": f"{maker['module']}, {maker['images_seen']} images seen, "
        f"checkpoint SHA-256 `{maker['checkpoint_sha256']}`"
        for maker in makers
    }


def _only_label(makers: Sequence[dict[str, Any]]) -> str | None:
    """The class that a single generator was trained on, if it was one."""
    return makers[0].get("trained_on_label") if len(makers) == 1 else None


def _labels_in_words(items: list[SyntheticItem], manifest: Mapping[str, Any]) -> str | None:
    """The card's row of labels: of pixels, of images with how many, or none."""
    if has_label_maps(items):
        return ", ".join(f"{i} {name}" for i, name in enumerate(manifest["class_names"]))
    counts = Counter(item.label for item in items if item.label is not None)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or None


def _entry(item: SyntheticItem) -> dict[str, Any]:
    """An item as the manifest holds it: without what it lacks."""
    return {key: value for key, value in asdict(item).items() if value not in (None, ())}
