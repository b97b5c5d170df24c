"""Training curves from a run folder's metrics.csv (long format: images_seen,epoch,name,value)."""

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
    path = Path(path)
    if not path.is_file():
        return {}
    points: dict[str, dict[float, float]] = {}
    with open(path, newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            try:
                name, value = row["name"], float(row["value"])
                images_seen = float(row["images_seen"])
            except (KeyError, TypeError, ValueError):
                continue
            if name and math.isfinite(value) and math.isfinite(images_seen):
                points.setdefault(name, {})[images_seen] = value
    return {name: _thinned(sorted(curve.items())) for name, curve in sorted(points.items())}


def _thinned(curve: Curve) -> Curve:
    if len(curve) <= MOST_POINTS:
        return curve
    edges = [round(index * len(curve) / MOST_POINTS) for index in range(MOST_POINTS + 1)]
    return [
        (curve[end - 1][0], math.fsum(value for _, value in curve[start:end]) / (end - start))
        for start, end in itertools.pairwise(edges)
    ]
