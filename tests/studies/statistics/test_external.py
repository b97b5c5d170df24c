"""The drop of a score elsewhere: its value, its variance over two sets of patients, its tests."""

import numpy as np
import pytest

from metrics.jackknife import patient_variance
from studies.specification.read import parse_specification
from studies.statistics.cells import Table
from studies.statistics.estimates import difference
from studies.statistics.external import drop_arm, drop_pairs_of, drop_table, drops_of
from studies.statistics.two_sources import Arm, parts_of

PLAN = {
    "name": "small", "seeds": [0, 1, 2], "metric": {"name": "iou_mean"},
    "scenarios": [{"id": "none"}, {"id": "more"}], "placebo": True,
    "models": [{"name": "unet", "config": "configs/light.yaml"}], "baseline_scenario": "none",
    "external": ["far"],
}  # fmt: skip


def arm(seed: int, patients: int, trainings: int = 3) -> Arm:
    pseudo = np.random.default_rng(seed).normal(0.7, 0.1, (trainings, patients))
    return Arm(pseudo.mean(-1), pseudo)


@pytest.mark.parametrize(("here", "there"), [(5, 40), (30, 2), (12, 12)])
def test_a_drop_varies_as_both_sets_of_patients_do(here: int, there: int) -> None:
    internal, external = arm(1, here), arm(2, there)
    drop = drop_arm(internal, external)
    assert drop.scores == pytest.approx(external.scores - internal.scores)
    assert drop.pseudo.mean(-1) == pytest.approx(drop.scores)
    both = drop.num_patients
    squares = (drop.patients - drop.patients.mean()) ** 2
    own = [patient_variance(one.patients)[0] for one in (internal, external)]
    assert squares.sum() / both / (both - 1) == pytest.approx(sum(own))
    # So does what trainings and patients have together.
    interaction = internal.training_by_patient + external.training_by_patient
    rest = drop.training_by_patient * (drop.num_trainings - 1) * (both - 1) * both
    assert rest / (drop.num_trainings - 1) / both / (both - 1) == pytest.approx(interaction)
    table = drop_table(Table([internal], ["p"] * here, here), Table([external], ["p"] * there, 9))
    parts = parts_of(table.arms, strata=table.strata)
    expected = sum(own) ** 2 / (own[0] ** 2 / (here - 1) + own[1] ** 2 / max(1, there - 1))
    assert parts.freedom_patients == pytest.approx(expected)  # Welch and Satterthwaite


def records(there: bool, drops: dict[str, float], patients: int = 20) -> list[dict]:
    """Cells whose patients score 0.8, and elsewhere other patients lower by a scenario's drop."""
    draws = np.random.default_rng(5 if there else 4)
    ease = draws.normal(0, 0.05, patients)
    found = []
    for scenario, drop in drops.items():
        for seed in (0, 1, 2) if scenario != "placebo" else (10000, 10001, 10002):
            level = 0.8 + 0.005 * draws.normal() - drop * there
            images = [
                {"id": f"{there}{k}", "patient_id": f"{there}{k}", "iou_mean": level + ease[k]}
                for k in range(patients)
            ]
            where = {"scenario": scenario, "model": "unet", "seed": seed}
            found.append({**where, "name": "n", "evaluation": {"images": images}})
    return found


def test_drops_and_their_difference_are_found_over_patients_and_trainings() -> None:
    study = parse_specification(PLAN, "plan")
    drops = {"none": 0.3, "more": 0.1, "placebo": 0.3}
    here, there = records(False, drops), records(True, drops)
    found = drops_of(study, here, there, "unet")
    for name, drop in drops.items():
        interval = found[name].interval
        assert interval.low < -drop < interval.high
        assert interval.value == pytest.approx(-drop, abs=0.05)
    more, placebo = drop_pairs_of(
        study, here, there, [("more", "none"), ("placebo", "none")], "unet"
    )
    assert more.interval.value == pytest.approx(0.2, abs=0.02)
    assert more.interval.low > 0.1
    assert more.p_value < 0.01
    assert more.trainings == (3, 3)
    assert placebo.interval.low < 0 < placebo.interval.high
    assert set(placebo.per_seed) == {0, 1, 2}


def test_one_patient_gives_a_drop_and_no_interval_and_an_untested_cell_no_drop() -> None:
    study = parse_specification(PLAN, "plan")
    drops = {"none": 0.3, "more": 0.1}
    here, there = records(False, drops), records(True, drops, patients=1)
    found = drops_of(study, here, there[:-1], "unet")
    interval = found["none"].interval
    assert interval.value is not None
    assert (interval.low, interval.high) == (None, None)
    assert interval.no_interval == "external, one patient: no interval"
    assert found["none"].patients_only == (None, None)
    assert set(found["more"].seed_means) == {0, 1}
    (pair,) = drop_pairs_of(study, here, there, [("more", "none")], "unet")
    assert pair.interval.value == pytest.approx(0.2, abs=0.03)
    assert (pair.interval.low, pair.p_value) == (None, None)
    for cell in there:  # a class that is not there
        cell["evaluation"]["images"][0]["iou_mean"] = None
    undefined = drops_of(study, here, there, "unet")["none"].interval
    assert undefined.value is None


def test_where_two_arms_drop_alike_the_test_says_otherwise_as_rarely_as_promised() -> None:
    draws, studies = np.random.default_rng(0), 600

    def arms(patients: int, spread: float) -> list[Arm]:
        """Three arms on the same patients; trainings differ beyond what patients explain."""
        ease, found = draws.normal(0, 0.3, (studies, 1, patients)), []
        for _ in range(3):
            own = draws.normal(0, spread, (studies, 3, 1))
            pseudo = ease + own + draws.normal(0, 0.1, (studies, 3, patients))
            found.append(Arm(pseudo.mean(-1), pseudo))
        return found

    drops = [drop_arm(*both) for both in zip(arms(62, 0.03), arms(150, 0.07), strict=True)]
    strata = np.repeat([0, 1], [62, 150])
    p_values = difference(drops[1], drops[0], [drops[2]], strata=strata).p_value
    assert 0.025 < (p_values < 0.05).mean() < 0.08
