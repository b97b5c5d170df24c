"""What every slice of one cache has in common, and what does not fit it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from datamodules.slice_cache import SliceCache
from preparation.volumes.geometry import is_anisotropic, is_square
from preparation.volumes.grey_values.channel import CT, Channel, plain
from preparation.volumes.volume import Job, SkipVolume


@dataclass(frozen=True)
class Layout:
    """What every slice of one cache has in common.

    Attributes:
        dataset: The kind of source.
        image_size: Height = width of every slice.
        window: (width, centre) in HU of CT; None where grey values pass through, or there are
            none, or `channels` tells.
        on_nonsquare: `pad` to a square, or `skip` the volume.
        has_images: Whether there are images beside the masks.
        label_map: What values of the source's masks become, as given.
        resample: Make pixels square.
        channels: Of images that are not one channel of CT by `window`; empty for those.
        labels: Name of each value that masks may hold, where all are declared.
    """

    dataset: str
    image_size: int
    window: tuple[float, float] | None
    on_nonsquare: str
    has_images: bool
    label_map: dict[str, str] = field(default_factory=dict)
    resample: bool = False
    channels: tuple[Channel, ...] = ()
    labels: Mapping[int, str] | None = None

    @property
    def num_channels(self) -> int:
        """Of every image."""
        return max(1, len(self.channels))

    @property
    def greys(self) -> tuple[Channel, ...]:
        """How each channel becomes grey; empty where grey values pass through."""
        if self.channels or self.window is None:
            return self.channels
        return (Channel(CT, self.window),)

    def settings(self) -> dict[str, Any]:
        """All that decides on the bytes of the cache, as plain values."""
        window = None if self.window is None else list(self.window)
        version = {"format": SliceCache.FORMAT, "format_version": SliceCache.FORMAT_VERSION}
        settings = {**version, **asdict(self), "window": window}
        if not self.label_map:  # caches from before there were maps go on
            del settings["label_map"]
        if not self.resample:
            del settings["resample"]
        del settings["channels"], settings["labels"]
        if self.channels:
            settings["channels"] = plain(self.channels)
        if self.labels is not None:
            settings["labels"] = {str(value): name for value, name in self.labels.items()}
        return settings


def check_square(job: Job, outline: tuple[float, float], layout: Layout) -> None:
    """Leave out a volume whose slices are no squares, where somebody wants it."""
    if layout.on_nonsquare == "skip" and not is_square(outline):
        height, width = (round(length) for length in outline)
        raise SkipVolume(
            job.names[0],
            f"slice is {height}x{width}, expected a square. Left out because of "
            "--on-nonsquare skip.",
        )


def layout_notes(
    job: Job,
    layout: Layout,
    outline: tuple[float, float],
    shape: tuple[int, int],
    spacing_mm: tuple[float, float] | None,
) -> list[str]:
    """Sentences on slices that are no squares, or whose pixels are none."""
    notes = []
    if not is_square(outline):
        height, width = (round(length) for length in outline)
        air = "air and " if layout.has_images else ""
        side = max(height, width)
        notes.append(
            f"{job.names[0]}: slice is {height}x{width}, expected a square. Padded with {air}"
            f"background to {side}x{side}; pass --on-nonsquare skip to leave it out."
        )
    if spacing_mm is not None and is_anisotropic(spacing_mm):
        long = f"its pixels are {spacing_mm[0]:.3f} x {spacing_mm[1]:.3f} mm (row, column)"
        done = (
            f"resampled from {shape[0]}x{shape[1]} to square ones."
            if layout.resample
            else "not square, and are kept as they are: round structures look oval. Pass "
            "--resample to make them square, into another --out."
        )
        notes.append(f"{job.names[0]}: {long}, {done}")
    return notes
