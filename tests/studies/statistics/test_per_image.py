"""Scores of images as arms of trainings on patients."""

import numpy as np
import pytest

from studies.statistics.per_image import (
    ImageScores,
    arms_of_images,
    average_over_seeds,
    scores_per_image,
)


def test_scores_come_per_image_or_else_per_patient() -> None:
    evaluation = {
        "images": [{"id": "p/1", "patient_id": "p", "iou_mean": 0.5}],
        "patients": [{"patient_id": "p", "hd95": None}],
    }
    assert scores_per_image({"evaluation": evaluation}, "iou_mean") == {"p/1": ("p", 0.5)}
    assert scores_per_image({"evaluation": evaluation}, "hd95") == {"p": ("p", None)}


def test_seeds_are_averaged_where_all_define_the_item() -> None:
    first = {"a": ("p", 0.2), "b": ("q", None), "c": ("q", None)}
    second = {"a": ("p", 0.4), "b": ("q", 0.5), "c": ("q", None), "extra": ("r", 1.0)}
    averaged = average_over_seeds([first, second])
    assert averaged == {"a": ("p", pytest.approx(0.3)), "b": ("q", None), "c": ("q", None)}
    assert average_over_seeds([]) == {}


def with_false_tumours(number: int) -> dict[int, ImageScores]:
    """Three trainings: slice "t" has a tumour; "n" has none, but so many trainings draw one."""
    return {
        seed: {"t": ("p", 0.8), "n": ("q", 0.0 if seed < number else None)} for seed in range(3)
    }


def test_a_false_tumour_counts_in_the_training_that_drew_it_alone() -> None:
    values = []
    for number in range(4):
        (arm,), patients, _ = arms_of_images([with_false_tumours(number)], False)
        assert patients == (["p", "q"] if number else ["p"])
        values.append(float(arm.value))
    assert values == pytest.approx([0.8, (0.4 + 0.8 + 0.8) / 3, (0.4 + 0.4 + 0.8) / 3, 0.4])


def test_images_weigh_alike_in_a_mean_and_patients_in_a_comparison() -> None:
    scores = {0: {"a": ("p", 1.0), "b": ("p", 0.0), "c": ("p", 0.5), "d": ("q", 0.1)}}
    (by_image,), _, number = arms_of_images([scores], False)
    (by_patient,), _, _ = arms_of_images([scores], True)
    assert (float(by_image.value), number) == (pytest.approx(0.4), 4)
    assert float(by_patient.value) == pytest.approx(0.3)
    assert by_patient.pseudo.tolist() == [[0.5, 0.1]]


def test_arms_are_compared_on_the_patients_that_both_score() -> None:
    treated = {0: {"a": ("p", 0.5), "b": ("q", None)}, 1: {"a": ("p", 0.7), "b": ("q", None)}}
    control = {5: {"a": ("p", 0.4), "b": ("q", 0.9)}}
    arms, patients, _ = arms_of_images([treated, control], True)
    assert patients == ["p"]
    assert [arm.num_trainings for arm in arms] == [2, 1]
    assert np.round(arms[0].value - arms[1].value, 12) == 0.2


def test_items_that_some_cell_lacks_are_left_out() -> None:
    sides = [{0: {"a": ("p", 0.5), "b": ("q", 0.1)}}, {0: {"b": ("q", 0.3)}}]
    arms, patients, number = arms_of_images(sides, True)
    assert (patients, number) == (["q"], 1)
    assert arms[0].value == 0.1
    assert arms_of_images([{}, {}], True)[1] == []


class _Counted(str):
    """A patient's name that counts how often it is looked up."""

    looked_up = 0

    def __hash__(self) -> int:
        _Counted.looked_up += 1
        return super().__hash__()


def test_patients_are_looked_up_in_proportion_to_the_films() -> None:
    found = []
    for films in (50, 100):
        _Counted.looked_up = 0
        cell = {f"film {number}": (_Counted(number // 2), 1.0) for number in range(films)}
        _, patients, defined = arms_of_images([{0: cell}], each_patient_once=False)
        assert (len(patients), defined) == (films // 2, films)
        found.append(_Counted.looked_up)
    assert found[1] == 2 * found[0]
