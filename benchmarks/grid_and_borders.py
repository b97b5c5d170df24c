r"""Do generated films have a grid, or other borders than real ones?

python benchmarks/grid_and_borders.py --data.root CACHE --out FOLDER \
    --sets NAME=SET[,SET...] [NAME=SET...] [--split test] [--num-images 500]

SETs are folders that generate.py wrote; several of one NAME are trainings of one method. A grid is
what layers leave that double the resolution: a step between neighbouring pixels that depends on
whether both came from one pixel of a smaller resolution, more power at the frequencies of such
steps, and power that is the same in all films. FOLDER gets figures.json, tables.md, spectrum.png,
borders.png, sheet_real.png and of each SET sheet_NAME_NUMBER.png, enlarged: the first 64 of the
films that are compared, which are spread evenly over the split, or over the SET, in its order.
sheet_real.png shows patients; the other sheets show no one's films.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.grid_figures import (
    PERIODS,
    REPLICATES,
    RINGS,
    Figures,
    Floats,
    figures_of,
    resampled,
)
from datamodules.open_cache import open_cache
from datamodules.synthetic import SyntheticSet
from display.figures import COLOURS, DASHES, new_figure, png, styled
from display.sheet import sheet
from evaluation.images.compared_sets import ImageSet, compared_sets
from output_folder import claim_folder
from provenance import UserError, sha256_of, whole_file, write_json_atomic


def _read(images: ImageSet) -> Floats:
    levels = [images.read(index)[0] for index in range(len(images))]
    return np.stack(levels).astype(np.float64) / 127.5 - 1


def interval(values: Floats) -> str:
    """Of (1 + replicates,) values: the first, with the middle 95 % of the others."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return f"{values[0]:.3g} [{low:.3g} to {high:.3g}]"


def tables(figures: Mapping[str, Figures], real: Figures) -> str:
    """Markdown: of each set the grid against real films, then the borders."""
    side = 2 * real["axis"].shape[1]
    heads = [f"step, period {p}" for p in PERIODS]
    heads += [f"axis power at {side // p}, times real" for p in PERIODS]
    heads += [f"locked at {side // p}" for p in PERIODS]
    lines = ["| set | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for name, found in {"real": real, **figures}.items():
        cells = [interval(found["step"][:, place]) for place in range(len(PERIODS))]
        at = [side // period - 1 for period in PERIODS]
        cells += [interval(found["axis"][:, k] / real["axis"][:, k]) for k in at]
        cells += [interval(found["locked"][:, k]) for k in at]
        if name == "real":
            cells[3:6] = ["1"] * 3
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for what in ("mean", "deviation", "slope"):
        lines += ["", f"| {what}, pixels from the border | "]
        lines[-1] += " | ".join(map(str, range(RINGS))) + " |"
        lines.append("|---" * (1 + RINGS) + "|")
        for name, found in {"real": real, **figures}.items():
            cells = [interval(found[what][:, ring]) for ring in range(RINGS)]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


@styled
def _curves(figures: Mapping[str, Figures], panels: Mapping[str, str], log: bool, x: str) -> bytes:
    figure, axes = new_figure(1, len(panels), figsize=(4.2 * len(panels), 3.4), squeeze=False)
    for panel, (key, title) in zip(axes[0], panels.items(), strict=True):
        for number, (name, found) in enumerate(figures.items()):
            values = found[key]
            places = np.arange(values.shape[1]) + (1 if log else 0)
            low, high = np.quantile(values[1:], [0.025, 0.975], axis=0)
            colour = COLOURS[-1] if name == "real" else COLOURS[(number - 1) % 6]
            dash = DASHES[number % len(DASHES)]
            panel.plot(places, values[0], color=colour, linestyle=dash, label=name, linewidth=1.6)
            panel.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
        if log:
            panel.set_yscale("log")
        if key == "locked":
            panel.set_ylim(1e-3, 1)
        panel.set_title(title)
        panel.set_xlabel(x)
    axes[0][0].legend(fontsize=8)
    return png(figure)


def _sheet_of(films: Floats, cell: int = 128) -> Image.Image:
    levels = np.rint((films[:64] + 1) * 127.5).astype(np.uint8)
    rows = [list(levels[start : start + 8]) for start in range(0, len(levels), 8)]
    return Image.fromarray(sheet(rows, cell_size=cell))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data.root", dest="root", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", required=True, metavar="NAME=SET[,SET...]")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--num-images", type=int, default=500)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        measure(options.root, options.sets, options.split, options.num_images, options.out)
    except UserError as error:
        sys.exit(f"grid_and_borders.py: {error}")


def measure(root: Path, sets: Sequence[str], split: str, num_images: int, out: Path) -> None:
    """Write all of FOLDER.

    Raises:
        UserError: A set without a name, or sets that cannot be compared.
    """
    if unnamed := [one for one in sets if "=" not in one]:
        raise UserError(f"--sets {unnamed[0]}: expected NAME=FOLDER, or NAME=FOLDER,FOLDER.")
    cache = open_cache(root)
    real: Figures = {}
    figures: dict[str, Figures] = {}
    named = [one.partition("=")[::2] for one in sets]
    opened = [(name, list(map(SyntheticSet.open, rest.split(",")))) for name, rest in named]
    identity = {
        "task": "grid_and_borders",
        "real_sha256": cache.content_sha256,
        "sets": {n: [sha256_of(s.root / "manifest.json") for s in some] for n, some in opened},
        "split": split,
        "num_images": num_images,
    }
    claim_folder(out, "begun.json", identity, "benchmark")
    for name, some in opened:
        trainings: list[Figures] = []
        for number, one in enumerate(some):
            films, fakes = compared_sets(one, cache, split, num_images)
            if not real:
                levels = _read(films)
                real = figures_of(levels, resampled(films.patients, REPLICATES, 0))
                _save(_sheet_of(levels), out / "sheet_real.png")
            made = _read(fakes)
            weights = resampled(fakes.patients, REPLICATES, 1 + len(figures) * 100 + number)
            trainings.append(figures_of(made, weights))
            _save(_sheet_of(made), out / f"sheet_{name}_{number}.png")
        for number, found in enumerate(trainings if len(trainings) > 1 else []):
            figures[f"{name}, training {number}"] = found
        figures[name] = {
            key: np.mean([found[key] for found in trainings], 0) for key in trainings[0]
        }
    text = tables(figures, real)
    print(text)
    with whole_file(out / "tables.md") as stream:
        stream.write(text.encode())
    means = {"real": real} | {n: f for n, f in figures.items() if ", training " not in n}
    cycles = "cycles per film"
    spectra = {
        "radial": "power",
        "axis": "power on the axes",
        "locked": "share common to all films",
    }
    borders = {"mean": "mean", "deviation": "deviation over films", "slope": "step inwards"}
    for file, drawn in (
        ("spectrum.png", _curves(means, spectra, True, cycles)),
        ("borders.png", _curves(means, borders, False, "pixels from the border")),
    ):
        with whole_file(out / file) as stream:
            stream.write(drawn)
    write_json_atomic(
        out / "figures.json",
        {
            name: {key: _plain(values) for key, values in found.items()}
            for name, found in {"real": real, **figures}.items()
        },
    )


def _plain(values: Floats) -> dict[str, Any]:
    low, high = np.quantile(values[1:], [0.025, 0.975], axis=0)
    return {"value": values[0].tolist(), "low": low.tolist(), "high": high.tolist()}


def _save(image: Image.Image, where: Path) -> None:
    with whole_file(where) as stream:
        image.save(stream, format="PNG")


if __name__ == "__main__":
    main()
