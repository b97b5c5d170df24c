"""Gradients of two processes with half the batch each equal those of one with the whole batch.

In float64, through `average_gradients`, for every loss; and without the global mean they do not.
"""

import pytest
import torch

from lightning_modules.step.global_mean import global_mean
from tests.training_runs import run_together

WORKER = """
from pathlib import Path
from typing import get_args

import torch
import torch.distributed as dist
from torch import nn

from lightning_modules.distributed import average_gradients
from lightning_modules.step.global_mean import global_mean
from losses.penalties import gradient_penalty, path_length_penalty, r1_penalty
from losses.unconditional import UnconditionalLossName, discriminator_loss, generator_loss

folder = Path(out)
torch.set_default_dtype(torch.float64)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.fine = nn.Conv2d(1, 4, 3, padding=1)
        self.coarse = nn.Linear(4 * 4, 1)

    def forward(self, scales):
        features = torch.tanh(self.fine(scales[0]))
        pooled = nn.functional.adaptive_avg_pool2d(features, 2) * scales[1]
        return [20 * features.mean(dim=1, keepdim=True), 20 * self.coarse(pooled.flatten(1))]


def gradients(network, loss):
    network.zero_grad(set_to_none=False)
    loss.backward()
    average_gradients(network.parameters())
    return [p.grad.clone() for p in network.parameters()]


def everything(share):
    torch.manual_seed(0)
    discriminator, weights = Discriminator(), nn.Linear(3, 16)
    for p in (*discriminator.parameters(), *weights.parameters()):
        p.grad = torch.zeros_like(p)
    bright = torch.tensor([-1.5, 1.5]).repeat_interleave(4).view(8, 1, 1, 1)  # the ranks differ
    real = [(torch.randn(8, 1, side, side) + bright)[share] for side in (4, 2)]
    latents, noise = torch.randn(8, 3)[share], torch.randn(8, 1, 4, 4)[share]
    epsilon = torch.rand(8)[share]

    def generator(z):
        image = weights(torch.tanh(z)).view(-1, 1, 4, 4)
        return [image, nn.functional.avg_pool2d(image, 2)]

    fake = [x.detach() for x in generator(latents)]
    found = {}
    for kind in get_args(UnconditionalLossName):
        for name, mean in (("", global_mean), (" with a mean per process", torch.mean)):
            found[f"{kind} discriminator{name}"] = gradients(
                discriminator,
                discriminator_loss(discriminator(real), discriminator(fake), kind, mean),
            )
            scores = discriminator(generator(latents)), discriminator(real)
            found[f"{kind} generator{name}"] = gradients(
                weights, generator_loss(scores[0], kind, scores[1], mean)
            )
    found["gradient penalty"] = gradients(
        discriminator, gradient_penalty(discriminator, real, fake, epsilon)
    )
    found["r1 penalty"] = gradients(discriminator, r1_penalty(discriminator, real))
    penalty, length = path_length_penalty(
        lambda z: generator(z)[0], latents, noise, torch.zeros(()), 0.5, global_mean
    )
    found["path length"] = [*gradients(weights, penalty), length]

    x = torch.arange(1.0, 9.0)[share].requires_grad_()
    (slope,) = torch.autograd.grad(global_mean(x**2) ** 2, x, create_graph=True)
    (curve,) = torch.autograd.grad(slope.square().sum(), x)
    found["second order"] = [slope.detach(), curve]
    return found


if rank == 0:
    torch.save(everything(slice(0, 8)), folder / "one.pt")
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
torch.save(everything(slice(4 * rank, 4 * rank + 4)), folder / f"{rank}.pt")
"""


@pytest.fixture(scope="module")
def gradients(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[torch.Tensor]]]:
    """What one process finds, then ranks 0 and 1 of two."""
    folder = tmp_path_factory.mktemp("processes")
    run_together(WORKER, folder, out=str(folder))
    return [torch.load(folder / f"{name}.pt", weights_only=True) for name in ("one", "0", "1")]


def flat(values: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([value.flatten() for value in values])


@pytest.mark.ddp
def test_two_processes_equal_one(gradients: list[dict[str, list[torch.Tensor]]]) -> None:
    one, first, second = gradients
    for name in one:
        if "per process" in name or name == "second order":
            continue
        for rank in (first, second):
            for expected, value in zip(one[name], rank[name], strict=True):
                assert (value - expected).abs().max() < 1e-10, name
        a, b = flat(one[name]), flat(first[name])
        assert float(a.norm()) > 1e-3, name
        assert float(b.norm() / a.norm()) == pytest.approx(1, abs=1e-10)
        assert float(a @ b / (a.norm() * b.norm())) == pytest.approx(1, abs=1e-10)


@pytest.mark.ddp
def test_a_mean_per_process_points_elsewhere(
    gradients: list[dict[str, list[torch.Tensor]]],
) -> None:
    one, first, _ = gradients
    for network in ("discriminator", "generator"):
        name = f"ra_hinge {network} with a mean per process"
        a, b = flat(one[name]), flat(first[name])
        assert float((a - b).norm() / a.norm()) > 0.01
        assert torch.equal(one[name][0], one[f"ra_hinge {network}"][0])  # one process: no matter


@pytest.mark.ddp
def test_second_derivatives_cross_the_processes(
    gradients: list[dict[str, list[torch.Tensor]]],
) -> None:
    # m = mean(x^2); every rank's loss is m^2, so the sum over W ranks, whose gradient backward
    # finds, is W times that of the batch: slope = W 4 m x / n with n images in all. Then the sum
    # over ranks of slope^2 = (4 W / n)^2 m^2 x^2 is derived by x, to which every image belongs.
    one, first, second = gradients
    x = torch.arange(1.0, 9.0, dtype=torch.float64, requires_grad=True)
    for found, world in (
        (one["second order"], 1),
        ([torch.cat(pair) for pair in zip(first["second order"], second["second order"],
                                          strict=True)], 2),
    ):  # fmt: skip
        mean = x.square().mean()
        slope = world * 4 * mean * x / 8
        (curve,) = torch.autograd.grad(slope.square().sum(), x)
        torch.testing.assert_close(found[0], slope.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(found[1], curve, rtol=1e-12, atol=0)


def test_one_process_takes_the_plain_mean() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 6.0]], requires_grad=True)
    global_mean(values).backward()
    assert global_mean(values).item() == 3
    assert torch.equal(values.grad, torch.full((2, 2), 0.25))
