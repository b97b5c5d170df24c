"""What a study could show before it is run: the level, the assumed spreads, too few patients."""

import numpy as np
import pytest
from scipy import stats

from metrics.jackknife import jackknife_auroc
from studies.specification.read import parse_specification
from studies.statistics.prospects import (
    WANTED,
    assumed_prospects,
    auroc_both,
    can_assume,
    first_level,
    has_prospects,
    kept_prospects,
    lack_of_patients,
    prospect,
    share_of_a_class,
)
from studies.statistics.reach import Spread, smallest_difference
from studies.statistics.two_sources import Arm


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


@pytest.mark.parametrize(("auroc", "positive"), [(0.8, 0.5), (0.9, 0.2)])
def test_what_is_assumed_of_an_auroc_is_what_the_benchmark_draws(
    auroc: float, positive: float
) -> None:
    """Training x patient of 400 simulated pairs of trainings, by their jackknife."""
    rng, patients = np.random.default_rng(0), 400
    truth = np.arange(patients) < positive * patients
    noise = np.sqrt(0.4) * rng.standard_normal((400, 2, patients))
    noise += np.sqrt(0.6) * rng.standard_normal((400, 1, patients))
    distance = np.sqrt(2) * stats.norm.ppf(auroc)
    found = jackknife_auroc(noise + distance * truth, truth, np.arange(patients))
    both = Arm(found.value, found.pseudo)
    covariance = np.mean([np.cov(pair)[0, 1] for pair in both.pseudo]) / patients
    variance = np.mean(both.pseudo.var(-1, ddof=1)) / patients
    measured = np.sqrt((variance - covariance) * patients)
    assert auroc_both(auroc, positive) == pytest.approx(measured, rel=0.06)


def test_a_plan_for_auroc_states_what_it_could_show(plan: dict) -> None:
    plan |= {"metric": {"name": "auroc", "percent": False}, "seeds": [0, 1, 2]}
    specification = parse_specification(plan, "a.yaml")
    assert can_assume(specification)
    found = assumed_prospects(specification, 3, 500, 0.2)
    assert [(one.name, one.spread.trainings) for one in found] == [
        (f"AUROC {auroc:g}", sd) for auroc in (0.8, 0.9) for sd in (0.005, 0.01, 0.02)
    ]
    differences = [one.difference for one in found if one.difference is not None]
    assert len(differences) == 6
    assert differences[:3] == sorted(differences[:3])
    assert differences[0] > differences[3]  # a better classifier varies less from film to film
    assert 0.02 < differences[3] < 0.06
    halves = assumed_prospects(specification, 3, 500, 0.5)
    assert halves[3].difference is not None
    assert halves[3].difference < differences[3]
    assert share_of_a_class(np.array([0, 0, 0, 1, 1]), ["a", "b", "c", "d", "d"]) == 0.25


def test_neither_the_plan_nor_its_spreads_count_the_placebo(plan: dict) -> None:
    specification = parse_specification(plan | {"placebo": True, "seeds": [0, 1]}, "a.yaml")
    alone = parse_specification(plan | {"seeds": [0, 1]}, "a.yaml")
    assert assumed_prospects(specification, 2, 30) == assumed_prospects(alone, 2, 30)
    records = []
    for cell in specification.cells():
        wild = 0.3 if cell.scenario.placebo and cell.seed % 2 else 0.0
        rng = np.random.default_rng(cell.seed + 17)
        images = [
            {"id": str(n), "patient_id": str(n), "iou_mean": 0.7 - wild + 0.02 * rng.normal()}
            for n in range(20)
        ]
        evaluation = {"images": images}
        records.append({**cell.as_dict(), "name": cell.name, "evaluation": evaluation})
    found = kept_prospects(specification, specification, records, 2, 20)
    assert {one.name for one in found} == {"3 against 1, unet_light", "3 against 1, fpn"}
    more = [*plan["scenarios"], {"id": "5", "arguments": ["--data.x", "1"]}]
    new = parse_specification(plan | {"scenarios": more}, "a.yaml")
    widest = kept_prospects(new, specification, records, 2, 20)[-1]
    assert widest.name == "all others *"
    assert widest.difference is not None
    assert widest.difference < 0.1
