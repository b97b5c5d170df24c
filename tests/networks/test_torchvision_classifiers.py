import shutil
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from networks.staged_classifier import StagedClassifier
from networks.torchvision_classifiers import AlexNet, ResNet

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def films(num_images: int, side: int = 64, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(num_images, channels, side, side, generator=generator) * 2 - 1


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ResNet-18 of 1000 classes with random weights, as torchvision would save it."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.manual_seed(0)
    network = torchvision.models.resnet18()
    network(films(4, 64, 3))  # so that the batch statistics are not the initial ones
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def alexnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet().state_dict(), path)
    return path


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnet_has_torchvision_s_parameters(depth: int) -> None:
    with torch.device("meta"):
        ours = ResNet(3, 1000, depth=depth)
        theirs = torchvision.models.get_model(f"resnet{depth}")
    count = [sum(p.numel() for p in network.parameters()) for network in (ours, theirs)]
    assert count[0] == count[1]


def test_alexnet_has_torchvision_s_parameters() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in AlexNet(3, 1000).parameters()) == 61_100_840


@pytest.mark.parametrize(("network", "channels"), [(ResNet, 2), (AlexNet, 1), (AlexNet, 3)])
def test_any_size_from_32_and_any_channels(network: type[StagedClassifier], channels: int) -> None:
    made = network(channels, 5).eval()
    for side in (32, 45, 64):
        with torch.no_grad():
            assert made(films(2, side, channels)).shape == (2, 5)
            assert made(torch.zeros(1, channels, side, side + 9)).shape == (1, 5)


def test_colour_with_weights_equals_torchvision_with_its_normalisation(resnet_file: Path) -> None:
    ours = ResNet(3, 2, weights=str(resnet_file)).double().eval()
    theirs = torchvision.models.resnet18()
    theirs.load_state_dict(torch.load(resnet_file, weights_only=True))
    theirs.fc = ours.network.fc
    theirs = theirs.double().eval()
    image = films(2, 64, 3).double()
    normalise = torchvision.transforms.Normalize(MEAN, STD)
    with torch.no_grad():
        assert (ours(image) - theirs(normalise((image + 1) / 2))).abs().max() < 1e-5


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_grey_weights_equal_colour_on_repeated_grey(resnet_file: Path, channels: int) -> None:
    ours = ResNet(channels, 2, weights=str(resnet_file)).double().eval()
    assert ours.network.conv1.in_channels == channels
    theirs = torchvision.models.resnet18()
    theirs.load_state_dict(torch.load(resnet_file, weights_only=True))
    theirs.fc = ours.network.fc
    theirs = theirs.double().eval()
    grey = films(2).double()
    coloured = ((grey + 1) / 2 - sum(MEAN) / 3) / (sum(STD) / 3)
    with torch.no_grad():
        own = ours(grey.expand(-1, channels, -1, -1))
        expected = theirs(coloured.expand(-1, 3, -1, -1))
    assert (own - expected).abs().max() < 1e-5
    assert expected.abs().max() > 0.01


def test_alexnet_takes_all_weights_but_the_head(alexnet_file: Path) -> None:
    state = torch.load(alexnet_file, weights_only=True)
    network = AlexNet(1, 2, weights=str(alexnet_file))
    own = network.network.state_dict()
    assert torch.allclose(own["features.0.weight"], state["features.0.weight"].sum(1, True))
    for name in ("features.10.bias", "classifier.1.weight", "classifier.4.weight"):
        assert torch.equal(own[name], state[name])
    assert own["classifier.6.weight"].shape == (2, 4096)


def test_small_films_are_enlarged_for_alexnet() -> None:
    network = AlexNet(1, 2).double().eval()
    film = films(1, 32).double()
    larger = nn.functional.interpolate(film, (63, 63), mode="bilinear", align_corners=False)
    with torch.no_grad():
        assert torch.equal(network(film), network(larger))


def test_without_weights_films_are_taken_as_they_are() -> None:
    film = films(2, 32)
    for nothing in (None, "none", "None"):  # a flag's null arrives as the word
        assert torch.equal(ResNet(1, 2, weights=nothing).checked(film), film)
    assert not torch.equal(ResNet(1, 2, weights="restored").checked(film), film)


