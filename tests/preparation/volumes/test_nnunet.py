"""Data sets that declare their labels and channels: read as they say, or refused in a sentence."""

import json
import re

import nibabel as nib
import numpy as np
import pytest

from datamodules import KiTS19DataModule
from datamodules.slice_cache import SliceCache
from preparation.volumes.data_sets.dataset_file import read_dataset_file
from preparation.volumes.data_sets.kits19 import find_cases
from provenance import UserError
from tests.nnunet_sets import (
    SHAPE,
    case_arrays,
    save,
    write_decathlon,
    write_description,
    write_nnunet,
)
from tests.prepare_runs import LEFT_OUT, kits19, make_source, run

KEPT = ("--keep-patient-names", "--split-all-to", "train")


def prepared(source, out, *more):
    assert run("nnunet", "--source", source, "--out", out, *KEPT, *more) == 0
    return SliceCache.open(out)


def arrays(cache, number, kind):
    return np.load(cache.root / cache.manifest["shards"][f"liver_{number:03d}"][kind])


def test_four_labels_become_four_classes_by_their_names(tmp_path):
    source = write_nnunet(tmp_path / "source")
    cache = prepared(source, tmp_path / "out", "--window", "abdomen")
    assert cache.class_names == ["background", "liver", "left_kidney", "tumour"]
    assert cache.manifest["window"] == {"width_hu": 400, "center_hu": 50}
    assert "channels" not in cache.manifest
    for number in range(4):
        [image], mask = case_arrays(number)
        assert np.array_equal(arrays(cache, number, "mask"), mask)
        expected = np.clip(np.rint((image + 150.0) * 255 / 400), 0, 255)
        assert np.array_equal(arrays(cache, number, "image"), expected)
    assert cache.patients(None) == [f"liver_{number:03d}" for number in range(4)]
    settings = json.loads((tmp_path / "out/settings.json").read_text())
    assert settings["labels"] == {
        "0": "background", "1": "liver", "2": "left_kidney", "3": "tumour",
    }  # fmt: skip


def test_channels_are_normalised_each_by_itself_and_the_decathlons_are_the_same(tmp_path):
    """Independent reference: numpy's percentiles of the whole volume."""
    channels = ("CT", "T1")
    cache = prepared(write_nnunet(tmp_path / "nn", channels=channels), tmp_path / "a")
    assert cache.channels == ["CT", "T1"]
    assert cache.manifest["channels"] == [
        {"name": "CT", "width": 400.0, "center": 0.0},
        {"name": "T1", "percentiles": [0.5, 99.5]},
    ]
    assert cache.manifest["window"] is None
    (ct, mri), _ = case_arrays(2, 2)
    low, high = np.percentile(mri[mri != 0], [0.5, 99.5])
    stored = arrays(cache, 2, "image")
    assert stored.shape == (4, 2, 16, 16)
    assert np.array_equal(stored[:, 0], np.clip(np.rint((ct + 200.0) * 255 / 400), 0, 255))
    expected = np.clip((mri - low) * 255 / (high - low), 0, 255)
    assert np.abs(stored[:, 1] - expected).max() <= 0.51
    told = cache.manifest["shards"]["liver_002"]["geometry"]["black_and_white"]
    assert told[1] == pytest.approx([low, high], rel=1e-5)
    assert np.array_equal(cache.image(cache.items[0]), arrays(cache, 0, "image")[0])

    other = prepared(write_decathlon(tmp_path / "msd", channels=channels), tmp_path / "b")
    assert other.class_names == cache.class_names
    for number in range(4):
        for kind in ("image", "mask"):
            assert np.array_equal(arrays(other, number, kind), arrays(cache, number, kind))
    data = KiTS19DataModule(str(cache.root))
    assert data.image_channels == 2
    sample = data.training_set()[0]
    assert sample["image"].shape == (2, 16, 16)


def test_version_1_lists_files_without_their_numbers(tmp_path):
    source = write_decathlon(tmp_path / "source", channels=("CT", "T1"))
    for number in range(4):
        (source / f"imagesTr/liver_{number:03d}.nii.gz").unlink()
        for place, image in enumerate(case_arrays(number, 2)[0]):
            save(source / f"imagesTr/liver_{number:03d}_{place:04d}.nii.gz", image)
    (source / "imagesTr/liver_003_0001.nii.gz").unlink()
    assert run("nnunet", "--source", source, "--out", tmp_path / "out", *KEPT) == LEFT_OUT
    [line] = (tmp_path / "out/skipped.csv").read_text().splitlines()[1:]
    assert line.startswith('liver_003/image_1,"is missing')
    other = write_decathlon(tmp_path / "other", channels=("CT", "T1"))
    caches = SliceCache.open(tmp_path / "out"), prepared(other, tmp_path / "one_file")
    for kind in ("image", "mask"):
        for number in range(3):
            np.testing.assert_array_equal(*(arrays(cache, number, kind) for cache in caches))


