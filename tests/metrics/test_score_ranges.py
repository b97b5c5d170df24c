"""Intervals end where their score does."""

import math

import pytest

from metrics.score_ranges import within_range


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("frechet_tf_efficientnet_lite0", (0.0, 9.0)),
        ("fid", (0.0, 9.0)),
        ("kid", (-9.0, 9.0)),
        ("kernel_random_vgg", (-9.0, 9.0)),
        ("recall_random_vgg", (0.0, 1.0)),
        ("density_random_vgg", (0.0, 9.0)),
        ("inception_score_tiny", (1.0, 9.0)),
        ("ms_ssim_2_scales", (0.0, 1.0)),
    ],
)
def test_an_interval_is_cut_off_at_the_scores_range(
    name: str, expected: tuple[float, float]
) -> None:
    assert within_range(name, -9.0, 9.0) == expected
    assert within_range("kernel", -math.inf, 0.5) == (-math.inf, 0.5)


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(KeyError, match="auroc"):
        within_range("auroc", 0.0, 1.0)
