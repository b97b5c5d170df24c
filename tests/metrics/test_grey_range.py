import itertools
from typing import Any

import numpy as np
import pytest
import torch

from metrics.grey_range import GreyLevels, GreyRange
from metrics.segmentation import SegmentationScores

PATIENTS = ["a", "a", "b", "c"]


def levels(images: Any, labels: Any, patients: list[str]) -> GreyLevels:
    counted = GreyLevels(3)
    counted.update(patients, np.asarray(images, np.uint8), np.asarray(labels))
    return counted


def test_a_structure_with_grey_values_of_its_own_is_found_whole() -> None:
    labels = [[[0, 1, 2, 2]]]
    found = levels([[[10, 200, 120, 130]]], labels, ["a"])

    # Of the ranges that hold 120 and 130 alone, the one that begins darkest.
    assert found.best(2) == GreyRange(11, 130, 1.0)
    assert found.best(1) == GreyRange(131, 200, 1.0)


def test_known_value_where_grey_values_overlap() -> None:
    # Tumour at 100, 100; kidney at 100, 150: the range 100 gives 2 * 2 / (3 + 2).
    found = levels([[[100, 100, 100, 150]]], [[[2, 2, 1, 1]]], ["a"]).best(2)

    assert found is not None
    assert found.dice == pytest.approx(0.8)


def test_a_patient_without_the_structure_counts_as_a_prediction_would() -> None:
    # Half of the tumour shares its grey value with a patient who has none: 100 alone is best, and
    # leaves that patient out.
    images, labels = [[[100, 150]], [[150, 0]]], [[[2, 2]], [[0, 0]]]
    found = levels(images, labels, ["a", "b"]).best(2)

    assert found == GreyRange(1, 100, pytest.approx(2 / 3))


def test_equals_the_best_of_all_ranges_scored_as_predictions() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, (4, 6, 6))
    labels[3][labels[3] == 2] = 0
    images = (labels * 3 + generator.integers(0, 5, labels.shape)).astype(np.uint8)

    def dice(low: int, high: int) -> float:
        scores = SegmentationScores(["background", "kidney", "tumour"])
        predicted = torch.from_numpy(2 * ((images >= low) & (images <= high)))
        ids = [str(index) for index in range(4)]
        scores.update(ids, PATIENTS, predicted, torch.from_numpy(labels))
        value = scores.compute()["summary"]["dice_tumour"]
        return -1.0 if value is None else float(value)

    pairs = itertools.combinations_with_replacement(range(12), 2)
    found = levels(images, labels, PATIENTS).best(2)

    assert found is not None
    assert found.dice == pytest.approx(max(dice(*pair) for pair in pairs))
    assert found.dice == pytest.approx(dice(found.low, found.high))


def test_nobody_holds_the_structure() -> None:
    assert levels([[[1, 2]]], [[[0, 1]]], ["a"]).best(2) is None
    assert GreyLevels(3).best(2) is None
