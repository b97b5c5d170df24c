"""One classifier beside others that were evaluated on the same films."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.classification.summary import columns_of
from evaluation.folder import RESULT
from metrics.auroc_intervals import score_difference
from metrics.delong import delong_test
from metrics.ranking import auroc
from provenance import UserError, read_json


@dataclass(frozen=True)
class OtherEvaluation:
    """A finished evaluation of another classifier.

    Attributes:
        folder: Where it lies.
        name: What it is called in tables and pictures.
        result: Its evaluation.json.
    """

    folder: Path
    name: str
    result: Mapping[str, Any]


def read_evaluation(folder: Path, ids: Iterable[str]) -> OtherEvaluation:
    """Read the folder of another evaluation.

    Args:
        folder: Its --out.
        ids: Of the films that it must have been made on.

    Raises:
        UserError: It holds none of a classifier of two classes, or one of more, fewer or other
            films.
    """
    path = folder / RESULT
    if not path.is_file():
        raise UserError(
            f"--compare {folder}: holds no {RESULT}. Give the --out folder of a finished "
            "evaluate.py of another classifier."
        )
    result = read_json(path)
    task = result.get("task") if isinstance(result, dict) else None
    names = result.get("class_names") if isinstance(result, dict) else None
    if task != "classification" or not isinstance(names, list) or len(names) != 2:
        raise UserError(
            f"--compare {folder}: is an evaluation of {task or 'another kind'}, expected one of a "
            "classifier of two classes."
        )
    _check_rows(result, path)
    mine, theirs = set(ids), {row["id"] for row in result["images"]}
    if mine != theirs:
        raise UserError(
            f"--compare {folder}: was evaluated on other films ({len(mine & theirs)} of "
            f"{len(mine)} here and {len(theirs)} there are the same). Evaluate both on the same "
            "split of the same cache."
        )
    # A run's evaluation is often called "evaluation": then the run's name says more.
    resolved = folder.resolve()
    own = resolved.name
    return OtherEvaluation(folder, own if own != "evaluation" else resolved.parent.name, result)


def _check_rows(result: Mapping[str, Any], path: Path) -> None:
    """Refuse an evaluation that evaluate.py does not write; it may come from others."""
    kinds = {"id": str, "patient_id": str, "label": int, "probability": int | float}
    rows = result.get("images")
    if (
        not isinstance(result.get("checkpoint_sha256"), str)
        or not isinstance(rows, list)
        or not all(
            isinstance(row, dict) and all(isinstance(row.get(k), v) for k, v in kinds.items())
            for row in rows
        )
    ):
        raise UserError(
            f"--compare {path.parent}: its {path.name} is damaged, or not what evaluate.py writes."
        )


def compared(rows: Sequence[Mapping[str, Any]], other: OtherEvaluation) -> dict[str, Any]:
    """This classifier's AUROC minus another's, paired by film.

    Args:
        rows: This classifier's predictions.
        other: The other evaluation, of the same films.

    Returns:
        The other's name and AUROC, the difference with its interval for other patients, and
        the two-sided p of DeLong's test with patients as clusters, where there are enough for
        either. Not corrected for several comparisons: a study does that.

    Raises:
        UserError: A film has another class or patient there.
    """
    theirs = {row["id"]: row for row in other.result["images"]}
    _check_same_truth(rows, theirs, other.folder)
    mine, labels, patients = columns_of(rows)
    matched, _, _ = columns_of([theirs[row["id"]] for row in rows])
    test = delong_test(mine, matched, labels, patients)
    found = score_difference(mine, matched, labels, patients)
    return {
        "name": other.name,
        "checkpoint_sha256": other.result["checkpoint_sha256"],
        "auroc": auroc(matched, labels),
        **found.as_dict(),
        "p": None if found.no_interval else test.p_value,
        "z": test.z,
        "standard_error": test.standard_error,
        "num_patients_rarer_class": test.num_patients_rarer_class,
    }


def _check_same_truth(
    rows: Sequence[Mapping[str, Any]], theirs: Mapping[str, Mapping[str, Any]], folder: Path
) -> None:
    for row in rows:
        other = theirs[row["id"]]
        if (row["label"], row["patient_id"]) != (other["label"], other["patient_id"]):
            raise UserError(
                f"--compare {folder}: the film {row['id']} has another class or patient there. The "
                "cache was prepared again in between; evaluate both anew."
            )
