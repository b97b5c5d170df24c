import numpy as np
import pytest
import torch

from metrics import prdc as module
from metrics.prdc import prdc


def normal(count: int, dim: int, seed: int, mean: float = 0, scale: float = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, scale, (count, dim))


def naive(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """The papers' formulas, one image after the other."""

    def radius(sample: np.ndarray, i: int) -> float:
        others = [np.linalg.norm(sample[i] - sample[j]) for j in range(len(sample)) if j != i]
        return sorted(others)[k - 1]

    real_balls = [radius(real, i) for i in range(len(real))]
    fake_balls = [radius(fake, j) for j in range(len(fake))]
    inside = np.array(
        [
            [np.linalg.norm(r - f) <= ball for f in fake]
            for r, ball in zip(real, real_balls, strict=True)
        ]
    )
    reached = [
        any(np.linalg.norm(r - f) <= ball for f, ball in zip(fake, fake_balls, strict=True))
        for r in real
    ]
    return {
        "precision": inside.any(axis=0).mean(),
        "recall": np.mean(reached),
        "density": inside.sum() / (k * len(fake)),
        "coverage": inside.any(axis=1).mean(),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_agrees_with_the_formulas_written_out(k: int) -> None:
    real, fake = normal(40, 3, 0), normal(55, 3, 1, mean=1.5)
    found = prdc(real, fake, k)
    assert found == pytest.approx(naive(real, fake, k), abs=1e-12)
    assert 0 < found["precision"] < 1
    assert 0 < found["recall"] < 1


@pytest.mark.parametrize("k", [3, 5])
def test_precision_and_recall_agree_with_torch_fidelity(k: int) -> None:
    from torch_fidelity.metric_prc import prc_features_to_metric

    real = torch.from_numpy(normal(300, 16, 2))
    fake = torch.from_numpy(normal(260, 16, 3, mean=0.3, scale=0.9))
    expected = prc_features_to_metric(fake, real, prc_neighborhood=k, verbose=False)
    found = prdc(real, fake, k)
    for name in ("precision", "recall"):
        assert found[name] == pytest.approx(expected[name], abs=1e-6)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(150, 8, 4), normal(120, 8, 5, mean=0.5)
    whole = prdc(real, fake)
    sizes = []
    distances = module.squared_distances

    def watched(x: np.ndarray, y: np.ndarray):  # type: ignore[no-untyped-def]
        for rows, squares in distances(x, y):
            sizes.append(squares.size)
            yield rows, squares

    monkeypatch.setattr(module, "squared_distances", watched)
    monkeypatch.setattr(module, "_BLOCK_ENTRIES", 1000)
    assert prdc(real, fake) == whole
    assert max(sizes) <= 1000
    assert len(sizes) > 40


def test_by_hand_on_a_line() -> None:
    # Balls of k = 1: real 0, 1 (radius 1) and 10 (9); synthetic 0.5, 0.6 (0.1) and 30 (29.4).
    real, fake = np.array([[0.0], [1.0], [10.0]]), np.array([[0.5], [0.6], [30.0]])
    assert prdc(real, fake, 1) == pytest.approx(
        {
            "precision": 2 / 3,
            "recall": 1 / 3 + 1 / 3,  # 30's ball reaches down to 0.6, so to 1 and 10
            "density": 4 / 3,  # 0.5 and 0.6 are in two balls each; 10's reaches to 1
            "coverage": 2 / 3,
        }
    )


def test_copies_and_strangers() -> None:
    real = normal(200, 64, 6)
    # Exact ties: a copy lies on the edge of its neighbours' balls, whatever rounding says.
    copies = prdc(real, real[::-1].copy(), 5)
    assert copies == pytest.approx(
        {"precision": 1, "recall": 1, "density": (5 + 1) / 5, "coverage": 1}
    )
    shifted = prdc(real + 1000, real[::-1] + 1000, 5)  # cancellation would show here
    assert shifted == copies
    far = prdc(real, real + 100)
    assert far == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_fidelity_and_diversity_are_told_apart() -> None:
    real = normal(500, 4, 7)
    same = prdc(real, normal(500, 4, 8))
    assert same["density"] == pytest.approx(1, abs=0.1)
    assert same["coverage"] == pytest.approx(1 - 2**-5, abs=0.03)
    collapsed = prdc(real, normal(500, 4, 9, scale=0.2))
    assert collapsed["precision"] > 0.99
    assert collapsed["density"] > same["density"]
    assert collapsed["recall"] < 0.2
    assert collapsed["coverage"] < 0.5
    noisy = prdc(real, normal(500, 4, 10, scale=3))
    assert noisy["precision"] < 0.7
    assert noisy["recall"] > 0.9


def test_single_precision_features_are_measured_in_double() -> None:
    real, fake = normal(60, 8, 11).astype(np.float32), normal(60, 8, 12).astype(np.float32)
    assert prdc(torch.from_numpy(real), torch.from_numpy(fake)) == prdc(
        real.astype(np.float64), fake.astype(np.float64)
    )


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_neighbours is 5, expected 1\.\.4 for 9 real and 5"):
        prdc(normal(9, 2, 0), normal(5, 2, 1))
    with pytest.raises(ValueError, match="3 and 2 columns"):
        prdc(normal(9, 3, 0), normal(9, 2, 1))
