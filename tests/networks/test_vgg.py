import pytest
import torch
from torch import nn

from networks.vgg import VGG16

SMALL = {"width": 4, "hidden": 8, "pooled_size": 1, "dropout": 0.0}
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "elu": nn.ELU}


def films(num_images: int, side: int = 32, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(num_images, channels, side, side, generator=generator) * 2 - 1


def first_gradient(activation: str, **settings: str) -> tuple[float, float]:
    """Norms of the loss's gradient in the first and the last convolution, averaged over seeds."""
    norms = []
    for seed in range(5):
        torch.manual_seed(seed)
        network = VGG16(1, 2, activation=activation, **(SMALL | {"width": 8}), **settings)
        labels = torch.arange(16) % 2
        nn.functional.cross_entropy(network(films(16)), labels).backward()
        convolutions = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
        norms.append([c.weight.grad.norm() for c in (convolutions[0], convolutions[-1])])
    first, last = torch.tensor(norms).mean(dim=0).tolist()
    return first, last


@pytest.mark.parametrize(
    ("normalization", "count", "reference"),
    [("none", 138_357_544, "vgg16"), ("batch", 138_365_992, "vgg16_bn")],
)
def test_defaults_are_torchvision_s_layers(normalization: str, count: int, reference: str) -> None:
    import torchvision

    with torch.device("meta"):
        ours = VGG16(3, 1000, normalization=normalization)
        theirs = torchvision.models.get_model(reference)
    assert sum(parameter.numel() for parameter in ours.parameters()) == count
    shapes = {name: value.shape for name, value in ours.state_dict().items()}
    shapes = {name: shape for name, shape in shapes.items() if name not in ("scale", "shift")}
    assert shapes == {name: value.shape for name, value in theirs.state_dict().items()}


def test_same_logits_as_torchvision_with_the_same_weights() -> None:
    """A narrow pair: torchvision's own builders with a quarter of its channels."""
    from torchvision.models.vgg import VGG, cfgs, make_layers

    narrow = [value if value == "M" else int(value) // 16 for value in cfgs["D"]]
    with torch.device("meta"):  # its connected layers have 100 million weights
        theirs = VGG(nn.Identity(), num_classes=5).eval()
    theirs.features = make_layers(narrow)
    theirs.classifier[0] = nn.Linear(32 * 49, 8)
    theirs.classifier[3], theirs.classifier[6] = nn.Linear(8, 8), nn.Linear(8, 5)
    theirs = theirs.double()
    ours = VGG16(3, 5, width=4, hidden=8).double().eval()
    ours.load_state_dict(theirs.state_dict(), strict=False)
    image = films(2, 224, 3).double()
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))
        assert ours(image).abs().max() > 1e-3


def test_thirteen_convolutions_and_three_connected_layers() -> None:
    network = VGG16(1, 2, **SMALL)
    widths = [layer.out_channels for layer in network.features if isinstance(layer, nn.Conv2d)]
    assert widths == [4, 4, 8, 8, 16, 16, 16, 32, 32, 32, 32, 32, 32]
    assert sum(isinstance(layer, nn.Linear) for layer in network.classifier) == 3


@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_kernel_size_keeps_the_maps_and_widens_the_view(kernel_size: int) -> None:
    network = VGG16(1, 2, kernel_size=kernel_size, **SMALL).double()
    for layer in network.modules():  # positive everywhere, so that nothing hides a dependence
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            nn.init.zeros_(layer.bias)
    image = torch.rand(1, 1, 64, 64, dtype=torch.float64, requires_grad=True)
    maps = network.features[:4](image)
    assert maps.shape == (1, 4, 64, 64)
    maps[0, 0, 32, 32].backward()
    seen = image.grad[0, 0].nonzero()
    reach = kernel_size // 2 * 2  # of two convolutions
    assert seen.min(dim=0).values.tolist() == [32 - reach] * 2
    assert seen.max(dim=0).values.tolist() == [32 + reach] * 2
    assert network.features(films(1, 64).double()).shape == (1, 32, 2, 2)


def test_seven_by_seven_has_49_ninths_of_the_convolutions_weights() -> None:
    def weights(kernel_size: int) -> int:
        network = VGG16(1, 2, kernel_size=kernel_size, **SMALL)
        return sum(c.weight.numel() for c in network.features if isinstance(c, nn.Conv2d))

    assert weights(7) * 9 == weights(3) * 49


