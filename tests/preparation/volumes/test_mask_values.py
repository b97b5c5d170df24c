"""Values of masks that have no name: refused, mapped, or a class of their own."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from datamodules.slice_cache import SliceCache
from preparation.volumes.labels.notes import label_map_notes
from preparation.volumes.labels.values import MaskValues, changed
from preparation.volumes.volume import KIDNEY_AND_TUMOUR
from provenance import UserError
from tests.prepare_runs import AFFINE, kits19, make_source, run


@pytest.mark.parametrize(
    ("label_map", "names", "changes"),
    [
        ({}, (), ()),
        ({"3": "0"}, (), ((3, 0),)),
        ({"3": "kidney", "255": "Tumor"}, (), ((3, 1), (255, 2))),
        ({"3": "cyst", "4": "vein", "5": "cyst"}, ("cyst", "vein"), ((3, 3), (4, 4), (5, 3))),
        ({"3": "cyst", "4": "3"}, ("cyst",), ((3, 3), (4, 3))),
        ({"-1": "background"}, (), ((-1, 0),)),
    ],
)
def test_a_map_names_values(label_map, names, changes):
    expected = MaskValues(("background", "kidney", "tumour", *names), changes)
    assert MaskValues.of(label_map) == expected


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (("cyst", "3"), "'cyst' is no whole number"),
        (("3", "3"), "label 3 has no name.*such as 3=cyst"),
        (("3", ""), "expected a label or a name"),
        (("1.5", "0"), "'1.5' is no whole number"),
    ],
)
def test_a_map_that_says_nothing_is_refused(pair, sentence):
    with pytest.raises(UserError, match=sentence):
        MaskValues.of(dict([pair]))


def test_values_change_all_at_once():
    mask = np.array([0, 1, 2, 3], np.uint8)
    held = set()
    assert changed(mask, ((1, 2), (2, 1), (3, 0), (-1, 2)), held).tolist() == [0, 2, 1, 0]
    assert held == {1, 2, 3}
    assert mask.tolist() == [0, 1, 2, 3]


def test_a_fourth_label_is_refused_by_name_mapped_or_a_class(tmp_path, capsys):
    source, flags = (
        make_source(tmp_path / "source", num=3, num_classes=4),
        ("--split-all-to", "test"),
    )
    assert kits19(source, tmp_path / "no", *flags) == 2
    said = capsys.readouterr().err
    assert "has label values [3], expected only 0 (background), 1 (kidney) and 2 (tumour)" in said
    assert "--label-map 3=0" in said
    raw = np.asanyarray(nib.load(source / "case_00000/segmentation.nii.gz").dataobj)
    for pair, names, threes in (
        ("3=kidney", ["background", "kidney", "tumour"], 1),
        ("3=0", ["background", "kidney", "tumour"], 0),
        ("3=cyst", ["background", "kidney", "tumour", "cyst"], 3),
    ):
        out = tmp_path / pair
        assert kits19(source, out, *flags, "--label-map", pair) == 0
        cache = SliceCache.open(out)
        assert cache.class_names == names
        mask = np.load(out / cache.manifest["shards"]["case_00000"]["mask"])
        assert np.array_equal(mask, np.where(raw == 3, threes, raw))
        settings = json.loads((out / "settings.json").read_text())
        assert settings["label_map"] == dict([pair.split("=")])
        assert kits19(source, out, *flags) == 2  # without the map it is another cache
    assert run("masks", "--source", source, "--out", tmp_path / "m", "--label-map", "3=cyst") == 0
    assert SliceCache.open(tmp_path / "m").class_names[3] == "cyst"


def test_without_a_map_the_settings_say_nothing_of_one(tmp_path):
    source = make_source(tmp_path / "source", num=3)
    assert kits19(source, tmp_path / "out", "--split-all-to", "test") == 0
    assert "label_map" not in (tmp_path / "out/settings.json").read_text()


def test_masks_of_0_and_255_and_masks_of_one_bit_are_asked_about(tmp_path, capsys):
    source = tmp_path / "source"
    for kind in ("image", "label"):
        (source / kind).mkdir(parents=True)
    for name, mask in (("deep", np.eye(16, dtype=np.uint8) * 255), ("bit", np.eye(16) > 0)):
        Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(
            source / f"image/{name}.png"
        )
        Image.fromarray(mask).save(source / f"label/{name}.png")
    (source / "index.csv").write_text("file,case,slice\ndeep.png,1,1\nbit.png,2,1\n")
    words = ("slices", "--source", source, "--split-all-to", "test", "--out")
    assert run(*words, tmp_path / "no") == 2
    said = capsys.readouterr().err
    assert "label/deep.png: has label values [255]" in said
    assert "label/bit.png: is a yes-or-no picture (1 bit), which does not say whether" in said
    assert run(*words, tmp_path / "yes", "--label-map", "255=kidney,1=tumour") == 0
    manifest = SliceCache.open(tmp_path / "yes").manifest
    assert [item["class_pixels"] for item in manifest["items"]] == [[240, 16, 0], [240, 0, 16]]


def test_a_map_for_a_single_file(tmp_path):
    """An int16 mask with a value that a byte does not hold."""
    source = make_source(tmp_path / "source", num=3)
    path = source / "case_00000/segmentation.nii.gz"
    nib.save(nib.Nifti1Image(np.full((4, 16, 16), 1000, np.int16), AFFINE), path)
    file = tmp_path / "map.txt"
    file.write_text("# raters' code\n1000 = tumour\n")
    words = ("--split-all-to", "test", "--label-map", file)
    assert kits19(source, tmp_path / "out", *words) == 0
    items = SliceCache.open(tmp_path / "out").manifest["items"]
    assert items[0]["class_pixels"] == [0, 0, 256]


@pytest.mark.parametrize("command", ["kits19", "masks", "slices"])
def test_a_map_that_no_mask_needs_is_said(tmp_path, capsys, command):
    source = tmp_path / "source"
    if command == "slices":
        for kind, picture in (
            ("image", np.arange(256, dtype=np.uint8).reshape(16, 16)),
            ("label", np.eye(16, dtype=np.uint8) * 3),
        ):
            (source / kind).mkdir(parents=True)
            Image.fromarray(picture).save(source / kind / "a.png")
        (source / "index.csv").write_text("file,case,slice\na.png,1,1\n")
    else:
        make_source(source, num=3, num_classes=4)
    words = (command, "--source", source, "--split-all-to", "test", "--out")
    for _ in range(2):  # and where everything was made before
        assert run(*words, tmp_path / "lost", "--label-map", "3=kidny,300=kidney,5=vein") == 0
        said = capsys.readouterr().out
        assert (
            "note: --label-map 300=kidney,5=vein: no mask that is used holds the value 300 or 5; "
            "is it misspelt?"
        ) in said
        assert (
            "note: --label-map: new classes beside kidney and tumour: 3 is kidny, 4 is vein" in said
        )
    assert run(*words, tmp_path / "used", "--label-map", "3=kidney") == 0
    assert "--label-map" not in capsys.readouterr().out


def test_a_class_that_a_map_leaves_without_a_value_is_said():
    [new, said] = label_map_notes({"2": "cyst"}, {2})
    assert "3 is cyst" in new
    assert "nothing becomes tumour any more, which stays a class without pixels" in said
    assert MaskValues.of({"2": "cyst"}, dict(enumerate(KIDNEY_AND_TUMOUR))).class_names == (
        "background", "kidney", "cyst"
    )  # fmt: skip
    assert label_map_notes({"1": "tumour", "2": "kidney"}, {1, 2}) == []
    assert label_map_notes({"3": "tumour", "2": "0"}, {2, 3}) == []


@pytest.mark.parametrize("command", ["kits19", "masks"])
def test_masks_of_one_thing_alone_may_be_tumours(tmp_path, capsys, command):
    one, two = (make_source(tmp_path / f"{n}", num=3, num_classes=n) for n in (2, 3))
    note = "note: no mask holds 2 (tumour), so all that is marked counts as kidney."
    words = ("--split-all-to", "test")
    assert run(command, "--source", one, "--out", tmp_path / "kidney", *words) == 0
    assert note in capsys.readouterr().out
    assert run(command, "--source", two, "--out", tmp_path / "both", *words) == 0
    mapped = ("--label-map", "1=tumour")
    assert run(command, "--source", one, "--out", tmp_path / "tumour", *words, *mapped) == 0
    assert note not in capsys.readouterr().out
