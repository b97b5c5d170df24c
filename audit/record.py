"""What a set's manifest and card hold of an audit: its answer, and nothing of any patient."""

from pathlib import Path
from typing import Any

from audit.command import RESULT
from display.copies import worst_kind
from provenance import UserError, read_json, sha256_of


def read_audit(folder: Path) -> dict[str, Any]:
    """The content of a finished audit's folder.

    Raises:
        UserError: There is none.
    """
    result = read_json(Path(folder) / RESULT)
    if not isinstance(result, dict) or result.get("task") != "audit" or "verdict" not in result:
        raise UserError(f"{Path(folder) / RESULT}: is not what evaluate.py audit writes.")
    return result


def record_of(folder: Path) -> dict[str, Any]:
    """Of a finished audit, for the manifest's key `audit`.

    Args:
        folder: The audit's.

    Returns:
        The "answer" and its "sentence"; "n" images, how many were "flagged" and the
        "held_out_share" that would be; the "upper_bound" of the share of copies mixed evenly over
        the planted kinds, and the "upper_bound_of_any_kind" where all are of the worst one; the
        share of planted copies that was found, and the smallest share that would have been shown;
        which attacks succeeded, "seeds", "extractor", what was required, and the SHA-256 of
        audit.json.
    """
    result = read_audit(folder)
    return {
        "answer": result["verdict"],
        "sentence": result["sentences"][0],
        "n": result["num_synthetic"],
        "flagged": result["flagged"],
        "held_out_share": result["held_out_flagged_share"],
        "upper_bound": result["copies_at_most"],
        "upper_bound_of_any_kind": worst_kind(result["planted"])["copies_at_most"],
        "planted_found_share": result["planted_found_share"],
        "smallest_share_shown": result["smallest_share_shown"],
        "attacks_succeeded": result["attacks_succeeded"],
        "seeds": [2 * result["seed"], 2 * result["seed"] + 1],
        "extractor": "contrastive, trained on the generator's training images",
        "required": [
            {"rule": row["rule"], "verdict": row["verdict"]} for row in result.get("require", ())
        ],
        "audit_sha256": sha256_of(Path(folder) / RESULT),
    }
