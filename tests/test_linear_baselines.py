"""The linear baselines find the one minimum, and see what their views say they see."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from benchmarks.linear_baselines import baselines
from provenance import UserError
from studies.statistics.linear_baseline import VIEWS, logistic_regression


def test_logistic_regression_is_the_minimum_that_scipy_finds() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 5))
    y = (x[:, 0] + random.normal(size=60) > 0.3).astype(np.int64)

    def objective(w: np.ndarray) -> float:
        margins = (2 * y - 1) * (x @ w[:-1] + w[-1])
        return float(np.logaddexp(0, -margins).mean() + 0.01 * (w[:-1] ** 2).sum())

    reference = minimize(objective, np.zeros(6), method="BFGS", options={"gtol": 1e-9}).x
    found = logistic_regression(torch.from_numpy(x), torch.from_numpy(y), 0.01)
    np.testing.assert_allclose(
        found.numpy(), reference, atol=1e-4
    )  # scipy differentiates numerically


def test_the_frame_holds_no_lung_and_squares_are_means() -> None:
    films = torch.zeros(2, 1, 32, 32, dtype=torch.float64)
    films[:, :, 2:-2, 2:-2] = 1.0
    films[1, :, 0, 0] = 5.0
    frames = VIEWS["frame alone"](films)
    assert frames.shape == (2, 240)
    assert frames[0].abs().max() == 0
    assert frames[1].sum() == 5
    assert VIEWS["8 x 8 squares"](films)[0, 9] == 1  # second row, second column
    assert VIEWS["mean grey"](films)[0].item() == pytest.approx(28**2 / 32**2)


def test_baselines_see_a_bright_disc_and_say_of_how_many(
    tmp_path: Path, film_cache: Callable[..., Path]
) -> None:
    patients = {f"patient_{i:012x}": ("train", "val", "test")[i % 3] for i in range(180)}
    cache = film_cache(tmp_path / "cache", patients)
    rows = {row["view"]: row for row in baselines(str(cache))}
    assert rows["16 x 16 squares"]["auroc_test"] > 0.9
    assert rows["16 x 16 squares"]["auroc_test"] > rows["frame alone"]["auroc_test"]
    row = rows["frame alone"]
    assert row["low"] <= row["auroc_test"] <= row["high"]
    assert (row["films"], row["patients"]) == (180, 60)


def test_other_than_two_classes_is_refused(tmp_path: Path, film_cache: Callable[..., Path]) -> None:
    cache = film_cache(tmp_path / "cache", labels=("a", "b", "c"))
    with pytest.raises(UserError, match="classes are a, b, c; a logistic regression needs two"):
        baselines(str(cache))
