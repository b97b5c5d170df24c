"""Make a synthetic set from a trained generator.

python generate.py --checkpoint runs/pix2pix/checkpoints/best.ckpt --labels data/masks \
    --num-images 1333 --out synthetic/kits19
python generate.py --checkpoint runs/stylegan/checkpoints/best.ckpt --num-images 10000 \
    --truncation 0.7 --seed 1 --out synthetic/films --interpolation synthetic/films.webp
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from command_line import parsed, run_verb, verb_parser, with_underscores
from lightning_modules import GAN, Pix2Pix
from lightning_modules.loading import load_module
from provenance import UserError
from studies.evaluation_folder import Device, chosen_device
from studies.film_generation import ImageFormat, generate_films
from studies.generation import Generation
from studies.label_map_generation import generate_slices


def generate(
    checkpoint: Path,
    num_images: int = 1333,
    out: Path | None = None,
    seed: int = 0,
    batch_size: int = 16,
    labels: Path | None = None,
    with_class: str | None = None,
    dropout: bool | None = None,
    truncation: float | None = None,
    format: ImageFormat | None = None,
    label: str | None = None,
    interpolation: Path | None = None,
    device: Device = "auto",
    show_progress: bool = True,
) -> Path:
    """Generate slices from label maps with a Pix2Pix, or films from noise with a GAN.

    Image i depends on the checkpoint, (seed, i), and what its generator is told: its label map and
    the dropout, or the truncation; not on the batch size. An interrupted call goes on where it
    stopped when it is repeated.

    Args:
        checkpoint: Of a Pix2Pix, GAN or GrowingGAN run.
        num_images: How many to make.
        out: Folder of the set; one that holds another set is refused. None: synthetic/kits19 for
            slices, synthetic/films for films.
        seed: Of the noise, and of the choice of label maps.
        batch_size: Images at a time. Films are computed in eights whatever it says, so that it
            changes no bit of them.
        labels: Pix2Pix: a cache with label maps; None takes the training slices of the generator's
            data. Those of its validation and test patients are left out.
        with_class: Pix2Pix: only label maps that hold this class, for example "tumour", so that
            the set makes up for its rarity. None takes every label map with any foreground.
        dropout: Pix2Pix: keep the generator's dropout active, where it is the only noise. None:
            true.
        truncation: GAN: 0 to 1; below 1 draws images towards the average one: more usual, less
            varied. Only StyleGAN2 can. None: 1.
        format: GAN: "png", or "npy", which loads faster. None: png.
        label: GAN: the class of all images. None: that of --data.only_label, if the GAN was
            trained with it, else no label.
        interpolation: GAN: also write a short film from image to image, .gif, .png or .webp.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        show_progress: A progress bar with images per second and the time left.

    Returns:
        The folder of the finished set.

    Raises:
        UserError: A checkpoint that is no generator, a flag that its kind cannot use, no usable
            label map, other image sizes, or a folder that holds something else.
    """
    checkpoint = Path(checkpoint)
    for flag, value in (("--num-images", num_images), ("--batch-size", batch_size)):
        if value < 1:
            raise UserError(f"{flag} is {value}; it must be 1 or more.")
    target = chosen_device(device)
    module, record = load_module(checkpoint)
    of_slices = _given(labels=labels, with_class=with_class, dropout=dropout)
    of_films = _given(
        truncation=truncation, format=format, label=label, interpolation=interpolation
    )
    if not isinstance(module, GAN | Pix2Pix):
        raise UserError(
            f"{checkpoint}: holds a {type(module).__name__}, which makes no images. Give the "
            "checkpoint of a Pix2Pix run or of a GAN's."
        )
    name = "films" if isinstance(module, GAN) else "kits19"
    generation = Generation(
        checkpoint=checkpoint,
        module=module.to(target),
        record=record,
        out=Path("synthetic", name) if out is None else Path(out),
        num_images=num_images,
        seed=seed,
        batch_size=batch_size,
        show_progress=show_progress,
    )
    if isinstance(module, GAN):
        _refuse(of_slices, "is for Pix2Pix, which paints label maps", generation)
        generate_films(generation, module, **of_films)
    else:
        _refuse(of_films, "is for GANs, which make films from noise", generation)
        generate_slices(generation, module, **of_slices)
    return generation.out


def _given(**flags: Any) -> dict[str, Any]:
    """Those that were given; the others have their defaults where they are used."""
    return {name: value for name, value in flags.items() if value is not None}


def _refuse(flags: dict[str, Any], purpose: str, generation: Generation) -> None:
    """No flag is ignored without a word."""
    for name in flags:
        raise UserError(
            f"--{name.replace('_', '-')}: {purpose}, but {generation.checkpoint} holds a "
            f"{type(generation.module).__name__}. Leave it out."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = verb_parser("generate.py", __doc__)
    parser.add_function_arguments(generate, as_group=False, skip={"show_progress"})
    settings = parsed(parser, with_underscores(given))
    settings.pop("config")
    out = generate(**vars(settings))
    print(f"{settings.num_images} synthetic images: {out} (see sheet.png)")
    return 0


if __name__ == "__main__":
    sys.exit(run_verb("generate.py", main))
