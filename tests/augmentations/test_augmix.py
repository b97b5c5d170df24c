"""AugMix against torchvision's and the paper's operations, and its loss by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from augmentations.augmix import _MEDICAL, _OPERATIONS, _PAPER, AugMix, Chain
from losses.consistency import jensen_shannon


def image(side: int = 32) -> torch.Tensor:
    return torch.rand(1, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_weights_of_the_chains_and_of_the_image_sum_to_one() -> None:
    """Dirichlet(1, 1, 1) weights times a uniform share: each chain has a sixth on average."""
    drawn = [AugMix().draw(np.random.default_rng(seed)) for seed in range(800)]
    weights = np.array([[chain.weight for chain in chains] for chains in drawn])
    assert weights.shape == (800, 3)
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) <= 1).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 6, atol=0.02)
    depths = [len(chain.operations) for chains in drawn for chain in chains]
    assert set(depths) == {1, 2, 3}
    strengths = [abs(s) for chains in drawn for chain in chains for _, s in chain.operations]
    assert min(strengths) >= 0.1
    assert max(strengths) <= 3
    assert {name for chains in drawn for c in chains for name, _ in c.operations} == set(_PAPER)


def test_medical_operations_keep_what_a_grey_value_means() -> None:
    assert set(_PAPER) - set(_MEDICAL) == {"equalize", "posterize", "solarize"}
    drawn = [AugMix(repertoire="medical").draw(np.random.default_rng(seed)) for seed in range(200)]
    assert {name for chains in drawn for c in chains for name, _ in c.operations} == set(_MEDICAL)


def test_an_image_without_change_is_itself() -> None:
    still = (Chain(0.5, (("rotate", 0.0),)), Chain(0.5, (("translate_x", 0.0),)))
    torch.testing.assert_close(AugMix().view(image(), still), image(), atol=1e-6, rtol=0)


def test_one_chain_of_weight_one_is_that_operation() -> None:
    """In grey levels of 0 to 1, by torchvision."""
    unit = (image() + 1) / 2
    # torchvision's rotate turns the other way round than its affine.
    turned = transform.rotate(unit, -30.0, InterpolationMode.BILINEAR, fill=[0.0])
    for name, strength, expected in (
        ("rotate", 10.0, turned),
        ("posterize", 5.0, transform.posterize(unit, 2)),
        ("solarize", 3.0, transform.solarize(unit, 0.7)),
        ("autocontrast", 1.0, transform.autocontrast(unit)),
        ("equalize", 1.0, transform.equalize(unit)),
    ):
        made = AugMix().view(image(), (Chain(1.0, ((name, strength),)),))
        torch.testing.assert_close((made + 1) / 2, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_views_stay_images(channels: int) -> None:
    images = torch.rand(5, channels, 24, 24) * 2 - 1
    views = AugMix(severity=10).views(images, [np.random.default_rng(s) for s in range(5)])
    assert views.shape == (5, 2, channels, 24, 24)
    assert views.min() >= -1 - 1e-5
    assert views.max() <= 1 + 1e-5
    assert (views[:, 0] != views[:, 1]).flatten(1).any(1).all(), "two draws"


def test_every_operation_is_there() -> None:
    assert set(_OPERATIONS) == set(_PAPER)


def test_jensen_shannon_equals_scipy() -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 4, generator=random, dtype=torch.float64) * 3
    p = logits.softmax(dim=-1).numpy()
    expected = jensenshannon(p[0], p[1], axis=-1) ** 2
    np.testing.assert_allclose(jensen_shannon(logits).numpy(), expected, atol=1e-12)


def test_jensen_shannon_equals_the_paper_s_code_for_three() -> None:
    logits = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = logits.softmax(dim=-1)
    log_mixture = p.mean(dim=0).clamp(1e-7, 1).log()
    kl = [torch.nn.functional.kl_div(log_mixture, each, reduction="batchmean") for each in p]
    torch.testing.assert_close(jensen_shannon(logits).mean(), torch.stack(kl).mean())


def test_jensen_shannon_of_equals_is_zero_and_of_sure_opposites_log_v() -> None:
    equal = torch.randn(1, 4, 3).expand(3, 4, 3)
    torch.testing.assert_close(jensen_shannon(equal), torch.zeros(4), atol=1e-6, rtol=0)
    assert (jensen_shannon(equal) >= 0).all()
    opposite = torch.tensor([[[1e3, 0.0]], [[0.0, 1e3]]], requires_grad=True)
    divergence = jensen_shannon(opposite)
    assert float(divergence.detach()) == pytest.approx(math.log(2))
    divergence.sum().backward()
    assert opposite.grad is not None
    assert opposite.grad.isfinite().all()
    assert jensen_shannon(opposite.half()).dtype == torch.float32
