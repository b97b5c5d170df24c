"""What a study could show before it is run: the level, the assumed spreads, too few patients."""

import numpy as np
import pytest

from studies.specification.read import parse_specification
from studies.statistics.prospects import (
    WANTED,
    assumed_prospects,
    first_level,
    has_prospects,
    lack_of_patients,
    prospect,
)
from studies.statistics.reach import Spread, smallest_difference


def test_the_level_is_that_of_the_first_of_the_family(plan: dict) -> None:
    study = parse_specification(plan, "small.yaml")
    assert first_level(study) == (2, pytest.approx(0.025))  # one claim of two models
    study = parse_specification(plan | {"confidence": 0.9}, "small.yaml")
    assert first_level(study) == (2, pytest.approx(0.05))


def test_more_variance_needs_larger_differences(plan: dict) -> None:
    study = parse_specification(plan, "small.yaml")
    found = assumed_prospects(study, 3, 50)
    by_patients = [one.difference for one in found if one.spread.patients == 0.05]
    assert by_patients == sorted(by_patients)
    assert all(one.spread.other_arms == 0 for one in found)
    for one in found:
        assert one.difference == smallest_difference(one.spread, 3, 50, 0.025)


def test_seeds_and_patients_that_are_asked_for_suffice(plan: dict) -> None:
    study = parse_specification(plan, "small.yaml")
    one = prospect("x", Spread(0.01, 0.05, 0.05), study, 5, 80)
    assert one.difference is not None
    assert one.difference > WANTED
    assert one.seeds is not None
    assert one.patients is not None
    for seeds, patients in ((one.seeds, 80), (5, one.patients)):
        assert prospect("x", one.spread, study, seeds, patients).difference <= WANTED * 1.001
    less = prospect("x", one.spread, study, one.seeds - 1, 80).difference
    assert less is not None
    assert less > WANTED
    alone = prospect("x", one.spread, study, 1, 80)
    assert (alone.difference, alone.patients) == (None, None)


def test_scores_that_rank_need_patients_of_every_class(plan: dict) -> None:
    labels, patients = np.array([0] * 30 + [1] * 19), [str(number) for number in range(49)]
    auroc = parse_specification(plan | {"metric": "auroc"}, "small.yaml")
    assert lack_of_patients(auroc, labels, patients) == "too few: 19 patients of a class, 20 needed"
    assert lack_of_patients(auroc, 1 - labels[10:30], patients[10:30]) is not None
    assert lack_of_patients(auroc, np.append(labels, 1), [*patients, "49"]) is None
    assert lack_of_patients(parse_specification(plan, "small.yaml"), labels, patients) is None
    assert not has_prospects(parse_specification(plan | {"metric": "ece"}, "small.yaml"))
