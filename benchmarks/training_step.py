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
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from callbacks.record import peak_memory_mb
from lightning_modules import Pix2Pix, Segmenter
from lightning_modules.training_module import TrainingModule
from networks import MultiScalePatchDiscriminator, Pix2PixGenerator, UNet


class Timer:
    """Runs a module's training step without a trainer around it."""

    def __init__(self, module: TrainingModule, precision: str, device: torch.device) -> None:
        self.module = module.to(device)
        configured = module.configure_optimizers()
        self.optimizers = configured if isinstance(configured, list) else [configured]
        self.device = device
        self.autocast = precision == "bf16"
        # What the trainer would give: optimisers, backward, and no logging.
        stand_ins: dict[str, Any] = {
            "optimizers": lambda: (
                self.optimizers if len(self.optimizers) > 1 else self.optimizers[0]
            ),
            "begin_step": lambda: None,
            "end_step": self._count,
            "manual_backward": lambda loss: loss.backward(),
        }
        for name, stand_in in stand_ins.items():
            setattr(module, name, stand_in)

    def images_per_second(self, batch: dict[str, torch.Tensor], repeats: int) -> float:
        """Best of `repeats` steps after one that warms up."""
        seconds = []
        for _ in range(repeats + 1):
            started = time.perf_counter()
            self._step(batch)
            seconds.append(time.perf_counter() - started)
        return len(batch["image"]) / min(seconds[1:])

    def mean_images_per_second(self, batch: dict[str, torch.Tensor], steps: int) -> float:
        """Mean over `steps` after one that warms up: what comes at some steps only counts too."""
        self._step(batch)
        started = time.perf_counter()
        for _ in range(steps):
            self._step(batch)
        return steps * len(batch["image"]) / (time.perf_counter() - started)

    def _step(self, batch: dict[str, torch.Tensor]) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            self.module.training_step(batch, 0)
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _count(self, *_: Any) -> None:
        self.module.steps_done += 1


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
    print(f"{'step':34} {'precision':10} {'images/s':>9} {'to fp32':>8} {'peak MB':>8}")
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
