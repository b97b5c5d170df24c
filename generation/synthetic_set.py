"""A synthetic set while it is made: its folder, its images, its card and its manifest.

Shared by the kinds of generator; what each makes is in `generation.films`, `generation.slices` and
`generation.translation`.
"""

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from cards.finish import finish_synthetic_set
from datamodules.synthetic import SyntheticItem
from display.tensor_images import image_arrays
from generation.generators import TrainedGenerator
from generation.set_files import SetFiles
from knowledge import Knowledge
from licences import Licence, together
from lightning_modules.step.seeds import derived_seed
from output_folder import check_folder, claim_folder, locked
from private_paths import command_for_others
from provenance import UserError, library_versions
from synthetic_marks import NOTICE, as_json

REQUEST = "request.json"

Made = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]
"""Images (n, H, W) or (n, H, W, C), and the label maps (n, H, W) that they were painted on."""


@dataclass(frozen=True)
class Generation:
    """One call of generate.py, whatever the kind of generator.

    Attributes:
        generators: Who makes the images, in the order of the set; one for slices.
        out: Folder of the set.
        seed: Of the whole set.
        batch_size: Images at a time.
        show_progress: A progress bar with images per second and the time left.
        held: Holds the folder against a second generate.py until it is closed.
        licence: Of data of which a generator does not tell it; None: not stated.
        balance: The cache that told the numbers of images; None where they were given.
    """

    generators: Sequence[TrainedGenerator]
    out: Path
    seed: int
    batch_size: int
    show_progress: bool
    held: ExitStack
    licence: Licence | None = None
    balance: Path | None = None

    def seed_of(self, index: int) -> int:
        """Seed of the noise of a generator's image number `index`."""
        return derived_seed(self.seed, "generate", index)

    def claim_folder(self, **asked: Any) -> None:
        """Start the set, or continue exactly this one; refuse everything else.

        Args:
            **asked: What the images depend on besides checkpoint, number and seed; plain values.

        Raises:
            UserError: The folder holds another set, or something else, or another generate.py is
                at work on it.
        """
        for generator in self.generators:
            generator.seen()  # one that cannot say it is refused before any work is done
        request = {
            "checkpoint_sha256": value_or_list([g.checkpoint_sha256 for g in self.generators]),
            "num_images": value_or_list([g.num_images for g in self.generators]),
            "seed": self.seed,
            **asked,
        }
        check_folder(self.out, REQUEST, request, "synthetic set")
        self.held.enter_context(locked(self.out, "generate.py"))
        claim_folder(self.out, REQUEST, request, "synthetic set")

    def write_images(
        self,
        generator: TrainedGenerator,
        items: list[SyntheticItem],
        make: Callable[[range], Made],
        step: int,
        files: SetFiles,
    ) -> None:
        """Make and write a generator's images, without those that an earlier call finished.

        Args:
            generator: Who makes them.
            items: Its images, in their order.
            make: From the indices of a step to its images and label maps. It is asked for all of a
                step even where some are there already: which images are in a batch together stays
                the same, and with it the rounding.
            step: Images in a step.
            files: Where and how they are written.
        """
        there = [files.path(item).exists() for item in items]
        starts = range(0, len(items), step)
        steps = [range(start, min(start + step, len(items))) for start in starts]
        left = [indices for indices in steps if not all(there[index] for index in indices)]

        bar = tqdm(
            total=len(items),
            initial=len(items) - sum(map(len, left)),
            desc="generate" if len(self.generators) == 1 else f"generate {generator.label}",
            unit="image",
            disable=not self.show_progress,
        )
        writing: list[Future[None]] = []
        with bar, ThreadPoolExecutor() as pool:
            for indices in left:
                images, masks = make(indices)
                # One step is written while the next is made, and no more: memory stays the same.
                _wait_for(writing)
                writing = [
                    pool.submit(
                        files.save,
                        items[index],
                        image,
                        None if masks is None else masks[row],
                    )
                    for row, (index, image) in enumerate(zip(indices, images, strict=True))
                    if not there[index]
                ]
                bar.update(len(indices))
            _wait_for(writing)

    def licences(self, lent: Sequence[Licence] = ()) -> list[Licence]:
        """Of all data behind the images; what no generator tells is what the person stated.

        Args:
            lent: Of the label maps that the images are painted on, or the images translated.
        """
        told = [*(one for each in self.generators for one in each.licences()), *lent]
        stated = self.licence
        return together(stated if stated and not one.is_stated else one for one in told)

    def finish(
        self,
        items: list[SyntheticItem],
        flags: dict[str, Any],
        lent: Sequence[Licence] = (),
        also_seen: Knowledge | None = None,
        notice: str = NOTICE,
        **details: Any,
    ) -> None:
        """Write the card and the manifest, which make the set complete.

        Args:
            items: All images.
            flags: What was asked for besides checkpoint, number, folder and seed, for the command
                in the card; None is left out.
            lent: Licences of the label maps that were painted on, or of the images translated.
            also_seen: Whom the images know besides those of whom their generators learnt.
            notice: What the manifest says that the images are.
            **details: What the manifest says besides.
        """
        first = self.generators[0]
        generator = {
            "checkpoint_sha256": value_or_list([g.checkpoint_sha256 for g in self.generators]),
            "module": type(first.module).__name__,
            "images_seen": sum(one.record["images_seen"] for one in self.generators),
            "split_id": first.record["split"]["split_id"],
            "generators": [one.in_manifest for one in self.generators],
        }
        # The leak check asks whom the set knows, whichever of them taught it.
        generator |= reduce(
            or_, [one.seen() for one in self.generators], also_seen or Knowledge()
        ).plain()
        manifest = {
            "dataset": first.record["dataset"],
            "image_size": first.module.image_size,
            "class_names": first.record["class_names"],
            "synthetic": True,
            **as_json(notice),
            "seed": self.seed,
            "generator": generator,
            "licences": [one.plain() for one in self.licences(lent)],
            **details,
            "versions": library_versions(),
        }
        finish_synthetic_set(self.out, items, manifest, self._command(flags))

    def _command(self, flags: dict[str, Any]) -> str:
        """What to type for the same set; without what things are called on this machine."""
        checkpoints = [str(generator.checkpoint) for generator in self.generators]
        given: dict[str, Any] = {
            "num_images": None if self.balance is not None else self.generators[0].num_images,
            "balance": self.balance,
            "out": self.out,
            "seed": self.seed,
            "licence": None if self.licence is None else self.licence.as_text,
            **flags,
        }
        words = ["python", "generate.py", "--checkpoint", *checkpoints]
        for name, value in given.items():
            if value is not None:
                spelt = str(value).lower() if isinstance(value, bool) else str(value)
                words += ["--" + name.replace("_", "-"), spelt]
        return command_for_others(shlex.join(words))


def value_or_list(values: list[Any]) -> Any:
    """The value of the only generator; of several, the list of theirs."""
    return values[0] if len(values) == 1 else values


def finite_pictures(images: Tensor, checkpoint: Path) -> NDArray[np.uint8]:
    """`image_arrays` images, unless the generator's weights have become useless.

    Raises:
        UserError: Some pixel is not a number.
    """
    if not bool(torch.isfinite(images).all()):
        raise UserError(
            f"{checkpoint}: makes images whose pixels are not numbers, so its training has "
            "diverged. Images made before are kept; use an earlier checkpoint of the run, or train "
            "again with a lower --model.learning_rate."
        )
    return image_arrays(images)


def _wait_for(writing: list[Future[None]]) -> None:
    """Until all is written; what went wrong there goes wrong here."""
    for one in writing:
        one.result()