def test_values_are_merged_dropped_and_need_not_follow_one_another(tmp_path, capsys):
    source = write_nnunet(
        tmp_path / "source",
        values=(0, 2, 5, 700 % 256),
        labels={"background": 0, "liver": 2, "cyst": 5, "tumour": 188},
    )
    cache = prepared(source, tmp_path / "all")
    assert cache.class_names == ["background", "liver", "cyst", "tumour"]
    _, mask = case_arrays(1, values=(0, 2, 5, 188))
    expected = np.select([mask == 2, mask == 5, mask == 188], [1, 2, 3])
    assert np.array_equal(arrays(cache, 1, "mask"), expected)
    merged = prepared(source, tmp_path / "merged", "--label-map", "5=tumour,188=tumour,2=0")
    assert merged.class_names == ["background", "tumour"]
    assert np.array_equal(arrays(merged, 1, "mask"), mask >= 5)
    capsys.readouterr()
    by_hand = ("--labels", "0=background,2=liver,5=cyst,188=tumour,9=vein")
    assert prepared(source, tmp_path / "hand", *by_hand).class_names[3] == "vein"
    assert "note: no slice shows vein: vein is a class that nothing" in capsys.readouterr().out


def test_labels_of_other_layouts_are_said_by_flag(tmp_path, capsys):
    source = make_source(tmp_path / "source", num=3, num_classes=4)
    flags = ("--split-all-to", "test")
    assert kits19(source, tmp_path / "no", *flags, "--labels", "background,liver,cyst") == 2
    said = capsys.readouterr().err
    assert "has label values [3], which nothing declares: expected only 0 (background)" in said
    named = ("--labels", "background,liver,cyst,tumour", "--label-map", "2=3")
    assert kits19(source, tmp_path / "out", *flags, *named) == 0
    cache = SliceCache.open(tmp_path / "out")
    assert cache.class_names == ["background", "liver", "tumour"]
    raw = np.asanyarray(nib.load(source / "case_00000/segmentation.nii.gz").dataobj)
    stored = np.load(cache.root / cache.manifest["shards"]["case_00000"]["mask"])
    assert np.array_equal(stored, np.minimum(raw, 2))
    assert kits19(source, tmp_path / "out", *flags, *named[:2]) == 2  # it is another cache


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"labels": {"background": 0, "whole": [1, 2], "core": [2]}}, r"'whole' is a region made"),
        ({"labels": {"background": 0, "liver": 1.5}}, r"has the value 1.5, expected a whole"),
        ({"labels": {"background": 0, "liver": True}}, r"has the value True"),
        ({"labels": {"liver": 1, "tumour": 2}}, r"gives 0 no name, and 0 is the background"),
        ({"labels": {"background": 0}}, r"names the background alone"),
        ({"labels": {"background": 0, "mean": 1}}, r"'mean', which is what scores"),
        ({"labels": {"background": 0, "??": 1}}, r"expected a name with a letter"),
        ({"labels": None}, r"has no table of labels"),
        ({"channel_names": None}, r"neither channel_names \(nnU-Net\) nor modality"),
        ({"channel_names": {"0": "T1", "2": "T2"}}, r"numbered 0, 2, and not 0 to 1"),
        ({"channel_names": {}}, r"has no channels in channel_names"),
        ({"file_ending": ".mha"}, r"file_ending is '.mha', and NIfTI is read"),
        ({"numTraining": "many"}, r"numTraining is 'many'"),
        ({"dataset": {"a": {"images": "x"}}}, r"case 'a' under \"dataset\" has no images"),
        ({"channel_names": None, "modality": {"0": "CT"}}, r"lists no training cases"),
        (
            {"channel_names": None, "modality": {"0": "CT"}, "training": ["imagesTr/a.nii.gz"]},
            r"imagesTr/a.nii.gz is no training case",
        ),
    ],
)
def test_a_description_that_cannot_be_followed_is_refused(tmp_path, changed, sentence):
    with pytest.raises(UserError, match=sentence):
        read_dataset_file(write_description(tmp_path, **changed))


def test_missing_and_broken_descriptions_say_so(tmp_path):
    with pytest.raises(UserError, match=r"holds no dataset.json.*kits19 with --labels"):
        read_dataset_file(tmp_path)
    with pytest.raises(UserError, match="there is no such folder"):
        read_dataset_file(tmp_path / "nowhere")
    write_description(tmp_path / "Dataset1")
    with pytest.raises(UserError, match=r"Did you mean .*Dataset1"):
        read_dataset_file(tmp_path)
    with pytest.raises(UserError, match=r"It has a dataset.json: use prepare.py nnunet"):
        find_cases(tmp_path / "Dataset1")
    for text, sentence in (("{", "is no JSON"), ("[]", "holds a list"), ("[" * 9999, "is no JSON")):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(UserError, match=sentence):
            read_dataset_file(tmp_path)


def test_a_label_to_be_ignored_is_asked_about(tmp_path, capsys):
    labels = {"background": 0, "liver": 1, "ignore": 2}
    source = write_nnunet(tmp_path / "source", values=(0, 1, 2), labels=labels)
    assert run("nnunet", "--source", source, "--out", tmp_path / "no", *KEPT) == 2
    assert "say so with --label-map 2=0" in capsys.readouterr().err
    cache = prepared(source, tmp_path / "out", "--label-map", "2=0")
    assert cache.class_names == ["background", "liver"]