@pytest.mark.parametrize(("network", "freeze"), [(ResNet, 3), (AlexNet, 2)])
def test_frozen_stages_stay_as_they_are(network: type[StagedClassifier], freeze: int) -> None:
    made = network(1, 2, freeze=freeze).train()
    stages = made.stages()
    held = [parameter for stage in stages for parameter in stage.parameters()]
    assert len(held) == len({id(p) for p in held}) == len(list(made.parameters()))
    before = [{k: v.clone() for k, v in stage.state_dict().items()} for stage in stages]
    made(films(4)).square().sum().backward()
    for index, stage in enumerate(stages):
        assert all((p.grad is None) == (index < freeze) for p in stage.parameters())
        same = all(torch.equal(before[index][k], v) for k, v in stage.state_dict().items())
        buffers = list(stage.buffers())
        assert same == (index < freeze or not buffers)
    trained = [p for p in made.parameters() if p.requires_grad]
    torch.optim.SGD(trained, lr=0.1).step()
    for index, stage in enumerate(stages[:freeze]):
        assert all(torch.equal(before[index][k], v) for k, v in stage.state_dict().items())


@pytest.mark.parametrize("network", [ResNet, AlexNet])
def test_last_convolution_has_places(network: type[StagedClassifier]) -> None:
    made, found = network(1, 2).eval(), []
    made.last_convolution.register_forward_hook(lambda *a: found.append(a[2].shape[-2:]))
    made(films(1, 128))
    assert found[0][0] == found[0][1] >= 3


def test_weights_that_do_not_fit_are_refused(resnet_file: Path, alexnet_file: Path) -> None:
    with pytest.raises(ValueError, match=r"ResNet: .*resnet18\.pth: .*missing.*layer1"):
        ResNet(1, 2, depth=34, weights=str(resnet_file))
    with pytest.raises(ValueError, match=r"AlexNet: .*resnet18\.pth: .* of the network are miss"):
        AlexNet(1, 2, weights=str(resnet_file))
    with pytest.raises(ValueError, match=r"ResNet: none\.pth: no such file.*Correct weights"):
        ResNet(1, 2, weights="none.pth")


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "noise.pth").write_bytes(b"noise")
    with pytest.raises(ValueError, match=r"noise\.pth: could not be read as weights"):
        ResNet(1, 2, weights=str(tmp_path / "noise.pth"))


@pytest.mark.parametrize("network", [ResNet, AlexNet])
def test_failing_download_names_the_way_out(
    network: type[StagedClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import _api

    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(_api, "load_state_dict_from_url", fail)
    with pytest.raises(ValueError, match=r"OSError: no network.*set weights to the path"):
        network(1, 2, weights="imagenet")


def test_download_is_what_torchvision_offers(
    resnet_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import _api

    asked = []

    def from_file(url: str, **kwargs: object) -> dict[str, torch.Tensor]:
        asked.append((url, kwargs))
        return torch.load(resnet_file, weights_only=True)

    monkeypatch.setattr(_api, "load_state_dict_from_url", from_file)
    network = ResNet(1, 2, weights="imagenet")
    assert asked[0][0].startswith("https://download.pytorch.org/models/resnet18")
    assert asked[0][1]["weights_only"] is True
    state = torch.load(resnet_file, weights_only=True)
    assert torch.equal(network.network.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])


def test_weights_that_torchvision_keeps_need_no_network(
    resnet_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "hub/checkpoints"
    kept.mkdir(parents=True)
    shutil.copy(resnet_file, kept / "resnet18-f37072fd.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)  # calling it would fail
    state = torch.load(resnet_file, weights_only=True)
    network = ResNet(1, 2, weights="imagenet")
    assert torch.equal(network.network.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])


def test_wrong_settings_and_images_are_refused() -> None:
    with pytest.raises(ValueError, match="depth is 17, expected 18, 34, 50, 101 or 152"):
        ResNet(1, 2, depth=17)
    with pytest.raises(ValueError, match=r"ResNet: freeze is 6, expected 0 \(train all\) to 5"):
        ResNet(1, 2, freeze=6)
    with pytest.raises(ValueError, match="num_classes is 0"):
        AlexNet(1, 0)
    with pytest.raises(ValueError, match="image_channels is 0"):
        ResNet(0, 2)
    for network in (ResNet(1, 2), AlexNet(1, 2)):
        with pytest.raises(ValueError, match=r"expected \(N, 1, H, W\)"):
            network(films(1, 64, 3))
        with pytest.raises(ValueError, match="image of 16x16 pixels, expected 32 or more"):
            network(films(1, 16))
