"""Training on some of the patients: what a small data set would have given."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.synthetic import SyntheticSet
from provenance import UserError


def check_fraction(fraction: float) -> None:
    """Refuse a share of patients that is none.

    Raises:
        UserError: Not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:  # NaN neither
        raise UserError(
            f"--data.fraction_of_patients is {fraction:g}; it must be above 0 and at most 1, such "
            "as 0.25 for a quarter of the training patients."
        )


def some_patients(patients: Sequence[str], fraction: float, seed: int) -> list[str]:
    """A share of the patients, at least one, in an order that the seed draws.

    A smaller share is a part of a larger one, and a patient's rank depends on nobody else. No
    random state is used or changed.

    Args:
        patients: Their names, each once.
        fraction: Above 0, at most 1: of their number, rounded.
        seed: Of the order.
    """
    order = np.argsort(patient_ranks(patients, seed), kind="stable")
    return [patients[index] for index in order[: max(1, round(fraction * len(patients)))]]


def patients_of_images(
    patients: Sequence[str], images_of: Mapping[str, int], num_images: int, seed: int
) -> list[str]:
    """Patients in the order that the seed draws, whole, as long as their images are not too many.

    A smaller number's patients are a part of a larger one's.

    Args:
        patients: Their names, each once.
        images_of: How many images each has; who has none is left out.
        num_images: At most so many together.
        seed: Of the order.

    Raises:
        UserError: The first one has more.
    """
    known = [patient for patient in patients if images_of.get(patient, 0)]
    order = np.argsort(patient_ranks(known, seed), kind="stable").tolist()
    totals = np.cumsum([images_of[known[index]] for index in order])
    chosen = [
        known[index] for index, total in zip(order, totals, strict=True) if total <= num_images
    ]
    if not chosen:
        raise UserError(
            f"--data.num_images {num_images}: patients are taken whole, and the first one by this "
            f"seed has {int(totals[0]) if len(totals) else 'no'} images. Give a larger number, or "
            "another --data.patients_seed."
        )
    return chosen


def patients_warning(
    synthetic: SyntheticSet, patients: Sequence[str], chosen: Collection[str]
) -> str | None:
    """A warning if a set's generator has learnt from training patients that a run leaves out.

    That is no leak of test data; but a comparison would then be one of more real patients with
    fewer.

    Args:
        synthetic: The set; its manifest says of which patients its generators were trained.
        patients: Of the run's training split, in its order.
        chosen: Those that the run uses.

    Returns:
        A sentence to print, or None where no generator was, or no manifest says.
    """
    if not set(patients) - set(chosen):
        return None
    for maker in synthetic.manifest["generator"].get("generators", []):
        seen = _patients_of(maker, patients)
        if not seen <= set(chosen):
            told = "all" if seen >= set(patients) else f"{len(seen)} of the"
            return (
                f"{synthetic.root}: its generator was trained on {told} training patients, and "
                f"this run uses {len(set(chosen))} of {len(patients)}, not the same ones. So it "
                "has learnt from patients that this run leaves out, which makes a comparison "
                "unfair to runs without synthetic images. Train it with this run's "
                "--data.fraction_of_patients or --data.num_images, and --data.patients_seed."
            )
    return None


def patients_of_generators(synthetic: SyntheticSet, patients: Sequence[str]) -> set[str] | None:
    """Who of the training patients was among those that a set's generators were trained on.

    Args:
        synthetic: The set; its manifest names them, or says what share and by which seed.
        patients: Of the training split that they were trained on, in its order.

    Returns:
        None where one saw all.
    """
    makers = synthetic.manifest.get("generator", {}).get("generators", [])
    seen: set[str] = set().union(*(_patients_of(one, patients) for one in makers))
    return seen if makers and set(patients) - seen else None


def _patients_of(maker: Mapping[str, Any], patients: Sequence[str]) -> set[str]:
    """Whom a generator was trained on, of a training split."""
    if "trained_on_patients" in maker:
        return set(map(str, maker["trained_on_patients"]))
    share = maker.get("fraction_of_patients")
    if share is None:
        return set(patients)
    return set(some_patients(patients, share, int(maker["patients_seed"])))


def patient_ranks(patients: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """(N,) a number for each patient that decides the order, drawn from the seed and the name."""
    digests = (hashlib.sha256(f"{seed}/{patient}".encode()).digest() for patient in patients)
    return np.array([int.from_bytes(digest[:8], "big") for digest in digests], np.uint64)
