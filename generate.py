"""Make a synthetic set from a trained generator.

python generate.py --checkpoint runs/.../best.ckpt --labels data/masks --num-images 1333 \
    --out synthetic/kits19
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from callbacks.pictures import colour_mask, save_png, sheet
from callbacks.sample_grids import grey_levels
from command_line import parsed, run_verb, verb_parser, with_underscores
from datamodules.cache import Cache, CacheItem
from datamodules.synthetic import SyntheticItem, finish_synthetic_set
from lightning_modules import Pix2Pix
from lightning_modules.loading import data_root, load_module
from lightning_modules.training import derived_seed
from provenance import (
    UserError,
    library_versions,
    read_json,
    sha256_of,
    whole_file,
    write_json_atomic,
)
from studies.evaluation_folder import Device, chosen_device

REQUEST = "request.json"


def generate(
    checkpoint: Path,
    labels: Path | None = None,
    num_images: int = 1333,
    out: Path = Path("synthetic/kits19"),
    seed: int = 0,
    batch_size: int = 16,
    dropout: bool = True,
    with_class: str | None = None,
    device: Device = "auto",
    show_progress: bool = True,
) -> Path:
    """Generate images from label maps that hold kidney or tumour.

    Label maps of patients in the validation or test split of the generator's own data are left
    out. Image i depends on the checkpoint, its label map and (seed, i) only, not on the batch
    size. An interrupted call goes on where it stopped when it is repeated.

    Args:
        checkpoint: Of a Pix2Pix run.
        labels: A cache with label maps; None takes the training slices of the generator's data.
        num_images: How many to make. More than there are label maps: these are used again with
            other noise.
        out: Folder of the set; one that holds another set is refused.
        seed: Of the choice of label maps and of the noise.
        batch_size: Images at a time.
        dropout: Keep the generator's dropout active, as in Pix2Pix, where it is the only noise.
        with_class: Only label maps that hold this class, for example "tumour", so that the set
            makes up for its rarity. None takes every label map with any foreground.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        show_progress: A progress bar with the time left.

    Returns:
        The folder of the finished set.

    Raises:
        UserError: A checkpoint that is no generator, no usable label map, other image sizes, or a
            folder that holds something else.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    for flag, value in (("--num-images", num_images), ("--batch-size", batch_size)):
        if value < 1:
            raise UserError(f"{flag} is {value}; it must be 1 or more.")
    target = chosen_device(device)
    module, record = load_module(checkpoint)
    if not isinstance(module, Pix2Pix):
        raise UserError(
            f"{checkpoint}: holds a {type(module).__name__}, which makes no images. Give the "
            "checkpoint of a Pix2Pix run."
        )
    root = labels if labels is not None else data_root(checkpoint, record, "--labels")
    cache = Cache.open(root)
    if cache.image_size != module.image_size:
        raise UserError(
            f"{root}: label maps of {cache.image_size} px, but the generator of {checkpoint} makes "
            f"{module.image_size} px. Prepare them again with --image-size {module.image_size}."
        )
    usable = usable_label_maps(cache, record["split"], labels is None, with_class)
    chosen = choose(usable, num_images, seed)
    request = {
        "checkpoint_sha256": sha256_of(checkpoint),
        "label_maps": cache.split_id,
        "num_images": num_images,
        "seed": seed,
        "dropout": dropout,
        "with_class": with_class,
    }
    _claim_folder(out, request)

    module.to(target)
    items = [
        SyntheticItem(
            id=f"synthetic_{place:06d}",
            seed=derived_seed(seed, "generate", place),
            label_item_id=source.id,
            label_patient_id=source.patient_id,
            class_pixels=source.class_pixels,
        )
        for place, source in enumerate(chosen)
    ]
    starts = range(0, num_images, batch_size)
    for start in tqdm(starts, desc="generate", unit="batch", disable=not show_progress):
        part = list(zip(items, chosen, strict=True))[start : start + batch_size]
        part = [pair for pair in part if not (out / "images" / f"{pair[0].id}.png").exists()]
        if part:
            _make(module, cache, part, out, dropout)
    finish_synthetic_set(
        out,
        items,
        {
            "dataset": record["dataset"],
            "image_size": module.image_size,
            "class_names": record["class_names"],
            "synthetic": True,
            "seed": seed,
            "label_cache": {"dataset": cache.dataset, "split_id": cache.split_id},
            "generator": {
                "checkpoint_sha256": request["checkpoint_sha256"],
                "module": type(module).__name__,
                "images_seen": record["images_seen"],
                "split_id": record["split"]["split_id"],
                "training_patients": record["split"]["train"],
                **(
                    {"training_items": record["split"]["training_items"]}
                    if record["split"]["by"] == "slice"
                    else {}
                ),
            },
            "versions": library_versions(),
        },
        command=_command(checkpoint, labels, out, request),
    )
    _contact_sheet(out, items[:8])
    return out


