"""What do the noise inputs of a StyleGAN draw? Films with their own noise, with one, with none.

python benchmarks/grid_by_noise.py --data.root CACHE --checkpoints FILE [FILE ...] [--seed 0]

Each checkpoint's films are made three times of the same styles, as many as real films of the split,
and measured as `grid_and_borders.py` does. Where films with one noise for all have their finest
detail in common, and films without noise have none, it is the noise that draws it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.grid_and_borders import interval
from benchmarks.grid_figures import PERIODS, REPLICATES, Figures, Floats, figures_of, resampled
from datamodules.beside_synthetic import film_levels, spread
from datamodules.film_cache import FilmCache
from lightning_modules import GAN
from lightning_modules.loading import load_module
from networks.generator import StyleGenerator
from provenance import UserError


def films_three_times(generator: StyleGenerator, count: int, seed: int) -> dict[str, Floats]:
    """Films (count, S, S) in [-1, 1] by what noise they have.

    Args:
        generator: In evaluation mode.
        count: Films of each kind; all three have the same styles.
        seed: Of the latents.
    """
    latent = generator.draw_latent(count, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        styles, noise = generator.mapping(latent), generator.noise_of(latent)
        if noise is None:
            raise UserError(f"a {type(generator).__name__} has no noise inputs.")
        made = {
            "own noise": generator.synthesis(styles, noise),
            "one noise for all": generator.synthesis(styles, noise[:1].expand_as(noise)),
            "no noise": generator.synthesis(styles, None),
        }
    return {name: films[:, 0].clamp(-1, 1).double().numpy() for name, films in made.items()}


def row(name: str, found: Figures, real: Figures) -> str:
    """Of the table: power on the axes against real films, and the share that all films have."""
    at = [real["axis"].shape[1] * 2 // period - 1 for period in PERIODS[:2]]
    cells = [interval(found["axis"][:, k] / real["axis"][:, k]) for k in at]
    cells += [interval(found["locked"][:, k]) for k in at]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data.root", dest="root", type=Path, required=True)
    parser.add_argument("--checkpoints", nargs="+", type=Path, required=True)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--num-images", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cache = FilmCache.open(options.root)
    chosen = cache.indices(options.split)
    chosen = chosen[spread(len(chosen), options.num_images)]
    patients = cache.patient_ids[chosen].tolist()
    print(
        "| films | axis power at N / 2, times real | at N / 4 | locked at N / 2 | at N / 4 |\n"
        "|---|---|---|---|---|"
    )
    real: Figures = {}
    of_films = resampled(list(map(str, range(len(chosen)))), REPLICATES, 1)  # each by itself
    for path in options.checkpoints:
        try:
            module, _ = load_module(path)
            generator = module.averaged.network if isinstance(module, GAN) else None
            if not isinstance(generator, StyleGenerator):
                raise UserError("holds no generator with styles and noise inputs.")
            if not real:
                read = film_levels(cache, chosen, module.image_size)
                levels = np.stack([read(index)[0] for index in range(len(chosen))])
                weights = resampled(patients, REPLICATES, 0)
                real = figures_of(levels.astype(np.float64) / 127.5 - 1, weights)
                print(row("real", real, real))
            for name, films in films_three_times(generator, len(chosen), options.seed).items():
                found = figures_of(films, of_films)
                print(row(f"{path.parent.parent.name}, {name}", found, real))
        except UserError as error:
            sys.exit(f"grid_by_noise.py: {path}: {error}")


if __name__ == "__main__":
    main()
