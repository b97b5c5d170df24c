"""The curves of a training, from the metrics.csv of its run folder."""

import csv
import itertools
import math
from pathlib import Path

MOST_POINTS = 300

Curve = list[tuple[float, float]]


def read_curves(path: Path) -> dict[str, Curve]:
    """Every curve as (images seen, value), in the order of training.

    A run that was killed and resumed wrote some steps twice: the later line counts. Curves with
    more than `MOST_POINTS` points are averaged in equal bins, since a plot shows no more.

    Args:
        path: metrics.csv. A missing file gives no curves; lines cut short are left out.
    """
    return {
        name: _thinned([(images_seen, value) for images_seen, _, value in rows])
        for name, rows in read_points(path).items()
    }


def read_points(path: Path) -> dict[str, list[tuple[float, int, float]]]:
    """Every value as (images seen, epoch from 0, value), in the order of training, none left out.

    Args:
        path: metrics.csv. A missing file gives nothing; lines cut short are left out.
    """
    path = Path(path)
    if not path.is_file():
        return {}
    points: dict[str, dict[float, tuple[int, float]]] = {}
    with open(path, newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            try:
                name, value = row["name"], float(row["value"])
                images_seen, epoch = float(row["images_seen"]), int(row["epoch"])
            except (KeyError, TypeError, ValueError):
                continue
            if name and math.isfinite(value) and math.isfinite(images_seen):
                points.setdefault(name, {})[images_seen] = epoch, value
    return {
        name: [(seen, epoch, value) for seen, (epoch, value) in sorted(by_images.items())]
        for name, by_images in sorted(points.items())
    }


def _thinned(curve: Curve) -> Curve:
    if len(curve) <= MOST_POINTS:
        return curve
    edges = [round(index * len(curve) / MOST_POINTS) for index in range(MOST_POINTS + 1)]
    return [
        (curve[end - 1][0], math.fsum(value for _, value in curve[start:end]) / (end - start))
        for start, end in itertools.pairwise(edges)
    ]
