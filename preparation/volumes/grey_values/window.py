"""Flags for how the values of a volume become grey: windows by name, by numbers, percentiles."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from preparation.volumes.grey_values.channel import CT, PERCENTILES, Channel
from provenance import UserError
from spelling import meant

# (width, centre) in HU as Radiopaedia's article "Windowing (CT)" lists them; departments have their
# own, for which there are numbers.
PRESETS: Mapping[str, tuple[float, float]] = {
    "abdomen": (400.0, 50.0),
    "liver": (150.0, 30.0),
    "mediastinum": (350.0, 50.0),
    "lung": (1500.0, -600.0),
    "bone": (1800.0, 400.0),
    "spine": (250.0, 50.0),
    "brain": (80.0, 40.0),
    "stroke": (40.0, 40.0),
    "temporal_bone": (2800.0, 600.0),
}
_PERCENTILES = "percentiles"


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which values become black and white.

    Attributes:
        window: For CT: the name of a window (abdomen, which is 400 HU around 50, liver,
            mediastinum, lung, bone, spine, brain, stroke or temporal_bone), or width and centre in
            HU, such as 400,50. For MRI, whose values have no unit: percentiles, the 0.5th and
            99.5th percentile of each volume's voxels that are not 0. For one of several channels:
            its name first, such as T1=percentiles.
        window_width_hu: Width of the window in HU.
        window_center_hu: Centre of the window in HU.
    """

    window: tuple[str, ...] = ()
    window_width_hu: float = 400.0
    window_center_hu: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.window_width_hu < math.inf:
            raise UserError(f"--window-width-hu {self.window_width_hu}: expected a width above 0.")
        if not math.isfinite(self.window_center_hu):
            raise UserError(f"--window-center-hu {self.window_center_hu}: expected a number.")
        numbers = (self.window_width_hu, self.window_center_hu)
        if self.window and numbers != (Window.window_width_hu, Window.window_center_hu):
            raise UserError(
                f"--window {' '.join(self.window)}: says the window, and so do --window-width-hu "
                "and --window-center-hu. Give one of them."
            )

    @property
    def pair(self) -> tuple[float, float]:
        """(width, centre) in HU as the numbers say."""
        return self.window_width_hu, self.window_center_hu

    def of_one_channel(self) -> Channel:
        """How a source of one channel, which is CT unless the flag says otherwise, becomes grey.

        Raises:
            UserError: The flag names channels.
        """
        [channel] = self.of_channels(("CT",), named=False)
        return channel if channel.in_hu else replace(channel, name="image")

    def of_channels(self, names: Sequence[str], named: bool = True) -> tuple[Channel, ...]:
        """How each channel becomes grey: CT by the window, others by percentiles.

        Args:
            names: What the source calls its channels, such as CT, T1 or FLAIR.
            named: Whether a person can know these names.

        Raises:
            UserError: A channel that there is not, one that is given twice, or no window.
        """
        given: dict[str, Channel] = {}
        for word in self.window:
            channel, equals, text = word.rpartition("=")
            if equals and (not named or channel not in names):
                there = ", ".join(names) if named else "none with a name"
                raise UserError(
                    f"--window {word}: there is no channel {channel!r}; there are: {there}."
                    + (meant(channel, names) if named else "")
                )
            if channel in given:
                raise UserError(f"--window {' '.join(self.window)}: says {word!r} and another too.")
            given[channel] = _read(text, word)
        found = []
        for name in names:
            is_ct = name.lower() == CT
            own = given.get(name) or (given.get("") if is_ct or len(names) == 1 else None)
            if own is None:
                own = Channel(name, self.pair) if is_ct else Channel(name, None, PERCENTILES)
            found.append(Channel(name, own.window, own.percentiles))
        if "" in given and len(names) > 1 and not any(name.lower() == CT for name in names):
            raise UserError(
                f"--window {' '.join(self.window)}: of several channels, say which: "
                f"{names[0]}={self.window[0]}."
            )
        return tuple(found)

    def notes(self, channels: Sequence[Channel]) -> list[str]:
        """Sentences on windows by name, which are in HU, of channels that are not called CT."""
        said = []
        for word in self.window:
            channel, equals, text = word.rpartition("=")
            of_word = [one for one in channels if one.name == channel or not equals]
            if text in PRESETS and len(of_word) == 1 and not of_word[0].in_hu:
                width, centre = PRESETS[text]
                said.append(
                    f"--window {word}: is {width:g} HU around {centre:g} HU, and the channel is "
                    f"called {of_word[0].name}, not CT: its values are shown by these numbers "
                    "whatever their unit. Give percentiles if it is no CT, or call it CT in "
                    "dataset.json."
                )
        return said


def _read(text: str, word: str) -> Channel:
    """A window by its name or numbers, or percentiles; for no channel yet."""
    if text in PRESETS:
        return Channel("", PRESETS[text])
    if text == _PERCENTILES:
        return Channel("", None, PERCENTILES)
    try:
        width, centre = (float(part) for part in text.split(","))
    except ValueError:
        names = (*PRESETS, _PERCENTILES)
        raise UserError(
            f"--window {word}: is none of {', '.join(names)}.{meant(text, names)} Or give its "
            "width and centre in HU, such as 400,50."
        ) from None
    if not (0 < width < math.inf and math.isfinite(centre)):
        raise UserError(f"--window {word}: expected a width above 0, then the centre: 400,50.")
    return Channel("", (width, centre))
