"""Networks of other packages: the same numbers as theirs, nothing fetched, sentences."""

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import SegResNet
from torchvision import models

from networks import LibraryNetwork
from networks.encoder_weights import IMAGENET_MEAN, IMAGENET_STD

SEGRESNET = "monai.networks.nets.SegResNet"
SMALL = {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}
SMP = "segmentation_models_pytorch.FPN"
RESNET = {"encoder_name": "resnet18"}


def test_it_is_the_packages_own_network() -> None:
    torch.manual_seed(0)
    ours = LibraryNetwork(2, 3, SEGRESNET, SMALL).eval()
    torch.manual_seed(0)
    theirs = SegResNet(2, in_channels=2, out_channels=3, **SMALL).eval()
    image = torch.randn(2, 2, 16, 16)
    torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=0)


def test_grey_is_three_equal_colours_for_torchvision(tmp_path: Path) -> None:
    """With weights by file and their normalisation; the last layer has other classes."""
    theirs = models.squeezenet1_1(num_classes=5).eval()
    file = tmp_path / "weights.pth"
    torch.save(theirs.state_dict(), file)
    ours = LibraryNetwork(1, 2, "torchvision.models.squeezenet1_1", weights=str(file)).eval()
    theirs.classifier[1] = ours.network.classifier[1]  # type: ignore[union-attr, index]
    grey = torch.rand(2, 1, 48, 48)
    mean, std = (torch.tensor(x).reshape(1, 3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(
        ours(2 * grey - 1), theirs((grey.expand(-1, 3, -1, -1) - mean) / std)
    )


def test_weights_of_an_encoder_by_file(tmp_path: Path) -> None:
    file = tmp_path / "resnet18.pth"
    state = models.resnet18().state_dict()
    torch.save(state, file)
    encoder: Any = LibraryNetwork(1, 2, SMP, RESNET, str(file)).network.get_submodule("encoder")
    summed = state["conv1.weight"].sum(dim=1, keepdim=True)
    torch.testing.assert_close(encoder.conv1.weight.data, summed)
    torch.testing.assert_close(encoder.layer4[1].conv2.weight.data, state["layer4.1.conv2.weight"])
    del state["layer1.0.conv1.weight"]
    torch.save(state, file)
    with pytest.raises(ValueError, match=r"1 of 120 tensors of the encoder are missing \(layer1"):
        LibraryNetwork(1, 2, SMP, RESNET, str(file))


def test_nothing_is_fetched_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """segmentation-models-pytorch, and some of MONAI and torchvision, would by default."""

    def fetch(*_: Any, **__: Any) -> None:
        raise AssertionError("fetched")

    for name in ("torch.hub.load_state_dict_from_url", "huggingface_hub.hf_hub_download"):
        monkeypatch.setattr(name, fetch)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    with torch.device("meta"):
        LibraryNetwork(1, 2, SMP, RESNET)
        LibraryNetwork(
            1, 2, "monai.networks.nets.EfficientNetBN", {"model_name": "efficientnet-b0"}
        )
        name = "torchvision.models.segmentation.lraspp_mobilenet_v3_large"
        LibraryNetwork(1, 2, name)
    with pytest.raises(ValueError, match=r"could not be downloaded \(AssertionError: fetched"):
        LibraryNetwork(1, 2, "torchvision.models.resnet18", weights="imagenet")


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("os.system", {}, "is no network of segmentation_models_pytorch, monai"),
        ("monai.networks.nets.SegResNett", {}, "Did you mean SegResNet"),
        (SEGRESNET, {"init_filter": 8}, "Did you mean init_filters"),
        (SEGRESNET, {"spatial_dims": 3}, "of two dimensions"),
        (SEGRESNET, {"out_channels": 3}, "is taken from the data"),
        (SEGRESNET, {"act": torch.nn.ReLU}, "act is a type, expected plain values"),
        (SMP, {"encoder_name": "hf-hub:x/y"}, "Names of files and of a hub"),
        (SMP, {"encoder_weights": "imagenet"}, "Give --model.network.weights"),
        (SMP, {"encoder_name": "resnet19"}, "Wrong encoder name `resnet19`"),
        ("monai.networks.nets.UNet", {}, "needs channels, strides"),
        ("monai.networks.nets.Classifier", {}, "no argument for the number of channels"),
        ("monai.networks.nets.VoxelMorph", {}, "no argument for the number of classes"),
        ("torchvision.models.VGG", {}, "needs features"),
        ("torchvision.models.squeezenet1_1", {"norm": "os.system"}, "has no setting norm"),
    ],
)
def test_what_cannot_be_made_is_a_sentence(name: str, settings: Any, told: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"^[\w.]+: ") as refusal:
        LibraryNetwork(1, 2, name, settings)
    assert told in str(refusal.value)


def test_other_outputs_are_refused() -> None:
    two = LibraryNetwork(1, 2, SMP, {**RESNET, "aux_params": {"classes": 2}})
    with pytest.raises(ValueError, match="gives 2 outputs, expected one tensor"):
        two(torch.randn(2, 1, 32, 32))
    small = LibraryNetwork(1, 2, SMP, {**RESNET, "upsampling": 1})
    with pytest.raises(ValueError, match=r"gives \(2, 2, 8, 8\) of images"):
        small(torch.randn(2, 1, 32, 32))
    with pytest.raises(ValueError, match="have 2"):
        LibraryNetwork(2, 2, "torchvision.models.squeezenet1_1")
