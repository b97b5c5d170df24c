"""Grad-CAM is the paper's, leaves the network alone, and is shown for well-chosen films."""

import pytest
import torch
from torch import nn

from display.grad_cam import grad_cam, grad_cam_layer
from evaluation.classification.grad_cam import films_to_show
from networks import VGG16, ResNet
from provenance import UserError


class Small(nn.Module):
    """Two convolutions, a rewriting ReLU between them, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3, stride=4),
        )  # fmt: skip
        self.head = nn.Linear(4, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(torch.relu_(self.features(image)).mean(dim=(2, 3)))
        return logits


def test_grad_cam_is_the_papers() -> None:
    torch.manual_seed(0)
    network = Small().train()
    image = torch.randn(3, 1, 16, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "forward", lambda x: network.head(
            torch.relu(network.features(x)).mean(dim=(2, 3))))  # fmt: skip
        maps = grad_cam(network, image, [1, 0, 1])
    for row, label in enumerate([1, 0, 1]):
        activation = network.features(image[row : row + 1]).detach().requires_grad_()
        score = network.head(torch.relu(activation).mean(dim=(2, 3)))[0, label]
        (gradient,) = torch.autograd.grad(score, activation)
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        expected = torch.relu((weights * activation).sum(dim=1, keepdim=True))
        assert maps[row].shape == (16, 16)
        if expected.max() == 0:
            assert maps[row].max() == 0
            continue
        assert maps[row].max() == 1
        # The map is the coarse one enlarged: the strongest position stays the strongest.
        peak = divmod(int(maps[row].argmax()), 16)
        coarse = divmod(int(expected[0, 0].argmax()), expected.shape[-1])
        factor = 16 / expected.shape[-1]
        assert [int(pixel // factor) for pixel in peak] == list(coarse)


def test_grad_cam_leaves_the_network_as_it_was() -> None:

    for network in (
        VGG16(1, 2, width=4, hidden=8, pooled_size=1), ResNet(1, 2, depth=18),
    ):  # fmt: skip
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        before = [getattr(module, "inplace", None) for module in network.modules()]
        image = torch.randn(2, 1, 32, 32)
        network.eval()
        logits = network(image)
        maps = grad_cam(network, image, [0, 1])
        assert maps.shape == (2, 32, 32)
        assert (maps >= 0).all()
        assert (maps <= 1).all()
        assert [getattr(module, "inplace", None) for module in network.modules()] == before
        assert not any(p.requires_grad or p.grad is not None for p in network.parameters())
        assert not any(m._forward_hooks or m._backward_hooks for m in network.modules())
        assert torch.equal(network(image), logits)
        grid = grad_cam_layer(network, image[:1])
        assert (grid["rows"], grid["columns"]) in ((2, 2), (1, 1))
    with pytest.raises(UserError, match="no convolution"):
        grad_cam(nn.Flatten(), image, [0, 0])


def test_films_to_show_are_of_different_patients() -> None:
    rows = [
        {"id": f"f{i}", "patient_id": f"p{i // 2}", "label": i % 2, "probability": (i % 10) / 10,
         "correct": int((i % 10 >= 5) == i % 2), "log_loss": float(i % 7)}
        for i in range(40)
    ]  # fmt: skip
    shown = films_to_show(rows, 3)
    assert list(shown) == ["surest right calls", "closest calls", "worst mistakes"]
    assert {len(found) for found in shown.values()} == {3}
    for found in shown.values():
        assert len({row["patient_id"] for row in found}) == 3
    assert len({row["id"] for found in shown.values() for row in found}) == 9
    assert {row["label"] for row in shown["surest right calls"]} == {0, 1}
    assert [row["log_loss"] for row in shown["worst mistakes"]] == [6.0, 6.0, 5.0]
    assert not any(row["correct"] for row in shown["worst mistakes"])
