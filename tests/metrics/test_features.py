from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from metrics.distances import frechet_distance, kernel_distance, paired_feature_distance
from metrics.extractor import FeatureExtractor
from metrics.features import build_extractor
from provenance import UserError


@pytest.fixture(scope="module")
def random_vgg() -> FeatureExtractor:
    return build_extractor("random_vgg")


def pictures(count: int = 24, size: int = 48, seed: int = 0) -> Tensor:
    """Discs of varied position, size and brightness with some texture, (N, 1, H, W) in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    draws = torch.rand(count, 4, generator=generator)
    distance = torch.hypot(
        rows - (0.3 + 0.4 * draws[:, 0, None, None]) * size,
        columns - (0.3 + 0.4 * draws[:, 1, None, None]) * size,
    )
    inside = (distance < (0.1 + 0.2 * draws[:, 2, None, None]) * size).float()
    texture = 0.1 * torch.randn(count, size, size, generator=generator)
    images = -0.6 + inside * (0.5 + draws[:, 3, None, None]) + texture
    return images.clamp(-1, 1)[:, None]


def test_random_vgg_is_the_same_whatever_the_global_seed(random_vgg: FeatureExtractor) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = build_extractor("random_vgg")
    assert torch.equal(torch.get_rng_state(), before)
    assert again.description == random_vgg.description
    images = pictures(2)
    assert torch.equal(again(images), random_vgg(images))


def test_random_vgg_weights_are_the_ones_that_results_name(random_vgg: FeatureExtractor) -> None:
    # Numbers of different weights cannot be compared: a change of them must be noticed.
    assert random_vgg.description.endswith("sha256 4f90598487be")


def test_shapes_channels_and_frozen_weights(random_vgg: FeatureExtractor) -> None:
    images = pictures(2).requires_grad_()
    features = random_vgg(images)
    assert features.shape == (2, 64)
    torch.testing.assert_close(random_vgg(images.expand(-1, 3, -1, -1)), features)
    features.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in random_vgg.parameters())
    assert [m.shape[1:] for m in random_vgg.maps(images)] == [
        (16, 48, 48),
        (32, 24, 24),
        (64, 12, 12),
        (128, 6, 6),
        (128, 3, 3),
    ]
    assert not random_vgg.train().training


def test_stronger_distortions_are_farther(random_vgg: FeatureExtractor) -> None:
    images = pictures()
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(images.shape, generator=generator)
    real, maps = random_vgg(images), random_vgg.maps(images)
    for distorted in (
        [images + scale * noise for scale in (0.05, 0.15, 0.4)],
        [gaussian_blur(images, [9, 9], [sigma, sigma]) for sigma in (0.5, 1.0, 2.0)],
    ):
        clipped = [images.clamp(-1, 1) for images in distorted]
        found = [random_vgg(images) for images in clipped]
        frechet = [frechet_distance(real, features) for features in found]
        kernel = [kernel_distance(real, features, 20)[0] for features in found]
        paired = [float(paired_feature_distance(maps, random_vgg.maps(i)).mean()) for i in clipped]
        for values in (frechet, kernel, paired):
            assert values[0] < values[1] < values[2]


def test_names_and_weights_that_cannot_be_used_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'no_such_extractor'.*random_vgg.*timm:<name>"):
        build_extractor("no_such_extractor")
    with pytest.raises(UserError, match="--weights"):
        build_extractor("timm:resnet18")
    missing = tmp_path / "none.pth"
    with pytest.raises(UserError, match="no such weights file"):
        build_extractor("timm:resnet18", missing)
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"not weights")
    with pytest.raises(UserError, match=r"damaged\.pth: is not a readable file of weights"):
        build_extractor("timm:resnet18", damaged)
    foreign = tmp_path / "foreign.pth"
    torch.save({"conv1.weight": torch.zeros(2)}, foreign)
    with pytest.raises(UserError, match="does not fit timm:resnet18"):
        build_extractor("timm:resnet18", foreign)


def test_images_of_a_wrong_kind_are_named(random_vgg: FeatureExtractor) -> None:
    with pytest.raises(ValueError, match="uint8"):
        random_vgg(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="at least 16"):
        random_vgg(torch.zeros(1, 1, 8, 8))


def test_pretrained_timm_model(real_data: Path) -> None:
    weights = real_data / "weights" / "tf_efficientnet_lite0.pth"
    extractor = build_extractor("timm:tf_efficientnet_lite0", weights)
    assert extractor.name == "tf_efficientnet_lite0"
    assert "sha256" in extractor.description
    images = pictures(2)
    features = extractor(images)
    assert features.shape == (2, 1280)
    import timm

    # Independent path: timm's own loading, and normalisation with mean and deviation 0.5.
    reference = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    reference.load_state_dict(torch.load(weights, weights_only=True))
    resized = torch.nn.functional.interpolate(
        images, size=(224, 224), mode="bilinear", antialias=True
    )
    with torch.no_grad():
        pooled = reference.eval().forward_features(resized.expand(-1, 3, -1, -1)).mean((2, 3))
    torch.testing.assert_close(features, pooled, rtol=1e-3, atol=1e-4)
