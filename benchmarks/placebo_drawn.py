"""Studies that `placebo.py` draws: scores of patients and trainings, and what is true of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from metrics.jackknife import jackknife_auroc, jackknife_mean
from studies.statistics.two_sources import Arm

Floats = NDArray[np.float64]
LEVEL = 0.05
ARMS = 8
ARMS_AUROC = 4
EFFECTS = (3.0, 5.0)  # points; hundredths of AUROC
PATIENT_SD = 10.0
TRAINING_BY_PATIENT_SD = 5.0
AUROC = 0.9
SHARED_EASE = 0.6  # of the variance of a film's score that all trainings share
NUMBERS_AT_ONCE = 3_000_000


@dataclass(frozen=True)
class Cell:
    """One kind of study.

    Attributes:
        score: "mean" of patients' scores in points, or "auroc".
        patients: In the test split.
        seeds: Trainings of each arm.
        training_sd: Between trainings, in points or hundredths of AUROC.
        arm_sd: Of the arms' difference over patients, in points; means only.
        humps: 1: patients are normal; 2: three in ten form a hump of their own.
        positives: Patients of class 1; AUROC only.
    """

    score: str
    patients: int
    seeds: int
    training_sd: float
    arm_sd: float = 0.0
    humps: int = 1
    positives: int = 0


def cells() -> list[Cell]:
    """Every cell, the slow ones first."""
    means = [
        Cell("mean", patients, seeds, training_sd, arm_sd, humps)
        for patients in (500, 100, 30, 10)
        for seeds in (5, 3)
        for training_sd in (0.0, 0.5, 1.0, 2.0)
        for arm_sd in (0.0, 5.0)
        for humps in (1, 2)
    ]
    aurocs = [
        Cell("auroc", patients, seeds, training_sd, positives=positives)
        for patients, positives in ((500, 250), (500, 100), (100, 50), (100, 20), (40, 20))
        for seeds in (5, 3)
        for training_sd in (0.0, 0.5, 1.0, 2.0)
    ]
    return aurocs + means


def drawn_patients(rng: np.random.Generator, shape: tuple[int, ...], humps: int) -> Floats:
    """Mean 0 and variance 1; two humps are four standard deviations of either apart and more."""
    noise = rng.standard_normal(shape)
    if humps == 1:
        return noise
    low = rng.random(shape) < 0.3
    return np.where(low, -1.4, 0.6) + 0.4 * noise


def mean_study(cell: Cell, rng: np.random.Generator, number: int) -> tuple[list[Arm], float]:
    """Arms of studies whose scores are means over patients, and the true mean."""
    shape = (number, ARMS, cell.seeds, cell.patients)
    scores = TRAINING_BY_PATIENT_SD * rng.standard_normal(shape, dtype=np.float32).astype(float)
    scores += PATIENT_SD * drawn_patients(rng, (number, 1, 1, cell.patients), cell.humps)
    scores += cell.training_sd * rng.standard_normal((*shape[:3], 1))
    if cell.arm_sd:
        own = drawn_patients(rng, (number, ARMS - 1, 1, cell.patients), cell.humps)
        scores[:, 1:] += cell.arm_sd * own
    found = jackknife_mean(scores, 1)
    return [Arm(found.value[:, arm], found.pseudo[:, arm]) for arm in range(ARMS)], 0.0


def auroc_study(
    cell: Cell, rng: np.random.Generator, number: int
) -> tuple[list[list[Arm]], list[float]]:
    """Arms of studies of classifiers for each true AUROC of the treated arm, and those AUROCs.

    A film's score is normal in either class; a training is the distance of the two classes.
    """
    positive = np.arange(cell.patients) < cell.positives
    shape = (number, ARMS_AUROC, cell.seeds, cell.patients)
    noise = np.sqrt(1 - SHARED_EASE) * rng.standard_normal(shape, dtype=np.float32).astype(float)
    noise += np.sqrt(SHARED_EASE) * rng.standard_normal((number, 1, 1, cell.patients))
    luck = rng.standard_normal((*shape[:3], 1))
    distance, spread = _distance(AUROC, cell.training_sd / 100)
    found = jackknife_auroc(
        noise + positive * (distance + spread * luck), positive, np.arange(cell.patients)
    )
    arms = [Arm(found.value[:, arm], found.pseudo[:, arm]) for arm in range(ARMS_AUROC)]
    studies, truths = [arms], [_true_auroc(distance, spread)]
    for effect in EFFECTS:
        own, spread = _distance(AUROC + effect / 100, cell.training_sd / 100)
        found = jackknife_auroc(
            noise[:, 1] + positive * (own + spread * luck[:, 1]), positive, np.arange(cell.patients)
        )
        studies.append([arms[0], Arm(found.value, found.pseudo), *arms[2:]])
        truths.append(_true_auroc(own, spread))
    return studies, truths


def _distance(auroc: float, training_sd: float) -> tuple[float, float]:
    """Distance of the classes that gives an AUROC, and its standard deviation over trainings."""
    from scipy.special import ndtri

    at = float(ndtri(auroc))
    slope = np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi) / np.sqrt(2)
    return np.sqrt(2) * at, training_sd / slope


def _true_auroc(distance: float, spread: float) -> float:
    return float(ndtr(distance / np.sqrt(2 + spread**2)))
