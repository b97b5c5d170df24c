"""Volumes and slices under two patients: found, listed, and never in two splits."""

import csv
import json
import os
import shutil
import time

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from datamodules.slice_cache import SliceCache
from preparation.copies import joined, pixel_hash
from preparation.split import Split, own_keys
from preparation.volumes.copies import find_copies
from provenance import read_json
from tests.preparation.volumes.test_ct_dicom import make_study
from tests.preparation.volumes.test_png_slices import make_pairs, write_index
from tests.prepare_runs import contents, kits19, make_source, run

# Of the 14 cases, who was copied from whom: with the default seed 4 of these pairs are divided.
COPIED = {8: 0, 9: 1, 10: 2, 11: 3, 12: 4, 13: 5}
CASE = "case_{:05d}"
KEEP = "--keep-patient-names"


def with_copies(root, copied=COPIED):
    """Fourteen cases; the copies hold equal voxels in other files (float32 in place of int16)."""
    make_source(root, num=14)
    for new, old in copied.items():
        for name in ("imaging", "segmentation"):
            image = nib.load(root / CASE.format(old) / f"{name}.nii.gz")
            array = np.asarray(image.dataobj).astype(np.float32)
            nib.save(
                nib.Nifti1Image(array, image.affine), root / CASE.format(new) / f"{name}.nii.gz"
            )
    return root


def split_of_patients(out):
    splits = {}
    for item in SliceCache.open(out).items:
        splits.setdefault(item.patient_id, set()).add(item.split)
    assert all(len(own) == 1 for own in splits.values())
    return {patient: own.pop() for patient, own in splits.items()}


def table(out):
    with open(out / "duplicates.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def test_volumes_under_two_names_stay_together_and_nobody_else_moves(tmp_path, capsys):
    source, out, seed = with_copies(tmp_path / "source"), tmp_path / "out", 85
    alone = {CASE.format(n): Split(seed=seed).of(CASE.format(n), "") for n in range(14)}
    divided = [
        CASE.format(new)
        for new, old in COPIED.items()
        if alone[CASE.format(new)] != alone[CASE.format(old)]
    ]
    assert len(divided) >= 2
    assert kits19(source, out, "--split-seed", seed) == 0
    splits = split_of_patients(out)
    assert all(splits[CASE.format(new)] == splits[CASE.format(old)] for new, old in COPIED.items())
    assert [patient for patient in splits if splits[patient] != alone[patient]] == divided
    assert [(row["kind"], row["first"], row["second"]) for row in table(out)] == [
        ("volume", f"{CASE.format(old)}/0000", f"{CASE.format(new)}/0000")
        for new, old in COPIED.items()
    ]
    assert {row["equal_slices"] for row in table(out)} == {"4"}
    assert read_json(out / "manifest.json")["duplicates"] == {
        "pairs": 6,
        "kept_together": 12,
        "moved": {patient: [alone[patient], splits[patient]] for patient in divided},
    }
    said = capsys.readouterr().out
    assert "6 pairs of volumes with equal slices under different patients" in said
    assert f"  {len(divided)} patients moved to another split" in said
    assert f"  {divided[0]}: from {alone[divided[0]]} to {splits[divided[0]]}" in said


def test_one_worker_two_and_a_killed_run_write_the_same_bytes(tmp_path, monkeypatch):
    source = with_copies(tmp_path / "source")
    assert kits19(source, tmp_path / "one") == 0
    assert kits19(source, tmp_path / "two", "--workers", "2") == 0
    rename, calls = os.replace, iter(range(1000))

    def struck(old, new):
        if next(calls) == 20:
            raise KeyboardInterrupt
        rename(old, new)

    monkeypatch.setattr(os, "replace", struck)
    assert kits19(source, tmp_path / "killed") == 130
    assert not (tmp_path / "killed/duplicates.csv").exists()
    monkeypatch.setattr(os, "replace", rename)
    assert kits19(source, tmp_path / "killed") == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "killed")


def test_without_copies_there_is_no_table_and_no_word(tmp_path, capsys):
    assert kits19(make_source(tmp_path / "source"), tmp_path / "out") == 0
    assert not (tmp_path / "out/duplicates.csv").exists()
    assert "duplicates" not in read_json(tmp_path / "out/manifest.json")
    assert "duplicates" not in capsys.readouterr().out


