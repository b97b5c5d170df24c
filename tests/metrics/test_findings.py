"""Macro scores of several findings, against pairs counted and patients left out one by one."""

import numpy as np
import pytest

from metrics.auroc_intervals import score_interval
from metrics.findings import (
    defined_findings,
    finding_score,
    jackknife_macro,
    macro_interval,
    macro_score,
    rarest_finding,
)
from metrics.ranking import Score

NAMES = ["Edema", "Mass", "Hernia"]


def _films(seed: int = 0, films: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, truth with unknown entries, and patients with one to three films."""
    random = np.random.default_rng(seed)
    truth = (random.random((films, 3)) < 0.45).astype(float)
    scores = truth + random.normal(0, 1.2, truth.shape)
    truth[random.random(truth.shape) < 0.2] = np.nan
    truth[:2] = np.nan  # of the first patients nothing is known
    owner = np.sort(random.integers(0, 90, films))
    return scores, truth, np.unique(owner, return_inverse=True)[1]


def test_a_finding_is_scored_on_the_films_of_which_it_is_known():
    scores, truth, _ = _films()
    known = ~np.isnan(truth[:, 0])
    own, other = (scores[known & (truth[:, 0] == value), 0] for value in (1, 0))
    expected = (own[:, None] > other).mean()
    assert finding_score(scores[:, 0], truth[:, 0]) == pytest.approx(expected)
    assert finding_score(scores[:, 0], np.full(len(scores), np.nan)) is None


def test_the_macro_score_is_the_mean_over_findings_that_have_both():
    scores, truth, _ = _films()
    truth[truth[:, 2] == 1, 2] = 0  # nobody has it
    assert defined_findings(truth) == [0, 1]
    each = [finding_score(scores[:, k], truth[:, k]) for k in (0, 1)]
    assert macro_score(scores, truth) == pytest.approx(np.mean(each))
    assert macro_score(scores, np.zeros_like(truth)) is None


@pytest.mark.parametrize("score", ["auroc", "average_precision"])
def test_pseudo_values_are_those_of_leaving_each_patient_out(score: Score):
    scores, truth, owner = _films(films=60)
    found = jackknife_macro(np.stack([scores, -scores]), truth, owner, score)
    number = int(owner.max()) + 1
    for training, table in enumerate((scores, -scores)):
        whole = macro_score(table, truth, score)
        assert found.value[training] == pytest.approx(whole)
        for patient in range(number):
            left = owner != patient
            without = macro_score(table[left], truth[left], score)
            expected = number * whole - (number - 1) * without
            assert found.pseudo[training, patient] == pytest.approx(expected), patient


def test_of_one_finding_the_interval_is_that_of_its_auroc():
    scores, truth, owner = _films()
    known = ~np.isnan(truth[:, 0])
    patients = [f"p{one}" for one in owner]
    macro = macro_interval(scores[:, :1], truth[:, :1], patients, NAMES[:1])
    own = score_interval(scores[known, 0], truth[known, 0], np.array(patients)[known].tolist())
    assert macro == own
    assert macro.low < macro.value < macro.high


def test_findings_that_go_together_have_a_wider_interval_than_those_that_do_not():
    """The same finding three times over tells no more than once."""
    scores, truth, owner = _films(films=300)
    patients = [f"p{one}" for one in owner]
    one = macro_interval(scores[:, :1], truth[:, :1], patients, NAMES[:1])
    again = macro_interval(scores[:, [0, 0, 0]], truth[:, [0, 0, 0]], patients, NAMES)
    several = macro_interval(scores, truth, patients, NAMES)
    assert again.high - again.low == pytest.approx(one.high - one.low)
    assert several.high - several.low < 0.8 * (one.high - one.low)


def test_too_few_patients_with_one_finding_leave_the_mean_without_an_interval():
    scores, truth, owner = _films()
    having = truth[:, 2] == 1
    truth[having & ~np.isin(owner, np.unique(owner[having])[:5]), 2] = 0
    found = macro_interval(scores, truth, [f"p{one}" for one in owner], NAMES)
    assert found.low is None
    assert found.no_interval == "too few: 5 patients with Hernia, 20 needed"
    assert rarest_finding(truth, owner)[np.unique(owner[having])[:5]].tolist() == [5] * 5
