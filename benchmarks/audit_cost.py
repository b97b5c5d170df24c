"""What does an audit cost in time and memory, and how does that grow with the images?

python benchmarks/audit_cost.py [--sizes 3000 12000 48000 100000] [--queries 32] [--out FILE.json]

For each number of training images a process of its own looks at some images as an audit does, with
one embedding, and says how much processor time it took and how much memory it held at most. Time is
that of the processor, so other work on the machine counts little. Two lines are put through it: so
much for an image, and so much for an image and a training image. Images are smooth noise of 64
pixels and embeddings are not trained: neither changes what there is to compute.
"""

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from provenance import write_json_atomic

SIDE = 64
_STEPS = 5
EMBEDDINGS = 2
KINDS = 19
NUM_PLANTED = 100
NUM_HELD_OUT = 2000
"""What `evaluate.py audit` looks at besides the set, unless it is told another number: sixteen
disguises, two kinds of rebuilt copies, and rebuilt images that are none."""

SHOWN = ((2000, 3000), (40_000, 100_000))


@dataclass(frozen=True)
class Cost:
    """Of one number of training images, with one embedding.

    Attributes:
        training: Images.
        queries: Images that were looked at.
        placing: Processor seconds in which the training images were placed by the embedding.
        looking: Processor seconds for all queries.
        learning: Processor seconds for a step of the embedding's training.
        memory: The most that the process held, in bytes, with libraries.
        libraries: What it held before any image.
    """

    training: int
    queries: int
    placing: float
    looking: float
    learning: float
    memory: int
    libraries: int


@dataclass(frozen=True)
class Growth:
    """Processor seconds with one embedding.

    Attributes:
        query: For an image, however many training images there are.
        pair: For an image and a training image.
        placing: For a training image, once.
        learning: For the embedding's training.
    """

    query: float
    pair: float
    placing: float
    learning: float

    def audit(self, synthetic: int, training: int) -> float:
        """Processor seconds of a whole audit with as many held-out and planted images as usual."""
        queries = synthetic + NUM_HELD_OUT + KINDS * NUM_PLANTED
        looking = queries * (self.query + self.pair * training)
        return EMBEDDINGS * (looking + self.placing * training + self.learning)


def growth(costs: Sequence[Cost], steps: int) -> Growth:
    """Least squares over at least two numbers of training images.

    Relative errors count: else the largest number alone would say what an image costs.
    """
    each = np.array([cost.looking / cost.queries for cost in costs])
    shape = np.array([[1.0, cost.training] for cost in costs]) / each[:, None]
    query, pair = np.linalg.lstsq(shape, np.ones(len(costs)), rcond=None)[0].tolist()
    placing = float(np.mean([cost.placing / cost.training for cost in costs]))
    learning = steps * float(np.mean([cost.learning for cost in costs]))
    return Growth(query, pair, placing, learning)


def cost(training: int, queries: int) -> Cost:
    """Measure one number of training images, in this process."""
    import torch
    import torch.nn.functional as F

    from audit.embedding import CopyEmbedding, train_embedding
    from audit.matching import Gallery, match, points_of

    torch.set_num_threads(1)
    libraries = _most_held()
    source = torch.Generator().manual_seed(0)

    def smooth(count: int) -> torch.Tensor:
        made = torch.empty(count, 1, SIDE, SIDE, dtype=torch.uint8)
        for part in made.split(1024):  # so that the noise itself takes no memory to speak of
            coarse = torch.rand(len(part), 1, 8, 8, generator=source)
            part.copy_(255 * F.interpolate(coarse, size=SIDE, mode="bilinear"))
        return made

    images, network = smooth(training), CopyEmbedding().eval()
    started = time.process_time()
    points = points_of(network, images)
    placed = time.process_time()
    # Two images for each patient, as in the films that were looked at.
    match(network, Gallery(images, torch.arange(training) // 2, points), smooth(queries))
    looked = time.process_time()
    memory = _most_held()
    train_embedding(images, 0, steps=2)  # the first steps of a process take longer than the rest
    warm = time.process_time()
    train_embedding(images, 0, steps=_STEPS)
    learnt = time.process_time()
    return Cost(
        training,
        queries,
        placed - started,
        looked - placed,
        (learnt - warm) / _STEPS,
        memory,
        libraries,
    )


def _most_held() -> int:
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else 1024 * held


def table(costs: Sequence[Cost], found: Growth) -> str:
    """Markdown."""
    lines = [
        "| training images | images looked at | processor time for an image, both embeddings | "
        "placing all training images | most memory |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.training:,} | {one.queries} | "
        f"{1000 * EMBEDDINGS * one.looking / one.queries:.0f} ms | "
        f"{EMBEDDINGS * one.placing:.1f} s | {one.memory / 2**20:,.0f} MiB, of which libraries "
        f"{one.libraries / 2**20:,.0f} |"
        for one in costs
    ]
    lines += [
        "",
        f"For an image {1000 * EMBEDDINGS * found.query:.1f} ms, and "
        f"{1e6 * EMBEDDINGS * found.pair:.2f} ms more for every 1,000 training images; training "
        f"both embeddings {EMBEDDINGS * found.learning:.0f} s.",
        "",
        "| audit | processor time |",
        "|---|---|",
    ]
    lines += [
        f"| {synthetic:,} synthetic images, {training:,} training images, {NUM_HELD_OUT:,} "
        f"held-out, {KINDS} x {NUM_PLANTED} planted | {found.audit(synthetic, training):,.0f} "
        f"s = {found.audit(synthetic, training) / 3600:.2f} h |"
        for synthetic, training in SHOWN
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[3000, 12_000, 48_000, 100_000])
    parser.add_argument("--queries", type=int, default=32)
    parser.add_argument("--out", type=Path, help="JSON with all figures")
    options = parser.parse_args()
    if len(set(options.sizes)) < 2 or min(options.sizes) < 20 or options.queries < 1:
        parser.error("--sizes needs two different numbers of at least 20, --queries at least 1")
    from audit.embedding import STEPS

    costs = []
    for size in options.sizes:
        # A process holds on to what it once had: each number gets its own.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            costs.append(pool.submit(cost, size, options.queries).result())
        print(costs[-1], flush=True)
    found = growth(costs, STEPS)
    print(table(costs, found))
    if options.out is not None:
        write_json_atomic(
            options.out, {"costs": [asdict(one) for one in costs], "growth": asdict(found)}
        )


if __name__ == "__main__":
    main()
