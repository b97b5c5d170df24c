import pytest
import torch

from networks.pix2pix import Pix2PixGenerator

RICH = {"noise_channels": 8, "pixel_noise": True, "conditioning": "spade", "upsampling": "resize"}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_hot_labels(num_images: int, size: int, num_classes: int = 3) -> torch.Tensor:
    classes = torch.randint(0, num_classes, (num_images, size, size), generator=seeded(7))
    return torch.nn.functional.one_hot(classes, num_classes).movedim(-1, 1).float()


def make(size: int = 32, seed: int = 0, width: int = 4, **settings: object) -> Pix2PixGenerator:
    torch.manual_seed(seed)
    return Pix2PixGenerator(3, 1, size, width=width, **settings)  # type: ignore[arg-type]


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512])
@pytest.mark.parametrize("settings", [{}, RICH], ids=["paper", "rich"])
def test_image_has_the_size_of_the_labels_and_lies_in_range(size: int, settings: dict) -> None:
    network = make(size, **settings)
    assert len(network.encoder) == size.bit_length() - 1
    with torch.no_grad():
        image = network(one_hot_labels(2, size), network.draw_noise(2, seeded(0)))
    assert image.shape == (2, 1, size, size)
    assert image.abs().max() <= 1
    assert image.std() > 0


def test_parameter_count_is_the_authors() -> None:
    # pytorch-CycleGAN-and-pix2pix prints 54.414 M for unet_256 with batch norm and 3 to 3 channels;
    # its norms make biases superfluous at the same places, but it keeps them beside instance norm.
    with torch.device("meta"):
        network = Pix2PixGenerator(3, 3, 256, normalization="batch")
    assert num_parameters(network) / 1e6 == pytest.approx(54.414, abs=0.001)


def test_same_noise_same_image_in_both_modes_and_other_noise_another_image() -> None:
    network, labels = make(**RICH), one_hot_labels(2, 32)
    noise = network.draw_noise(2, seeded(0))
    torch.manual_seed(1)
    in_training = network(labels, noise)
    torch.manual_seed(2)
    assert torch.equal(in_training, network.eval()(labels, noise))
    assert not torch.equal(in_training, network(labels, network.draw_noise(2, seeded(1))))


@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": 0.5},
        {"dropout": 0.0, "noise_channels": 4},
        {"dropout": 0.0, "pixel_noise": True},
    ],
    ids=["dropout", "latent", "pixel"],
)
def test_each_kind_of_noise_reaches_the_image(settings: dict) -> None:
    network, labels = make(**settings).double(), one_hot_labels(1, 32).double()
    noise = network.draw_noise(1, seeded(0)).double()
    other = network.draw_noise(1, seeded(1)).double()
    assert (network(labels, noise) - network(labels, other)).abs().max() > 1e-7


def test_pixel_noise_shapes_single_pixels() -> None:
    network = make(dropout=0.0, pixel_noise=True)
    labels = one_hot_labels(1, 32)
    noise = network.draw_noise(1, seeded(0))
    changed = noise.clone()
    changed[0, -1] += 1.0  # the last number is the lower right pixel of the finest map
    moved = (network(labels, noise) - network(labels, changed)).abs()[0, 0] > 0
    assert moved[-2:, -2:].any()
    assert not moved[:-2].any()
    assert not moved[:, :-2].any()


def test_dropout_follows_the_noise_and_can_be_turned_off() -> None:
    network, labels = make().eval(), one_hot_labels(1, 32)
    noises = [network.draw_noise(1, seeded(seed)) for seed in (0, 1)]
    with_dropout = [network(labels, noise) for noise in noises]
    without = [network(labels, noise, dropout=False) for noise in noises]
    assert not torch.equal(*with_dropout)
    assert torch.equal(*without)
    assert torch.equal(without[0], network(labels))


def test_dropout_rate_and_scale() -> None:
    network = make(dropout=0.25)
    values = torch.randn(1, 64, 64, 64, generator=seeded(0))
    dropped = network._drop(torch.ones_like(values), values)
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.005)
    assert torch.unique(dropped).tolist() == pytest.approx([0.0, 1 / 0.75])


def test_dropout_takes_the_paper_s_blocks() -> None:
    # At 256: 512 channels at 2, 4 and 8 pixels.
    with torch.device("meta"):
        network = Pix2PixGenerator(3, 1, 256)
    assert network.noise_size == 512 * (4 + 16 + 64)


