"""Alpha-precision, beta-recall, authenticity: by hand, and by the papers' formulas."""

import numpy as np
import pytest

from metrics.alpha_precision import alpha_precision, authentic, beta_recall
from metrics.prdc import prdc


def normal(count: int, dim: int, seed: int, mean: float = 0, scale: float = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, scale, (count, dim))


def integrated(curve: list[float]) -> float:
    """1 - 2 * integral of |curve - alpha|, by the midpoints of equal steps."""
    alphas = (np.arange(len(curve)) + 0.5) / len(curve)
    return float(1 - 2 * np.abs(np.array(curve) - alphas).mean())


def by_formula(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float]:
    """The paper's definitions, one image after the other, for 391 levels of alpha.

    Between two of these no curve of 23 or of 17 images steps.
    """
    levels = (np.arange(391) + 0.5) / 391

    def quantile(distances: list[float], share: float) -> float:
        return sorted(distances)[int(np.ceil(share * len(distances))) - 1]

    def to_middle(points: np.ndarray, middle: np.ndarray) -> list[float]:
        return [float(np.sqrt(((point - middle) ** 2).sum())) for point in points]

    of_real, of_fake = to_middle(real, real.mean(0)), to_middle(fake, real.mean(0))
    precision = [np.mean([d <= quantile(of_real, a) for d in of_fake]) for a in levels]
    own = to_middle(fake, fake.mean(0))
    recall = []
    for b in levels:
        supported = fake[[d <= quantile(own, b) for d in own]]
        hits = []
        for i, one in enumerate(real):
            others = sorted(to_middle(np.delete(real, i, 0), one))
            hits.append(min(to_middle(supported, one)) <= others[k - 1])
        recall.append(np.mean(hits))
    told = []
    for one in fake:
        nearest = int(np.argmin(to_middle(real, one)))
        others = to_middle(np.delete(real, nearest, 0), real[nearest])
        told.append(min(to_middle(real, one)) > min(others))
    return integrated(precision), integrated(recall), float(np.mean(told))


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("dim", [1, 5])
def test_are_what_the_paper_says(k: int, dim: int) -> None:
    real, fake = normal(23, dim, 1), normal(17, dim, 2, mean=0.4, scale=0.8)
    precision, recall, authenticity = by_formula(real, fake, k)
    assert alpha_precision(real, fake) == pytest.approx(precision, abs=2e-3)
    assert beta_recall(real, fake, k) == pytest.approx(recall, abs=2e-3)
    assert authentic(real, fake).mean() == pytest.approx(authenticity)


def test_by_hand() -> None:
    # Real images at 1, 2, 3, 4 to either side of 0; synthetic ones at 1.5 and 3.5 to either side.
    real = np.array([[-4.0], [-3], [-2], [-1], [1], [2], [3], [4]])
    fake = np.array([[-3.5], [-1.5], [1.5], [3.5]])
    # A quarter of the real ones lies within 1.5, three quarters within 3.5: P is 0 up to 1/4, then
    # 1/2 up to 3/4, then 1. Integral of |P - a|: four triangles of 1/32.
    assert alpha_precision(real, fake) == pytest.approx(1 - 2 * 4 / 32)
    # Balls of radius 1 reach a synthetic image everywhere: -1 and 1 theirs at 1.5 (half of them lie
    # nearer or as near), 2 too, and 3 and 4 those at 3.5.
    # So half of the real ones are reached from beta = 0 on, all from beta = 1/2.
    assert beta_recall(real, fake) == pytest.approx(1 - 2 * (1 / 8 + 1 / 8))
    # Every synthetic image is 1/2 from a real one, which is 1 from the next.
    assert not authentic(real, fake).any()
    assert authentic(real, np.array([[7.0], [5.5], [4.5]])).tolist() == [True, True, False]


def test_copies_of_all_are_typical_and_never_authentic() -> None:
    real = normal(300, 8, 0)
    assert alpha_precision(real, real) == pytest.approx(1 - 1 / 300)
    assert not authentic(real, real + 1e-9).any()


def test_the_middle_alone_and_the_far_alone_are_not_typical() -> None:
    real = normal(400, 8, 0)
    for scale in (0.0, 100.0):
        assert alpha_precision(real, scale * normal(300, 8, 1)) < 0.01
    assert beta_recall(real, 100 * normal(300, 8, 1)) < 0.01
    assert alpha_precision(real, normal(400, 8, 2)) > 0.9


def test_beta_recall_at_the_end_is_coverage() -> None:
    real, fake = normal(60, 3, 0), normal(50, 3, 1, mean=1.5)
    # Two synthetic images in all: half is reached by each, and none lies nearer than the other.
    pair = fake[:2]
    reached = prdc(real, np.concatenate([pair, pair]), 3)["coverage"]
    assert beta_recall(real, pair, 3) == pytest.approx(1 - 2 * abs_integral(reached))


def abs_integral(level: float) -> float:
    """Of |level - a| over a in [0, 1]."""
    return (level**2 + (1 - level) ** 2) / 2


@pytest.mark.parametrize(("dim", "share"), [(2, 0.35), (16, 0.69), (64, 0.82)])
def test_authenticity_of_fresh_images_is_anything(dim: int, share: float) -> None:
    """As measured for the function of another project: 35, 69 and 82 %."""
    fresh = authentic(normal(1000, dim, 0), normal(1000, dim, 1))
    assert fresh.mean() == pytest.approx(share, abs=0.06)


def test_turning_and_scaling_change_nothing() -> None:
    real, fake = normal(80, 4, 0), normal(70, 4, 1, mean=0.3)
    turn = np.linalg.qr(normal(4, 4, 5))[0] * 7
    for score in (alpha_precision, beta_recall, authentic):
        assert np.mean(score(real @ turn + 3, fake @ turn + 3)) == pytest.approx(
            np.mean(score(real, fake))
        )


def test_what_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match=r"num_neighbours is 9, expected 1\.\.8"):
        beta_recall(normal(9, 2, 0), normal(9, 2, 1), 9)
    with pytest.raises(ValueError, match="N >= 2"):
        authentic(normal(1, 2, 0), normal(9, 2, 1))
