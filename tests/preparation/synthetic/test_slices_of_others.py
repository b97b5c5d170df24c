"""CT slices that another program made become a set, in the window and at the size of the cache."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from datamodules import KiTS19DataModule
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from tests.prepare_runs import AFFINE, LEFT_OUT, kits19, make_source, run


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("real")
    out = root / "cache"
    assert kits19(make_source(root / "source", 12), out, "--image-size", 8) == 0
    return out


def synthetic(source: Path, out: Path, like: Path, *more: Any) -> int:
    flags = ("--trained-on", "unknown", "--like", like)
    return run("synthetic", "--source", source, "--out", out, *flags, *more)


def volume(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `make_source` draws one."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(-1000, 1000, (4, 16, 16)).astype(np.int16),
        rng.integers(0, 3, (4, 16, 16)).astype(np.int16),
    )


def save(folder: Path, name: str, *arrays: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    for kind, array in zip(("images", "labels"), arrays, strict=False):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        path = folder / kind / name
        if path.suffix == ".npy":
            np.save(path, array)
        else:
            nib.save(nib.Nifti1Image(array, affine), path)


def test_volumes_come_out_as_the_cache_has_them(cache: Path, tmp_path: Path) -> None:
    """Case 3 of the cache again, as NIfTI in two orders of axes and as NumPy: equal to the bit."""
    image, mask = volume(3)
    save(tmp_path, "a.nii.gz", image, mask)
    turned = AFFINE[:, [2, 1, 0, 3]]
    save(tmp_path, "b.nii", image.transpose(2, 1, 0), mask.transpose(2, 1, 0), affine=turned)
    save(tmp_path, "c.npy", image, mask.astype(np.uint8))
    masks = ("--masks", tmp_path / "labels")
    assert synthetic(tmp_path / "images", tmp_path / "set", cache, *masks) == 0
    made, real = SyntheticSet.open(tmp_path / "set"), SliceCache.open(cache)
    slices = [item for item in real.items if item.patient_id == "case_00003"]
    assert len(made.items) == 12
    assert made.of_slices
    assert made.has_label_maps
    for item, expected in zip(made.items, slices * 3, strict=True):
        np.testing.assert_array_equal(made.image(item), real.image(expected))
        np.testing.assert_array_equal(made.mask(item), real.mask(expected))
        assert item.class_pixels == expected.class_pixels
    assert [item.volume for item in made.items[::4]] == [f"volume_{i:06d}" for i in range(3)]
    joined = KiTS19DataModule(str(cache), synthetic=str(tmp_path / "set")).training_set()
    assert joined[len(joined) - 1]["patient_id"] == "synthetic:volume_000002"


def test_values_that_are_no_hounsfield_units_need_their_scale(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """-1 to 1 stands for the cache's window of 400 HU around 0: the same image but for rounding."""
    image, _ = volume(3)
    save(tmp_path, "a.npy", image.clip(-200, 200).astype(np.float32) / 200)
    assert synthetic(tmp_path / "images", tmp_path / "none", cache) == 2
    assert "between -1 and 1, which are no Hounsfield units" in capsys.readouterr().err
    assert synthetic(tmp_path / "images", tmp_path / "a", cache, "--values", -1, 1) == 0
    assert "grey values of 8 bits, taken as if" in capsys.readouterr().out
    save(tmp_path / "hu", "a.npy", image.clip(-200, 200))
    assert synthetic(tmp_path / "hu/images", tmp_path / "b", cache) == 0
    one, other = (SyntheticSet.open(tmp_path / name) for name in "ab")
    for item in one.items:
        difference = one.image(item).astype(int) - other.image(item)
        assert np.abs(difference).max() <= 1
    assert not one.has_label_maps


def test_pictures_with_label_maps_and_what_is_wrong_with_them(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = tmp_path / "images/Meier", tmp_path / "labels/Meier"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (16, 16), np.uint8)
    for name in ("good", "empty", "strange", "small", "lonely", "colour", "deep"):
        Image.fromarray(np.stack([grey] * 3, -1)).save(images / f"{name}.png")
        if name != "lonely":
            Image.fromarray(np.full((16, 16), 255, np.uint8)).save(labels / f"{name}.png")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(labels / "empty.png")
    Image.fromarray(np.full((16, 16), 7, np.uint8)).save(labels / "strange.png")
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(labels / "small.png")
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(images / "colour.png")
    Image.fromarray(rng.integers(0, 5000, (16, 16)).astype(np.uint16)).save(images / "deep.png")
    flags = ("--masks", tmp_path / "labels", "--label-map", "255=tumour")
    assert synthetic(tmp_path / "images", tmp_path / "set", cache, *flags) == LEFT_OUT
    printed = capsys.readouterr().out
    assert "7 files found, 1 image used, 5 left out, 1 slices whose label map marks" in printed
    for reason in ("label values [7]", "is (16, 16), but its label map is (8, 8)",
                   "no label map of its name", "in colours", "more than 8 bits"):  # fmt: skip
        assert reason in printed
    made = SyntheticSet.open(tmp_path / "set")
    [item] = made.items
    assert (made.mask(item) == 2).all()
    np.testing.assert_array_equal(  # shrinking averages the four pixels that a new one covers
        made.image(item), np.rint(grey.reshape(8, 2, 8, 2).mean((1, 3))).astype(np.uint8)
    )
    flags = (*flags, "--slices", "all", "--volume-from", "folder")
    assert synthetic(tmp_path / "images", tmp_path / "all", cache, *flags) == LEFT_OUT
    both = SyntheticSet.open(tmp_path / "all").items
    assert [one.volume for one in both] == ["volume_000000"] * 2
    assert "Meier" not in (tmp_path / "all/manifest.json").read_text()


def test_a_cache_without_a_window_takes_it_from_the_flags(
    make_cache: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    like = make_cache(tmp_path / "cache", size=16)  # its window is not told
    image, _ = volume(1)
    save(tmp_path, "a.npy", image)
    assert synthetic(tmp_path / "images", tmp_path / "set", like) == 2
    assert "Give it with --window-width-hu and --window-center-hu" in capsys.readouterr().err
    window = ("--window-width-hu", 2000, "--window-center-hu", 0)
    assert synthetic(tmp_path / "images", tmp_path / "b", like, *window) == 0
    made = SyntheticSet.open(tmp_path / "b")
    expected = np.rint((image[0] + 1000) * (255 / 2000)).clip(0, 255)
    assert np.abs(made.image(made.items[0]) - expected).max() <= 1


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--label", "kidney"), "--label kidney: .* holds slices. Leave it out"),
        (("--processing", "none"), "--processing none: is for films"),
        (("--slices", "all"), "--slices all: is about label maps"),
        (("--label-map", "255=kidney"), "--label-map: is about label maps"),
        (("--masks", "IMAGES", "--label-map", "255=liver"), "--label-map 255=liver: expected"),
        (("--window-width-hu", "100"), "was made with a window of 400 HU around 0 HU"),
    ],
)
def test_flags_that_say_nothing_here_are_refused(
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    sentence: str,
) -> None:
    import re

    save(tmp_path, "a.npy", volume(1)[0])
    words = [tmp_path / "images" if flag == "IMAGES" else flag for flag in flags]
    assert synthetic(tmp_path / "images", tmp_path / "set", cache, *words) == 2
    assert re.search(sentence, capsys.readouterr().err)
