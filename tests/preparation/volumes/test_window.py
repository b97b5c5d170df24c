"""Windows by name, by numbers and by channel; percentiles of what has no unit."""

import numpy as np
import pytest

from preparation.volumes.grey_values.channel import Channel
from preparation.volumes.grey_values.window import PRESETS, Window
from provenance import UserError


def test_ct_is_windowed_and_others_are_not_unless_they_are_told():
    assert Window().of_one_channel() == Channel("CT", (400.0, 0.0))
    assert Window(window=("lung",)).of_one_channel().window == PRESETS["lung"] == (1500.0, -600.0)
    assert Window(window=("80,40",)).of_one_channel().window == (80.0, 40.0)
    assert Window(window=("percentiles",)).of_one_channel() == Channel("image", None, (0.5, 99.5))
    words = Window(window=("bone", "T1=300,150"))
    ct, first, second = words.of_channels(("CT", "T1", "FLAIR"))
    assert (ct.window, first.window, second.window) == (PRESETS["bone"], (300.0, 150.0), None)
    assert second.percentiles == (0.5, 99.5)
    assert [channel.in_hu for channel in (ct, first, second)] == [True, False, False]


def test_a_window_in_hu_of_what_is_called_otherwise_is_noted():
    words = Window(window=("bone", "T1=300,150", "T2=abdomen"))
    [note] = words.notes(words.of_channels(("CT", "T1", "T2")))
    assert note.startswith("--window T2=abdomen: is 400 HU around 50 HU, and the channel is called")
    alone = Window(window=("lung",))
    assert "is called MR, not CT" in alone.notes(alone.of_channels(("MR",)))[0]
    for words in (alone, Window(window=("percentiles",))):
        assert words.notes(words.of_channels(("CT",))) == []


@pytest.mark.parametrize(
    ("given", "channels", "sentence"),
    [
        ({"window": ("lungs",)}, ("CT",), r"is none of .* Did you mean lung\? Or give its width"),
        ({"window": ("0,40",)}, ("CT",), "expected a width above 0"),
        ({"window": ("nan,40",)}, ("CT",), "expected a width above 0"),
        ({"window": ("T3=brain",)}, ("CT", "T1"), r"no channel 'T3'; there are: CT, T1"),
        ({"window": ("brain", "lung")}, ("CT",), "says 'lung' and another too"),
        ({"window": ("400,50",)}, ("T1", "T2"), "of several channels, say which: T1=400,50"),
        ({"window": ("lung",), "window_width_hu": 300.0}, ("CT",), "Give one of them"),
        ({"window_width_hu": 0.0}, ("CT",), "expected a width above 0"),
    ],
)
def test_what_says_no_window_is_refused(given, channels, sentence):
    with pytest.raises(UserError, match=sentence):
        Window(**given).of_channels(channels)


def test_percentiles_do_not_depend_on_how_much_nothing_is_around():
    rng = np.random.default_rng(0)
    brain = rng.normal(500, 50, (8, 20, 20)).astype(np.float32)
    around = np.zeros((8, 60, 60), np.float32)
    around[:, 20:40, 20:40] = brain
    channel = Channel("T1", None, (0.5, 99.5))
    width, centre = channel.of_volume(around)
    assert (width, centre) == pytest.approx(channel.of_volume(brain))
    low, high = np.percentile(brain, [0.5, 99.5])
    assert (centre - width / 2, centre + width / 2) == pytest.approx((low, high))


def test_a_volume_of_nearly_one_value_is_seen_whole():
    volume = np.full((2, 100, 100), 7, np.float32)
    volume[0, 0, 0], volume[1, 1, 1] = 0, 9
    assert Channel("T1", None).of_volume(volume) == (9.0, 4.5)
