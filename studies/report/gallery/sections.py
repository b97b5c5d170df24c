"""The sections of the gallery: an overview, each operation, each preset, and mixing in a batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from augmentations.batch_mixing import mix_batch
from augmentations.catalogue import BATCH_OPERATIONS, OPERATIONS
from augmentations.language import read_policy
from augmentations.mixture import GROUP
from augmentations.operation import Images, Operation
from augmentations.policy import Policy
from augmentations.presets import PRESET_SOURCES
from display.colours import ImageArray
from display.numbers import count
from display.pages import PageFigure
from display.sheet import sheet
from provenance import UserError
from studies.report.gallery.pictures import Picture, batch_of
from studies.report.gallery.words import entry, in_words, meaning, numbers, shares
from studies.report.sheets import shrunk

LEVELS = (1 / 3, 2 / 3, 1.0)
_LEVEL_NAMES = ("original", "1/3", "2/3", "1")
_DRAWS = 5
_CHOICES = {"identity", "one_of", "one_at_a_level"}  # look like what they choose
_NUMBERED = [name for name in OPERATIONS if name not in _CHOICES]


@dataclass(frozen=True)
class Sections:
    """The sections of a page, for images of one kind.

    Attributes:
        kind: What the images are.
        class_names: By label; a sheet with outlines of masks shows their colours.
        seed: Of all that is drawn.
    """

    kind: Images
    class_names: Sequence[str]
    seed: int

    def overview(self, picture: Picture) -> PageFigure:
        """One image under every operation at full strength, as in the review's figure 1."""
        cells, names = [picture.shown()], ["original"]
        for number, name in enumerate(_NUMBERED, start=1):
            operation = self._at_full_strength(name)
            if isinstance(operation, Operation):
                changed = _changed(operation, picture, self.seed, 1.0)[0]
                cells.append(changed.shown())
                names.append(f"[{number}] {name.replace('_', ' ')}")
        width = 6
        titled = [
            np.asarray(sheet([[cell]], column_titles=[name], cell_size=170), dtype=np.uint8)
            for cell, name in zip(cells, names, strict=True)
        ]
        rows = [titled[start : start + width] for start in range(0, len(titled), width)]
        return PageFigure(
            "Every operation at full strength",
            self._sheet(rows, cell_size=195),
            f"One image under {len(names) - 1} operations",
            f"Numbers as in the list below; seed {self.seed}.",
        )

    def operations(self, pictures: Sequence[Picture]) -> Iterator[dict[str, Any]]:
        """Name, meaning and figure of every operation."""
        for name in _NUMBERED:
            kind = OPERATIONS[name]
            operation = self._at_full_strength(name)
            told: dict[str, Any] = {
                "name": name,
                "what": meaning(kind),
                "breaks": kind.breaks_meaning,
                "source": kind.source,
                "figure": None,
                "refused": "",
            }
            if isinstance(operation, str):
                yield {**told, "refused": operation}
            else:
                yield {**told, "figure": self._at_levels(name, operation, pictures)}

    def _at_levels(
        self, name: str, operation: Operation, pictures: Sequence[Picture]
    ) -> PageFigure:
        """Each picture, and under an operation at its levels."""
        levels = LEVELS if operation.graded else (1.0,)
        rows, drawn, same = [], [], True
        for place, picture in enumerate(pictures):
            changed = [_changed(operation, picture, self.seed + place, level) for level in levels]
            rows.append([picture.shown(), *(one.shown() for one, _ in changed)])
            drawn.append(in_words(changed[-1][1]))
            same &= torch.equal(changed[-1][0].image, picture.image)
        titles = _LEVEL_NAMES if operation.graded else ("original", "done")
        return PageFigure(
            "",
            self._sheet(rows, column_titles=titles, cell_size=170),
            f"{name} on {count(len(pictures), 'image')}",
            "It changes nothing of these images." if same else numbers(drawn),
            "" if operation.graded else "narrow",
        )

    def presets(
        self,
        policies: Mapping[str, list[Any] | str],
        pictures: Sequence[Picture],
        others: Sequence[Picture],
    ) -> Iterator[dict[str, Any]]:
        """Each policy as a training would draw it, for a batch of these pictures.

        Of a policy that mixes images the batch also holds `others`, whose rows are not shown.
        """
        for name, written in policies.items():
            told: dict[str, Any] = {
                "name": name,
                "source": PRESET_SOURCES.get(name, ""),
                "operations": [],
                "figure": None,
                "refused": "",
            }
            try:
                policy = read_policy(written, self.kind)
            except UserError as error:
                yield {**told, "refused": str(error).removeprefix("--data.augmentation ")}
                continue
            meets = any(one.meets for one in policy.on_batches)
            batch = [*pictures, *others][: max(len(pictures), GROUP)] if meets else [*pictures]
            if meets and len(batch) < 2:
                sentence = "it mixes images, and the training split holds one alone."
                yield {**told, "refused": sentence}
                continue
            mixed_with = f"Mixed with {count(len(batch) - 1, 'image')} of the split."
            yield {
                **told,
                "operations": [entry(one) for one in policy.plain()],
                "figure": PageFigure(
                    "",
                    self._draws(policy, pictures, batch),
                    f"{name}, drawn anew",
                    mixed_with if meets else "",
                ),
            }

    def _draws(
        self, policy: Policy, pictures: Sequence[Picture], batch: Sequence[Picture]
    ) -> bytes:
        """A row for each picture: itself, and what a batch makes of it again and again."""
        columns = [pictures]
        for draw in range(_DRAWS):
            seeds = np.random.default_rng([self.seed, draw]).integers(2**62, size=len(batch))
            columns.append(self._drawn(policy, batch, seeds.tolist())[: len(pictures)])
        rows = [[one.shown() for one in row] for row in zip(*columns, strict=True)]
        titles = ["original", *(f"draw {draw + 1}" for draw in range(_DRAWS))]
        return self._sheet(rows, column_titles=titles, cell_size=180)

    def _drawn(
        self, policy: Policy, pictures: Sequence[Picture], seeds: Sequence[int]
    ) -> list[Picture]:
        """A batch under a policy; of views the first is shown."""
        changed = []
        for picture, seed in zip(pictures, seeds, strict=True):
            drawn = policy.draw(seed, picture.size)
            # Scaled already, so that what works on stored levels works on these.
            pair = policy.apply(picture.image, picture.mask, drawn, lambda image: image)
            changed.append(Picture(*pair, picture.label))
        if not policy.on_batches:
            return changed
        mixed = mix_batch(batch_of(changed), policy.on_batches, seeds, len(self.class_names))
        images = mixed["views"][:, 0] if "views" in mixed else mixed["image"]
        masks = mixed.get("mask", [None] * len(changed))
        return [Picture(*pair) for pair in zip(images, masks, strict=True)]

    def mixing(self, pictures: Sequence[Picture]) -> Iterator[dict[str, Any]]:
        """Each operation on a batch, done to all of a small one, as in the review's figure 5."""
        for name, kind in BATCH_OPERATIONS.items():
            of_masks = self.kind.masks and kind.breaks_meaning_of_masks
            told: dict[str, Any] = {
                "name": name,
                "what": meaning(kind),
                "breaks": of_masks or kind.breaks_meaning,
                "source": kind.source,
                "figure": None,
                "refused": "",
            }
            try:
                policy = read_policy([{name: {"probability": 1}}], self.kind)
            except UserError as error:
                yield {**told, "refused": str(error).removeprefix("--data.augmentation: ")}
                continue
            yield {**told, "figure": self._before_and_after(name, policy, pictures)}

    def _before_and_after(
        self, name: str, policy: Policy, pictures: Sequence[Picture]
    ) -> PageFigure:
        """A batch, and below it what a policy makes of it; each of its views."""
        seeds = [
            int(np.random.default_rng([self.seed, place]).integers(2**62))
            for place in range(len(pictures))
        ]
        batch = batch_of(pictures)
        mixed = mix_batch(batch, policy.on_batches, seeds, len(self.class_names))
        views = mixed["views"].unbind(1) if "views" in mixed else (mixed["image"],)
        masks = mixed.get("mask", [None] * len(pictures))
        rows = [[one.shown() for one in pictures]]
        rows += [
            [Picture(*pair).shown() for pair in zip(view, masks, strict=True)] for view in views
        ]
        after = ["after"] if len(views) == 1 else [f"view {k + 1}" for k in range(len(views))]
        told = [shares(target, self.class_names) for target in mixed.get("target", [])]
        return PageFigure(
            "",
            self._sheet(rows, row_titles=["before", *after], cell_size=170),
            f"{name} in a batch",
            f"Labels after it: {'; '.join(told)}." if told else "",
        )

    def _at_full_strength(self, name: str) -> Operation | str:
        """An operation with its defaults, or why these images have none."""
        try:
            return read_policy([name], self.kind).on_images[0]
        except UserError as error:
            return str(error).removeprefix("--data.augmentation: ")

    def _sheet(self, rows: Sequence[Sequence[ImageArray]], **titles: Any) -> bytes:
        """A sheet for the page, with the colours of the classes where outlines are drawn."""
        legend = self.class_names if self.kind.masks else None
        return shrunk(sheet(rows, legend=legend, **titles))


def _changed(
    operation: Operation, picture: Picture, seed: int, level: float
) -> tuple[Picture, dict[str, Any]]:
    """A picture at a level, and what was drawn; the side of a two-sided operation by the seed."""
    drawn = operation.draw(torch.Generator().manual_seed(seed), picture.size, level)
    if drawn is None:
        return picture, {}
    return Picture(*operation.apply(picture.image, picture.mask, drawn)), drawn
