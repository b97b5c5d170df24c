"""A set without the images that an audit found suspicious: a new one, beside the old."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cards.finish import command_of, write_set
from datamodules.named_files import write_file_hashes
from datamodules.synthetic import SyntheticSet
from generation.synthetic_set import REQUEST
from output_folder import check_folder, claim_folder, locked
from provenance import UserError, whole_file

_ROOMS = ("images", "masks")


def check_new_set(out: Path) -> None:
    """See, before an audit is computed, that a folder can take a set.

    Raises:
        UserError: It is a file, or holds something else.
    """
    check_folder(Path(out), REQUEST, {}, "synthetic set")


def left_out_and_told(
    synthetic: Path, audit: Mapping[str, Any], audit_sha256: str, out: Path
) -> str:
    """`write_without_copies` where anything was flagged, and a line that says what was done."""
    flagged = audit["flagged"]
    if flagged == 0:
        return f"No image lies above the threshold: nothing to leave out, and no {out}."
    made = write_without_copies(synthetic, audit, audit_sha256, out)
    return (
        f"{len(made.items):,} images, without {flagged:,} suspicious "
        f"{'one' if flagged == 1 else 'ones'}: {out}. Not audited since: audit it too."
    )


def write_without_copies(
    synthetic: Path, audit: Mapping[str, Any], audit_sha256: str, out: Path
) -> SyntheticSet:
    """Copy a set without the images above the threshold of its audit. The set itself stays.

    The new set is not audited, and copies that the audit missed are still in it.

    Args:
        synthetic: The audited set.
        audit: audit.json's content.
        audit_sha256: Of that file.
        out: Folder of the new set.

    Raises:
        UserError: The audit is of another set or of a part of it, flags nothing, or everything; or
            the folder holds something else.
    """
    source, out = SyntheticSet.open(synthetic), Path(out)
    scores = {row["id"]: bool(row["flagged"]) for row in audit["images"]}
    if audit["synthetic_sha256"] != source.content_sha256:
        raise UserError(f"{source.root}: is another set than the audited one. Audit this one.")
    if set(scores) != {item.id for item in source.items}:
        raise UserError(
            f"--drop-copies: the audit looked at {len(scores):,} of {len(source.items):,} images, "
            "and of the others nothing is known. Leave --num-images out."
        )
    dropped = sorted(name for name, flagged in scores.items() if flagged)
    if not dropped or len(dropped) == len(scores):
        which = "every image" if dropped else "no image"
        raise UserError(
            f"--drop-copies: {which} lies above the threshold, so there is no other set to write."
        )
    request = {"set_sha256": source.content_sha256, "left_out": dropped}
    with locked(out, "evaluate.py"):
        claim_folder(out, REQUEST, request, "synthetic set")
        kept = [item for item in source.items if not scores[item.id]]
        files, written = _files_of(source.root), list[str]()
        for item in kept:
            for path in files.get(item.id, []):
                written.append(path.relative_to(source.root).as_posix())
                with whole_file(out / written[-1]) as stream:
                    stream.write(path.read_bytes())
        names = {item.id for item in kept}
        before = source.manifest.get("without_copies") or {"left_out": 0, "of": len(scores)}
        found = audit["planted_found_share"]
        manifest = {
            **source.manifest,
            "audit": None,
            "evaluations": [],
            "survival": None,
            "found_labels": [],
            "sha256_files": write_file_hashes(out, written),
            "without_copies": {
                "left_out": before["left_out"] + len(dropped),
                "of": before["of"],
                "planted_found_share": min(found, before.get("planted_found_share", found)),
                "set_sha256": source.content_sha256,
                "audit_sha256": audit_sha256,
            },
            "items": [entry for entry in source.manifest["items"] if entry["id"] in names],
        }
        write_set(out, kept, manifest, command_of(source))
    return SyntheticSet.open(out)


def _files_of(root: Path) -> dict[str, list[Path]]:
    """By image, its picture, its label map, and whatever lies beside them under its name."""
    found: dict[str, list[Path]] = {}
    for room in _ROOMS:
        for path in sorted((root / room).glob("*")):
            if path.is_symlink():
                raise UserError(f"{path}: is a link, which no set holds. Remove it.")
            if path.is_file() and not path.name.startswith("."):
                found.setdefault(path.name.partition(".")[0], []).append(path)
    return found
