"""The steps that an exported model names make what the preparation makes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporting.preprocessing import NOT_RECORDED, preprocessing
from preparation.volumes.grey_values.channel import Channel, plain
from preparation.volumes.layout import Layout
from preparation.volumes.shard import fitted_slice, windows_of
from provenance import UserError

CT = Channel("CT", (400.0, 40.0))
T2 = Channel("T2", None, (1.0, 99.0))
LUNG = Channel("Perfusion", (50.0, 25.0))


def steps_of(size: int = 8, **form: Any) -> list[str]:
    told = preprocessing({"image_form": {"kind": "slices", **form}, "image_size": size}, Path("c"))
    return list(told["steps"])


def followed(steps: list[str], volume: Any, name: str, size: int) -> Any:
    """A slice of one channel as somebody makes it who has nothing but the sentences."""
    ends = [re.search(rf"{name}: .*percentiles ([\d.]+) and ([\d.]+) of", step) for step in steps]
    percents = [float(part) for match in ends if match for part in match.groups()]
    black, white = np.percentile(volume[volume != 0], percents) if percents else (0, 0)
    [square] = [step for step in steps if step.startswith("padded to a square")]
    fill = black if f"black ({name})" in square else None
    given = re.search(rf"(-?[\d.]+)(?: HU)? \({name}\)", square)
    image = volume[0].astype(np.float64)
    height, width = image.shape
    side = max(height, width)
    padded = np.full((side, side), fill if given is None else float(given[1]))
    top, left = (side - height) // 2, (side - width) // 2
    padded[top : top + height, left : left + width] = image
    factor = side // size
    resized = padded.reshape(size, factor, size, factor).mean((1, 3))
    where = [steps.index(step) for step in steps if step.startswith("resized")]
    what = "Hounsfield units" if name == "CT" else name
    [grey] = [step for step in steps if step.startswith(f"{what} to grey")]
    assert steps.index(grey) > where[0]
    numbers = re.search(r"\((?:HU|value) - (-?[\d.]+)\) / ([\d.]+)", grey)
    low, span = (float(part) for part in numbers.groups()) if numbers else (black, white - black)
    return np.clip(np.rint(255 * (resized - low) / span), 0, 255)


def test_who_follows_the_steps_gets_the_caches_greys() -> None:
    rng = np.random.default_rng(0)
    channels = (CT, T2, LUNG)
    volume = np.stack(
        [
            rng.integers(-1024, 1500, (2, 32, 24)),
            rng.gamma(2, 200, (2, 32, 24)) * (rng.random((2, 32, 24)) < 0.7),
            rng.normal(25, 30, (2, 32, 24)),
        ],
        axis=1,
    ).astype(np.float32)
    layout = Layout("nnunet", 8, None, "pad", True, channels=channels)
    made = fitted_slice(volume[0], windows_of(volume, layout), layout, (32.0, 24.0))
    steps = steps_of(channels=plain(channels))
    for place, channel in enumerate(channels):
        found = followed(steps, volume[:, place], channel.name, 8)
        # Half a grey may round either way: percentiles are kept in single precision.
        assert np.abs(found - made[place]).max() <= 1
        assert (found != made[place]).mean() < 0.05
    assert steps[-2:] == [
        "channels along axis 1 in this order: CT, T2, Perfusion",
        "grey / 127.5 - 1",
    ]


def test_one_channel_of_ct_and_greys_of_an_unknown_window() -> None:
    of_ct = steps_of(window={"width_hu": 400.0, "center_hu": 40.0})
    assert of_ct == steps_of(channels=plain([CT]))
    assert "clipped to -1024 to 3071" in of_ct[1]
    assert "is not known" not in " ".join(of_ct)
    of_mri = steps_of(channels=plain([T2]), resample=True)
    assert "is not known" not in " ".join(of_mri)
    assert "made square ones" in " ".join(of_mri)
    assert "of which window they are is not known" in steps_of()[-2]


@pytest.mark.parametrize("wrong", [{"window": {"width_hu": "a"}}, {"channels": [{"name": "T1"}]}])
def test_a_record_without_sense_is_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"its record holds .* as prepare\.py writes them"):
        steps_of(**wrong)


@pytest.mark.parametrize(
    ("datamodule", "begins"),
    [
        ("datamodules.ChestXrayDataModule", "a film to grey"),
        ("datamodules.chest_xray.ChestXrayDataModule", "a film to grey"),
        ("datamodules.KiTS19DataModule", "a slice to grey"),
        ("datamodules.UnpairedDataModule", "an image to grey"),
        ("of_a_user.Module", "an image to grey"),
    ],
)
def test_a_preparation_without_a_record_is_claimed_by_no_step(datamodule: str, begins: str) -> None:
    record = {"data": {"class_path": datamodule, "init_args": {}}, "image_size": 32}
    told = preprocessing(record, Path("c"))
    assert told["preparation"] == NOT_RECORDED
    assert told["steps"][0].startswith(begins)
    assert told["steps"][0].endswith(NOT_RECORDED)
    assert told["steps"][1:] == ["32 x 32 pixels", "grey / 127.5 - 1"]


def test_films_of_an_earlier_record_are_no_slices() -> None:
    data = {"class_path": "datamodules.ChestXrayDataModule", "init_args": {}}
    record = {"data": data, "preparation": {"clahe": True}, "image_size": 32}
    told = preprocessing(record, Path("c"))
    assert told["preparation"] == {"clahe": True}
    assert told["steps"][0].startswith("a film to grey")
