"""Speed of every method's training step on a GPU: the rows of benchmarks/gpu_day.py.

First what the card can do at best: large matrix products and a copy. Then images per second, the
operations of a step as a share of such a product, and peak memory, of every method, what matters
most first. Each is timed twice. Operations, and the memory that is expected, are counted by another
process, which needs no GPU.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

import networks
from benchmarks import gan_step
from benchmarks.gpu_rows import Row, Task
from benchmarks.training_step import CLASS_NAMES, Timer, pix2pix
from callbacks.record import peak_memory_mb
from callbacks.step_cost import shapes_of, step_cost
from lightning_modules import Classifier, Segmenter
from lightning_modules.training_module import TrainingModule

_FIRST = 3
"""Times as long as others the first row of a method may take: cuDNN chooses its kernels."""

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        pixels: Sides of the images.
        width: Of GANs, in the papers 512; of all others in proportion.
        batch: Images at the first size, and in proportion to 1 / side at the others.
        steps: That a timing takes, of each kind of step.
        row_s: Seconds that a row may take.
        compile_s: Seconds that one may take that compiles.
    """

    pixels: tuple[int, ...] = (256, 512)
    width: int = 512
    batch: int = 16
    steps: int = 4
    row_s: float = 12.0
    compile_s: float = 40.0

    def batch_at(self, size: int) -> int:
        """Images of a batch at a side."""
        return max(4, self.batch * self.pixels[0] // size)


def _segmenter(make: Callable[..., Any], size: int) -> Segmenter:
    return Segmenter(make, len(CLASS_NAMES), class_names=CLASS_NAMES)


def _classifier(make: Callable[..., Any], size: int) -> Classifier:
    return Classifier(make, 2, class_names=("normal", "abnormal"))


def methods(width: int) -> dict[str, Callable[[int], TrainingModule]]:
    """By name, what makes the module of a size in pixels; the important ones first."""
    narrow = max(8, width // 8)  # 64 where GANs have 512, as in the sources
    fpn = partial(networks.FeaturePyramid, encoder_name="tu-tf_efficientnet_lite0")
    vgg = partial(networks.VGG16, width=narrow, hidden=8 * width)
    return {
        "se_msg_pggan": partial(gan_step.se_msg_pggan, width=width),
        "stylegan2": partial(gan_step.stylegan, width=width),
        "pix2pix": lambda size: pix2pix(size, narrow, fine=False),
        "pggan": partial(gan_step.pggan, width=width),
        "stylegan1": partial(gan_step.stylegan1, width=width),
        "dcgan": partial(gan_step.dcgan, width=narrow),
        "unet_heavy": partial(_segmenter, partial(networks.UNet, width=narrow)),
        "unet_light": partial(_segmenter, partial(networks.UNet, width=narrow // 4)),
        "fpn": partial(_segmenter, fpn),
        "vgg16": partial(_classifier, vgg),
        "resnet18": partial(_classifier, networks.ResNet),
    }


IMPORTANT = ("se_msg_pggan", "stylegan2", "pix2pix")
FIRST_VARIANTS = ("bf16", "tf32")
BESIDE_VARIANTS = ("fp32", "fp16", "bf16+channels_last")
COMPILED = "bf16+compiled"


def order(pixels: tuple[int, ...], names: tuple[str, ...]) -> list[tuple[str, int, str]]:
    """(method, side, variant): what matters most first, so that the time may end anywhere.

    All methods at the first side; three of them at others, in other precisions and compiled.
    """
    important = tuple(name for name in names if name in IMPORTANT)
    others = tuple(name for name in names if name not in IMPORTANT)
    rows = [
        (name, pixels[0], variant)
        for group in (important, others)
        for name in group
        for variant in FIRST_VARIANTS
    ]
    beside = [(name, pixels[0], variant) for variant in BESIDE_VARIANTS for name in important]
    rows += beside[: len(important)]  # fp32
    rows += [(n, size, v) for size in pixels[1:] for n in important for v in FIRST_VARIANTS]
    rows += beside[len(important) :]
    return rows + [(name, pixels[0], COMPILED) for name in important]


def tasks(sizes: Sizes, device: torch.device) -> Iterator[Task]:
    """Ceilings, then every row of the table."""
    yield from ceilings(sizes, device)
    made = methods(sizes.width)
    begun = set()
    for name, size, variant in order(sizes.pixels, tuple(made)):
        row = {"method": name, "size": size, "variant": variant, "batch": sizes.batch_at(size)}
        measure = partial(_timed, made[name], size, variant, sizes, device)
        seconds = sizes.row_s if (name, size) in begun else _FIRST * sizes.row_s
        begun.add((name, size))
        yield Task(row, measure, sizes.compile_s if variant == COMPILED else seconds)


def count_tasks(sizes: Sizes) -> Iterator[Task]:
    """Operations and expected memory of the rows; no GPU is touched."""
    made = methods(sizes.width)
    seen = dict.fromkeys((name, size) for name, size, _ in order(sizes.pixels, tuple(made)))
    for name, size in seen:
        row = {"method": name, "size": size, "batch": sizes.batch_at(size)}
        yield Task(row, partial(counted, made[name], size, sizes.batch_at(size)), 120.0)


def compile_tasks(sizes: Sizes, device: torch.device) -> Iterator[Task]:
    """Fill torch.compile's cache while something else is measured that nobody times."""
    made = methods(sizes.width)
    for name in ("pix2pix", "se_msg_pggan", "stylegan2"):
        size = sizes.pixels[0]
        measure = partial(_compiled_once, made[name], size, sizes, device)
        yield Task({"method": name, "size": size, "first compilation": True}, measure, 600.0)


def _compiled_once(
    make: Callable[[int], TrainingModule], size: int, sizes: Sizes, device: torch.device
) -> Row:
    torch.compiler.reset()
    torch.manual_seed(0)
    started = time.perf_counter()
    timer = Timer(make(size), "bf16", device, compiled=True)
    _warm_up(timer, example(timer.module, sizes.batch_at(size), size, device))
    return {"compile_s": time.perf_counter() - started}


def example(module: TrainingModule, count: int, size: int, device: torch.device) -> Batch:
    """Random images, with what else the method takes."""
    batch: Batch = {"image": torch.rand(count, 1, size, size, device=device) * 2 - 1}
    if isinstance(module, Classifier):
        return batch | {"label": torch.arange(count, device=device) % 2}
    shape = (count, size, size)
    return batch | {"mask": torch.randint(0, len(CLASS_NAMES), shape, device=device)}


def counted(make: Callable[[int], TrainingModule], size: int, count: int) -> Row:
    """Operations of a mean step for one image; and the most that a step holds."""
    module = make(size)
    shapes = shapes_of(example(module, count, size, torch.device("cpu")))
    phases = _phases(module)
    mixed = [step_cost(module, shapes, "bf16-mixed", at) for at, _ in phases]
    total = sum(share * one.operations for one, (_, share) in zip(mixed, phases, strict=True))
    whole = step_cost(module, shapes, "32-true", phases[0][0])  # all that is lazy is due
    return {
        "gflop_per_image": total / count / 1e9,
        "expected_mb_mixed": max(one.expected_mib for one in mixed),
        "expected_mb_float32": whole.expected_mib,
    }


def _timed(
    make: Callable[[int], TrainingModule],
    size: int,
    variant: str,
    sizes: Sizes,
    device: torch.device,
) -> Row:
    """One row of the table."""
    torch.compiler.reset()  # else networks of a class share a limit, and then run uncompiled
    torch.manual_seed(0)
    count = sizes.batch_at(size)
    precision, _, how = variant.partition("+")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    timer = Timer(
        make(size), precision, device, channels_last=how == "channels_last",
        compiled=how == "compiled",
    )  # fmt: skip
    batch = example(timer.module, count, size, device)
    started = time.perf_counter()
    _warm_up(timer, batch)
    warm = time.perf_counter() - started
    seconds = [_mean_seconds(timer, batch, sizes.steps) for _ in range(2)]
    step = statistics.mean(seconds)
    return {
        "ms_per_step": 1000 * step,
        "spread_percent": 100 * abs(seconds[0] - seconds[1]) / step,
        "images_per_second": count / step,
        "peak_memory_mb": peak_memory_mb(device),
        "warm_up_s": warm,
    }


def _mean_seconds(timer: Timer, batch: Batch, steps: int) -> float:
    """Of a mean step: each kind of step is timed by itself, the rare ones with fewer steps."""
    total = 0.0
    for steps_done, share in _phases(timer.module):
        repeats = steps if share > 0.5 else max(1, steps // 2)
        timer.seconds(batch, 0)  # waits for the GPU
        started = time.perf_counter()
        for _ in range(repeats):
            timer.module.steps_done = steps_done
            timer.step(batch)
        timer.seconds(batch, 0)
        total += share * (time.perf_counter() - started) / repeats
    return total


def _phases(module: TrainingModule) -> list[tuple[int, float]]:
    """Numbers of steps done at which a step differs, and the share of steps that are like it.

    Lazy penalties are due at multiples of their intervals, of which one divides the other here.
    """
    penalties = getattr(module, "penalties", None)
    if penalties is None:
        return [(0, 1.0)]
    wanted = []
    if penalties.r1 > 0:
        wanted.append(penalties.r1_every)
    if penalties.path_length > 0:
        wanted.append(penalties.path_length_every)
    if not wanted or max(wanted) == 1:
        return [(0, 1.0)]
    due = [tuple(step % every == 0 for every in wanted) for step in range(math.lcm(*wanted))]
    return [(due.index(kind), due.count(kind) / len(due)) for kind in dict.fromkeys(due)]


def _warm_up(timer: Timer, batch: Batch) -> None:
    """Every kind of step, twice: the first chooses kernels, the second finds its memory."""
    for _ in range(2):
        for steps_done, _share in _phases(timer.module):
            timer.module.steps_done = steps_done
            timer.step(batch)
    timer.seconds(batch, 0)  # waits for the GPU


# ---- what the card can do at best --------------------------------------------------------------

KINDS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.half}


def ceilings(sizes: Sizes, device: torch.device) -> Iterator[Task]:
    """A product of two large matrices of random numbers in each precision, and a copy."""
    side = 8192 if device.type == "cuda" else 256
    for kind in KINDS:
        measure = partial(product, kind, side // 2 if kind == "fp32" else side, device)
        yield Task({"ceiling": f"matrix product, {kind}"}, measure, sizes.row_s)
    yield Task({"ceiling": "copy"}, partial(copied, side, device), sizes.row_s)


def product(kind: str, side: int, device: torch.device) -> Row:
    """TFLOP/s of a product of square matrices."""
    torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
    torch.manual_seed(0)
    one, other = (torch.randn(side, side, device=device, dtype=KINDS[kind]) for _ in range(2))
    seconds = _median_seconds(lambda: one @ other, device)
    return {"side": side, "tflops": 2 * side**3 / seconds / 1e12}


def copied(side: int, device: torch.device) -> Row:
    """GB/s of a copy within the card, bytes read and written."""
    one = torch.rand(8, side, side, device=device)  # 2 GiB on a GPU
    other = torch.empty_like(one)
    seconds = _median_seconds(lambda: other.copy_(one), device)
    return {"gbytes_per_second": 2 * one.numel() * one.element_size() / seconds / 1e9}


def _median_seconds(work: Callable[[], object], device: torch.device, repeats: int = 10) -> float:
    for _ in range(3):
        work()
    if device.type != "cuda":
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds)
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for begin, end in events:
        begin.record()
        work()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(begin.elapsed_time(end) / 1000 for begin, end in events)
