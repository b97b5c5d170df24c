"""Intervals and tests of AUROC against brute force, hand-made values and simulation."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from metrics.auroc_intervals import (
    jackknife_ranking,
    roc_band,
    score_difference,
    score_interval,
    share_interval,
)
from metrics.delong import auroc_test, delong_test, structural_components
from metrics.intervals import Interval
from metrics.ranking import WeightedRanking, auroc, average_precision, roc_curve


def cohort(
    seed: int, patients: int = 60, films: int = 1, gain: float = 1.0, shared: float = 0.0
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scores, labels and patients; films of a patient share a part of their noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(patients * films) % 2 if films > 1 else np.arange(patients) % 2
    owner = np.repeat(np.arange(patients), films)
    noise = shared * random.normal(size=patients)[owner] + random.normal(size=len(owner))
    return gain * labels + noise, labels, [f"p{i:04d}" for i in owner]


def brute_force_delong(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> tuple:
    """DeLong 1988 as printed: an m x n matrix of comparisons for each model."""
    values, v10, v01 = [], [], []
    for scores in (first, second):
        pairs = scores[labels == 1][:, None] - scores[labels == 0][None, :]
        won = (pairs > 0) + 0.5 * (pairs == 0)
        values.append(won.mean())
        v10.append(won.mean(axis=1))
        v01.append(won.mean(axis=0))
    covariance = np.cov(v10) / (labels == 1).sum() + np.cov(v01) / (labels == 0).sum()
    contrast = np.array([1, -1])
    return values, covariance, float(contrast @ covariance @ contrast)


def test_a_case_by_hand() -> None:
    # V10 = 1/2, 1; V01 = 1, 3/4, 1/2; S10 = 1/8, S01 = 1/16; 1/16 + 1/48 = 1/12.
    scores, labels = [3.0, 5.0, 1.0, 3.0, 4.0], [1, 1, 0, 0, 0]
    assert structural_components(scores, labels) == pytest.approx([0.5, 1, 1, 0.75, 0.5])
    test = auroc_test(scores, labels)
    assert test.value == 0.75
    assert test.standard_error == pytest.approx(math.sqrt(1 / 12))
    assert (test.num_patients, test.num_patients_rarer_class) == (5, 2)


@pytest.mark.parametrize("seed", range(4))
def test_one_film_a_patient_is_delong(seed: int) -> None:
    scores, labels, ids = cohort(seed, 40)
    first, second = scores.round(1), (scores + np.random.default_rng(9).normal(size=40)).round(1)
    values, covariance, variance = brute_force_delong(first, second, labels)
    for patients in (None, ids):
        test = delong_test(first, second, labels, patients)
        assert test.value == pytest.approx(values[0] - values[1])
        assert test.standard_error == pytest.approx(math.sqrt(variance))
        assert test.p_value == pytest.approx(
            math.erfc(abs(values[0] - values[1]) / math.sqrt(2 * variance))
        )
    single = auroc_test(first, labels, ids)
    assert single.standard_error == pytest.approx(math.sqrt(covariance[0, 0]))


def test_clusters_are_obuchowskis_sums() -> None:
    """S10, S01 and S11 as printed, in loops over patients."""
    scores, labels, ids = cohort(3, 20, films=3, shared=1.0)
    labels = np.where(np.array(ids) == "p0000", 1, labels)  # one patient with one class only
    components = structural_components(scores, labels)
    area = components[labels == 1].mean()
    own = {p: [i for i, name in enumerate(ids) if name == p] for p in sorted(set(ids))}
    s10 = s01 = s11 = 0.0
    m, n = (labels == 1).sum(), (labels == 0).sum()
    i10 = sum(any(labels[i] == 1 for i in rows) for rows in own.values())
    i01 = sum(any(labels[i] == 0 for i in rows) for rows in own.values())
    for rows in own.values():
        x = sum(components[i] - area for i in rows if labels[i] == 1)
        y = sum(components[i] - area for i in rows if labels[i] == 0)
        s10 += x * x * i10 / ((i10 - 1) * m)
        s01 += y * y * i01 / ((i01 - 1) * n)
        s11 += x * y * len(own) / (len(own) - 1)
    variance = s10 / m + s01 / n + 2 * s11 / (m * n)
    assert auroc_test(scores, labels, ids).standard_error == pytest.approx(math.sqrt(variance))
    assert i01 == len(own) - 1


def test_the_tests_false_alarms_come_at_the_stated_rate() -> None:
    """No difference; two films a patient that share most of their noise."""
    alarms, naive = [], []
    for seed in range(400):
        random = np.random.default_rng(seed)
        labels = np.repeat(np.arange(60) % 2, 2)
        ids = np.repeat(np.arange(60), 2).astype(str).tolist()
        models = [
            labels + np.repeat(random.normal(size=60), 2) + 0.3 * random.normal(size=120)
            for _ in range(2)
        ]
        alarms.append(delong_test(*models, labels, ids).p_value < 0.05)
        naive.append(delong_test(*models, labels).p_value < 0.05)
    assert 0.025 <= np.mean(alarms) <= 0.085
    assert np.mean(naive) > 0.12  # films taken for patients: far too many


def half_width(found: Interval) -> float:
    """In standard errors of the score itself, where the interval is one of the logit."""
    logits = np.log([end / (1 - end) for end in (found.low, found.high)])
    return float(logits[1] - logits[0]) / 2 * found.value * (1 - found.value)


def test_the_jackknife_and_delong_agree_on_the_width() -> None:
    for films, shared in ((1, 0.0), (3, 1.0)):
        scores, labels, ids = cohort(5, 300, films, shared=shared)
        found = score_interval(scores, labels, ids)
        test = auroc_test(scores, labels, ids)
        assert found.value == pytest.approx(auroc(scores, labels), abs=1e-12)
        assert test.value == pytest.approx(auroc(scores, labels), abs=1e-12)
        assert found.low < found.value < found.high
        assert half_width(found) / 1.97 == pytest.approx(test.standard_error, rel=0.03)
        other = scores + np.random.default_rng(0).normal(size=len(scores))
        difference = score_difference(scores, other, labels, ids)
        paired = delong_test(scores, other, labels, ids)
        assert difference.value == pytest.approx(paired.value)
        width = (difference.high - difference.low) / (2 * 1.97)
        assert width == pytest.approx(paired.standard_error, rel=0.03)
        assert paired.standard_error < 1.4 * test.standard_error  # pairing pays


def test_weights_are_repetitions() -> None:
    scores, labels, _ = cohort(1, 30)
    scores = scores.round(1)
    weights = np.random.default_rng(0).integers(0, 4, (5, 30))
    ranking = WeightedRanking(scores, labels)
    for row, area, precision, heights in zip(
        weights, ranking.auroc(weights), ranking.average_precision(weights),
        ranking.sensitivity_at(weights, np.linspace(0, 1, 7)), strict=True,
    ):  # fmt: skip
        repeated = np.repeat(scores, row), np.repeat(labels, row)
        assert area == pytest.approx(auroc(*repeated))
        assert precision == pytest.approx(average_precision(*repeated))
        false, true, _ = roc_curve(*repeated)
        for rate, height in zip(np.linspace(0, 1, 7), heights, strict=True):
            last = np.append(np.flatnonzero(np.diff(false)), len(false) - 1)
            assert height == pytest.approx(np.interp(rate, false[last], true[last]))
    missing = np.where(labels == 1, 0, 1)[None]
    assert np.isnan(ranking.auroc(missing)).all()
    assert np.isnan(ranking.average_precision(missing)).all()


def test_copies_of_a_patients_films_say_nothing_new() -> None:
    scores, labels, ids = cohort(2, 50)
    other = scores + np.random.default_rng(0).normal(size=50)
    copied = [np.repeat(values, 6) for values in (scores, other, labels)]
    names = np.repeat(ids, 6).tolist()
    once, many = score_interval(scores, labels, ids), score_interval(copied[0], copied[2], names)
    assert (many.low, many.high) == pytest.approx((once.low, once.high))
    assert (many.num_patients, many.num_values) == (50, 300)
    one, six = delong_test(scores, other, labels, ids), delong_test(*copied, names)
    assert six.standard_error == pytest.approx(one.standard_error)
    assert delong_test(*copied).standard_error < 0.5 * one.standard_error


def test_order_and_monotone_scale_do_not_matter() -> None:
    scores, labels, ids = cohort(4, 40, films=2, shared=0.5)
    other = scores + np.random.default_rng(0).normal(size=80)
    order = np.random.default_rng(1).permutation(80)
    names = [ids[i] for i in order]
    plain = score_interval(scores, labels, ids)
    moved_ends = score_interval(np.exp(scores)[order], labels[order], names)
    assert (moved_ends.low, moved_ends.high) == pytest.approx((plain.low, plain.high))
    test = delong_test(scores, other, labels, ids)
    moved = delong_test(np.exp(scores)[order], 3 * other[order] - 7, labels[order], names)
    assert (moved.value, moved.z) == pytest.approx((test.value, test.z))
    swapped = delong_test(other, scores, labels, ids)
    assert (swapped.value, swapped.p_value) == pytest.approx((-test.value, test.p_value))


def test_several_trainings_are_averaged() -> None:
    scores, labels, ids = cohort(6, 60, films=2)
    seeds = np.stack([scores + np.random.default_rng(s).normal(size=120) for s in range(3)])
    mean = np.mean([auroc(row, labels) for row in seeds])
    assert auroc_test(seeds, labels, ids).value == pytest.approx(mean)
    assert delong_test(seeds, scores, labels, ids).value == pytest.approx(
        mean - auroc(scores, labels)
    )
    owner = np.unique(ids, return_inverse=True)[1]
    found = jackknife_ranking(seeds, labels, owner, "average_precision")
    assert found.value == pytest.approx([average_precision(row, labels) for row in seeds])
    assert found.pseudo.shape == (3, 60)


def test_average_precision_and_more_classes_have_intervals() -> None:
    scores, labels, ids = cohort(6, 120)
    precision = score_interval(scores, labels, ids, score="average_precision")
    assert precision.low < precision.value < precision.high < 1
    three = np.arange(120) % 3
    table = np.random.default_rng(0).normal(size=(120, 3)) + np.eye(3)[three]
    found = score_interval(table, three, ids)
    assert found.value == pytest.approx(auroc(table, three))
    assert found.low < found.value < found.high


def test_few_patients_and_missing_classes() -> None:
    scores, ids = [0.1, 0.4, 0.3, 0.9], ["a", "a", "b", "c"]
    assert score_interval(scores, [0, 0, 0, 0], ids).value is None
    assert score_interval([], [], []).num_patients == 0
    lone = score_interval(scores, [0, 0, 0, 1], ids)
    assert (lone.value, lone.low, lone.num_patients, lone.num_values) == (1.0, None, 3, 4)
    assert lone.no_interval == "too few: 1 patients of a class, 20 needed"
    assert auroc_test(scores, [0, 0, 0, 1], ids).standard_error is None
    many = np.arange(40) % 2
    names = [str(i) for i in range(40)]
    assert score_interval(np.random.default_rng(0).normal(size=40), many, names).low is not None
    assert score_interval(np.zeros(39), many[:39], names[:39]).low is None
    assert score_interval(many + 0.1, many, names).low is None  # all ranked rightly
    same = delong_test(scores, scores, [0, 0, 1, 1])
    assert (same.value, same.p_value) == (0.0, 1.0)
    # One model perfect, one constant: no spread, so nothing to divide by.
    assert delong_test([0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]).p_value is None
    with pytest.raises(ValueError, match="one id per film"):
        score_interval(scores, [0, 0, 1, 1], ["a"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        score_interval(scores, [0, 0, 1, 1], ids, confidence=1.0)


def test_twenty_of_either_class_are_covered() -> None:
    """True AUROC 0.9; percentiles of a bootstrap held it in 84 of 100 such cases."""
    rng = np.random.default_rng(0)
    labels, ids = np.arange(40) % 2, [str(i) for i in range(40)]
    distance = math.sqrt(2) * NormalDist().inv_cdf(0.9)
    found = [
        score_interval(rng.normal(size=40) + distance * labels, labels, ids) for _ in range(600)
    ]
    # Where all are ranked rightly there is no interval, which counts as none that holds.
    assert np.mean([one.low is not None and one.low <= 0.9 <= one.high for one in found]) > 0.925


def test_a_share_by_hand_and_the_band() -> None:
    scores, labels, ids = cohort(8, 200)
    right = (labels == 1)[None]
    share = share_interval(right, np.ones_like(right), labels, ids)
    assert share.value == 0.5
    assert share.high - share.low == pytest.approx(2 * 1.97 * math.sqrt(0.25 / 200), rel=0.02)
    rates = np.linspace(0, 1, 11)
    low, high = roc_band(scores, labels, ids, rates, 300)
    false, true, _ = roc_curve(scores, labels)
    last = np.append(np.flatnonzero(np.diff(false)), len(false) - 1)
    height = np.interp(rates, false[last], true[last])
    assert ((low <= height + 1e-9) & (height <= high + 1e-9)).all()
    assert (np.diff(low) >= 0).all()
    assert (low[-1], high[-1]) == (1, 1)
