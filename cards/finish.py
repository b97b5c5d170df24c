"""The card of a synthetic set, and the manifest that makes the set complete."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cards.dataset import dataset_card
from datamodules.named_files import write_file_hashes
from datamodules.synthetic import (
    FORMAT,
    SyntheticItem,
    SyntheticSet,
    found_labels_in,
    image_name,
    licences_in,
    mask_name,
)
from licences import Licence, together
from private_paths import command_for_others
from provenance import UserError, read_checked_json, write_checked_json


def finish_synthetic_set(
    root: Path, items: list[SyntheticItem], manifest: dict[str, Any], command: str
) -> None:
    """Write the card and, last, the manifest that makes the set complete.

    A set that was finished before keeps what was recorded of its audit and evaluations; another
    was neither audited nor evaluated.
    """
    entries = [_entry(item) for item in items]
    later: dict[str, Any] = {"audit": None, "evaluations": []}
    image_format = manifest.get("image_format", "png")
    names = (name(item, image_format) for item in items for name in (image_name, mask_name))
    later["sha256_files"] = write_file_hashes(root, names)
    content = {"format": FORMAT, **manifest, "command": command, **later, "items": entries}
    write_set(root, items, {**content, **_said_later(root, content)}, command)


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
    """Write a set's card, and its manifest as it is given.

    Sets of earlier versions have names of folders in their command. These do not come into the
    card; the manifest stays as it is, since a set is known by it.
    """
    dataset_card(items, content, command_for_others(command)).write(root)
    write_checked_json(root / "manifest.json", content)


def record_evaluation(root: Path, evaluation: Mapping[str, Any]) -> None:
    """Write into a finished set's card and manifest what a comparison of its images found.

    One of the same extractor and split takes the place of the earlier one.

    Args:
        root: The set.
        evaluation: As `evaluation.images.record.record_of` gives it.

    Raises:
        UserError: It is of another set.
    """
    found = SyntheticSet.open(root)
    _check_is_of(found, evaluation, "images")
    key = ("extractor", "split")
    others = [
        one
        for one in found.manifest.get("evaluations") or []
        if any(one[name] != evaluation[name] for name in key)
    ]
    content = {**found.manifest, "evaluations": [*others, dict(evaluation)]}
    write_set(root, found.items, content, command_of(found))


def record_check(root: Path, kind: str, check: Mapping[str, Any]) -> None:
    """Write into a set's card and manifest how often a frozen model finds its labels.

    What another model finds against real images stays beside it; an earlier check by the same
    model, or of a translation, is replaced.

    Args:
        root: The set.
        kind: Compared with real images, "labels", or of a translated set with its originals,
            "survival": the subcommand of evaluate.py.
        check: As `evaluation.label_record.record_of` gives it.

    Raises:
        UserError: It is of another set.
    """
    found = SyntheticSet.open(root)
    _check_is_of(found, check, kind)
    told: dict[str, Any] = {"survival": dict(check)}
    if kind == "labels":
        others = [
            one
            for one in found_labels_in(found.manifest)
            if one["checkpoint_sha256"] != check["checkpoint_sha256"]
        ]
        told = {"found_labels": [*others, dict(check)]}
    write_set(root, found.items, {**found.manifest, **told}, command_of(found))


def _check_is_of(found: SyntheticSet, evaluation: Mapping[str, Any], kind: str) -> None:
    if evaluation["synthetic_sha256"] != found.content_sha256:
        raise UserError(
            f"{found.root}: the evaluation is of another set, or of this one before it was made "
            f"again. Nothing was changed; evaluate this one: evaluate.py {kind}."
        )


def write_card_anew(root: Path, licence: Licence | None) -> list[Licence]:
    """Write a finished set's card again, also one of an earlier version.

    Args:
        root: The set.
        licence: Stated for data whose licence is not; for all of them where each is. None changes
            nothing.

    Returns:
        The licences of the data behind it.
    """
    found = SyntheticSet.open(root)
    content = dict(found.manifest)
    if licence is not None:
        unknown = [one for one in found.licences if not one.is_stated]
        told = [licence if one in unknown or not unknown else one for one in found.licences]
        content["licences"] = [one.plain() for one in together(told)]
    content.setdefault("audit", None)
    write_set(root, found.items, content, command_of(found))
    return SyntheticSet.open(root).licences


def _said_later(root: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Of the same images, finished before, perhaps by another version; nothing of others.

    Nor of a manifest that is damaged: this writes it anew, and a line says what is not in it.
    """
    if not (root / "manifest.json").is_file():
        return {}
    try:
        before = read_checked_json(root / "manifest.json")
    except UserError:
        print(
            f"note: {root / 'manifest.json'}: is damaged or was changed since it was written. It "
            "is written anew, without the audit and evaluations that it may have recorded: make "
            "them again.",
            file=sys.stderr,
        )
        return {}
    same = all(before.get(key) == content.get(key) for key in ("items", "generator", "seed"))
    if not same:
        return {}
    kept = ("audit", "evaluations", "survival", "found_labels")
    found = {key: before[key] for key in kept if before.get(key)}
    if before.get("licences") and not all(one.is_stated for one in licences_in(content)):
        found["licences"] = before["licences"]  # stated since, by generate.py card
    return found


def command_of(found: SyntheticSet) -> str:
    """What made a set; earlier versions wrote it into the card alone."""
    if "command" in found.manifest:
        return str(found.manifest["command"])
    card = found.root / "README.md"
    parts = card.read_text(encoding="utf-8").split("```") if card.is_file() else []
    return parts[1].strip() if len(parts) > 2 else "not recorded"


def _entry(item: SyntheticItem) -> dict[str, Any]:
    """An item as the manifest holds it: without what it lacks."""
    return {key: value for key, value in asdict(item).items() if value not in (None, ())}
