"""A small folder of films as PNG with a table, and prepare.py run on it inside this process."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from tests.prepare_runs import run


def draw(seed: int, side: int = 24) -> np.ndarray:
    """A smooth picture that no other seed resembles."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def make_films(root: Path, num: int = 300) -> Path:
    """`num` films, two of each patient, and labels.csv beside them."""
    (root / "films").mkdir(parents=True)
    rows = [["image", "patient", "label", "name"]]
    for number in range(num):
        name = f"Schmidt_{number:04d}.png"
        Image.fromarray(draw(number)).save(root / "films" / name)
        rows.append([name, f"MRN-{number // 2}", ("normal", "abnormal")[number % 3 == 0], "Eva"])
    with open(root / "labels.csv", "w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return root


def films(source: Path, out: Path, *more: str) -> int:
    flags = ("--image-size", "24", "--margin", "0.1", "--clahe", "none")
    return run(
        "image_folder", "--source", source / "films", "--labels", source / "labels.csv",
        "--out", out, *flags, *more,
    )  # fmt: skip


def items(out: Path) -> list[dict[str, str]]:
    with open(out / "items.csv", newline="") as stream:
        return list(csv.DictReader(stream))
