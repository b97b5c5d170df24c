"""Which parameters a network has for which resolution."""

import pytest
from torch import nn

import networks
from networks.enlargement import stages_of

NAMES = ("DCGAN", "PGGAN", "MultiScale", "StyleGAN", "StyleGAN2")


@pytest.mark.parametrize("kind", ["Generator", "Discriminator"])
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_one_stage(name: str, kind: str) -> None:
    network: nn.Module = getattr(networks, name + kind)(32, 1, width=4)
    stages = stages_of(network)
    # 4, 8, 16 and 32 px; the second StyleGAN's discriminator has its lowest block with its end.
    assert len(stages) == (3 if (name, kind) == ("StyleGAN2", "Discriminator") else 4)
    named = [parameter for stage in stages for parameter in stage]
    assert sorted(named) == sorted(dict(network.named_parameters()))


@pytest.mark.parametrize(
    ("network", "smallest", "largest"),
    [
        ("DCGANGenerator", "layers.0.weight", "layers.9.weight"),
        ("DCGANDiscriminator", "layers.8.weight", "layers.0.weight"),
        ("PGGANGenerator", "stem.first.weight", "blocks.2.first.weight"),
        ("PGGANDiscriminator", "head.to_logit.weight", "from_images.3.weight"),
        ("StyleGANGenerator", "constant", "first.3.conv.weight"),
        ("StyleGAN2Generator", "constant", "enlarging.2.conv.weight"),
        ("StyleGAN2Discriminator", "to_logit.weight", "from_image.weight"),
    ],
)
def test_the_last_stage_is_the_largest_resolution(
    network: str, smallest: str, largest: str
) -> None:
    stages = stages_of(getattr(networks, network)(32, 1, width=4))
    assert smallest in stages[0]
    assert largest in stages[-1]


def test_a_network_without_resolutions_is_named() -> None:
    for network in (nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))):
        with pytest.raises(ValueError, match=f"a {type(network).__name__} has neither lists"):
            stages_of(network)
