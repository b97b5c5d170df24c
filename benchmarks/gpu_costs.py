"""What stands beside a training on a GPU: loading, distances, audits, augmentations.

Rows of benchmarks/gpu_day.py. Films are the ones carried there; an audit's images are smooth noise
of its size and its embeddings are not trained, which changes nothing in what there is to compute.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from audit.embedding import SIZE, CopyEmbedding
from audit.matching import Gallery, match, points_of
from audit.search import distance_to_nearest, nearest
from audit.views import SIDE
from augmentations.presets import PRESETS
from benchmarks import gan_step
from benchmarks.augmentations import both_of, rate
from benchmarks.gpu_rows import Row, Task
from benchmarks.training_step import Timer
from datamodules import ChestXrayDataModule
from metrics.distances import frechet_distance, kernel_distance
from metrics.features import build_extractor

_WORKERS = (0, 4, 8)
_WHERE_AUGMENTED = (("loader", 0), ("loader", 8), ("device", 8))
_SLOW = 60.0  # seconds that a row may take


@dataclass(frozen=True)
class Given:
    """What is measured on.

    Attributes:
        device: Where.
        films: A film cache; None leaves out what needs one.
        weights: Of timm's tf_efficientnet_lite0; None takes the random VGG alone.
        width: Of the multi-scale GAN that loading is compared with.
        batch: Images of its step.
    steps: Of it, at most an epoch.
        queries: That an audit searches for, among `references`.
        references: Training images of an audit.
        looked_at: Images that go through all of an audit's matching.
        most_films: Of which distances are measured.
    side: Of the augmented images, in pixels.
        seconds: Of a stretch of augmentation.
    """

    device: torch.device
    films: Path | None
    weights: Path | None
    width: int = 512
    batch: int = 32
    steps: int = 29
    queries: int = 40_000
    references: int = 100_000
    looked_at: int = 256
    most_films: int = 100_000
    side: int = 256
    seconds: float = 0.4


# ---- loading and distances -----------------------------------------------------------------------


def shares(given: Given) -> Iterator[Task]:
    """Loader and distances; nothing without films."""
    if given.films is None:
        return
    for workers in _WORKERS:
        row: Row = {"loading": "no augmentation", "where": "loader", "workers": workers}
        yield Task(row, partial(loading, given, "none", "loader", workers), _SLOW)
    extractors: list[tuple[str, Path | None]] = [("random_vgg", None)]
    if given.weights is not None:
        extractors.append(("timm:tf_efficientnet_lite0", given.weights))
    for name, weights in extractors:
        yield Task({"distance": name}, partial(distance, given, name, weights), _SLOW)
    for where, workers in _WHERE_AUGMENTED:
        row = {"loading": "medical", "where": where, "workers": workers}
        yield Task(row, partial(loading, given, "medical", where, workers), _SLOW)


def loading(given: Given, augmentation: str, where: Any, workers: int) -> Row:
    """Share of the time that a multi-scale GAN's steps in bfloat16 wait for films.

    A few steps before wake the workers.
    """
    assert given.films is not None
    data = ChestXrayDataModule(
        str(given.films), given.batch, label_column="none", num_workers=workers,
        augmentation=augmentation, augment_on=where,
    )  # fmt: skip
    module = gan_step.se_msg_pggan(data.image_size, given.width)
    timer = Timer(module, "bf16", given.device)
    trainer: Any = SimpleNamespace(
        lightning_module=module,
        global_rank=0,
        world_size=1,
        strategy=SimpleNamespace(root_device=given.device),
    )
    data.trainer = trainer
    data.setup("fit")
    batches = data.train_dataloader()
    waited = moved = 0.0
    steps, started = 0, time.perf_counter()
    for epoch in range(2):
        waited = moved = 0.0
        steps, started = 0, time.perf_counter()
        asked = started
        for batch in islice(batches, given.steps if epoch else 2):
            waited += time.perf_counter() - asked
            begun = time.perf_counter()
            image = batch["image"].to(given.device, non_blocking=True)
            on_device = data.to_unit({**batch, "image": image})
            _wait(given.device)
            moved += time.perf_counter() - begun
            timer.step(on_device)
            _wait(given.device)
            steps += 1
            asked = time.perf_counter()
    total = time.perf_counter() - started
    return {
        "steps": steps,
        "ms_per_step": 1000 * total / steps,
        "ms_waiting": 1000 * waited / steps,
        "ms_moving_and_augmenting": 1000 * moved / steps,
        "share_of_loading": waited / total,
        "images_per_second": steps * given.batch / total,
    }


def distance(given: Given, name: str, weights: Path | None) -> Row:
    """Seconds of a Frechet and a kernel distance between the halves of all films, twice."""
    assert given.films is not None
    data = ChestXrayDataModule(str(given.films), 64, label_column="none")
    sets = [data.evaluation_set(split) for split in ("train", "val", "test")]
    each = (one[index]["image"] for one in sets for index in range(len(one)))
    films = torch.stack(list(islice(each, given.most_films)))
    extractor = build_extractor(name, weights).to(given.device)
    found: Row = {"films": len(films)}
    for kind in ("cold", "warm"):
        started = time.perf_counter()
        with torch.no_grad():
            parts = [
                extractor(data.to_unit({"image": part.to(given.device)})["image"]).cpu()
                for part in films.split(64)
            ]
        features = torch.cat(parts)
        seen = time.perf_counter()
        one, other = features[::2], features[1::2]
        found["frechet"] = frechet_distance(one, other)
        kernel_distance(one, other, num_subsets=20)
        found[f"features_s_{kind}"] = seen - started
        found[f"distances_s_{kind}"] = time.perf_counter() - seen
    return found


# ---- audit ---------------------------------------------------------------------------------------


def audits(given: Given) -> Iterator[Task]:
    """Search, exactly, then all of the matching; augmentations behind."""
    size = {"queries": given.queries, "references": given.references}
    yield Task({"audit": "nearest patients", **size}, partial(search, given), _SLOW)
    yield Task({"audit": "distance to nearest", **size}, partial(distances, given), _SLOW)
    row = {"audit": "matching", "queries": given.looked_at, "references": given.references}
    yield Task(row, partial(matching, given), 2 * _SLOW)
    for preset in PRESETS:
        if preset == "none":
            continue
        for device in ("cuda", "cpu") if given.device.type == "cuda" else ("cpu",):
            yield Task(
                {"augmentation": preset, "device": device},
                partial(augmenting, given, preset, device),
                10.0,
            )


def _points(count: int, seed: int, device: torch.device) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, SIZE, generator=source)).to(device)


def search(given: Given) -> Row:
    """As an audit searches for whole images; some are compared with float64 on the CPU."""
    queries = _points(given.queries, 0, given.device)
    references = _points(given.references, 1, given.device)
    patients = (torch.arange(given.references) // 2).to(given.device)
    nearest(queries[:500], references, patients, 8, 2)  # wakes the device
    seconds, found = _timed(given.device, lambda: nearest(queries, references, patients, 8, 2))
    some = slice(0, 64)
    cosines = queries[some].cpu().double() @ references.cpu().double().T
    best = cosines.max(1).values
    chosen = cosines.gather(1, found[some, :1].cpu())[:, 0]
    return {
        "seconds": seconds,
        "million_pairs_per_second": given.queries * given.references / seconds / 1e6,
        "largest_loss_of_cosine": float((best - chosen).max()),
    }


def distances(given: Given) -> Row:
    """Of each query to its nearest reference."""
    queries = _points(given.queries, 0, given.device)
    references = _points(given.references, 1, given.device)
    distance_to_nearest(queries[:500], references)
    seconds, _ = _timed(given.device, lambda: distance_to_nearest(queries, references))
    return {
        "seconds": seconds,
        "million_pairs_per_second": given.queries * given.references / seconds / 1e6,
    }


def matching(given: Given) -> Row:
    """Placing the training images, and embedding, search and registration of some queries."""
    network = CopyEmbedding().eval().to(given.device)
    images = _smooth(given.references, 0, given.device)
    queries = _smooth(given.looked_at, 1, given.device)
    points_of(network, images[:1024])
    placing, points = _timed(given.device, lambda: points_of(network, images))
    owners = (torch.arange(given.references) // 2).to(given.device)
    gallery = Gallery(images, owners, points)
    match(network, gallery, queries[:16])
    looking, _ = _timed(given.device, lambda: match(network, gallery, queries))
    return {
        "seconds": looking,
        "ms_per_query": 1000 * looking / given.looked_at,
        "placing_s": placing,
    }


def _smooth(count: int, seed: int, device: torch.device) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    made = torch.empty(count, 1, SIDE, SIDE, dtype=torch.uint8, device=device)
    for part in made.split(4096):
        coarse = torch.rand(len(part), 1, 8, 8, generator=source).to(device)
        part.copy_(255 * F.interpolate(coarse, size=SIDE, mode="bilinear"))
    return made


# ---- augmentations -------------------------------------------------------------------------------


def augmenting(given: Given, preset: str, device: str) -> Row:
    """Images per second that one process draws and augments, on one core or with the GPU."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        work, _, _, images = both_of(preset, given.side, device, given.batch)
        work(0)
        _wait(torch.device(device))
        speed = images * rate(work, given.seconds, device)
    finally:
        torch.set_num_threads(threads)
    return {"images_per_second": speed, "side": given.side}


def _timed(device: torch.device, work: Callable[[], Any]) -> tuple[float, Any]:
    _wait(device)
    started = time.perf_counter()
    result = work()
    _wait(device)
    return time.perf_counter() - started, result


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
