"""What the stored films of one cache have in common, and the flags that say so."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from provenance import UserError

OnNonsquare = Literal["pad", "crop", "stretch"]
Clahe = Literal["after_resize", "before_resize", "none"]

# Below it, scikit-image makes large regions white.
_MIN_CLIP_LIMIT = 0.0075


@dataclass(frozen=True)
class FilmLayout:
    """What all films of one cache have in common. Plain values: `asdict` of it is JSON.

    Attributes:
        dataset: The kind of source.
        image_size: Side of what a network sees, in pixels.
        margin: Share of the stored side that the random crop takes away in training.
        channels: Stored planes: 1, or 3 for colour. Grey films in 3 planes are three times as
            large and hold nothing more; a network that wants 3 gets them from the datamodule.
        bit_depth: 8 or 16 bits a value.
        on_nonsquare: `pad` with black to a centred square, `crop` the centred square, or
            `stretch` to a square, which changes the shape of the heart as the plain resize of Ko
            et al. 2020 does.
        clahe: Where contrast is equalised: `after_resize`; `before_resize`, the order of Ko et al.
            2020, 18 times slower on a 2000x2000 film; or `none`.
        clahe_clip_limit: See `stored_film`.
        resample: Films whose pixels are no squares are resampled to square ones.

    Raises:
        UserError: A value is out of range; names the flag.
    """

    dataset: str
    image_size: int = 512
    margin: float = 0.05
    channels: Literal[1, 3] = 1
    bit_depth: Literal[8, 16] = 8
    on_nonsquare: OnNonsquare = "pad"
    clahe: Clahe = "after_resize"
    clahe_clip_limit: float = 0.01
    resample: bool = False

    def __post_init__(self) -> None:
        _require(16 <= self.image_size <= 4096, "image-size", self.image_size, "16 to 4096 pixels")
        _require(0 <= self.margin <= 0.5, "margin", self.margin, "a share from 0 to 0.5")
        _require(self.channels in (1, 3), "channels", self.channels, "1 (grey) or 3 (colour)")
        _require(self.bit_depth in (8, 16), "bit-depth", self.bit_depth, "8 or 16")
        fits, orders = get_args(OnNonsquare), get_args(Clahe)
        _require(self.on_nonsquare in fits, "on-nonsquare", self.on_nonsquare, " or ".join(fits))
        _require(self.clahe in orders, "clahe", self.clahe, " or ".join(orders))
        _require(
            _MIN_CLIP_LIMIT <= self.clahe_clip_limit <= 1,
            "clahe-clip-limit",
            self.clahe_clip_limit,
            f"{_MIN_CLIP_LIMIT} (gentle) to 1 (no limit); to leave contrast alone, --clahe none",
        )

    def plain(self) -> dict[str, Any]:
        """As a manifest holds it; `resample` only where given, since earlier caches lack it."""
        return _given(asdict(self))

    @property
    def stored_size(self) -> int:
        """Side of a stored film in pixels: a crop of `image_size` takes `margin` away."""
        return max(self.image_size, round(self.image_size / (1 - self.margin)))


@dataclass(frozen=True, kw_only=True)
class LayoutOptions:
    """How a person wants films to be stored; None leaves it to the source.

    Attributes:
        image_size: Height = width of the images that a network gets, in pixels. Film GANs need 32,
            64, 128 and so on; classifiers take any size from 32 up. Default: 512; for .npz files
            their own size.
        margin: Share of the stored side that the random crop of the training removes. Default:
            0.05; 0 for .npz files.
        bit_depth: Bits per stored pixel.
        on_nonsquare: What to do with films that are not square: pad with black, crop to the centre,
            or stretch.
        clahe: When contrast is equalised (CLAHE): after resizing, before resizing as Ko et al. 2020
            do, or not at all. Default: after_resize; none for colour and .npz files.
        clahe_clip_limit: Clip limit of scikit-image's equalize_adapthist, 0.0075 to 1.
        resample: Resample films whose pixels are not square to squares of the finer spacing.
            Default: keep them as they are, and list them as suspicious.
    """

    image_size: int | None = None
    margin: float | None = None
    bit_depth: Literal[8, 16] = FilmLayout.bit_depth
    on_nonsquare: OnNonsquare = FilmLayout.on_nonsquare
    clahe: Clahe | None = None
    clahe_clip_limit: float = FilmLayout.clahe_clip_limit
    resample: bool = False

    def settings(self) -> dict[str, Any]:
        """As plain values, see `FilmLayout.plain`."""
        return _given(asdict(self))

    def layout(
        self,
        dataset: str,
        channels: Literal[1, 3] = FilmLayout.channels,
        *,
        size: int = FilmLayout.image_size,
        margin: float = FilmLayout.margin,
        clahe: Clahe = FilmLayout.clahe,
    ) -> FilmLayout:
        """What all films of the cache have in common.

        Args:
            dataset: The kind of source.
            channels: See `FilmLayout`.
            size: What the source takes where `image_size` is None.
            margin: The same of `margin`.
            clahe: The same of `clahe`.
        """
        return FilmLayout(
            dataset=dataset,
            image_size=self.image_size or size,
            margin=margin if self.margin is None else self.margin,
            channels=channels,
            bit_depth=self.bit_depth,
            on_nonsquare=self.on_nonsquare,
            clahe=self.clahe or clahe,
            clahe_clip_limit=self.clahe_clip_limit,
            resample=self.resample,
        )


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """The settings of a layout without `resample` where it is not set."""
    return {key: value for key, value in values.items() if key != "resample" or value}


def _require(holds: bool, flag: str, value: object, expected: str) -> None:
    if not holds:
        raise UserError(
            f"--{flag} {value}: expected {expected}. Nothing was prepared; give another value."
        )
