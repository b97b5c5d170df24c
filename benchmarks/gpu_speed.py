"""Speed of every method's training step on a GPU: the rows of benchmarks/gpu_day.py.

First what the card can do at best: large matrix products and a copy. Then images per second, the
operations of a step as a share of such a product, and peak memory, of every method at several
sizes and in every precision, what matters most first. Each is timed twice.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import networks
from benchmarks import gan_step
from benchmarks.gpu_rows import Row, Task
from benchmarks.training_step import CLASS_NAMES, Timer, pix2pix
from callbacks.record import peak_memory_mb
from lightning_modules import Classifier, Segmenter
from lightning_modules.training_module import TrainingModule

_COUNTED_BATCH = 4
"""Images of the step whose operations are counted: the groups of minibatch deviation."""

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        pixels: Sides of the images.
        width: Of GANs, in the papers 512; of all others in proportion.
        batch: Images at the first size, and in proportion to 1 / side at the others.
        steps: That a timing takes: a round of the lazy penalties.
        row_s: Seconds that a row may take.
        compile_s: Seconds that one may take that compiles.
    """

    pixels: tuple[int, ...] = (256, 512)
    width: int = 512
    batch: int = 16
    steps: int = 16
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
VARIANTS = ("bf16", "fp32", "tf32", "fp16", "bf16+channels_last")
COMPILED = "bf16+compiled"


def order(pixels: tuple[int, ...], names: tuple[str, ...]) -> list[tuple[str, int, str]]:
    """(method, side, variant): what matters most first, so that the time may end anywhere."""
    important = tuple(name for name in names if name in IMPORTANT)
    others = tuple(name for name in names if name not in IMPORTANT)
    eager = {
        kind: [[(name, size, v) for v in VARIANTS for name in kind] for size in pixels]
        for kind in (important, others)
    }
    compiled = {
        kind: [[(name, size, COMPILED) for name in kind] for size in pixels]
        for kind in (important, others)
    }
    rows = [*eager[important][0], *eager[others][0], *compiled[important][0]]
    for place in range(1, len(pixels)):
        rows += [*eager[important][place], *eager[others][place]]
    rows += compiled[others][0]
    for place in range(1, len(pixels)):
        rows += [*compiled[important][place], *compiled[others][place]]
    return rows


def tasks(sizes: Sizes, device: torch.device) -> Iterator[Task]:
    """Ceilings, then every row of the table."""
    yield from ceilings(sizes, device)
    made = methods(sizes.width)
    flops: dict[tuple[str, int], float] = {}
    for name, size, variant in order(sizes.pixels, tuple(made)):
        row = {"method": name, "size": size, "variant": variant, "batch": sizes.batch_at(size)}
        measure = partial(_timed, made[name], name, size, variant, sizes, device, flops)
        slow = variant == COMPILED
        yield Task(row, measure, sizes.compile_s if slow else sizes.row_s)


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


def _timed(
    make: Callable[[int], TrainingModule],
    name: str,
    size: int,
    variant: str,
    sizes: Sizes,
    device: torch.device,
    flops: dict[tuple[str, int], float],
) -> Row:
    """One row of the table."""
    torch.compiler.reset()  # else networks of a class share a limit, and then run uncompiled
    torch.manual_seed(0)
    count = sizes.batch_at(size)
    precision, _, how = variant.partition("+")
    if (name, size) not in flops:
        flops[name, size] = operations(make(size), size, device)
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
    seconds = []
    for _ in range(2):
        timer.module.steps_done = 0
        seconds.append(timer.seconds(batch, sizes.steps) / sizes.steps)
    step = statistics.mean(seconds)
    return {
        "ms_per_step": 1000 * step,
        "spread_percent": 100 * abs(seconds[0] - seconds[1]) / step,
        "images_per_second": count / step,
        "gflop_per_image": flops[name, size] / 1e9,
        "tflops": flops[name, size] * count / step / 1e12,
        "peak_memory_mb": peak_memory_mb(device),
        "warm_up_s": warm,
    }


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


def operations(module: TrainingModule, size: int, device: torch.device) -> float:
    """Floating-point operations of a mean step for one image: products and convolutions."""
    timer = Timer(module, "fp32", device)
    batch = example(module, _COUNTED_BATCH, size, device)
    total = 0.0
    for steps_done, share in _phases(module):
        module.steps_done = steps_done
        with _Counter() as counter:
            timer.step(batch)
        total += share * counter.total
    return total / _COUNTED_BATCH


class _Counter(TorchDispatchMode):
    """Counts as torch's FlopCounterMode, which follows modules by hooks that penalties refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += count(*args, **kwargs, out_val=result)
        return result


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
