"""A generator of a call: its checkpoint, what it makes, and whom it has seen."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from datamodules.synthetic import SyntheticSet
from knowledge import Knowledge
from licences import Licence
from lightning_modules import GAN, CycleGAN, LesionInfilling, Pix2Pix
from lightning_modules.generator_average import STATISTICS_CORRECTED
from lightning_modules.loading import (
    file_known_by,
    licences_behind,
    load_module,
    path_of_data,
    seen_by,
)
from provenance import UserError, sha256_of


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator from its checkpoint, and what is asked of it.

    Attributes:
        checkpoint: Its file.
        module: The generator, on the device that it works on.
        record: What its checkpoint says of it; see `load_module`.
        num_images: How many images it makes.
        label: Class of its images; None where it knows none.
        class_index: Of its class, where several generators make one set; None where it is alone.
        corrected: Its checkpoint, of an earlier version, holds an average with the batch statistics
            of other weights; they are estimated anew, so it makes other images than it did then.
    """

    checkpoint: Path
    module: GAN | Pix2Pix | LesionInfilling | CycleGAN
    record: dict[str, Any]
    num_images: int
    label: str | None = None
    class_index: int | None = None
    corrected: bool = False

    @classmethod
    def open(
        cls, checkpoint: Path, num_images: int, label: str | None, device: torch.device
    ) -> "TrainedGenerator":
        """Load a generator; without a label its images have the class that it was trained on.

        Raises:
            UserError: A file that cannot be loaded, or holds no generator.
        """
        module, record = load_module(checkpoint)
        if not isinstance(module, GAN | Pix2Pix | LesionInfilling | CycleGAN):
            raise UserError(
                f"{checkpoint}: holds a {type(module).__name__}, which makes no images. Give the "
                "checkpoint of a Pix2Pix run, of a lesion infilling, of a CycleGAN or of a GAN's."
            )
        if isinstance(module, GAN) and label is None:
            label = record["data"]["init_args"].get("only_label")
        corrected = isinstance(module, GAN) and module.averaged.statistics_are_stale
        if corrected:
            print(
                f"note: {checkpoint}: {STATISTICS_CORRECTED}, so it makes other images than the "
                "version that trained it, and better ones as a rule.",
                file=sys.stderr,
            )
        module = module.to(device)
        return cls(checkpoint, module, record, num_images, label, corrected=corrected)

    @cached_property
    def checkpoint_sha256(self) -> str:
        """Hash of its file."""
        return sha256_of(file_known_by(self.checkpoint))

    @property
    def data(self) -> dict[str, Any]:
        """Settings of the data that it was trained on."""
        settings: dict[str, Any] = self.record["data"]["init_args"]
        return settings

    def seen(self) -> Knowledge:
        """Whom its images know.

        One that was trained with synthetic images has seen what their generator had seen, and the
        patients whose label maps these were painted from. A checkpoint of an earlier version does
        not name them, and their set is asked.

        Raises:
            UserError: That set is not there any more, so that nobody can say whom it knew.
        """
        seen = seen_by(self.record)
        if "also_seen" not in self.record and self.data.get("synthetic") is not None:
            seen |= _first_generators_set(self.checkpoint, self.record).seen()
        return seen

    def licences(self) -> list[Licence]:
        """Of all data that it has learnt from."""
        return licences_behind(self.record)

    @property
    def in_manifest(self) -> dict[str, Any]:
        """What a set's manifest says of it; of its data, what decided which films it saw."""
        described = {
            "label": self.label,
            "checkpoint_sha256": self.checkpoint_sha256,
            "module": type(self.module).__name__,
            "num_images": self.num_images,
            "images_seen": self.record["images_seen"],
            "trained_on_label": self.data.get("only_label"),
            "imbalance": self.data.get("imbalance"),
            "data_seed": self._seed_of_choice(),
            **self._share_of_patients(),
            "batch_statistics": STATISTICS_CORRECTED if self.corrected else None,
        }
        return {name: value for name, value in described.items() if value is not None}

    def _share_of_patients(self) -> dict[str, Any]:
        """Which of the training patients it saw, and the seed that chose them; nothing for all."""
        if self.data.get("num_images") is not None and "chosen_patients" in self.record:
            return {
                "trained_on_at_most": self.data["num_images"],
                "trained_on_patients": list(self.record["chosen_patients"]),
            }
        share, own = self.data.get("fraction_of_patients", 1.0), self.data.get("patients_seed")
        seed = self.data.get("seed") if own is None else own
        return {} if share == 1 else {"fraction_of_patients": share, "patients_seed": seed}

    def _seed_of_choice(self) -> Any:
        """Of the films that `--data.imbalance` kept."""
        own = self.data.get("imbalance_seed")
        return self.data.get("seed") if own is None else own


def _first_generators_set(checkpoint: Path, record: dict[str, Any]) -> SyntheticSet:
    """The set that a generator was trained with."""
    root = path_of_data(checkpoint, record, "synthetic", "")
    if not (root / "manifest.json").is_file():
        raise UserError(
            f"{checkpoint}: was trained with the synthetic set {root}, which is not there as seen "
            "from this folder. Whom that set's generator knew cannot be told without its "
            "manifest.json, and a later run could not be shown to be free of test data. Put it "
            "back, or use a generator that was trained on real images alone."
        )
    return SyntheticSet.open(root)