def usable_label_maps(
    cache: Cache, split: dict[str, Any], own_data: bool, with_class: str | None = None
) -> list[CacheItem]:
    """Label maps with kidney or tumour that no validation or test patient of the generator has.

    Args:
        cache: Where the label maps lie.
        split: Of the generator's data, from its checkpoint.
        own_data: Whether the cache is the generator's own, whose training split alone is used.
        with_class: Only label maps that hold the class of this name.

    Raises:
        UserError: None is left.
    """
    items = cache.select("train" if own_data else None, foreground_only=True)
    wanted = "kidney or tumour" if with_class is None else with_class
    if with_class is not None:
        if with_class not in cache.class_names[1:]:
            raise UserError(
                f"--with-class {with_class}: {cache.root} has the classes "
                f"{', '.join(cache.class_names[1:])}."
            )
        label = cache.class_names.index(with_class)
        items = [item for item in items if item.class_pixels[label] > 0]
    if split["by"] == "slice":
        held_out = set(split["held_out_items"])
        left = [item for item in items if item.id not in held_out]
    else:
        held_out = {*split["val"], *split["test"]}
        left = [item for item in items if item.patient_id not in held_out]
    dropped = {item.patient_id for item in items} - {item.patient_id for item in left}
    if dropped:
        print(
            f"{cache.root}: left out {len(items) - len(left)} label maps of {len(dropped)} "
            "patients who are in the validation or test split of the generator's data.",
            file=sys.stderr,
        )
    if not left:
        raise UserError(
            f"{cache.root}: no label map with {wanted} is left"
            + (f" of {len(items)}, all of held-out patients" if items else "")
            + ". Give label maps of other patients with --labels."
        )
    return left


def choose(usable: list[CacheItem], num_images: int, seed: int) -> list[CacheItem]:
    """Draw label maps without replacement, round after round until there are enough."""
    random = np.random.default_rng([seed, 1])
    rounds = [random.permutation(len(usable)) for _ in range(-(-num_images // len(usable)))]
    return [usable[int(place)] for place in np.concatenate(rounds)[:num_images]]


def _make(
    module: Pix2Pix,
    cache: Cache,
    part: list[tuple[SyntheticItem, CacheItem]],
    out: Path,
    dropout: bool,
) -> None:
    masks = np.stack([cache.mask(source) for _, source in part])
    conditions = torch.from_numpy(masks).to(module.device)
    images = module.synthesise(conditions, [item.seed for item, _ in part], dropout)
    for (item, _), image, mask in zip(part, grey_levels(images), masks, strict=True):
        _save(out / "masks" / f"{item.id}.png", mask)
        _save(out / "images" / f"{item.id}.png", image)


def _save(path: Path, pixels: np.ndarray) -> None:
    """A PNG gets its name when it is whole, so that an interrupted call can trust what is there."""
    with whole_file(path) as stream:
        Image.fromarray(pixels).save(stream, format="PNG")


def _claim_folder(out: Path, request: dict[str, Any]) -> None:
    """Start a set, or continue exactly this one; refuse everything else."""
    if (out / REQUEST).is_file():
        earlier = read_json(out / REQUEST)
        differing = [key for key in request if earlier.get(key) != request[key]]
        if differing:
            raise UserError(
                f"--out {out}: holds a set that was asked for with another "
                f"{', '.join(differing)}. Nothing is overwritten; choose another folder."
            )
        for leftover in out.glob("*/.*.part"):  # of a call that was killed
            leftover.unlink()
    elif out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out}: is not empty. Nothing is overwritten; choose another one.")
    else:
        write_json_atomic(out / REQUEST, request)


def _contact_sheet(out: Path, items: list[SyntheticItem]) -> None:
    read = [
        (np.asarray(Image.open(out / kind / f"{item.id}.png")))
        for item in items
        for kind in ("masks", "images")
    ]
    rows = [[colour_mask(mask) for mask in read[::2]], read[1::2]]
    save_png(out / "sheet.png", sheet(rows, row_titles=["label map", "synthetic"], cell_size=160))


def _command(checkpoint: Path, labels: Path | None, out: Path, request: dict[str, Any]) -> str:
    """What to type for the same set, without what is a default."""
    words = [f"python generate.py --checkpoint {checkpoint}"]
    words += [f"--labels {labels}"] if labels is not None else []
    words += [f"--num-images {request['num_images']} --out {out} --seed {request['seed']}"]
    words += [] if request["dropout"] else ["--dropout false"]
    words += [f"--with-class {request['with_class']}"] if request["with_class"] else []
    return " ".join(words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = verb_parser("generate.py", __doc__)
    parser.add_function_arguments(generate, as_group=False, skip={"show_progress"})
    settings = parsed(parser, with_underscores(given))
    settings.pop("config")
    out = generate(**vars(settings))
    print(f"{settings.num_images} synthetic images with their label maps: {out} (see sheet.png)")
    return 0


if __name__ == "__main__":
    sys.exit(run_verb("generate.py", main))
