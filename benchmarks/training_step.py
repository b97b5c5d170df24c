"""Images per second and peak memory of a training step, in float32 and bfloat16, in one run.

python benchmarks/training_step.py [--image-size 128] [--batch-size 4] [--out FILE.json]

Rows: Pix2Pix with the paper's settings and with finer ones, cut into micro-batches, and a
segmenter. Each is the best of several repeats after a warm-up. Run it on an idle machine: threads
that wait for a busy core make every number meaningless.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from callbacks.record import peak_memory_mb
from lightning_modules import Pix2Pix, Segmenter
from lightning_modules.training_module import TrainingModule
from networks import MultiScalePatchDiscriminator, Pix2PixGenerator, UNet


class Timer:
    """Runs a module's training step without a trainer around it.

    Args:
        module: Moved to the device.
        precision: "fp32"; "tf32", where matrix products and convolutions may round their inputs;
            "bf16" or "fp16" (with a gradient scaler), both with the weights in float32 and with
            torch's own rule for what stays in float32: convolutions may round, products may not.
        device: Where it runs.
        channels_last: Lay images and filters out by pixel.
        compiled: Send the networks through torch.compile. Penalties call them as they are, since
            what is compiled has no second derivative.
    """

    def __init__(
        self,
        module: TrainingModule,
        precision: str,
        device: torch.device,
        channels_last: bool = False,
        compiled: bool = False,
    ) -> None:
        self.device = device
        self.number_format = NUMBER_FORMATS[precision]
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.channels_last = channels_last
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
        self.module = module if module.device == device else module.to(device)
        if channels_last:
            _by_pixel(module)
        if compiled:
            _compile(module)
        trainer: Any = SimpleNamespace(precision="16-mixed" if precision == "fp16" else precision)
        module._trainer = trainer
        configured: Any = module.configure_optimizers()
        optimizers = configured if isinstance(configured, list) else [configured]
        self.optimizers = [_Scaled(one, self.scaler) for one in optimizers]
        # What the trainer would give: optimisers, backward, and no logging.
        stand_ins: dict[str, Any] = {
            "optimizers": lambda: (
                self.optimizers if len(self.optimizers) > 1 else self.optimizers[0]
            ),
            "begin_step": lambda: None,
            "end_step": self._count,
            "manual_backward": lambda loss: self.scaler.scale(loss).backward(),
        }
        for name, stand_in in stand_ins.items():
            setattr(module, name, stand_in)

    def images_per_second(self, batch: dict[str, torch.Tensor], repeats: int) -> float:
        """Best of `repeats` steps after one that warms up."""
        seconds = [self.seconds(batch, 1) for _ in range(repeats + 1)]
        return len(batch["image"]) / min(seconds[1:])

    def mean_images_per_second(self, batch: dict[str, torch.Tensor], steps: int) -> float:
        """Mean over `steps` after one that warms up: what comes at some steps only counts too."""
        self.step(batch)
        return steps * len(batch["image"]) / self.seconds(batch, steps)

    def seconds(self, batch: dict[str, torch.Tensor], steps: int) -> float:
        """Of so many steps together; a GPU is waited for before and after, not between."""
        self._wait()
        started = time.perf_counter()
        for _ in range(steps):
            self.step(batch)
        self._wait()
        return time.perf_counter() - started

    def step(self, batch: dict[str, torch.Tensor]) -> None:
        """One global batch; nothing waits for a GPU."""
        if self.channels_last:
            image = batch["image"].contiguous(memory_format=torch.channels_last)
            batch = {**batch, "image": image}
        kind = self.number_format
        with torch.autocast(
            self.device.type, kind or torch.bfloat16, enabled=kind is not None, cache_enabled=False
        ):  # as the trainer does: weights move between the steps of the two networks
            self.module.training_step(batch, 0)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _count(self, *_: Any) -> None:
        self.module.steps_done += 1


NUMBER_FORMATS = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What autocast computes in, by the names that `Timer` takes."""


