"""What is computed on a GPU is what is computed on a CPU, up to rounding."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from audit.embedding import SIZE, CopyEmbedding
from audit.matching import Gallery, match, points_of
from audit.search import distance_to_nearest, nearest
from audit.views import SIDE
from augmentations.batch_mixing import mix_batch
from augmentations.language import read_policy
from augmentations.operation import Images
from augmentations.presets import PRESETS
from benchmarks import gan_step
from metrics.distances import frechet_distance
from metrics.features import build_extractor

pytestmark = pytest.mark.gpu
DEVICE = "cuda"


def smooth(count: int, side: int, seed: int = 0) -> Tensor:
    """(count, 1, side, side) uint8."""
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 8, 8, generator=source)
    return (255 * F.interpolate(coarse, size=side, mode="bilinear")).round().byte()


def unit(levels: Tensor) -> Tensor:
    return levels.float() / 127.5 - 1


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "none"])
def test_a_policy_does_the_same_to_the_same_draw(preset: str) -> None:
    masks = preset != "augmix_medical"  # refused for images with label maps
    policy = read_policy(preset, Images(1, masks=masks, labels=True))
    images = smooth(16, 64)
    label_maps = (images[:, 0] // 86).long()
    results = []
    for device in ("cpu", DEVICE):
        pairs = [
            policy.apply(image, mask, policy.draw(seed, (64, 64)), unit)
            for seed, (image, mask) in enumerate(
                zip(images.to(device), label_maps.to(device), strict=True)
            )
        ]
        done = [x if x.is_floating_point() else unit(x) for x, _ in pairs]
        batch: dict[str, Any] = {
            "image": torch.stack(done),
            "label": torch.arange(16, device=device) % 2,
        }
        if masks:
            batch["mask"] = torch.stack([mask for _, mask in pairs if mask is not None])
        if policy.on_batches:
            batch = mix_batch(batch, policy.on_batches, range(16), 2)
        results.append({name: value.cpu() for name, value in batch.items()})
    on_cpu, on_gpu = results
    assert on_gpu.keys() == on_cpu.keys()
    for name, expected in on_cpu.items():
        off = (on_gpu[name].double() - expected.double()).abs()
        if name == "mask":  # a pixel on an edge may fall to either side
            assert (off > 0).double().mean() < 0.005
        else:  # a grey level on the edge of two may, too: 1/127.5
            assert off.mean() < 1e-3
            assert (off > 0.01).double().mean() < 0.005


def test_the_audits_search_finds_the_same() -> None:
    source = torch.Generator().manual_seed(0)
    queries, references = (
        F.normalize(torch.randn(count, SIZE, generator=source)) for count in (300, 4000)
    )
    patients = torch.arange(4000) // 5
    expected = nearest(queries, references, patients, 8, 2)
    found = nearest(queries.to(DEVICE), references.to(DEVICE), patients.to(DEVICE), 8, 2).cpu()
    cosines = queries @ references.T
    assert (found == expected).double().mean() > 0.999  # two that are equally near may change
    assert torch.allclose(cosines.gather(1, found), cosines.gather(1, expected), atol=1e-5)
    near = distance_to_nearest(queries, references)
    assert torch.allclose(
        distance_to_nearest(queries.to(DEVICE), references.to(DEVICE)).cpu(), near, atol=1e-4
    )


def test_the_audit_matches_copies_to_the_same_images() -> None:
    torch.manual_seed(0)
    network = CopyEmbedding().eval()
    images = smooth(64, SIDE)
    queries = torch.cat([images[:4], images[4:8].flip(3)])
    results = []
    for device in ("cpu", DEVICE):
        network, on_it = network.to(device), images.to(device)
        owners = (torch.arange(64) // 2).to(device)
        gallery = Gallery(on_it, owners, points_of(network, on_it))
        results.append(match(network, gallery, queries.to(device)))
    on_cpu, on_gpu = results
    assert on_gpu.source[:4, 0].tolist() == on_cpu.source[:4, 0].tolist() == [0, 1, 2, 3]
    off = (on_gpu.correlation.cpu() - on_cpu.correlation).abs()
    assert off[:4, 0].max() < 1e-3
    assert off.median() < 1e-2


def test_features_and_distances_are_near_the_cpus() -> None:
    images = unit(smooth(64, 64))
    noisy = images + 0.2 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    extractor = build_extractor("random_vgg")
    distances = []
    features = []
    for device in ("cpu", DEVICE):
        network = extractor.to(device)
        one, other = (network(x.to(device)).cpu() for x in (images, noisy))
        features.append(one)
        distances.append(frechet_distance(one, other))
    error = (features[1] - features[0]).norm() / features[0].norm()
    assert error < 1e-3  # convolutions may round to tf32
    assert distances[1] == pytest.approx(distances[0], rel=1e-2)


@pytest.mark.parametrize("name", gan_step.METHODS)
def test_a_seed_is_the_same_image(name: str) -> None:
    """From the averaged generator, as generate.py draws them: float32 without rounding."""
    torch.manual_seed(0)
    module: Any = gan_step.METHODS[name](32, 16).eval()
    images = []
    for device in ("cpu", DEVICE):
        module = module.to(device)
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            images.append(module.images_of(module.latent_rows([1, 2, 3])).cpu())
    assert images[0].std() > 1e-4
    assert torch.allclose(images[0], images[1], atol=1e-3)