def test_some_equal_slices_are_enough_and_air_is_none(tmp_path):
    source = make_source(tmp_path / "source", num=14)
    for number, (start, air) in enumerate([(0, 3), (2, 3), (None, 0)]):
        path = source / CASE.format(number) / "imaging.nii.gz"
        image = nib.load(path)
        array = np.asarray(image.dataobj).copy()
        array[air] = -1024  # of the first two: their last slice; of the third: its first
        if start is not None:
            array[start] = np.arange(256).reshape(16, 16)
        nib.save(nib.Nifti1Image(array, image.affine), path)
    assert kits19(source, tmp_path / "out", "--split-all-to", "train") == 0
    (row,) = table(tmp_path / "out")
    assert (row["kind"], row["first"], row["second"], row["equal_slices"], row["split"]) == (
        "slices", "case_00000/0000", "case_00001/0002", "1", "train",
    )  # fmt: skip


@pytest.mark.parametrize("by", ["patient", "slice"])
def test_slices_saved_again_as_png(tmp_path, by):
    source = tmp_path / "source"
    rows = make_pairs(source, [(case, index) for case in range(14) for index in range(3)])
    for case in range(6):
        for kind in ("image", "label"):
            again = source / kind / f"s_{case + 8}_1.png"
            Image.open(source / kind / f"s_{case}_2.png").save(again, compress_level=1)
    write_index(source, rows)
    assert (source / "image/s_8_1.png").read_bytes() != (source / "image/s_0_2.png").read_bytes()
    out = tmp_path / "out"
    assert run("slices", "--source", source, "--out", out, "--split-by", by, KEEP) == 0
    splits = {item.id: item.split for item in SliceCache.open(out).items}
    pairs = [
        (f"{CASE.format(case)}/0002", f"{CASE.format(case + 8)}/0001", "slices")
        for case in range(6)
    ]
    assert [(row["first"], row["second"], row["kind"]) for row in table(out)] == pairs
    assert all(splits[first] == splits[second] for first, second, _ in pairs)
    alone = Split(by=by)
    divided = [
        second
        for first, second, _ in pairs
        if alone.of(first[:10], first) != alone.of(second[:10], second)
    ]
    assert len(divided) == len(read_json(out / "manifest.json")["duplicates"]["moved"]) > 0


def test_dicom_under_another_patient_id(tmp_path):
    for number in range(14):
        make_study(tmp_path / f"source/p{number}", seed=number % 8, patient=f"MRN-{number}")
    out = tmp_path / "out"
    assert run("ct_dicom", "--source", tmp_path / "source", "--out", out) == 0
    rows = table(out)
    assert len(rows) == 6
    splits = split_of_patients(out)
    assert all(splits[row["first_patient"]] == splits[row["second_patient"]] for row in rows)
    assert "MRN" not in (out / "duplicates.csv").read_text()


def test_one_patient_twice_is_no_copy(tmp_path):
    for name in ("a", "b"):
        make_study(tmp_path / "source" / name)
    out = tmp_path / "out"
    assert run("ct_dicom", "--source", tmp_path / "source", "--out", out) == 0
    assert not (out / "duplicates.csv").exists()


def test_label_volumes_are_compared_whole_and_empty_ones_not(tmp_path):
    source = with_copies(tmp_path / "source", {3: 1})
    for number in (5, 6):
        path = source / CASE.format(number) / "segmentation.nii.gz"
        nib.save(nib.Nifti1Image(np.zeros((4, 16, 16), np.uint8), np.eye(4)), path)
    out = tmp_path / "out"
    assert run("masks", "--source", source, "--out", out, KEEP) == 0
    (row,) = table(out)
    assert (row["first"], row["second"], row["kind"]) == (
        "case_00001/0000", "case_00003/0000", "volume",
    )  # fmt: skip


def test_volumes_of_an_earlier_version_are_compared_whole(tmp_path, capsys):
    source, out = with_copies(tmp_path / "source"), tmp_path / "out"
    assert kits19(source, out) == 0
    whole = contents(out)
    for number in range(10):
        path = out / f"records/{CASE.format(number)}.json"
        record = json.loads(path.read_text())
        del record["pixels"]
        path.write_text(json.dumps(record, indent=2) + "\n")
    capsys.readouterr()
    assert kits19(source, out) == 0
    assert (out / "duplicates.csv").read_bytes() == whole["duplicates.csv"]
    known, now = json.loads(whole["manifest.json"]), read_json(out / "manifest.json")
    assert known.pop("pixel_hashes")["unknown"] == 0
    assert now.pop("pixel_hashes")["unknown"] == 40
    assert known.pop("sha256") != now.pop("sha256")
    assert now == known
    assert "10 of 14 volumes were made by an earlier version" in capsys.readouterr().out


