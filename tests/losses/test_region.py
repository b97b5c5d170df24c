"""Differences inside a region: means over images of means over their pixels."""

import pytest
import torch

from losses.region import border_of, region_l1


def test_each_image_counts_the_same_whatever_its_region() -> None:
    real = torch.zeros(2, 1, 8, 8)
    fake = torch.stack([torch.full((1, 8, 8), 0.5), torch.full((1, 8, 8), 0.1)])
    region = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    region[0, 0, :2, :2] = True
    region[1, 0, :6] = True
    fake[:, :, 7] = 100.0  # outside: must not count
    assert float(region_l1(fake, real, region)) == pytest.approx(0.3)
    parts = [region_l1(fake[i : i + 1], real[i : i + 1], region[i : i + 1]) for i in range(2)]
    assert float(sum(parts) / 2) == pytest.approx(0.3)
    assert float(region_l1(fake.bfloat16(), real.bfloat16(), region)) == pytest.approx(
        0.3, rel=0.01
    )
    assert float(region_l1(fake, real, torch.zeros_like(region))) == 0.0


def test_no_gradient_reaches_what_lies_outside() -> None:
    fake = torch.rand(1, 1, 6, 6, requires_grad=True)
    region = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
    region[..., 2:4, 2:4] = True
    region_l1(fake, torch.zeros(1, 1, 6, 6), region).backward()
    assert torch.equal(fake.grad != 0, region)


def test_the_border_is_the_rim_and_the_images_edge_is_none() -> None:
    region = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    region[..., 2:7, 2:7] = True
    rim = border_of(region, 1)
    assert rim.sum() == 25 - 9
    assert not rim[..., 3:6, 3:6].any()
    assert not border_of(torch.ones(1, 1, 9, 9, dtype=torch.bool), 2).any()


def test_other_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="regions"):
        region_l1(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4) > 0)
