"""Every augmentation on images of one's own, as a page: figures 1 and 5 of Kim and Bae 2020.

The page shows patients, and stays with the data.
"""

from pathlib import Path
from typing import Any

from augmentations.language import read_policy
from augmentations.mixture import GROUP
from augmentations.operation import Images
from augmentations.presets import PRESETS
from datamodules.open_cache import open_cache
from display.numbers import count
from display.pages import render_page
from provenance import UserError, write_text_atomic
from studies.report.gallery.pictures import training_pictures
from studies.report.gallery.sections import Sections


def write_gallery(
    root: Path,
    out: Path,
    images: int = 2,
    seed: int = 0,
    augmentation: list[Any] | str | None = None,
) -> Path:
    """Show every augmentation of images at three strengths, and every preset, on your own images.

    Outlines of masks are drawn over slices. The page shows patients: it stays with the data.

    Args:
        root: Cache that prepare.py wrote. Images of its training split are shown.
        out: The HTML file to write; one that is there is not overwritten.
        images: How many images to show, spread evenly over the split; for mixing up to three more
            are borrowed.
        seed: Of what is drawn: the same seed gives the same page.
        augmentation: A policy of your own, shown beside the presets: a list of operations or a YAML
            file with one, as in --data.augmentation of train.py.

    Raises:
        UserError: The file is there already, or the cache or the policy cannot be used.
    """
    if images < 1:
        raise UserError(f"--images is {images}; it must be 1 or more.")
    if Path(out).exists():
        raise UserError(
            f"--out {out}: is there already, and nothing is overwritten. Give another file."
        )
    cache = open_cache(str(root))
    shown, names = training_pictures(cache, max(images, GROUP))
    pictures, first = shown[:: len(shown) // images or 1][:images], shown[0]
    kind = Images(len(first.image), first.mask is not None, first.label is not None)
    others = [one for one in shown if all(one is not each for each in pictures)]
    policies: dict[str, list[Any] | str] = {name: name for name in PRESETS if name != "none"}
    if augmentation is not None:
        own = read_policy(augmentation, kind, "--augmentation")
        policies = {"your policy": own.plain(), **policies}
    sections = Sections(kind, names, seed)
    page = render_page(
        Path(__file__).with_name("page.html.j2"),
        root=Path(root).name,
        seed=seed,
        count=count(len(pictures), cache.CONTENTS.removesuffix("s")),
        borrowed=len(others),
        legend=names[1:] if kind.masks else [],
        overview=sections.overview(pictures[0]),
        operations=list(sections.operations(pictures)),
        presets=list(sections.presets(policies, pictures, others)),
        mixing=list(sections.mixing(shown[:GROUP])) if len(shown) > 1 else [],
    )
    write_text_atomic(Path(out), page)
    return Path(out)
