"""What is known of each finding in the training films: can it be learnt, and how it is weighted."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from provenance import UserError


def check_training_findings(
    findings: NDArray[np.float32] | None, names: Sequence[str]
) -> list[str]:
    """Sentences on findings that cannot be learnt from these films.

    Args:
        findings: (n, K) of each training film: 1, 0, or NaN for unknown; None without any.
        names: (K,).

    Raises:
        UserError: There are none, or none can be learnt.
    """
    if findings is None:
        raise UserError(
            "FindingsClassifier: this run's data tell no findings. Give --data.findings all, or "
            "some label columns."
        )
    counts = _counts(findings)
    missing = [
        f"{name} ({'with' if not counts[1, k] else 'without'})"
        for k, name in enumerate(names)
        if not counts[:, k].all()
    ]
    if len(missing) == len(names):
        raise UserError(
            f"All {len(findings)} training films are alike in every finding ({', '.join(names)}): "
            "there is nothing to tell apart. Give a training split in which they differ."
        )
    if not missing:
        return []
    return [
        f"note: no training film is known {', '.join(missing)}: of what no film shows nothing can "
        "be learnt. Leave it out of --data.findings, or prepare more patients."
    ]


def balanced_finding_weights(findings: NDArray[np.float32], names: Sequence[str]) -> Tensor:
    """(2, K) weights n / (2 n_without) and n / (2 n_with), n of whom a finding is known.

    With and without count alike, and the mean over the n films is 1.

    Args:
        findings: (n, K) of each training film: 1, 0, or NaN for unknown.
        names: (K,).

    Raises:
        UserError: A finding has no film with it, or none without.
    """
    counts = _counts(findings)
    missing = [name for k, name in enumerate(names) if not counts[:, k].all()]
    if missing:
        raise UserError(
            f"--model.class_weights balanced: no training film is known with, or none without, "
            f"{' and '.join(missing)}. Leave these out of --data.findings, or leave the flag out."
        )
    return torch.from_numpy(counts.sum(axis=0) / (2 * counts)).float()


def _counts(findings: NDArray[np.float32]) -> NDArray[np.int64]:
    """(2, K) films that are known to be without and with each finding."""
    return np.stack([(findings == value).sum(axis=0) for value in (0, 1)])