def test_noise_rows_do_not_depend_on_how_many_are_drawn() -> None:
    network = make(**RICH)
    assert torch.equal(network.draw_noise(5, seeded(3))[:2], network.draw_noise(2, seeded(3)))
    assert network.draw_noise(0, seeded(3)).shape == (0, network.noise_size)


def test_without_noise_settings_the_network_is_a_function_of_the_labels() -> None:
    network = make(dropout=0.0)
    assert network.noise_size == 0
    labels = one_hot_labels(1, 32)
    assert torch.equal(network(labels), network(labels, network.draw_noise(1, seeded(0))))


@pytest.mark.parametrize("settings", [{}, RICH], ids=["paper", "rich"])
def test_images_of_a_batch_are_independent_under_instance_norm(settings: dict) -> None:
    network, labels = make(**settings).double(), one_hot_labels(3, 32).double()
    noise = network.draw_noise(3, seeded(0))
    together = network(labels, noise)
    alone = torch.cat([network(labels[i : i + 1], noise[i : i + 1]) for i in range(3)])
    assert (together - alone).abs().max() < 1e-12


def test_batch_norm_ties_the_images_of_a_batch_together() -> None:
    network, labels = make(normalization="batch").double(), one_hot_labels(3, 32).double()
    noise = network.draw_noise(3, seeded(0))
    assert (network(labels, noise)[:1] - network(labels[:1], noise[:1])).abs().max() > 1e-9


def test_spade_tells_the_decoder_the_label() -> None:
    plain, spade = make(dropout=0.0), make(dropout=0.0, conditioning="spade")
    labels = one_hot_labels(1, 32)
    block = spade.decoder[-1]
    features = torch.randn(1, block.up.in_channels, 16, 16, generator=seeded(0))
    empty = torch.zeros_like(labels)
    empty[:, 0] = 1
    assert not torch.allclose(block(features, labels, None), block(features, empty, None))
    plain_block = plain.decoder[-1]
    features = torch.randn(1, plain_block.up.in_channels, 8, 8, generator=seeded(0))
    assert torch.equal(plain_block(features, labels, None), plain_block(features, empty, None))


def test_spade_sees_a_tumour_of_one_pixel_at_low_resolution() -> None:
    block = make(64, conditioning="spade").decoder[2]
    labels = torch.zeros(1, 3, 64, 64)
    labels[:, 0] = 1
    tumour = labels.clone()
    tumour[:, :, 33, 33] = torch.tensor([0.0, 0.0, 1.0])
    features = torch.randn(1, block.up.in_channels, 4, 4, generator=seeded(0))
    assert (block(features, labels, None) - block(features, tumour, None)).abs().max() > 0


@pytest.mark.parametrize(
    "settings",
    [{}, RICH, {"normalization": "batch"}, {"pixel_noise": True}, {"conditioning": "spade"}],
    ids=["paper", "rich", "batch", "pixel", "spade"],
)
def test_gradient_reaches_every_parameter(settings: dict) -> None:
    network = make(**settings).double()
    labels = one_hot_labels(2, 32).double()
    target = torch.randn(2, 1, 32, 32, generator=seeded(5)).double()
    image = network(labels, network.draw_noise(2, seeded(0)))
    ((image - target) ** 2).mean().backward()
    idle = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not (parameter.grad.abs().max() > 1e-15)
    ]
    assert idle == []


def test_autocast_returns_float32() -> None:
    network = make()
    with torch.autocast("cpu", torch.bfloat16):
        image = network(one_hot_labels(1, 32), network.draw_noise(1, seeded(0)))
    assert image.dtype == torch.float32


def test_initial_weights_are_the_paper_s() -> None:
    network = make(64, width=32)
    weights = torch.cat([p.detach().flatten() for p in network.parameters() if p.dim() == 4])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert weights.mean().item() == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("size", [16, 48, 100])
def test_impossible_image_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"image_size is {size}, expected a power of two"):
        make(size)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"noise_channels": -1}, "noise_channels -1"),
        ({"normalization": "layer"}, "normalization is 'layer'"),
        ({"conditioning": "film"}, "conditioning is 'film'"),
        ({"upsampling": "bilinear"}, "upsampling is 'bilinear'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_wrong_inputs_are_refused() -> None:
    network = make()
    noise = network.draw_noise(1, seeded(0))
    with pytest.raises(ValueError, match=r"labels are \(1, 3, 64, 64\), expected \(N, 3, 32, 32\)"):
        network(one_hot_labels(1, 64), noise)
    with pytest.raises(ValueError, match="noise is"):
        network(one_hot_labels(2, 32), noise)
    with pytest.raises(ValueError, match="no noise in training mode"):
        network(one_hot_labels(1, 32))
