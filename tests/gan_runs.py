"""A tiny GAN of films, trained for one epoch inside this process."""

from pathlib import Path

import train

ROOT = Path(__file__).parents[1]


def trained(films: Path, config: str, run_folder: Path, *more: str) -> Path:
    """Its last checkpoint; `more` are further flags, of which the later ones win."""
    words = [
        f"--config={ROOT / f'configs/chest_xray/{config}.yaml'}",
        f"--data.root={films}",
        "--data.batch_size=4",
        "--model.generator.width=8",
        "--model.discriminator.width=8",
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--wandb=disabled",
        "--samples_every_epochs=0",
        "--distance.num_images=0",
        f"--run_folder={run_folder}",
    ]
    return train.fit(["fit", *words, *more]).last_checkpoint
