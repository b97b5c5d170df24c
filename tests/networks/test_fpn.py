from pathlib import Path

import pytest
import torch

from networks.encoder_weights import load_encoder_weights, read_weights
from networks.fpn import FeaturePyramid

LITE0 = "tu-tf_efficientnet_lite0"
WEIGHTS = Path(__file__).parents[2] / "../shared/data/weights/tf_efficientnet_lite0.pth"
needs_weights = pytest.mark.skipif(
    not WEIGHTS.is_file(), reason="../shared/data/weights/tf_efficientnet_lite0.pth is missing"
)


def grey(num_images: int, size: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(num_images, 1, size, size, generator=generator) * 2 - 1


def small_weights(tmp_path: Path) -> Path:
    """File in torchvision's naming for resnet18, with a classification head."""
    import torchvision

    path = tmp_path / "resnet18.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), path)
    return path


@needs_weights
@pytest.mark.parametrize("in_channels", [1, 3])
def test_features_equal_timm_s_own_model(in_channels: int) -> None:
    import timm

    ours = FeaturePyramid(in_channels, 3, LITE0, encoder_weights_path=str(WEIGHTS)).double().eval()
    theirs = timm.create_model("tf_efficientnet_lite0", features_only=True)
    theirs.load_state_dict(torch.load(WEIGHTS, weights_only=True), strict=False)
    theirs = theirs.double().eval()
    image = grey(2).double()
    # timm's normalisation of an image in [0, 1] with mean 0.5 and deviation 0.5.
    normalised = ((image + 1) / 2 - 0.5) / 0.5
    with torch.no_grad():
        own = ours.network.encoder(ours.normalise(image.expand(-1, in_channels, -1, -1)))[1:]
        expected = theirs(normalised.expand(-1, 3, -1, -1))
    assert len(own) == len(expected) == 5
    for ours_map, theirs_map in zip(own, expected, strict=True):
        assert (ours_map - theirs_map).abs().max() < 1e-5
        assert theirs_map.abs().max() > 0.1


@needs_weights
def test_equal_normalisation_sums_the_first_convolution() -> None:
    one = FeaturePyramid(1, 3, LITE0, encoder_weights_path=str(WEIGHTS)).double().eval()
    assert not one.repeats_grey
    assert one.network.encoder.model.conv_stem.in_channels == 1


def test_unequal_normalisation_repeats_grey_and_matches_torchvision(tmp_path: Path) -> None:
    import torchvision

    path = small_weights(tmp_path)
    network = FeaturePyramid(1, 3, "resnet18", encoder_weights_path=str(path)).double().eval()
    assert network.repeats_grey
    resnet = torchvision.models.resnet18()
    resnet.load_state_dict(torch.load(path, weights_only=True))
    resnet = resnet.double().eval()
    image = grey(2).double()
    coloured = ((image + 1) / 2).expand(-1, 3, -1, -1)
    normalise = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        own = network.network.encoder(network.normalise(image))[1]
        expected = resnet.relu(resnet.bn1(resnet.conv1(normalise(coloured))))
    assert (own - expected).abs().max() < 1e-6


def test_given_mean_and_deviation_win(tmp_path: Path) -> None:
    network = FeaturePyramid(
        1, 3, "resnet18", encoder_weights_path=str(small_weights(tmp_path)),
        encoder_mean=[0.5, 0.5, 0.5], encoder_std=[0.25, 0.25, 0.25],
    )  # fmt: skip
    assert not network.repeats_grey
    assert torch.allclose(network.normalise(grey(1)), grey(1) * 2)


@pytest.mark.parametrize("in_channels", [1, 3, 4])
def test_random_encoder_takes_images_as_they_are(in_channels: int) -> None:
    network = FeaturePyramid(in_channels, 3, "resnet18").eval()
    image = torch.rand(2, in_channels, 64, 64) * 2 - 1
    assert torch.allclose(network.normalise(image), image, atol=1e-6)
    assert network(image).shape == (2, 3, 64, 64)


def test_images_of_a_batch_are_independent_in_evaluation() -> None:
    network = FeaturePyramid(1, 3, "resnet18").double().eval()
    batch = grey(3).double()
    alone = torch.cat([network(batch[i : i + 1]) for i in range(3)])
    assert (network(batch) - alone).abs().max() < 1e-9


def test_gradient_reaches_every_parameter() -> None:
    network = FeaturePyramid(1, 3, "resnet18", dropout=0.0)
    (network(grey(2)) ** 2).mean().backward()
    idle = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or parameter.grad.abs().max() == 0
    ]
    assert idle == []


