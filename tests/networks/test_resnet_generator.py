"""CycleGAN's generator: the authors' sizes, images apart from each other, refusals."""

import pytest
import torch

from networks import ResNetGenerator


@pytest.mark.parametrize(("size", "blocks", "millions"), [(256, 9, 11.378), (128, 6, 7.838)])
def test_parameter_count_is_the_authors(size: int, blocks: int, millions: float) -> None:
    """pytorch-CycleGAN-and-pix2pix prints these for 3 channels; it has the idle biases too."""
    with torch.device("meta"):
        network = ResNetGenerator(3, 3, size)
    idle = 64 + 128 + 256 + blocks * 2 * 256 + 128 + 64
    count = sum(parameter.numel() for parameter in network.parameters())
    assert (count + idle) / 1e6 == pytest.approx(millions, abs=0.001)


def test_an_image_has_one_translation_whatever_is_beside_it() -> None:
    torch.manual_seed(0)
    network = ResNetGenerator(2, 1, 20, width=4, num_blocks=2).double().train()
    images = torch.randn(3, 2, 20, 20).double()
    together = network(images)
    assert together.shape == (3, 1, 20, 20)
    assert together.abs().max() < 1
    for index in range(3):
        alone = network(images[index : index + 1])
        assert (together[index] - alone[0]).abs().max() < 1e-12


def test_grey_levels_are_not_rounded_by_autocast() -> None:
    network = ResNetGenerator(1, 1, 16, width=4, num_blocks=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.zeros(1, 1, 16, 16)).dtype == torch.float32


@pytest.mark.parametrize("settings", [{"image_size": 30}, {"image_size": 8}, {"num_blocks": 0}])
def test_what_cannot_be_built_is_refused(settings: dict[str, int]) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=name):
        ResNetGenerator(1, 1, **{"image_size": 64, **settings})
