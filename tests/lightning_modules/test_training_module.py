"""One training step: micro-batches, clipping, rates, which network moves, what is logged."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch

from datamodules import KiTS19DataModule
from lightning_modules import Pix2Pix, Segmenter
from lightning_modules.step.learning_rate import decay_factor
from lightning_modules.step.seeds import derived_seed
from lightning_modules.training_module import TrainingModule
from networks import MultiScalePatchDiscriminator, Pix2PixGenerator, UNet
from provenance import UserError
from tests.training_runs import cpu_trainer


def pix2pix(**settings: Any) -> Pix2Pix:
    torch.manual_seed(0)
    return Pix2Pix(
        generator=partial(Pix2PixGenerator, width=4, pixel_noise=True),
        discriminator=partial(MultiScalePatchDiscriminator, width=4, num_layers=2),
        image_size=32,
        num_classes=3,
        **settings,
    )


def segmenter(**settings: Any) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(
        network=partial(UNet, width=8, depth=2),
        num_classes=3,
        class_names=("background", "kidney", "tumour"),
        **settings,
    )


def train(module: TrainingModule, cache: Path, steps: int = 2, **trainer: Any) -> L.Trainer:
    torch.use_deterministic_algorithms(False)
    settings: dict[str, Any] = {"precision": "64-true", "max_steps": -1, **trainer}
    runner = cpu_trainer(steps, **settings)
    runner.fit(module, datamodule=KiTS19DataModule(str(cache), batch_size=6))
    return runner


def largest_difference(one: torch.nn.Module, other: torch.nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.parametrize("make", [pix2pix, segmenter])
@pytest.mark.parametrize("micro_batches", [2, 4])  # 4 parts of 6 images are unequal
def test_micro_batches_do_not_change_the_result(
    make: Any, micro_batches: int, small_cache: Path
) -> None:
    whole, cut = make(), make(micro_batches=micro_batches)
    train(whole, small_cache)
    train(cut, small_cache)
    assert largest_difference(whole, cut) < 1e-10
    assert whole.reported.keys() == cut.reported.keys()
    for name, value in whole.reported.items():
        assert cut.reported[name] == pytest.approx(value, rel=1e-6), name


def test_more_micro_batches_than_images_is_harmless(small_cache: Path) -> None:
    whole, cut = segmenter(), segmenter(micro_batches=20)
    train(whole, small_cache)
    train(cut, small_cache)
    assert largest_difference(whole, cut) < 1e-10


def test_gradient_norm_is_clipped_for_each_network(
    small_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = []
    step = torch.optim.Adam.step

    def recording(self: torch.optim.Adam, closure: Any = None) -> Any:
        closure and closure()
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients]))))
        return step(self)

    monkeypatch.setattr(torch.optim.Adam, "step", recording)
    train(pix2pix(gradient_clip_norm=0.01), small_cache)
    assert len(norms) == 4
    assert all(norm <= 0.01 * (1 + 1e-6) for norm in norms)


def test_generator_step_leaves_the_discriminator_alone(small_cache: Path) -> None:
    """Weights 0 for everything: the generator must not move, the discriminator must."""
    module, start = (pix2pix(adversarial_weight=0.0, l1_weight=0.0) for _ in range(2))
    train(module, small_cache, steps=1)
    assert largest_difference(module.generator, start.double().generator) == 0
    assert largest_difference(module.discriminator, start.discriminator) > 1e-5


def test_rate_is_constant_then_falls_to_zero() -> None:
    trainer = SimpleNamespace(max_epochs=10, num_training_batches=10)
    factors = [decay_factor(0.5, steps_done, trainer) for steps_done in range(0, 101, 10)]
    assert factors[:6] == [1.0] * 6
    assert factors[6:] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])
    assert decay_factor(0.5, 90, SimpleNamespace(max_epochs=-1)) == 1.0


def test_images_are_counted_once_though_two_optimisers_step(small_cache: Path) -> None:
    module = pix2pix()
    runner = train(module, small_cache, steps=2)
    assert (module.steps_done, module.images_seen) == (2, 12)
    assert runner.global_step == 4


def test_both_networks_learn(small_cache: Path) -> None:
    module = pix2pix(learning_rate=2e-3)
    start = pix2pix()
    train(module, small_cache, steps=2)
    for name in ("generator", "discriminator"):
        assert largest_difference(getattr(module, name), getattr(start.double(), name)) > 1e-4


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("make", [pix2pix, segmenter])
def test_precisions_train_and_weights_stay_float32(
    make: Any, precision: str, small_cache: Path
) -> None:
    module = make()
    train(module, small_cache, precision=precision)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in module.parameters())
    assert all(value == value for value in module.reported.values())


@pytest.mark.gpu
@pytest.mark.parametrize("make", [pix2pix, segmenter])
def test_fp16_trains_on_a_gpu(make: Any, small_cache: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    module = make()
    runner = L.Trainer(accelerator="gpu", devices=1, precision="16-mixed", max_epochs=1)
    runner.fit(module, datamodule=KiTS19DataModule(str(small_cache), batch_size=6))
    assert all(p.isfinite().all() for p in module.parameters())


def test_divergence_is_named(small_cache: Path) -> None:
    module = pix2pix()
    with torch.no_grad():
        next(module.generator.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match=r"not finite.*learning_rate"):
        train(module, small_cache, steps=1)


def test_seeds_are_fixed_across_machines_and_depend_on_every_part() -> None:
    assert derived_seed(0, "noise", 3) == 6664519024363711163
    assert len({derived_seed(a, b) for a in range(20) for b in range(20)}) == 400


def test_synthetic_image_depends_on_its_own_seed_only() -> None:
    module = pix2pix().eval()
    masks = torch.zeros(3, 32, 32, dtype=torch.uint8)
    masks[:, 8:20, 8:20] = 1
    together = module.synthesise(masks, [5, 6, 7])
    alone = module.synthesise(masks[:1], [6])
    assert torch.allclose(together[1], alone[0], atol=1e-6)
    assert (together[0] - together[1]).abs().max() > 1e-3