def test_safetensors_and_nested_checkpoints_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {"weight": torch.arange(3.0)}
    save_file(tensors, tmp_path / "weights.safetensors")
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "weights.pth")
    for name in ("weights.safetensors", "weights.pth"):
        assert torch.equal(read_weights(tmp_path / name)["weight"], tensors["weight"])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = str(small_weights(tmp_path))
    with pytest.raises(ValueError, match=r"resnet18\.pth: .* of another network"):
        FeaturePyramid(1, 3, "resnet50", encoder_weights_path=path)
    with pytest.raises(ValueError, match=r"resnet18\.pth: .*missing.*layer1"):
        FeaturePyramid(1, 3, "resnet34", encoder_weights_path=path)


def test_left_over_and_missing_tensors_change_nothing() -> None:
    encoder = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    state = {name: tensor + 1 for name, tensor in before.items()}
    with pytest.raises(ValueError, match=r"w\.pth: 0 of .* 1 of the file fit nowhere \(extra\)"):
        load_encoder_weights(encoder, state | {"extra": torch.ones(1)}, "w.pth")
    del state["0.bias"]
    with pytest.raises(ValueError, match=r"1 of 7 tensors of the encoder are missing \(0\.bias\)"):
        load_encoder_weights(encoder, state, "w.pth")
    assert all(torch.equal(before[name], now) for name, now in encoder.state_dict().items())
    state["0.bias"] = before["0.bias"]
    load_encoder_weights(encoder, state | {"fc.weight": torch.ones(4)}, "w.pth")
    assert torch.equal(encoder[0].weight, before["0.weight"] + 1)


class Planted:
    def __reduce__(self) -> tuple:
        return (print, ("planted code ran",))


def test_unreadable_files_give_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"none\.pth: no such file"):
        read_weights(tmp_path / "none.pth")
    for name, content in [("a.pth", b""), ("b.pth", b"noise"), ("c.safetensors", b"noise")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: could not be read as weights"):
            read_weights(tmp_path / name)
    torch.save({"weight": Planted()}, tmp_path / "planted.pth")
    with pytest.raises(ValueError, match=r"planted\.pth: could not be read"):
        read_weights(tmp_path / "planted.pth")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="table of named tensors"):
        read_weights(tmp_path / "list.pth")
    assert "planted code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("encoder_name", ["resnet18", LITE0])
def test_failing_download_names_the_way_out(
    encoder_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import segmentation_models_pytorch.encoders as smp_encoders
    import timm.models._builder as timm_builder

    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(smp_encoders, "hf_hub_download", fail)
    monkeypatch.setattr(timm_builder, "load_state_dict_from_hf", fail)
    with pytest.raises(ValueError, match=r"OSError: no network.*encoder_weights_path"):
        FeaturePyramid(1, 3, encoder_name, encoder_weights="imagenet")


def test_wrong_settings_and_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="'resnet17' could not be built"):
        FeaturePyramid(1, 3, "resnet17")
    with pytest.raises(ValueError, match="both encoder_weights and encoder_weights_path"):
        FeaturePyramid(1, 3, encoder_weights="imagenet", encoder_weights_path="x.pth")
    with pytest.raises(ValueError, match="encoder_weights is 'coco'"):
        FeaturePyramid(1, 3, encoder_weights="coco")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="with 2 image channels"):
        FeaturePyramid(2, 3, encoder_weights_path="x.pth")
    network = FeaturePyramid(1, 3, "resnet18").eval()
    with pytest.raises(ValueError, match="multiples of 32"):
        network(grey(1, 48))
    with pytest.raises(ValueError, match=r"expected \(N, 1, H, W\)"):
        network(torch.zeros(1, 3, 64, 64))