@pytest.mark.parametrize("side", [32, 33, 48, 64, 100])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_any_size_from_32_and_any_channels(side: int, channels: int) -> None:
    network = VGG16(channels, 3, **(SMALL | {"pooled_size": 2})).eval()
    with torch.no_grad():
        logits = network(films(2, side, channels))
        oblong = network(torch.zeros(1, channels, side, side + 5))
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()
    assert oblong.shape == (1, 3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_activation_is_the_one_used(activation: str) -> None:
    network = VGG16(1, 2, activation=activation, normalization="batch", **SMALL)
    kind = ACTIVATIONS[activation]
    assert sum(isinstance(layer, kind) for layer in network.modules()) == 15
    others = tuple(other for other in ACTIVATIONS.values() if other is not kind)
    assert not any(isinstance(layer, others) for layer in network.modules())
    network.eval()
    maps = network.features[:-1](films(2))  # before the pooling
    low = {"relu": 0.0, "sigmoid": 0.0, "tanh": -1.0, "elu": -1.0}[activation]
    assert low <= maps.min() < 0.1
    if activation in ("sigmoid", "tanh"):
        assert maps.max() <= 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_reaches_the_first_layer(activation: str) -> None:
    first, last = first_gradient(activation)
    assert first > 1e-3
    assert 0.02 < first / last < 50


def test_a_sigmoid_s_gradient_vanishes_without_scaled_weights() -> None:
    """What the docstring says of Keras' way: a hundred million times smaller."""
    kerasses, _ = first_gradient("sigmoid", initialization="glorot")
    scaled, _ = first_gradient("sigmoid")
    with_norm, _ = first_gradient("sigmoid", initialization="glorot", normalization="batch")
    assert kerasses < 1e-8 * scaled
    assert with_norm > 1e4 * kerasses


def test_a_sigmoid_network_starts_as_the_one_with_tanh() -> None:
    """Where no zeros come in at a border: the fully connected layers."""
    sigmoid = VGG16(1, 2, activation="sigmoid", **SMALL).double()
    tanh = VGG16(1, 2, activation="tanh", **SMALL).double()
    of_sigmoid, of_tanh = sigmoid.classifier, tanh.classifier
    for index in (0, 3):
        of_tanh[index].weight.data = of_sigmoid[index].weight.data / 4
        of_tanh[index].bias.data.zero_()
    signal = torch.randn(5, 32, dtype=torch.float64)
    inside = of_sigmoid[:6]((1 + signal.tanh()) / 2)
    assert torch.allclose(2 * inside - 1, of_tanh[:6](signal.tanh()), atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_few_steps_learn_which_side_is_bright(activation: str) -> None:
    torch.manual_seed(0)
    network = VGG16(1, 2, activation=activation, **SMALL)
    labels = torch.arange(16) % 2
    images = films(16) * 0.5
    images[labels == 1, :, :, 16:] += 0.5
    images[labels == 0, :, :, :16] += 0.5
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(25):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
    assert (network(images).argmax(dim=1) == labels).all()


def test_stages_hold_every_parameter_once_and_freeze_from_the_input() -> None:
    network = VGG16(1, 2, normalization="batch", freeze=3, **SMALL)
    stages = network.stages()
    assert len(stages) == 7
    held = [parameter for stage in stages for parameter in stage.parameters()]
    assert len(held) == len({id(p) for p in held}) == len(list(network.parameters()))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    network(films(4)).sum().backward()
    for index, stage in enumerate(stages):
        assert all((p.grad is None) == (index < 3) for p in stage.parameters())
    moved = {
        name for name, value in network.state_dict().items() if not torch.equal(before[name], value)
    }
    blocks = {int(name.split(".")[1]) for name in moved}
    assert min(blocks) >= network._block_ends[2]  # running statistics of trained blocks only
    assert moved


def test_last_convolution_gives_the_maps_before_the_last_pooling() -> None:
    network = VGG16(1, 2, **SMALL).eval()
    found = []
    network.last_convolution.register_forward_hook(lambda *a: found.append(a[2].shape))
    network(films(2, 64))
    assert found == [(2, 32, 4, 4)]


def test_dropout_acts_in_training_only() -> None:
    network = VGG16(1, 2, **(SMALL | {"dropout": 0.5, "hidden": 64}))
    image = films(2)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_wrong_settings_and_images_are_refused() -> None:
    for settings, sentence in (
        ({"kernel_size": 4}, "kernel_size is 4, expected one of 3, 5, 7"),
        ({"activation": "gelu"}, "activation is 'gelu', expected one of relu"),
        ({"normalization": "group"}, "normalization is 'group'"),
        ({"initialization": "none"}, "initialization is 'none'"),
        ({"width": 0}, "width is 0"),
        ({"dropout": 1.0}, "dropout is 1.0, expected 0 to below 1"),
        ({"freeze": 7}, r"freeze is 7, expected 0 \(train all\) to 6"),
        ({"width": 4, "weights": "imagenet"}, "weights fit width 64, kernel_size 3"),
    ):
        with pytest.raises(ValueError, match=sentence):
            VGG16(1, 2, **(SMALL | settings))
    network = VGG16(1, 2, **SMALL)
    with pytest.raises(ValueError, match=r"VGG16: image is \(1, 3, 32, 32\), expected \(N, 1, H"):
        network(films(1, 32, 3))
    with pytest.raises(ValueError, match="image of 31x31 pixels, expected 32 or more"):
        network(films(1, 31))