def _undeclared(root):
    save(root / "labelsTr/liver_001.nii.gz", np.full(SHAPE, 7, np.uint8))


def _fractional(root):
    save(root / "labelsTr/liver_001.nii.gz", np.full(SHAPE, 0.5, np.float32))


def _other_shape(root):
    save(root / "imagesTr/liver_001_0001.nii.gz", np.ones((4, 16, 12), np.int16))


def _constant(root):
    save(root / "imagesTr/liver_001_0001.nii.gz", np.ones(SHAPE, np.float32))


@pytest.mark.parametrize(
    ("break_it", "file", "sentence"),
    [
        (_undeclared, "label", r"has label values \[7\], which nothing declares.*3 \(tumour\)"),
        (_fractional, "label", r"holds fractional labels"),
        (_other_shape, "image_1", r"has shape \(4, 16, 12\), but liver_001/image_0 has \(4, 16"),
        (_constant, "image_1", r"is constant \(every voxel is 1\)"),
        (
            lambda root: (root / "imagesTr/liver_001_0001.nii.gz").unlink(),
            "label",
            r"has 1 of 2 images beside it; 0001 \(T1\) is missing",
        ),
        (
            lambda root: (root / "labelsTr/liver_001.nii.gz").unlink(),
            "label",
            r"has an image and no label map",
        ),
        (
            lambda root: (root / "imagesTr/liver_001_0000.nii.gz").write_bytes(b"no NIfTI"),
            "image_0",
            r"is not a readable NIfTI file",
        ),
    ],
)
def test_a_case_that_cannot_be_used_is_listed_and_the_others_are_prepared(
    tmp_path, break_it, file, sentence
):
    source = write_nnunet(tmp_path / "source", channels=("CT", "T1"))
    break_it(source)
    assert run("nnunet", "--source", source, "--out", tmp_path / "out", *KEPT) == LEFT_OUT
    [line] = (tmp_path / "out/skipped.csv").read_text().splitlines()[1:]
    assert line.startswith(f"liver_001/{file},")
    assert re.search(sentence, line), line
    assert len(SliceCache.open(tmp_path / "out").patients(None)) == 3


def test_what_is_not_used_is_said(tmp_path, capsys):
    source = write_nnunet(tmp_path / "source", numTraining=131)
    save(source / "imagesTs/liver_900_0000.nii.gz", case_arrays(9)[0][0])
    prepared(source, tmp_path / "out")
    said = capsys.readouterr().out
    assert "says numTraining 131, and there are 4 cases" in said
    assert "imagesTs/ holds 1 files, without label maps" in said
    words = ("nnunet", "--source", source, "--part", "Ts", "--keep-patient-names", "--out")
    assert run(*words, tmp_path / "no") == 2
    said = capsys.readouterr().err
    assert "labelsTs/ holds no label map" in said
    assert "labelsTs/NAME.nii.gz and imagesTs/NAME_0000.nii.gz. Images without" in said
    save(source / "labelsTs/liver_900.nii.gz", case_arrays(9)[1])
    assert run(*words, tmp_path / "test") == 0
    assert SliceCache.open(tmp_path / "test").patients("test") == ["liver_900"]


def test_no_path_of_the_description_leads_out_of_its_folder(tmp_path):
    source = write_nnunet(tmp_path / "source")
    inside = {"images": ["imagesTr/liver_000_0000.nii.gz"], "label": "labelsTr/liver_000.nii.gz"}
    outside = {**inside, "images": ["../../secret.nii.gz"]}
    write_description(source, dataset={"liver_000": inside, "liver_001": outside})
    assert run("nnunet", "--source", source, "--out", tmp_path / "out", *KEPT) == LEFT_OUT
    skipped = (tmp_path / "out/skipped.csv").read_text()
    assert "liver_001/image_0,is a path of dataset.json that leads out of its folder" in skipped


def test_cases_of_one_patient_stay_together_by_a_pattern(tmp_path, capsys):
    source = tmp_path / "source"
    write_description(source, numTraining=6)
    for number, name in enumerate(("a_v1", "a_v2", "b_v1", "c_v1", "c_v2", "odd")):
        [image], mask = case_arrays(number)
        save(source / f"imagesTr/{name}_0000.nii.gz", image)
        save(source / f"labelsTr/{name}.nii.gz", mask)
    words = ("nnunet", "--source", source, "--out", tmp_path / "out", *KEPT)
    assert run(*words, "--patient-pattern", "(.+)_v[0-9]") == LEFT_OUT
    cache = SliceCache.open(tmp_path / "out")
    assert cache.patients(None) == ["a", "b", "c"]
    assert sorted(cache.manifest["shards"]) == ["a", "a_2", "b", "c", "c_2"]
    skipped = (tmp_path / "out/skipped.csv").read_text()
    assert "odd,has no patient in its name by --patient-pattern. Left out." in skipped
    assert run(*words[:4], tmp_path / "no", "--patient-pattern", "(") == 2
    assert "is not a regular expression" in capsys.readouterr().err
