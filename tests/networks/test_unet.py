import pytest
import torch

from networks.unet import UNet


def images(num_images: int, height: int, width: int | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num_images, 1, height, width or height, generator=generator)


@pytest.mark.parametrize(("width", "millions"), [(16, 1.94), (64, 31.04)], ids=["light", "heavy"])
def test_parameter_counts_of_the_docstring(width: int, millions: float) -> None:
    with torch.device("meta"):
        network = UNet(1, 3, width=width)
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert count == pytest.approx(millions, abs=0.005)
    assert f"| {width} | {millions} M |" in (UNet.__doc__ or "")


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_logits_have_the_size_of_the_image(size: int, upsampling: str) -> None:
    network = UNet(1, 3, width=2, upsampling=upsampling)
    with torch.no_grad():
        assert network(images(1, size)).shape == (1, 3, size, size)


def test_oblong_images_and_other_depths() -> None:
    assert UNet(1, 2, width=2, depth=2)(images(1, 12, 20)).shape == (1, 2, 12, 20)


@pytest.mark.parametrize("normalization", ["group", "instance"])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_images_of_a_batch_are_independent(normalization: str, upsampling: str) -> None:
    network = UNet(1, 3, 4, normalization=normalization, upsampling=upsampling).double()
    batch = images(3, 32).double()
    together = network(batch)
    alone = torch.cat([network(batch[i : i + 1]) for i in range(3)])
    assert (together - alone).abs().max() < 1e-12


def test_batch_norm_ties_the_images_of_a_batch_together() -> None:
    network, batch = UNet(1, 3, 4, normalization="batch"), images(3, 32)
    assert not torch.allclose(network(batch)[:1], network(batch[:1]), atol=1e-4)


@pytest.mark.parametrize("normalization", ["group", "instance", "batch"])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_gradient_reaches_every_parameter(normalization: str, upsampling: str) -> None:
    network = UNet(1, 3, 8, normalization=normalization, upsampling=upsampling).double()
    target = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    (network(images(2, 32).double()) * target).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_every_output_sees_far_and_near() -> None:
    torch.manual_seed(0)
    network = UNet(1, 2, 4).double()
    image = images(1, 64).double().requires_grad_()
    network(image)[0, 0, 32, 32].backward()
    assert image.grad is not None
    assert image.grad[0, 0, 32, 32] != 0
    assert image.grad[0, 0, 4, 4] != 0


def test_dropout_only_in_training() -> None:
    network, batch = UNet(1, 3, 4, dropout=0.5), images(1, 32)
    assert not torch.equal(network(batch), network(batch))
    network.eval()
    assert torch.equal(network(batch), network(batch))


def test_learns_a_single_pattern() -> None:
    torch.manual_seed(0)
    network, image = UNet(1, 2, 4, depth=2), images(1, 16)
    target = (image[:, 0] > 0).long()
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(image), target).backward()
        optimiser.step()
    assert (network(image).argmax(dim=1) == target).float().mean() > 0.95


def test_size_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ValueError, match=r"40x32 pixels cannot be halved 4 times.*multiple of 16"):
        UNet(1, 3, 2)(images(1, 40, 32))


def test_wrong_channels_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(N, 3, H, W\)"):
        UNet(3, 3, 2)(images(1, 32))
    with pytest.raises(ValueError, match="normalization is 'layer'"):
        UNet(1, 3, normalization="layer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="upsampling is 'nearest'"):
        UNet(1, 3, upsampling="nearest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="depth 0"):
        UNet(1, 3, depth=0)
