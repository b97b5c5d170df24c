"""What a step costs is known before it is taken: counted by hand, and as measured on a GPU."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import gpu_speed
from callbacks.step_cost import shapes_of, step_cost
from lightning_modules import Classifier, Pix2Pix
from lightning_modules.gan_settings import Augmentation
from tests.lightning_modules.test_gan import multi_scale, style
from tests.lightning_modules.test_training_module import pix2pix, segmenter

CPU = torch.device("cpu")


def linear(classes: int = 2, side: int = 16) -> Classifier:
    def network(channels: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * side**2, outputs, bias=False))

    return Classifier(network, classes, class_names=tuple(map(str, range(classes))))


def cost(module: Any, count: int, side: int, precision: str = "32-true", at: int = 0) -> Any:
    shapes = shapes_of(gpu_speed.example(module, count, side, CPU))
    return step_cost(module, shapes, precision, at)


def test_operations_are_those_of_the_products() -> None:
    """Forward and the weights' gradient: 4 n m for an image, as the images need no gradient."""
    assert cost(linear(), 4, 16).operations == 4 * 4 * 256 * 2


def test_memory_is_weights_gradient_moments_and_images() -> None:
    """512 x 65,536 weights in float32, four times; what else lives is small beside them."""
    weights = 4 * 512 * 65536
    found = cost(linear(512, 256), 2, 256).bytes_at_most
    assert 4 * weights < found < 4.01 * weights + 3 * weights  # Adam's temporaries, at most three
    assert found - cost(linear(512, 256), 1, 256).bytes_at_most < 1e6


@pytest.mark.parametrize(("name", "variant", "precision"), [
    ("resnet18", "bf16", "bf16-mixed"),
    ("vgg16", "bf16", "bf16-mixed"),
        pytest.param("unet_heavy", "bf16", "bf16-mixed", marks=pytest.mark.slow),
    pytest.param("pix2pix", "tf32", "32-true", marks=pytest.mark.slow),
    pytest.param("pix2pix", "bf16", "bf16-mixed", marks=pytest.mark.slow),
    pytest.param("unet_light", "bf16", "bf16-mixed", marks=pytest.mark.slow),
    pytest.param("fpn", "bf16", "bf16-mixed", marks=pytest.mark.slow),
    pytest.param("dcgan", "bf16", "bf16-mixed", marks=pytest.mark.slow),
    pytest.param("pggan", "bf16", "bf16-mixed", marks=pytest.mark.slow),
    pytest.param("se_msg_pggan", "tf32", "32-true", marks=pytest.mark.slow),
    pytest.param("se_msg_pggan", "bf16", "bf16-mixed", marks=pytest.mark.slow),
])  # fmt: skip
def test_it_is_what_was_measured_on_a_gpu(name: str, variant: str, precision: str) -> None:
    """Operations to the last, memory within 7 % of an H200's peak."""
    page = Path(__file__).parents[2] / "docs/results/gpu/h200.json"
    rows = json.loads(page.read_text())["rows"]
    [row] = [r for r in rows if r["part"] == "speed" and r.get("variant") == variant
             and r["method"] == name]  # fmt: skip
    module = gpu_speed.methods(512)[name](256)
    found = cost(module, 16, 256, precision)
    assert found.expected_mib == pytest.approx(row["peak_memory_mb"], rel=0.07)
    if gpu_speed._phases(module) == [(0, 1.0)]:
        each = found.operations / 16e9
        assert each == pytest.approx(row["gflop_per_image"], abs=1e-4)


def test_nothing_of_the_module_changes() -> None:
    module = pix2pix()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    shapes = shapes_of(gpu_speed.example(module, 2, 32, CPU))
    state = torch.random.get_rng_state()
    step_cost(module, shapes, "32-true")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert module.steps_done == 0
    assert type(module).optimise is Pix2Pix.optimise
    assert "optimizers" not in vars(module)


def test_micro_batches_hold_less_and_do_as_much() -> None:
    whole, cut = (cost(segmenter(micro_batches=n), 8, 32) for n in (1, 4))
    assert cut.bytes_at_most < whole.bytes_at_most
    assert cut.operations == whole.operations


@pytest.mark.slow
@pytest.mark.parametrize("make", [multi_scale, style])
@pytest.mark.parametrize("precision", ["16-mixed", "64-true"])
def test_films_gans_have_a_cost_in_every_precision(make: Any, precision: str) -> None:
    module = make(augmentation=Augmentation(probability=0.5))
    assert cost(module, 4, 16, precision).operations > 0
