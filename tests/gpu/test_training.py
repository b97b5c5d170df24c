"""On a GPU every method trains in both half precisions, and a resumed run has the same bits."""

import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

import networks
from benchmarks import gan_step
from benchmarks.training_step import CLASS_NAMES, Timer, pix2pix
from datamodules import ChestXrayDataModule, KiTS19DataModule
from lightning_modules import Classifier, Segmenter
from lightning_modules.training_module import TrainingModule

pytestmark = pytest.mark.gpu
DEVICE, ACCELERATOR = "cuda", "gpu"
# cuBLAS reads it when it is first used; without it a product may add in another order.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

SIDE, BATCH = 32, 8


def gan(name: str) -> TrainingModule:
    torch.manual_seed(0)
    module: Any = gan_step.METHODS[name](SIDE, 16)
    module.has_schedule = True  # of growth; these stand at their end
    return module


def segmenter() -> TrainingModule:
    torch.manual_seed(0)
    network = partial(networks.UNet, width=8, depth=2)
    return Segmenter(network, len(CLASS_NAMES), class_names=CLASS_NAMES)


def classifier(make: Any) -> TrainingModule:
    torch.manual_seed(0)
    return Classifier(make, 2, class_names=("normal", "abnormal"))


def conditional() -> TrainingModule:
    torch.manual_seed(0)
    module = pix2pix(SIDE, 8, fine=False)
    module.decay_from = 1.0  # a rate that falls to the end makes a shorter run another one
    return module


MODULES: dict[str, Callable[[], TrainingModule]] = {
    **{name: partial(gan, name) for name in gan_step.METHODS},
    "pix2pix": conditional,
    "segmenter": segmenter,
    "vgg16": partial(classifier, partial(networks.VGG16, width=8, hidden=16, pooled_size=1)),
    "resnet18": partial(classifier, networks.ResNet),
}


def data_of(module: TrainingModule, films: Path, slices: Path, steps: int) -> L.LightningDataModule:
    count = BATCH * steps
    if isinstance(module, Classifier):
        return ChestXrayDataModule(str(films), BATCH, images_per_epoch=count)
    if isinstance(module, Segmenter) or hasattr(module, "one_hot"):
        return KiTS19DataModule(str(slices), batch_size=BATCH, images_per_epoch=count)
    return ChestXrayDataModule(str(films), BATCH, label_column="none", images_per_epoch=count)


def trainer(epochs: int = 1, **settings: Any) -> L.Trainer:
    return L.Trainer(
        accelerator=ACCELERATOR,
        devices=1,
        max_epochs=epochs,
        log_every_n_steps=0,  # reports at the end: a scaler may still be searching before
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        limit_val_batches=1,
        **settings,
    )


def learnt(module: TrainingModule) -> list[torch.nn.Module]:
    names = ("generator", "discriminator", "network")
    return [getattr(module, name) for name in names if hasattr(module, name)]


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
@pytest.mark.parametrize("name", MODULES)
def test_half_precision_trains_every_method(
    name: str, precision: Any, film_cache: Any, tmp_path: Path, small_cache: Path
) -> None:
    """Losses are finite, weights stay float32 and move, and the scaler finds a scale."""
    module = MODULES[name]()
    before = [[p.detach().cpu().clone() for p in net.parameters()] for net in learnt(module)]
    runner = trainer(precision=precision)
    runner.fit(module, datamodule=data_of(module, film_cache(tmp_path / "f"), small_cache, 8))
    assert module.steps_done == 8
    assert module.reported
    assert all(math.isfinite(value) for value in module.reported.values())
    for network, old in zip(learnt(module), before, strict=True):
        new = [p.detach().cpu() for p in network.parameters()]
        assert all(p.dtype == torch.float32 and p.isfinite().all() for p in new)
        assert any(not torch.equal(a, b) for a, b in zip(new, old, strict=True))
    if precision == "16-mixed":
        plugin: Any = runner.precision_plugin
        assert 1 <= plugin.scaler.get_scale() < math.inf


@pytest.mark.parametrize("name", ["segmenter", "pix2pix", "se_msg_pggan", "stylegan"])
def test_a_resumed_run_has_the_bits_of_one_that_was_not_stopped(
    name: str, film_cache: Any, tmp_path: Path, small_cache: Path
) -> None:
    """With deterministic algorithms, where all that the method calls has one."""
    films = film_cache(tmp_path / "films")

    def run(epochs: int, checkpoint: Path | None = None) -> tuple[TrainingModule, L.Trainer]:
        module = MODULES[name]()
        runner = trainer(epochs, deterministic=True, precision="32-true")
        data = data_of(module, films, small_cache, 3)
        runner.fit(module, datamodule=data, ckpt_path=checkpoint)
        return module, runner

    try:
        whole, _ = run(2)
        _, stopped = run(1)
        stopped.save_checkpoint(tmp_path / "half.ckpt")
        resumed, _ = run(2, tmp_path / "half.ckpt")
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        pytest.skip(f"{name}: {str(error)[:160]}")
    finally:
        torch.use_deterministic_algorithms(False)
    assert resumed.steps_done == whole.steps_done == 6
    pairs = zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True)
    different = [
        key for (key, a), b in pairs if isinstance(a, torch.Tensor) and not torch.equal(a, b)
    ]
    assert not different


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_a_timed_step_is_a_training_step(precision: str) -> None:
    """The timer of the benchmarks, which has no trainer, moves the weights too."""
    module = gan("se_msg_pggan")
    timer = Timer(module, precision, torch.device(DEVICE), channels_last=precision == "bf16")
    before = [p.detach().clone() for p in module.parameters()]
    batch = {"image": torch.rand(BATCH, 1, SIDE, SIDE, device=DEVICE) * 2 - 1}
    for _ in range(8):
        timer.step(batch)
    assert module.steps_done == 8
    after = list(module.parameters())
    assert all(p.isfinite().all() for p in after)
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
