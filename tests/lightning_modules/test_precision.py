"""fp16 with a gradient scaler: one scaler, two optimisers, and steps that are left out."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor

from lightning_modules import Pix2Pix
from lightning_modules.step.divergence import TrainingError
from lightning_modules.training_module import Batch
from tests.lightning_modules.test_gan import fit, multi_scale
from tests.lightning_modules.test_training_module import largest_difference, pix2pix, train


def scaled(**settings: Any) -> MixedPrecision:
    """Lightning offers fp16 on GPUs only; the same plugin runs on a CPU when it is handed over."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", **settings))


def run(module: Pix2Pix, cache: Path, plugin: MixedPrecision | None, steps: int = 2) -> Pix2Pix:
    precision: dict[str, Any] = {"precision": "32-true"}
    if plugin is not None:
        precision = {"precision": None, "plugins": [plugin]}
    train(module, cache, steps, **precision)
    return module


def test_gradients_are_unscaled_before_they_are_clipped(
    small_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clipping scaled gradients would cut them by the scale again."""
    begin = pix2pix(gradient_clip_norm=1e9)
    clip = Pix2Pix.on_before_optimizer_step
    norms: list[float] = []

    def recording(self: Pix2Pix, optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad for p in optimizer.param_groups[0]["params"] if p.grad is not None]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        clip(self, optimizer)

    monkeypatch.setattr(Pix2Pix, "on_before_optimizer_step", recording)
    whole = run(copy.deepcopy(begin), small_cache, None, steps=1)
    half = run(copy.deepcopy(begin), small_cache, scaled(init_scale=2.0**5), steps=1)
    assert norms[2:] == pytest.approx(norms[:2], rel=0.05)  # discriminator, generator
    for name, value in whole.reported.items():
        assert half.reported[name] == pytest.approx(value, rel=0.05, abs=1e-3), name


def test_an_overflow_leaves_out_one_networks_step_and_lowers_the_scale(
    small_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pix2pix()
    begin = copy.deepcopy(module)
    optimise = Pix2Pix.optimise
    calls = []

    def overflowing(
        self: Pix2Pix, optimizer: Any, network: Any, batch: Batch, loss_of: Any
    ) -> None:
        calls.append(network)
        first = len(calls) == 1  # the discriminator's first step

        def loss(part: Batch) -> Tensor:
            return loss_of(part) * (float("inf") if first else 1.0)

        optimise(self, optimizer, network, batch, loss)

    monkeypatch.setattr(Pix2Pix, "optimise", overflowing)
    plugin = scaled(init_scale=64.0)
    run(module, small_cache, plugin, steps=1)
    assert largest_difference(begin.discriminator, module.discriminator) == 0.0
    assert largest_difference(begin.generator, module.generator) > 0.0
    assert plugin.scaler is not None
    assert plugin.scaler.get_scale() == 32.0
    assert module.steps_done == 1


def test_a_step_that_the_scaler_leaves_out_is_no_divergence(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    """A GAN reports gradient norms, and that of an overflow is infinite: it is left out, once."""
    films, module = film_cache(tmp_path), multi_scale()
    plugin = scaled(init_scale=2.0**120)
    fit(module, films, steps=1, precision=None, plugins=[plugin])
    assert plugin.scaler is not None
    assert plugin.scaler.get_scale() == 2.0**118  # both networks' steps were left out
    assert {"train/loss_discriminator", "train/score_real"} <= module.reported.keys()
    assert not [name for name in module.reported if "gradient_norm" in name]
    taken = scaled(init_scale=64.0)
    fit(module, films, steps=2, precision=None, plugins=[taken])
    assert {name for name in module.reported if "gradient_norm" in name} == {
        "train/gradient_norm_discriminator",
        "train/gradient_norm_generator",
    }


def test_gradients_that_overflow_without_a_scale_are_a_divergence(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    module = multi_scale()
    next(module.discriminator.parameters()).register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingError, match="gradient_norm_discriminator is not finite"):
        fit(module, film_cache(tmp_path), 1, precision=None, plugins=[scaled(init_scale=1.0)])


def test_the_scale_goes_into_the_checkpoint(small_cache: Path, tmp_path: Path) -> None:
    trainer = train(pix2pix(), small_cache, 1, precision=None, plugins=[scaled(init_scale=64.0)])
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["MixedPrecision"]["scale"] == 64.0
