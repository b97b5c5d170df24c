import dataclasses

import pytest

from networks.growth import Growth, growth_within


@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 1024])
def test_stages_are_counted_from_four_pixels(resolution: int) -> None:
    assert 4 * 2 ** Growth(resolution).stage == resolution
    assert growth_within(None, resolution) == Growth(resolution, 1.0)


@pytest.mark.parametrize(
    ("resolution", "alpha", "message"),
    [
        (2, 1.0, "resolution is 2, expected a power of two from 4"),
        (12, 1.0, "resolution is 12"),
        (8, 1.5, r"alpha is 1.5, expected a share in \[0, 1\]"),
        (8, float("nan"), "alpha is nan"),
        (4, 0.5, "alpha is 0.5 at 4 pixels, expected 1"),
    ],
)
def test_impossible_growth_is_refused(resolution: int, alpha: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Growth(resolution, alpha)


def test_growth_stays_within_the_network() -> None:
    assert growth_within(Growth(16, 0.5), 32) == Growth(16, 0.5)
    with pytest.raises(ValueError, match="resolution is 64, but the network ends at 32 pixels"):
        growth_within(Growth(64), 32)


def test_growth_is_a_value() -> None:
    assert Growth(8) == Growth(8, 1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Growth(8).alpha = 0.5  # type: ignore[misc]
