"""How long a training step takes on many GPUs: arithmetic from one GPU's step and the links.

A step is one GPU's work on its share of the batch, then, for each network by itself, one flat
all-reduce of its gradients after its backward pass. Nothing is sent while anything is computed, as
`lightning_modules/distributed.py` does it. Seconds, bytes, and bytes a second throughout.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

FLAT_PASSES = 6
"""Times that the gradients go through a GPU's memory besides: into the flat tensor and out of it,
and the division, each read and written."""


@dataclass(frozen=True)
class Range:
    """What is known of a number: it lies between the two."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"{self.low} to {self.high} is no range of a quantity.")


@dataclass(frozen=True)
class Link:
    """A way between devices.

    Attributes:
        name: As vendors call it.
        rate: Bytes a second in one direction that a collective gets.
        latency: Seconds of one step of a ring.
    """

    name: str
    rate: float
    latency: float


@dataclass(frozen=True)
class Cluster:
    """Equal nodes.

    Attributes:
        inside: The link between the GPUs of a node, which each has by itself.
        between: That of a node to the others, which its GPUs share.
        per_node: GPUs of a node.
    """

    inside: Link
    between: Link
    per_node: int = 8


@dataclass(frozen=True)
class Method:
    """A training, by one GPU's step.

    Attributes:
        name: Of the method.
        batch: Images of the step that was timed.
        seconds: Of that step.
        gradients: Bytes of each network's gradients, which are sent once a step.
        scalars: Means over the global batch that a loss waits for in a step; each is an all-reduce
            of a few bytes.
        buffers: Bytes of running statistics and scalars, averaged after each step in one
            all-reduce; 0 where there are none.
    """

    name: str
    batch: int
    seconds: float
    gradients: tuple[int, ...]
    scalars: int = 0
    buffers: int = 0


def all_reduce(size: float, gpus: int, cluster: Cluster) -> float:
    """Seconds of an all-reduce of so many bytes, inside nodes first and between them then.

    A ring of n moves 2 (n - 1) / n of the bytes over each link in 2 (n - 1) steps. With several
    nodes each GPU owns a part of what its node has summed up, and the parts of all of a node's GPUs
    go over its one link.

    Args:
        size: Bytes.
        gpus: That take part; whole nodes, or a part of one.
        cluster: Their links.

    Raises:
        ValueError: More GPUs than a node has that fill no nodes.

    Source: Patarasuk and Yuan 2009, doi:10.1016/j.jpdc.2008.09.002; the factor is that of NVIDIA's
    nccl-tests, doc/PERFORMANCE.md.
    """
    if gpus > cluster.per_node and gpus % cluster.per_node:
        raise ValueError(f"{gpus} GPUs are no whole nodes of {cluster.per_node}.")
    here = min(gpus, cluster.per_node)
    nodes = gpus // here
    seconds = 0.0
    for count, link in ((here, cluster.inside), (nodes, cluster.between)):
        seconds += 2 * (count - 1) * (size / count / link.rate + link.latency)
    return seconds


def exchange(method: Method, gpus: int, cluster: Cluster, memory_rate: float) -> float:
    """Seconds of a step in which gradients, means over the batch and buffers are made the same."""
    if gpus == 1:
        return 0.0
    seconds = method.scalars * all_reduce(8, gpus, cluster)
    if method.buffers:
        seconds += all_reduce(method.buffers, gpus, cluster)
    for size in method.gradients:
        seconds += all_reduce(size, gpus, cluster) + FLAT_PASSES * size / memory_rate
    return seconds


def computing(method: Method, batch: float) -> Range:
    """Seconds of one GPU's work on a batch of another size than the timed one.

    Where arithmetic binds it is in proportion to the batch; where the launching of kernels does,
    it is the same. Which of both was not measured, and the truth lies between.
    """
    in_proportion = method.seconds * batch / method.batch
    return Range(min(in_proportion, method.seconds), max(in_proportion, method.seconds))


@dataclass(frozen=True)
class Throughput:
    """Of a method on so many GPUs.

    Attributes:
        images: A second, all GPUs together.
        share: Of a step that is exchange, where it is largest.
        loader: Images a second that one GPU's loaders must bring.
    """

    images: Range
    share: float
    loader: float


def throughput(
    method: Method, gpus: int, cluster: Cluster, memory_rate: float, keep_global: bool
) -> Throughput:
    """Images a second, with as many images a GPU as were timed, or as many in all.

    Raises:
        ValueError: The global batch has fewer images than there are GPUs.
    """
    if keep_global and gpus > method.batch:
        raise ValueError(f"{method.batch} images cannot be shared by {gpus} GPUs.")
    own = method.batch / gpus if keep_global else method.batch
    work, sent = computing(method, own), exchange(method, gpus, cluster, memory_rate)
    images = Range(own * gpus / (work.high + sent), own * gpus / (work.low + sent))
    return Throughput(images, sent / (work.low + sent), images.high / gpus)


def binds_first(
    method: Method,
    gpus: int,
    cluster: Cluster,
    memory_rate: float,
    keep_global: bool,
    loader_rate: float,
) -> str:
    """What adds most to a step past one GPU's share of the arithmetic.

    Args:
        method: The training.
        gpus: How many.
        cluster: Their links.
        memory_rate: Of a GPU's memory.
        keep_global: Whether the global batch stays as it was timed.
        loader_rate: Images a second that the loaders of one GPU can bring.
    """
    found = throughput(method, gpus, cluster, memory_rate, keep_global)
    if found.loader > loader_rate:
        return "loader"
    own = method.batch / gpus if keep_global else method.batch
    work = computing(method, own)
    sent = exchange(method, gpus, cluster, memory_rate)
    idle = work.high - work.low
    if max(sent, idle) < 0.1 * work.low:
        return "arithmetic"
    if idle >= sent:
        return "launching"
    inside = replace(cluster, between=replace(cluster.between, rate=float("inf"), latency=0.0))
    within = exchange(method, gpus, inside, memory_rate)
    return "link in the node" if within > sent / 2 else "link between nodes"


def hours(steps: float, seconds: Range) -> Range:
    """GPU hours of so many steps."""
    return Range(steps * seconds.low / 3600, steps * seconds.high / 3600)


def added(parts: Sequence[Range]) -> Range:
    """The sum of what is known by ranges: all low, or all high, at once."""
    return Range(sum(one.low for one in parts), sum(one.high for one in parts))
