"""A checkpoint with all that a new image needs to become what its network takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.film_dataset import tensor_of
from datamodules.film_dataset import to_unit as films_to_unit
from datamodules.open_cache import open_cache
from datamodules.slice_dataset import unit_image
from device import Device, chosen_device
from lightning_modules import Classifier, FindingsClassifier, Segmenter
from lightning_modules.loading import data_root, load_module
from prediction.source_grid import on_source_grid
from preparation.films.film_layout import FilmLayout
from preparation.volumes.grey_values.channel import Channel
from preparation.volumes.layout import Layout
from provenance import UserError, sha256_of


@dataclass(frozen=True)
class Model:
    """A classifier or a segmenter, ready to predict.

    Attributes:
        checkpoint: Its file.
        sha256: Of the file.
        module: On `device` and in evaluation mode.
        record: What the checkpoint says of it; see `load_module`.
        form: How its images were made of those of their source; see `PreparedCache.image_form`.
        device: Where it computes.
    """

    checkpoint: Path
    sha256: str
    module: Any
    record: Mapping[str, Any]
    form: Mapping[str, Any]
    device: torch.device

    @property
    def of_films(self) -> bool:
        """Whether it is a classifier of films; else it is a segmenter of slices."""
        return isinstance(self.module, Classifier | FindingsClassifier)

    @property
    def of_findings(self) -> bool:
        """Whether it tells several findings of a film, each by itself."""
        return isinstance(self.module, FindingsClassifier)

    @property
    def class_names(self) -> list[str]:
        """Names of its classes, or of its findings."""
        return list(self.module.finding_names if self.of_findings else self.module.class_names)

    @property
    def network_size(self) -> int:
        """Side in pixels of what the network sees."""
        return int(self.record.get("image_size") or self.form["image_size"])

    @property
    def film_layout(self) -> FilmLayout:
        """What the films of its training have in common.

        Raises:
            UserError: Its record is not one that train.py writes.
        """
        names = ("image_size", "margin", "channels", "bit_depth", "on_nonsquare", "clahe",
                 "clahe_clip_limit")  # fmt: skip
        try:
            values = {name: self.form[name] for name in names}
            return FilmLayout("new", **values, resample=bool(self.form.get("resample")))
        except (KeyError, TypeError) as error:
            raise self._unknown_form(f"films ({error})") from error

    @property
    def window(self) -> tuple[float, float] | None:
        """(width, centre) in HU of its training's window; None where greys passed through."""
        told = self.form.get("window")
        try:
            return None if told is None else (float(told["width_hu"]), float(told["center_hu"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._unknown_form(f"a window ({error})") from error

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Of slices that are not one channel of CT by `window`; empty for those, and for films.

        Raises:
            UserError: Its record is not one that train.py writes.
        """
        if self.of_films:
            return ()
        try:
            return tuple(_channel(one) for one in self.form.get("channels") or ())
        except (KeyError, TypeError, ValueError) as error:
            raise self._unknown_form(f"channels ({error})") from error

    def slice_layout(self, window: tuple[float, float] | None) -> Layout:
        """What the slices of its training have in common, with this window where it has none."""
        size, resample = self.form.get("image_size"), bool(self.form.get("resample"))
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise self._unknown_form("slices (image_size)")
        channels = self.channels
        own = None if channels else self.window or window
        return Layout("new", size, own, "pad", True, resample=resample, channels=channels)

    def unit_films(self, films: Sequence[NDArray[Any]]) -> Tensor:
        """Stored films (C, S, S) as the network takes them: (N, C, size, size) in [-1, 1]."""
        batch = {"image": torch.stack([tensor_of(film) for film in films]).to(self.device)}
        channels = int(self.record["data"]["init_args"].get("channels", 1))
        unit: Tensor = films_to_unit(batch, self.network_size, channels)["image"]
        return unit

    def film_probabilities(self, unit: Tensor) -> NDArray[np.float64]:
        """(N, K) probabilities of the classes or findings of films, as evaluate.py has them."""
        logits = self._logits(unit).double().cpu()
        shares = logits.sigmoid() if self.of_findings else logits.softmax(dim=1)
        found: NDArray[np.float64] = shares.numpy()
        return found

    def slice_probabilities(self, slices: NDArray[np.uint8]) -> Tensor:
        """(N, K, S, S) float32 probabilities of the classes, on the CPU.

        Args:
            slices: (N, S, S), or (N, C, S, S) of several channels.
        """
        planes = torch.from_numpy(slices if slices.ndim == 4 else slices[:, None])
        unit = unit_image(planes.to(self.device))
        return self._logits(unit).float().softmax(dim=1).cpu()

    def labels(
        self,
        slices: NDArray[np.uint8],
        shape: tuple[int, int],
        outline: tuple[float, float],
        batch_size: int,
    ) -> NDArray[np.uint8]:
        """(N, H, W) labels on the grid of the source; `slices` as in `slice_probabilities`."""
        found = [
            on_source_grid(
                self.slice_probabilities(slices[start : start + batch_size]), shape, outline
            )
            for start in range(0, len(slices), batch_size)
        ]
        return torch.cat(found).numpy()

    def _logits(self, unit: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = self.module(unit)
        if not bool(logits.isfinite().all()):
            raise UserError(
                f"{self.checkpoint}: predicts NaN or infinity, so its training has diverged. Use "
                "an earlier checkpoint, or train with a lower learning rate."
            )
        return logits

    def _unknown_form(self, what: str) -> UserError:
        return UserError(
            f"{self.checkpoint}: its record does not tell how its images were prepared: {what}. "
            "Nothing was predicted; use a checkpoint as train.py wrote it."
        )


def _channel(told: Any) -> Channel:
    """As `Channel.plain` has it."""
    name = str(told["name"])
    if "percentiles" in told:
        low, high = (float(one) for one in told["percentiles"])
        if not 0 <= low < high <= 100:
            raise ValueError(f"percentiles {low:g} and {high:g}")
        return Channel(name, None, (low, high))
    width, center = float(told["width"]), float(told["center"])
    if not 0 < width < float("inf"):
        raise ValueError(f"width {width:g}")
    return Channel(name, (width, center))


def open_model(checkpoint: Path, root: Path | None, device: Device) -> Model:
    """Open a checkpoint to predict with.

    Args:
        checkpoint: Of a classifier or a segmenter.
        root: The cache that it was trained on, for one of an earlier version that does not tell how
            its images were prepared; None looks for it where the training had it.
        device: Where to compute.

    Raises:
        UserError: Another kind of model, or nothing tells how its images are prepared.
    """
    module, record = load_module(checkpoint)
    if not isinstance(module, Segmenter | Classifier | FindingsClassifier):
        raise UserError(
            f"{checkpoint}: holds a {type(module).__name__}, which makes images and predicts "
            "nothing of new ones. Give a Classifier's or a Segmenter's checkpoint; generate.py "
            "makes images with this one."
        )
    form = record.get("image_form") or _form_of_cache(checkpoint, record, root)
    kind = "slices" if isinstance(module, Segmenter) else "films"
    if form.get("kind") != kind:
        raise UserError(
            f"{checkpoint}: holds a {type(module).__name__} that was trained on "
            f"{form.get('kind')}, and only {kind} of it can be prepared here."
        )
    target = chosen_device(device)
    return Model(checkpoint, sha256_of(checkpoint), module.to(target), record, form, target)


def _form_of_cache(checkpoint: Path, record: dict[str, Any], root: Path | None) -> dict[str, Any]:
    """Of a checkpoint of an earlier version, from its data."""
    try:
        cache = open_cache(root if root is not None else data_root(checkpoint, record, "--root"))
    except UserError as error:
        raise UserError(
            f"{checkpoint}: is of an earlier version, which does not say how its images are "
            f"prepared; its cache does: {error}"
        ) from error
    if record.get("content_sha256") not in (None, cache.content_sha256):
        raise UserError(
            f"{cache.root}: is not the cache that {checkpoint} was trained on, so it does not say "
            "how its images were prepared. Give that one with --root."
        )
    form: dict[str, Any] = cache.image_form
    return form
