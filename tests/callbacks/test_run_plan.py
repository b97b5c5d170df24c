"""What will run is said before it does, and weights in half precision are refused."""

from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.gan_step import pggan
from callbacks import run_plan
from callbacks.progress import RunProgress
from callbacks.run_plan import (
    RunPlan,
    cost_when_grown,
    crowded_line,
    memory_line,
    plan,
    state_bytes,
)
from callbacks.step_cost import WORKSPACE_MIB, StepCost
from networks.growth import Growth
from provenance import UserError
from tests.lightning_modules.test_training_module import pix2pix, segmenter, train


def test_devices_batch_parts_precision_and_what_is_averaged() -> None:
    module = pix2pix(micro_batches=3)
    told = plan(module, "bf16-mixed", 2, 16, "NVIDIA H200")
    assert told[0] == (
        "Trains on 2 x NVIDIA H200, a process each: 16 images a step, 8 on each, in 3 parts of 3 "
        "at most. bf16-mixed: computed in bfloat16; weights, losses and penalties in float32."
    )
    count = sum(p.numel() for p in module.generator.parameters())
    assert f"generator {count / 1e6:.2f} M, discriminator " in told[1]
    assert f"Adam's moments take {state_bytes(module) / 2**20:.2g} MiB on each; " in told[1]
    assert told[2].startswith("Averaged over the processes in each step: the gradients of each")
    alone = plan(segmenter(), "32-true", 1, 4, "CPU")
    assert len(alone) == 2
    assert alone[0].startswith("Trains on CPU: 4 images a step. 32-true: computed in float32")


def test_more_processes_than_cores_are_told() -> None:
    assert crowded_line(2, 2) == []
    assert crowded_line(4, 2) == [
        "--trainer.devices asks for 4 processes on this machine, of which only 2 cores are usable: "
        "they wait for each other and train more slowly than 2 would."
    ]
    assert "only one core is usable" in crowded_line(2, 1)[0]


def test_cores_are_those_that_the_process_may_use(
    small_cache: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_plan, "crowded_line", lambda *counts: [f"counts {counts}"])
    monkeypatch.setattr(run_plan.os, "sched_getaffinity", lambda process: {3, 5, 6})
    train(segmenter(), small_cache, steps=1, precision="32-true", callbacks=[RunPlan()])
    assert "counts (1, 3)" in capsys.readouterr().err


def test_state_is_four_times_what_is_trained() -> None:
    module = nn.Sequential(nn.Linear(10, 5, bias=False), nn.BatchNorm1d(5, affine=False))
    frozen = nn.Linear(3, 3, bias=False).requires_grad_(False)
    module.append(frozen)
    assert state_bytes(module) == 4 * 4 * 50 + 4 * 9 + (4 * 5 * 2 + 8)


def test_weights_in_half_precision_are_refused(small_cache: Any) -> None:
    module = segmenter()
    module.network.to(torch.bfloat16)
    with pytest.raises(UserError, match=r"network\..* is in bfloat16, in which small steps"):
        train(module, small_cache, steps=1, precision="32-true", callbacks=[RunPlan()])


def test_a_step_is_told_before_the_first(
    small_cache: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    module = segmenter()
    watched = [RunPlan(True), RunProgress()]  # with the bar, as at the prompt
    train(
        module,
        small_cache,
        steps=2,
        precision="32-true",
        callbacks=watched,
        enable_progress_bar=True,
    )
    said = capsys.readouterr().err
    assert said.count("A step is expected to hold ") == 1
    assert "Trains on CPU: 6 images a step" in said
    assert module.steps_done == 2


def test_networks_that_ask_for_values_say_so(
    small_cache: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    module = segmenter()
    forward = module.network.forward

    def asking(images: torch.Tensor) -> torch.Tensor:
        return forward(images) * (1.0 if float(images.mean()) < 9 else 0.0)

    module.network.forward = asking
    train(module, small_cache, steps=1, precision="32-true", callbacks=[RunPlan(True)])
    assert "--expect_memory: cannot be told for these networks (Data" in capsys.readouterr().err
    assert module.steps_done == 1


def test_several_processes_hold_a_row_of_gradients_besides() -> None:
    module, cpu = pix2pix(), torch.device("cpu")
    cost = StepCost(1.0, 2000 * 2**20)
    largest = sum(p.nbytes for p in module.generator.parameters()) / 2**20
    assert f" {2000 + WORKSPACE_MIB:,} MiB at most" in memory_line(module, cost, 1, cpu)
    assert f" {2000 + WORKSPACE_MIB + largest:,.0f} MiB" in memory_line(module, cost, 2, cpu)


def test_a_growing_gan_is_counted_fully_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def counted(module: Any, shapes: Any, precision: str) -> StepCost:
        seen.append((module.growth, shapes, precision))
        return StepCost(1.0, 1)

    monkeypatch.setattr(run_plan, "step_cost", counted)
    module: Any = pggan(32, 8)
    full = module.growth
    module.growth = early = Growth(4)
    cost_when_grown(module, {"image": torch.zeros(4, 1, 32, 32), "age": "61"}, "32-true")
    assert seen == [(full, {"image": ((4, 1, 32, 32), torch.float32)}, "32-true")]
    assert module.growth is early