class _Scaled:
    """An optimiser whose step unscales first, if the scaler is on, as the trainer's does."""

    def __init__(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        self.optimizer, self.scaler = optimizer, scaler
        self.zero_grad = optimizer.zero_grad

    def step(self) -> None:
        self.scaler.unscale_(self.optimizer)
        self.scaler.step(self.optimizer)
        self.scaler.update()


def _networks(module: TrainingModule) -> list[Any]:
    names = ("generator", "discriminator", "network")
    return [getattr(module, name) for name in names if hasattr(module, name)]


def _by_pixel(module: TrainingModule) -> None:
    for network in _networks(module):
        network.to(memory_format=torch.channels_last)


def _compile(module: TrainingModule) -> None:
    """Compile the networks in place; let penalties see them uncompiled.

    Layouts stay as they are: inductor foretells those of a convolution's gradients wrongly where
    it changes them (pytorch#171622, #197517). A block of a network may be met with more shapes than
    the usual eight, after which it would run uncompiled without a word.
    """
    torch._dynamo.config.recompile_limit = 64
    for network in _networks(module):
        network.compile(dynamic=False, options={"layout_optimization": False})
    regularisation: Any = getattr(module, "regularisation", None)
    if regularisation is None:
        return
    terms, path_length = regularisation.discriminator_terms, regularisation.path_length

    def eager_terms(*given: Any) -> list[Any]:
        with torch.compiler.set_stance("force_eager"):
            return list(terms(*given))

    def eager_path_length(*given: Any) -> Any:
        with torch.compiler.set_stance("force_eager"):
            return path_length(*given)

    regularisation.discriminator_terms = eager_terms
    regularisation.path_length = eager_path_length


CLASS_NAMES = ("background", "kidney", "tumour")


def pix2pix(size: int, width: int, fine: bool, micro_batches: int = 1) -> Pix2Pix:
    generator = partial(Pix2PixGenerator, width=width)
    if fine:
        generator = partial(
            generator, dropout=0.0, noise_channels=16, pixel_noise=True, upsampling="resize"
        )
    return Pix2Pix(
        generator=generator,
        discriminator=partial(
            MultiScalePatchDiscriminator, width=width, num_scales=2 if fine else 1
        ),
        image_size=size,
        num_classes=len(CLASS_NAMES),
        feature_matching_weight=10.0 if fine else 0.0,
        micro_batches=micro_batches,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--width", type=int, default=32, help="of Pix2Pix; U-Nets: half of it")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size, width = options.image_size, options.width
    batch = {
        "image": torch.rand(options.batch_size, 1, size, size, device=device) * 2 - 1,
        "mask": torch.randint(0, len(CLASS_NAMES), (options.batch_size, size, size), device=device),
    }
    unet = partial(UNet, width=width // 2)
    rows: list[tuple[str, Callable[[], Pix2Pix | Segmenter]]] = [
        ("pix2pix, paper's settings", lambda: pix2pix(size, width, fine=False)),
        ("pix2pix, fine", lambda: pix2pix(size, width, fine=True)),
        ("pix2pix, fine, 2 micro-batches", lambda: pix2pix(size, width, True, 2)),
        ("segmenter, U-Net", lambda: Segmenter(unet, len(CLASS_NAMES), class_names=CLASS_NAMES)),
    ]
    results = []
    print(
        f"{platform.processor() or platform.machine()}, {device}, {size} px, "
        f"batch {options.batch_size}, width {width}, {torch.get_num_threads()} threads"
    )
    print(f"{'step':34} {'precision':10} {'images/s':>9} {'to fp32':>8} {'peak MiB':>8}")
    for name, make in rows:
        reference = None
        for precision in ("fp32", "bf16"):
            torch.manual_seed(0)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            speed = Timer(make(), precision, device).images_per_second(batch, options.repeats)
            reference = reference or speed
            # A process's resident set never falls, so on a CPU the column is the run's so far.
            memory = peak_memory_mb(device)
            results.append(
                {
                    "step": name,
                    "precision": precision,
                    "images_per_second": speed,
                    "peak_memory_mb": memory,
                }
            )
            print(f"{name:34} {precision:10} {speed:9.1f} {speed / reference:8.2f} {memory:8.0f}")
    if options.out:
        options.out.write_text(
            json.dumps({"device": str(device), "image_size": size, "rows": results}, indent=1)
        )


if __name__ == "__main__":
    main()
