"""Lesions put into real slices, or taken out of them, by infilling an erased region."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.conditional.lesion_placement import (
    Labels,
    Pixels,
    Placing,
    dilated,
    healthy_parts,
    parts_of,
    placed,
    shapes_of,
)
from lightning_modules.conditional.paired_gan import PairedGAN
from lightning_modules.conditional.windows import (
    Window,
    checked_window,
    cut,
    put_back,
    window_of,
    windows_of,
)
from lightning_modules.step.seeds import derived_seed
from lightning_modules.training_module import Batch
from losses.adversarial import AdversarialLossName
from losses.region import border_of, region_l1
from provenance import UserError


class LesionInfilling(PairedGAN):
    """Paints a region of a real slice anew, as a label map wishes: with a lesion, or without.

    The generator sees the slice with the region erased, the region, and the wished label map; what
    it paints is put into the region, and every other pixel of the slice stays as it is, to the bit.
    Training takes real slices only, and wishes what is there: a real lesion's place is erased and
    painted with a lesion; or a region of the shape of a lesion, in an organ without one, is erased
    and painted healthy. So a wish that is not true of the slice is what it has learnt for others.

    The networks work on a square window of the slice around the region. To train needs the masks
    of the training split once, for the shapes of their lesions.

    Args:
        generator: Makes the generator, a `ConditionalGenerator`, from the channels of its condition
            (classes, 1 for the region, and the image's), the image's channels and the window.
        discriminator: As of `Pix2Pix`, from the channels of condition and image together.
        image_size: Height and width of slices; None in a configuration stands for the data's.
        num_classes: Labels, with background; None in a configuration stands for the data's.
        class_names: None in a configuration stands for the data's.
        image_channels: 1 for CT; None in a configuration stands for the data's, else for 1.
        lesion: Name of the class that is put in and taken out.
        organ: Name of the class that lesions lie in, and that takes their place.
        window: Side of the window in pixels; None is the whole slice.
        margin: The region is the lesion and all pixels at most so far from it.
        placing: Size of lesions that are put into an organ, and how far inside.
        healthy_share: Share of the training slices with lesions of which a region without one is
            painted, where they hold a part of the organ that has none.
        adversarial_loss: See `Pix2Pix`.
        adversarial_weight: See `Pix2Pix`.
        l1_weight: Weight of the mean absolute difference from the real slice inside the region.
        border_weight: Weight of the same along the inner border of the region, half the margin
            wide, where a seam would show.
        feature_matching_weight: See `Pix2Pix`.
        learning_rate: Of both Adams.
        betas: Of both Adams.
        micro_batches: See `TrainingModule`.
        gradient_clip_norm: See `TrainingModule`; for each network by itself.
        decay_from: See `TrainingModule`.
        seed: See `TrainingModule`.

    Raises:
        UserError: Classes that the data do not have, or a window or margin that cannot be.

    Source: Wu et al. 2018 (ciGAN), arXiv:1807.08093. Deviations: a wished label map in place of a
    class and a mask; the U-Net of Pix2Pix and its feature matching in place of upsampling blocks
    and VGG features; a zero and not noise in the erased region, as the generator has noise inputs;
    an unsmoothed border.
    """

    def __init__(
        self,
        generator: Callable[[int, int, int], nn.Module],
        discriminator: Callable[[int], nn.Module],
        image_size: int | None = None,
        num_classes: int | None = None,
        class_names: tuple[str, ...] | None = None,
        image_channels: int | None = None,
        lesion: str = "tumour",
        organ: str = "kidney",
        window: int | None = None,
        margin: int = 4,
        placing: Placing = Placing(),
        healthy_share: float = 0.5,
        adversarial_loss: AdversarialLossName = "hinge",
        adversarial_weight: float = 1.0,
        l1_weight: float = 10.0,
        border_weight: float = 10.0,
        feature_matching_weight: float = 10.0,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        micro_batches: int = 1,
        gradient_clip_norm: float | None = None,
        decay_from: float = 0.5,
        seed: int = 0,
    ) -> None:
        if image_size is None or num_classes is None or class_names is None:
            raise UserError(
                "LesionInfilling: image_size, num_classes and class_names are not given; train.py "
                "takes them from the data."
            )
        side = checked_window(window, image_size, margin)
        for flag, name in (("lesion", lesion), ("organ", organ)):
            if name not in class_names[1:] or lesion == organ:
                raise UserError(
                    f"--model.{flag} {name}: expected two different classes of the data, of "
                    f"{', '.join(class_names[1:])}."
                )
        if not 0 <= healthy_share <= 1:
            raise UserError(f"--model.healthy_share is {healthy_share}; it must be 0 to 1.")
        image_channels = 1 if image_channels is None else image_channels
        condition = num_classes + 1 + image_channels
        super().__init__(
            lambda: generator(condition, image_channels, side),
            lambda: discriminator(condition + image_channels),
            adversarial_loss, adversarial_weight, l1_weight, feature_matching_weight,
            learning_rate, betas, micro_batches, gradient_clip_norm, decay_from, seed,
        )  # fmt: skip
        self.image_size, self.window, self.image_channels = image_size, side, image_channels
        self.num_classes, self.class_names = num_classes, tuple(class_names)
        self.lesion, self.organ = class_names.index(lesion), class_names.index(organ)
        self.margin, self.placing = margin, placing
        self.healthy_share, self.border_weight = healthy_share, border_weight
        self.shapes: list[Pixels] = []

    def on_fit_start(self) -> None:
        """Take the shapes of the training split's lesions.

        Raises:
            UserError: It holds none.
        """
        super().on_fit_start()
        trainer: Any = self.trainer
        self.shapes = shapes_of(self._label_maps(trainer.datamodule), self.lesion)
        if not self.shapes:
            raise UserError(
                f"--data.root {trainer.datamodule.root}: no training slice holds a "
                f"{self.class_names[self.lesion]}, so there is nothing to learn from. Prepare more "
                "patients, or name another class with --model.lesion."
            )

    def _label_maps(self, data: Any) -> Iterator[Labels]:
        training = data.training_set()
        for index in np.flatnonzero(training.has_class(self.lesion)).tolist():
            yield training[index]["mask"].numpy()

    # ---- infilling -----------------------------------------------------------------------------

    @torch.no_grad()
    def infill(
        self,
        image: Tensor,
        wish: Tensor,
        region: Tensor,
        seeds: list[int],
        dropout: bool = True,
    ) -> Tensor:
        """Paint the region of each image as its label map wishes.

        Args:
            image: (N, C, H, W) in [-1, 1], floating point.
            wish: (N, H, W) label maps of what shall be there.
            region: (N, H, W) bool, of each image within a window.
            seeds: Of the noise; image i depends on seed i.
            dropout: Keep the generator's dropout, if it has any.

        Returns:
            (N, C, H, W) in the format of `image`, and outside of the region its bits.

        Raises:
            ValueError: A region without a pixel, or larger than the window.
        """
        squares = windows_of(region, self.window)
        parts = self._in_windows(image.to(self.dtype), wish, region, squares)
        painted = self.generator(parts["condition"], self.noise_rows(seeds), dropout=dropout)
        return put_back(painted, image, region, squares)

    def _in_windows(
        self, image: Tensor, wish: Tensor, region: Tensor, squares: list[Window]
    ) -> Batch:
        """Condition, real image and region (N, 1, h, w) in the window of each image."""
        real, inside = cut(image, squares), cut(region.unsqueeze(1), squares)
        labels = F.one_hot(cut(wish, squares).long(), self.num_classes)
        labels = labels.permute(0, 3, 1, 2).to(real.dtype)
        condition = torch.cat([labels, inside.to(real.dtype), real.masked_fill(inside, 0.0)], dim=1)
        return {"condition": condition, "real": real, "region": inside}

    # ---- training ------------------------------------------------------------------------------

    def pairs(self, batch: Batch, seeds: list[int]) -> Batch:
        """Windows around a region of each slice, drawn by its seed; the wish is the real one."""
        labels = batch["mask"].cpu().numpy()
        regions = [
            dilated(self.drawn(one, np.random.default_rng(seed)), self.margin)
            for one, seed in zip(labels, seeds, strict=True)
        ]
        squares = [window_of(region, self.window) for region in regions]
        region = torch.from_numpy(np.stack(regions)).to(batch["image"].device)
        return self._in_windows(batch["image"].to(self.dtype), batch["mask"], region, squares)

    def drawn(self, labels: Labels, random: np.random.Generator) -> Pixels:
        """What of a slice is erased: one of its lesions, or the shape of another's without one.

        Args:
            labels: (H, W) its label map.
            random: Draws which.

        Returns:
            (H, W), before it is dilated.
        """
        lesions = parts_of(np.equal(labels, self.lesion))
        if lesions and random.random() >= self.healthy_share:
            return lesions[int(random.integers(len(lesions)))]
        places = healthy_parts(labels, self.organ, self.lesion)
        where = self.put(places, random, self.shapes) if places else None
        if where is None and lesions:
            where = lesions[int(random.integers(len(lesions)))]
        if where is None:  # a slice without a place in the organ: any other is healthy too
            side = self.window // 4
            top, left = (int(random.integers(length - side + 1)) for length in labels.shape)
            where = np.zeros(labels.shape, bool)
            where[top : top + side, left : left + side] = True
        return where

    def put(
        self, parts: list[Pixels], random: np.random.Generator, shapes: list[Pixels]
    ) -> Pixels | None:
        """A lesion of one of these shapes in one of these parts (H, W); None where none fits.

        Args:
            parts: Of the organ.
            random: Draws part, shape, size and place.
            shapes: (h, w) each.
        """
        part = parts[int(random.integers(len(parts)))]
        shape = shapes[int(random.integers(len(shapes)))]
        return placed(shape, part, self.placing, random)

    def painted(self, part: Batch) -> Tensor:
        """The generator's image inside the region, the real one outside."""
        fake = super().painted(part)
        return torch.where(part["region"], fake, part["real"].to(fake.dtype))

    def distances(self, fake: Tensor, part: Batch) -> dict[str, tuple[Tensor, float]]:
        """Differences from the real slice inside the region, and along its border."""
        border = border_of(part["region"], max(1, self.margin // 2))
        return {
            "l1": (region_l1(fake, part["real"], part["region"]), self.l1_weight),
            "l1_border": (region_l1(fake, part["real"], border), self.border_weight),
        }

    # ---- validation ----------------------------------------------------------------------------

    def validated(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """A window of each slice, painted as the real one is."""
        with torch.no_grad():
            part = self.pairs(batch, [derived_seed(self.seed, "region", n) for n in batch["id"]])
            noise = [derived_seed(self.seed, "validation", name) for name in batch["id"]]
            fake = self.painted({**part, "noise": self.noise_rows(noise)})
        real, inside = part["real"].to(fake.dtype), part["region"].to(fake.dtype)
        total = ((fake - real).abs() * inside).sum(dim=(1, 2, 3)) / self.image_channels
        return fake, real, total / inside.sum(dim=(1, 2, 3))

    @torch.no_grad()
    def illustrate(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures for the sample grid: the real slice, what it is erased of, and two paintings."""
        part = self.pairs(batch, [derived_seed(self.seed, "region", n) for n in batch["id"]])
        columns = {
            "label": part["condition"][:, : self.num_classes].argmax(dim=1),
            "real": part["real"],
            "erased": part["condition"][:, -self.image_channels :],
        }
        for draw in (1, 2):
            seeds = [
                derived_seed(self.seed, "illustrate", draw, row) for row in range(len(batch["id"]))
            ]
            columns[f"synthetic {draw}"] = self.painted({**part, "noise": self.noise_rows(seeds)})
        return columns
