"""Tests of the tests: scipy and hand-made values as references."""

import numpy as np
import pytest
from scipy import stats

from studies.statistics.per_image import (
    average_over_seeds,
    group_of_images,
    patient_differences,
    scores_per_image,
)
from studies.statistics.significance import holm, patients_needed, sign_flip_test


@pytest.mark.parametrize("number", [1, 2, 5, 9])
def test_exact_p_agrees_with_scipy(number: int) -> None:
    values = np.random.default_rng(number).normal(0.3, 1, number)
    ours = sign_flip_test(values.tolist())
    assert ours.exact
    theirs = (
        stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
        if number > 1
        else None
    )
    expected = theirs.pvalue if theirs else 1.0
    assert ours.p_value == pytest.approx(expected, abs=1e-12)


def test_exact_p_of_a_hand_made_case() -> None:
    # Sums of +-1 +-2 +-4: 7, 5, 3, 1 and mirrored; only +-7 are as far as 7, +-7 and +-5 as 5.
    assert sign_flip_test([1, 2, 4]).p_value == 2 / 8
    assert sign_flip_test([-1, 2, 4]).p_value == 4 / 8


def test_ties_count_as_equally_far_in_spite_of_rounding() -> None:
    # 0.1 + 0.2 and 0.3 differ in the last bit; all four sums of +-(0.1 + 0.2) +- 0.3 at most tie.
    assert sign_flip_test([0.1, 0.2, -0.3]).p_value == 1.0
    assert sign_flip_test([0.0, 0.0]).p_value == 1.0


@pytest.mark.parametrize("number", [1, 4, 16])
def test_the_smallest_p_is_reached_when_all_agree(number: int) -> None:
    test = sign_flip_test([0.5] * number)
    assert test.p_value == test.smallest_p == 2 / 2**number


def test_many_patients_are_drawn_and_agree_with_the_exact_count() -> None:
    values = np.random.default_rng(0).normal(0.25, 1, 17).tolist()
    drawn = sign_flip_test(values)
    assert not drawn.exact
    assert drawn == sign_flip_test(values)
    signs = 1 - 2 * (np.arange(2**17)[:, None] >> np.arange(17) & 1)
    exact = (np.abs(signs @ np.array(values)) >= abs(sum(values)) - 1e-12).mean()
    assert drawn.p_value == pytest.approx(exact, abs=0.005)
    assert sign_flip_test([1.0] * 40).p_value == pytest.approx(1 / 100_001)


def test_false_alarms_come_at_the_stated_rate() -> None:
    rng = np.random.default_rng(4)
    alarms = [sign_flip_test(rng.normal(size=9).tolist()).p_value <= 0.05 for _ in range(600)]
    assert 0.025 <= np.mean(alarms) <= 0.08


def test_sign_and_scale_do_not_matter_and_nothing_is_not_tested() -> None:
    values = [0.3, -0.1, 0.4, 0.2]
    p_value = sign_flip_test(values).p_value
    assert sign_flip_test([-v for v in values]).p_value == p_value
    assert sign_flip_test([1e-9 * v for v in values]).p_value == p_value
    assert sign_flip_test([]).p_value is None
    with pytest.raises(ValueError, match="not finite"):
        sign_flip_test([float("nan")])


def test_holm_against_known_values() -> None:
    # Holm 1979 by hand: sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, then made to rise.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@pytest.mark.parametrize("family", [1, 3, 9, 12])
def test_patients_needed_is_the_first_number_that_suffices(family: int) -> None:
    needed = patients_needed(family, 0.05)
    assert family * 2 / 2**needed <= 0.05 < family * 2 / 2 ** (needed - 1)


def test_seeds_are_averaged_within_images_and_gaps_left_out() -> None:
    first = {"a": ("p", 0.2), "b": ("q", None), "c": ("q", None)}
    second = {"a": ("p", 0.4), "b": ("q", 0.5), "c": ("q", None), "extra": ("r", 1.0)}
    averaged = average_over_seeds([first, second])
    assert averaged == {"a": ("p", pytest.approx(0.3)), "b": ("q", 0.5), "c": ("q", None)}
    result = group_of_images({0: first, 1: second}, 0.95, 100)
    assert result.interval.value == pytest.approx(0.4)
    assert result.seed_means[0] == 0.2
    assert result.seed_spread is not None


def test_differences_weigh_patients_alike_and_pair_seeds() -> None:
    control = {0: {"a": ("p", 0.1), "b": ("p", 0.3), "c": ("q", 0.5)}, 1: {"a": ("p", 9.0)}}
    treated = {0: {"a": ("p", 0.2), "b": ("p", 0.6), "c": ("q", 0.4)}, 2: {"a": ("p", -9.0)}}
    found = patient_differences(treated, control)
    assert found == {"p": pytest.approx(0.2), "q": pytest.approx(-0.1)}
    assert patient_differences({0: {}}, {1: {}}) == {}


def test_scores_come_per_image_or_else_per_patient() -> None:
    evaluation = {
        "images": [{"id": "p/1", "patient_id": "p", "iou_mean": 0.5}],
        "patients": [{"patient_id": "p", "hd95": None}],
    }
    assert scores_per_image({"evaluation": evaluation}, "iou_mean") == {"p/1": ("p", 0.5)}
    assert scores_per_image({"evaluation": evaluation}, "hd95") == {"p": ("p", None)}
