import pytest
import torch

from networks.patch_discriminator import MultiScalePatchDiscriminator, PatchDiscriminator


def pair(num_images: int, size: int, channels: int = 4) -> torch.Tensor:
    return torch.randn(num_images, channels, size, size, generator=torch.Generator().manual_seed(0))


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("size", "side"), [(32, 2), (64, 6), (128, 14), (256, 30), (512, 62)])
def test_logits_and_features_have_the_paper_s_shapes(size: int, side: int) -> None:
    network = PatchDiscriminator(4, width=2)
    with torch.no_grad():
        logits, features = network(pair(2, size))
    assert logits.shape == (2, 1, side, side)
    assert [feature.shape[1] for feature in features] == [2, 4, 8, 16]
    sides = [feature.shape[-1] for feature in features]
    assert sides == [size // 2, size // 4, size // 8, side + 1]


def test_parameter_count_is_the_authors() -> None:
    # pytorch-CycleGAN-and-pix2pix prints 2.769 M for its basic discriminator, 6 channels in.
    network = PatchDiscriminator(6, normalization="batch")
    assert num_parameters(network) / 1e6 == pytest.approx(2.769, abs=0.001)


@pytest.mark.parametrize(("num_layers", "side"), [(1, 16), (2, 34), (3, 70)])
def test_receptive_field_measured_by_gradient(num_layers: int, side: int) -> None:
    # Without a normalisation, which would spread gradients over the whole image.
    torch.manual_seed(0)
    network = PatchDiscriminator(4, width=2, num_layers=num_layers, normalization="none").double()
    image = pair(1, 128).double().requires_grad_()
    logits, _ = network(image)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    assert image.grad is not None
    seen = image.grad[0].abs().sum(dim=0) > 0
    assert seen.any(dim=0).sum() == side
    assert seen.any(dim=1).sum() == side


@pytest.mark.parametrize("normalization", ["instance", "none"])
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_images_of_a_batch_are_independent(normalization: str, spectral_norm: bool) -> None:
    network = MultiScalePatchDiscriminator(
        4, 4, 2, normalization=normalization, spectral_norm=spectral_norm, num_scales=2
    )
    network = network.double().eval()
    images = pair(3, 32).double()
    for index in range(3):
        for together, alone in zip(
            network(images), network(images[index : index + 1]), strict=True
        ):
            assert (together[0][index] - alone[0][0]).abs().max() < 1e-12
            for all_features, own in zip(together[1], alone[1], strict=True):
                assert (all_features[index] - own[0]).abs().max() < 1e-12


def test_batch_norm_ties_the_images_of_a_batch_together() -> None:
    network = PatchDiscriminator(4, 4, 2, normalization="batch")
    images = pair(3, 32)
    assert not torch.allclose(network(images)[0][:1], network(images[:1])[0], atol=1e-4)


def test_one_scale_is_the_plain_discriminator_in_a_list() -> None:
    torch.manual_seed(0)
    plain = PatchDiscriminator(4, width=2)
    torch.manual_seed(0)
    listed = MultiScalePatchDiscriminator(4, width=2)
    images = pair(1, 64)
    [(logits, features)] = listed(images)
    assert torch.equal(logits, plain(images)[0])
    assert len(features) == 4


def test_second_scale_sees_the_image_halved() -> None:
    network = MultiScalePatchDiscriminator(4, width=2, num_scales=2)
    images = pair(1, 64)
    second = network(images)[1]
    # Average of 3x3 pixels around every second one, of those only that lie inside the image.
    halved = torch.nn.functional.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
    assert halved.shape == (1, 4, 32, 32)
    assert torch.equal(second[0], network.scales[1](halved)[0])
    flat = network(torch.ones(1, 4, 64, 64))
    assert len(flat) == 2
    assert num_parameters(network.scales[0]) == num_parameters(network.scales[1])


def test_spectral_norm_bounds_the_largest_singular_value() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(4, width=4, num_layers=2, normalization="none", spectral_norm=True)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.parametrizations.weight.original.mul_(50)
    for _ in range(100):
        network(pair(1, 32))
    network.eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            largest = torch.linalg.matrix_norm(module.weight.flatten(1), ord=2).item()
            assert largest == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("normalization", ["instance", "batch", "none"])
def test_gradient_reaches_every_parameter(normalization: str) -> None:
    network = MultiScalePatchDiscriminator(
        4, 2, 2, normalization=normalization, num_scales=2
    ).double()
    sum((logits**2).mean() for logits, _ in network(pair(2, 64).double())).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
def test_smallest_image_is_known_exactly(num_layers: int) -> None:
    network = PatchDiscriminator(4, 2, num_layers)
    smallest = network.smallest_image_size
    assert network(pair(1, smallest))[0].shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=f"takes at least {smallest} pixels"):
        network(pair(1, smallest - 1))


def test_too_many_scales_for_a_small_image_are_refused() -> None:
    network = MultiScalePatchDiscriminator(4, 2, num_scales=2)
    with pytest.raises(ValueError, match=r"16x16 pixels.*smaller num_layers or num_scales"):
        network(pair(1, 32))
    smaller = MultiScalePatchDiscriminator(4, 2, num_layers=2, num_scales=2)
    assert len(smaller(pair(1, 32))) == 2


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="num_layers is 0"):
        PatchDiscriminator(4, num_layers=0)
    with pytest.raises(ValueError, match="num_scales is 0"):
        MultiScalePatchDiscriminator(4, num_scales=0)
    with pytest.raises(ValueError, match="normalization is 'group'"):
        PatchDiscriminator(4, normalization="group")  # type: ignore[arg-type]
