"""A synthetic set while it is made: whose folder it is, what it lacks, and what it says of itself.

Shared by the two kinds of generator; what is each one's own is in `label_map_generation` and
`film_generation`.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from callbacks.record import without_paths
from datamodules.synthetic import SyntheticItem, finish_synthetic_set
from display.tensor_images import pictures_of
from generation.generators import Generator
from lightning_modules import GAN, Pix2Pix
from lightning_modules.training import derived_seed
from provenance import (
    UserError,
    library_versions,
    read_json,
    whole_file,
    write_json_atomic,
)

REQUEST = "request.json"


@dataclass(frozen=True)
class Generation:
    """One call of generate.py, whatever the kind of generator.

    Attributes:
        generators: Who makes the images, in the order of the set; one for slices.
        out: Folder of the set.
        seed: Of the whole set.
        batch_size: Images at a time.
        show_progress: A progress bar with images per second and the time left.
        balance: The cache that told the numbers of images; None where they were given.
    """

    generators: Sequence[Generator]
    out: Path
    seed: int
    batch_size: int
    show_progress: bool
    balance: Path | None = None

    @property
    def checkpoint(self) -> Path:
        """File of the first generator, which is the only one of slices."""
        return self.generators[0].checkpoint

    @property
    def module(self) -> GAN | Pix2Pix:
        """The first generator itself."""
        return self.generators[0].module

    @property
    def record(self) -> dict[str, Any]:
        """What the first generator's checkpoint says of it."""
        return self.generators[0].record

    @property
    def num_images(self) -> int:
        """Images of the whole set."""
        return sum(generator.num_images for generator in self.generators)

    def seed_of(self, place: int) -> int:
        """Seed of the noise of image number `place` of a generator."""
        return derived_seed(self.seed, "generate", place)

    def of_each(self, attribute: str) -> Any:
        """An attribute of the generator; of several, the list of theirs."""
        values = [getattr(generator, attribute) for generator in self.generators]
        return values[0] if len(values) == 1 else values

    def claim_folder(self, **asked: Any) -> None:
        """Start the set, or continue exactly this one; refuse everything else.

        Args:
            **asked: What the images depend on besides checkpoint, number and seed; plain values.

        Raises:
            UserError: The folder holds another set, or something else.
        """
        for generator in self.generators:
            generator.seen()  # one that cannot say it is refused before any work is done
        request = {
            "checkpoint_sha256": self.of_each("checkpoint_sha256"),
            "num_images": self.of_each("num_images"),
            "seed": self.seed,
            **asked,
        }
        if (self.out / REQUEST).is_file():
            earlier = read_json(self.out / REQUEST)
            differing = [key for key in request if earlier.get(key) != request[key]]
            if differing:
                raise UserError(
                    f"--out {self.out}: holds a set that was asked for with another "
                    f"{', '.join(differing)}. Nothing is overwritten; choose another folder."
                )
            for leftover in self.out.glob("*/.*.part"):  # of a call that was killed
                leftover.unlink()
        elif self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise UserError(
                f"--out {self.out}: is not empty. Nothing is overwritten; choose another one."
            )
        else:
            write_json_atomic(self.out / REQUEST, request)

    def missing(
        self,
        is_made: Callable[[int], bool],
        step: int,
        generator: Generator | None = None,
    ) -> Iterator[range]:
        """Go through a generator's images in steps, without those that an earlier call finished.

        Args:
            is_made: Whether the image at a place is there.
            step: Images in a step.
            generator: Whose images; None: of the only one.

        Yields:
            The places of a step, all of them even where some are made: who is in a batch with whom
            stays the same, and with it the rounding.
        """
        maker = self.generators[0] if generator is None else generator
        number = maker.num_images
        starts = range(0, number, step)
        steps = [range(start, min(start + step, number)) for start in starts]
        left = [places for places in steps if not all(map(is_made, places))]
        with tqdm(
            total=number,
            initial=number - sum(map(len, left)),
            desc="generate" if len(self.generators) == 1 else f"generate {maker.label}",
            unit="image",
            disable=not self.show_progress,
        ) as bar:
            for places in left:
                yield places
                bar.update(len(places))

    def finish(self, items: list[SyntheticItem], flags: dict[str, Any], **details: Any) -> None:
        """Write the card and the manifest, which make the set complete.

        Args:
            items: All images.
            flags: What was asked for besides checkpoint, number, folder and seed, for the command
                in the card; None is left out.
            **details: What the manifest says besides.
        """
        generator = {
            "checkpoint_sha256": self.of_each("checkpoint_sha256"),
            "module": type(self.module).__name__,
            "images_seen": sum(one.record["images_seen"] for one in self.generators),
            "split_id": self.record["split"]["split_id"],
            "generators": [one.in_manifest for one in self.generators],
        }
        # The leak check asks whom the set knows, whichever of them taught it.
        seen = [one.seen() for one in self.generators]
        generator |= {known: sorted(set().union(*(s[known] for s in seen))) for known in seen[0]}
        manifest = {
            "dataset": self.record["dataset"],
            "image_size": self.module.image_size,
            "class_names": self.record["class_names"],
            "synthetic": True,
            "seed": self.seed,
            "generator": generator,
            **details,
            "versions": library_versions(),
        }
        finish_synthetic_set(self.out, items, manifest, self._command(flags))

    def _command(self, flags: dict[str, Any]) -> str:
        """What to type for the same set; without where on this machine things lie."""
        checkpoints = [str(generator.checkpoint) for generator in self.generators]
        given: dict[str, Any] = {
            "num_images": None if self.balance is not None else self.generators[0].num_images,
            "balance": self.balance,
            "out": self.out,
            "seed": self.seed,
            **flags,
        }
        words = ["python", "generate.py", "--checkpoint", *checkpoints]
        for name, value in given.items():
            if value is not None:
                words += ["--" + name.replace("_", "-"), _spelt(value)]
        return shlex.join(without_paths(words))


def finite_pictures(images: Tensor, checkpoint: Path) -> NDArray[np.uint8]:
    """`pictures_of` images, unless the generator's weights have become useless.

    Raises:
        UserError: Some pixel is not a number.
    """
    if not bool(torch.isfinite(images).all()):
        raise UserError(
            f"{checkpoint}: makes images whose pixels are not numbers, so its training has "
            "diverged. Images made before are kept; use an earlier checkpoint of the run, or train "
            "again with a lower --model.learning_rate."
        )
    return pictures_of(images)


def save_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write (H, W) or (H, W, 3) as .png or .npy, the latter with its channels first.

    The file gets its name when it is whole, so that an interrupted call can trust what is there.
    """
    with whole_file(path) as stream:
        if path.suffix == ".npy":
            np.save(stream, picture if picture.ndim == 2 else np.moveaxis(picture, -1, 0))
        else:
            Image.fromarray(picture).save(stream, format="PNG")


def _spelt(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