def test_adding_a_copy_moves_its_group_alone_and_says_so(tmp_path, capsys):
    source, out = make_source(tmp_path / "source", num=14), tmp_path / "out"
    assert kits19(source, out) == 0
    before = split_of_patients(out)
    late = next(
        name
        for name in map("zcase_{}".format, range(99))
        if before["case_00000"] != Split().of(name, "")
    )
    shutil.copytree(source / "case_00000", source / late)
    early = next(
        name
        for name in map("acase_{}".format, range(99))
        if before["case_00001"] != Split().of(name, "")
    )
    shutil.copytree(source / "case_00001", source / early)
    capsys.readouterr()
    assert kits19(source, out) == 0
    now = split_of_patients(out)
    assert now[late] == now["case_00000"] == before["case_00000"]
    assert now[early] == now["case_00001"] != before["case_00001"]
    assert [name for name in before if now[name] != before[name]] == ["case_00001"]
    assert "the split of this cache has changed" in capsys.readouterr().out


def test_a_split_that_copies_emptied_says_so(tmp_path, capsys):
    source = make_source(tmp_path / "source", num=3)
    for number in (1, 2):
        shutil.copytree(source / CASE.format(0), source / CASE.format(number), dirs_exist_ok=True)
    keys = own_keys(CASE.format(number) for number in range(3))
    seed = next(
        seed for seed in range(1000) if len(set(Split(seed=seed).divide(keys).values())) == 3
    )
    assert kits19(source, tmp_path / "out", "--split-seed", seed) == 2
    assert "3 of them share images with others and are kept together" in capsys.readouterr().err
    assert len(table(tmp_path / "out")) == 2


def test_the_group_decides_by_its_own_members():
    names = [CASE.format(number) for number in range(300)]
    split, keys = Split(), own_keys(names)
    alone = split.divide(keys)
    by_split = {s: [n for n in names if alone[n] == s] for s in ("train", "val", "test")}
    most = [by_split["test"][0], by_split["train"][-1], by_split["train"][-2]]
    drawn = split.divide(keys, [most])
    assert {drawn[name] for name in most} == {"train"}
    assert [name for name in names if drawn[name] != alone[name]] == most[:1]
    pair = [by_split["val"][3], by_split["train"][2]]
    assert set(split.divide(own_keys(pair), [pair]).values()) == {alone[min(pair)]}
    merged = {**split.divide(keys, [pair]), **split.divide(own_keys(pair), [pair])}
    assert merged == split.divide(own_keys(names[::-1]), [pair[::-1]])


def test_time_grows_with_the_slices_and_not_with_their_pairs():
    """Half of the volumes are a copy of the first one, the other half of nothing."""

    def record(number):
        name = CASE.format(number)
        own = number if number % 2 else 0
        return {
            "content": {"image": "array", "sha256_image": f"stored {own}"},
            "items": [
                {"id": f"{name}/{row}", "patient_id": name, "shard": name} for row in range(500)
            ],
            "pixels": {"volume": f"{own}", "slices": [f"{own} {row}" for row in range(500)]},
        }

    records = {CASE.format(number): record(number) for number in range(400)}
    begun = time.process_time()
    few = find_copies({name: records[name] for name in list(records)[:100]}, "patient")
    quarter = time.process_time() - begun
    begun = time.process_time()
    copies = find_copies(records, "patient")
    assert time.process_time() - begun < 10 * quarter + 0.5  # 16 times as long if quadratic
    assert (len(few.pairs), len(copies.pairs)) == (49, 199)
    assert [len(group) for group in copies.together] == [200]
    assert {pair.num_equal for pair in copies.pairs} == {500}


def test_pairs_join_to_groups():
    assert joined([("b", "a"), ("d", "c"), ("e", "f"), ("c", "b"), ("a", "d")]) == [
        ["a", "b", "c", "d"],
        ["e", "f"],
    ]
    chain = [(f"{n + 1:06d}", f"{n:06d}") for n in range(100_000)]
    assert [len(group) for group in joined(chain)] == [100_001]


def test_the_hash_is_of_shape_depth_and_pixels():
    pixels = np.arange(12, dtype=np.int16).reshape(3, 4)
    known = pixel_hash(pixels)
    assert known == "7dfcecdea668d26dc6b28044522f06b8e9f68ce1ef5271047767ef3fa05a0653"
    assert pixel_hash(np.asfortranarray(pixels)) == pixel_hash(pixels.astype(">i2")) == known
    others = [pixels.reshape(4, 3), pixels.astype(np.uint8), pixels + np.int16(1)]
    assert len({known, *map(pixel_hash, others)}) == 4
    assert pixel_hash(np.full((3, 4), -1024, np.int16)) is None
