"""The verb: whole runs, what they print and what they refuse."""

import csv
import gzip
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from datamodules.open_cache import open_cache
from datamodules.prepared_cache import SPLITS
from datamodules.slice_cache import SliceCache
from licences import Licence
from preparation.split import Split
from preparation.volumes.data_sets.kits19 import find_cases
from preparation.volumes.layout import Layout
from preparation.volumes.nifti.case import read_case
from preparation.volumes.options import SliceOptions
from preparation.volumes.prepare import prepare
from preparation.volumes.summary import print_slice_summary
from prepare import COMMANDS
from provenance import UserError
from tests.prepare_runs import AFFINE, LEFT_OUT, contents, kits19, make_source, run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path):
    return make_source(tmp_path / "source")


def test_a_whole_run(source, tmp_path, capsys):
    assert kits19(source, tmp_path / "out", "--image-size", "8", "--verify") == 0
    printed = capsys.readouterr().out
    assert "12 found, 12 volumes of 12 patients used with 48 slices, 0 skipped" in printed
    assert "24 arrays and 24 sources checked, 0 changed" in printed
    last = printed.strip().splitlines()[-1]
    assert last.startswith(f"Results: {tmp_path / 'out'}")
    assert last.endswith(f"Next: python prepare.py verify {tmp_path / 'out'}")
    cache = SliceCache.open(tmp_path / "out")
    assert (len(cache), cache.image_size, cache.dataset) == (48, 8, "kits19")
    assert cache.items[5].id == "case_00001/0001"
    assert cache.items[5].pixel_spacing_mm == pytest.approx((1.6, 1.4))
    for item in cache.items:
        counts = np.bincount(cache.mask(item).ravel(), minlength=3)
        assert tuple(counts) == item.class_pixels
    assert str(tmp_path) not in (tmp_path / "out/manifest.json").read_text()


def test_flags_with_underscores_and_config_files(source, tmp_path):
    assert kits19(source, tmp_path / "a", "--image_size=8") == 0
    config = tmp_path / "c.yaml"
    config.write_text(
        f"source: {source}\nout: {tmp_path / 'b'}\nimage_size: 8\nkeep_patient_names: true\n"
    )
    assert run("kits19", "--config", config) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_describes_every_flag(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(name, "--help")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert ("folder" if name in ("verify", "licence") else "--out OUT") in printed
    described = re.search(r"--source SOURCE\s+Folder", printed)
    assert described or name in ("phantom_ct", "phantom_cxr", "merge", "verify", "licence")


def test_a_typo_is_refused(source, tmp_path, capsys):
    assert kits19(source, tmp_path / "out", "--imagesize", "8") == 2
    assert "--imagesize: no such flag. Did you mean --image_size?" in capsys.readouterr().err


def test_a_flag_of_another_source_is_said_to_be_one(tmp_path, capsys):
    assert run("phantom_ct", "--out", tmp_path / "out", "--patient_ids", "x") == 2
    told = capsys.readouterr().err
    assert "--patient_ids: is no flag of prepare.py phantom_ct, but of prepare.py kits19, " in told
    assert "Did you mean" not in told


def test_bad_volumes_are_left_out_and_listed(source, tmp_path, capsys):
    (source / "case_00001/segmentation.nii.gz").unlink()
    constant = nib.Nifti1Image(np.zeros((4, 16, 16), np.int16), AFFINE)
    nib.save(constant, source / "case_00002/imaging.nii.gz")
    assert kits19(source, tmp_path / "out") == LEFT_OUT
    printed = capsys.readouterr().out
    assert "12 found, 10 volumes of 10 patients used with 40 slices, 2 skipped" in printed
    assert "skipped case_00002/imaging.nii.gz: is constant" in printed
    with open(tmp_path / "out/skipped.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == [
        "case_00001/imaging.nii.gz",
        "case_00002/imaging.nii.gz",
    ]
    assert run("verify", tmp_path / "out") == 0
    assert "10 volumes used with 40 slices, 2 skipped" in capsys.readouterr().out


def test_labels_are_those_that_the_source_names(tmp_path, capsys):
    names = ("background", "liver", "tumour", "vessel")
    found = find_cases(make_source(tmp_path / "source", num_classes=5))
    found.jobs = [replace(job, class_names=names) for job in found.jobs]
    fourth = tmp_path / "source/case_00000/segmentation.nii.gz"
    nib.save(nib.Nifti1Image(np.full((4, 16, 16), 3, np.int16), AFFINE), fourth)
    layout = Layout("kits19", 16, (400.0, 0.0), "pad", True)
    outcome = prepare(
        tmp_path / "out",
        found,
        read_case,
        layout,
        Split(all_to="train"),
        SliceOptions(),
        Licence(),
    )
    cache = SliceCache.open(tmp_path / "out")
    assert cache.class_names == list(names)
    assert [item.class_pixels for item in cache.items] == [(0, 0, 0, 256)] * 4
    print_slice_summary(outcome)
    assert "0 with liver, 0 with tumour, 4 with vessel" in capsys.readouterr().out
    assert len(outcome.skipped) == 11
    assert (
        "[4], expected only 0 (background), 1 (liver), 2 (tumour) and 3 (vessel)."
        in (outcome.skipped[0][1])
    )


def test_nothing_usable_is_an_error(tmp_path, capsys):
    source = make_source(tmp_path / "source", num=2)
    for folder in source.iterdir():
        (folder / "segmentation.nii.gz").write_bytes(b"")
    assert kits19(source, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "nothing usable was found" in said
    assert "  case_00000/segmentation.nii.gz and 1 more: is not a readable NIfTI file" in said
    with pytest.raises(UserError, match=r"without a cache.* left out stands in skipped\.csv"):
        open_cache(tmp_path / "out")


def test_a_wrong_suffix_is_told_apart_from_damage(tmp_path, capsys):
    source = make_source(tmp_path / "source", num=3)
    plain, packed, cut = sorted(folder / "segmentation.nii.gz" for folder in source.iterdir())
    plain.write_bytes(gzip.decompress(plain.read_bytes()))
    packed.rename(packed.with_name("segmentation.nii"))
    cut.write_bytes(cut.read_bytes()[:200])
    assert kits19(source, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "it is not compressed: give it the suffix .nii." in said
    assert "it is compressed: give it the suffix .nii.gz." in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--source", "nowhere"), "there is no such folder"),
        (("--source", "{tmp}"), "holds no case"),
        (("--source", "{tmp}/source", "--split-ratios", "0.5", "0.2", "0.1"), "sum to 1"),
        (("--source", "{tmp}/source", "--window-width-hu", "0"), "expected a width above 0"),
        (("--source", "{tmp}/source", "--workers", "0"), "expected 1 or more"),
    ],
)
def test_wrong_use_is_explained(source, tmp_path, capsys, words, sentence):
    if words[1] == "{tmp}":
        (tmp_path / "empty").mkdir()
        words = ("--source", str(tmp_path / "empty"))
    words = [word.replace("{tmp}", str(tmp_path)) for word in words]
    assert run("kits19", "--out", tmp_path / "out", *words) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_folder_data_set_or_setting_is_refused(source, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert kits19(source, out) == 2
    assert "so no cache was begun there" in capsys.readouterr().err
    (out / "thesis.txt").unlink()
    assert kits19(source, out) == 0
    before = contents(out)
    capsys.readouterr()
    assert kits19(source, out, "--image-size", "8") == 2
    assert "image_size was 16, is now 8" in capsys.readouterr().err
    assert kits19(source, out, "--split-seed", "5") == 2
    assert "split.seed was" in capsys.readouterr().err
    assert run("masks", "--source", source, "--out", out) == 2
    assert "dataset was kits19, is now masks" in capsys.readouterr().err
    other = make_source(tmp_path / "other", num=2, shape=(5, 16, 16))
    assert kits19(other, out, "--split-all-to", "train") == 2
    assert kits19(make_source(tmp_path / "third", num=15, shape=(5, 16, 16)), out) == 2
    assert "was made from other files" in capsys.readouterr().err
    assert contents(out) == before


def patients_by_split(root):
    return [set(SliceCache.open(root).patients(split)) for split in SPLITS]


def test_adding_patients_moves_nobody(tmp_path):
    source = make_source(tmp_path / "source", num=12)
    assert kits19(source, tmp_path / "out") == 0
    before = patients_by_split(tmp_path / "out")
    stamp = (tmp_path / "out/arrays/case_00000_image.npy").stat().st_mtime_ns
    extra = make_source(tmp_path / "extra", num=16)
    for number in range(12, 16):
        (extra / f"case_{number:05d}").rename(source / f"case_{number:05d}")
    assert kits19(source, tmp_path / "out") == 0
    after = patients_by_split(tmp_path / "out")
    assert sum(map(len, after)) == len(set().union(*after)) == 16
    assert all(some <= all_ for some, all_ in zip(before, after, strict=True))
    assert (tmp_path / "out/arrays/case_00000_image.npy").stat().st_mtime_ns == stamp


def test_split_by_slice_warns_and_single_patients_go_to_test(tmp_path, capsys):
    source = make_source(tmp_path / "source", num=1, shape=(60, 8, 8))
    assert kits19(source, tmp_path / "a", "--split-by", "slice") == 0
    assert "warning: split by slice" in capsys.readouterr().out
    assert {item.split for item in SliceCache.open(tmp_path / "a").items} == {
        "train",
        "val",
        "test",
    }
    assert kits19(source, tmp_path / "b") == 0
    printed = capsys.readouterr().out
    assert "There is only one patient" in printed
    assert "Next: python evaluate.py" in printed
    assert {item.split for item in SliceCache.open(tmp_path / "b").items} == {"test"}


def test_too_few_patients_name_a_seed_that_works(tmp_path, capsys):
    source = make_source(tmp_path / "source", num=3)
    assert kits19(source, tmp_path / "out") == 2
    seed = re.search(r"Pass --split-seed (\d+)", capsys.readouterr().err)[1]
    assert kits19(source, tmp_path / "out", "--split-seed", seed) == 0


def test_oblong_slices_are_padded_or_skipped(tmp_path, capsys):
    source = make_source(tmp_path / "source", num=8)
    rng = np.random.default_rng(0)
    for name in ("imaging", "segmentation"):
        oblong = nib.Nifti1Image(rng.integers(0, 3, (4, 16, 24)).astype(np.int16) - 0, AFFINE)
        nib.save(oblong, source / f"case_00003/{name}.nii.gz")
    seed = ("--split-all-to", "train")
    assert kits19(source, tmp_path / "pad", *seed) == 0
    assert "case_00003/segmentation.nii.gz: slice is 16x24, expected a square" in (
        capsys.readouterr().out
    )
    cache = SliceCache.open(tmp_path / "pad")
    assert cache.image_size == 16
    item = next(item for item in cache.items if item.patient_id == "case_00003")
    assert not cache.image(item)[:2].any()
    assert kits19(source, tmp_path / "skip", *seed, "--on-nonsquare", "skip") == LEFT_OUT
    assert "case_00003" not in SliceCache.open(tmp_path / "skip").patients(None)


def test_verify_finds_a_flipped_byte(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert kits19(source, out) == 0
    path = out / "arrays/case_00004_mask.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert run("verify", out) == 1
    printed = capsys.readouterr().out
    assert "arrays/case_00004_mask.npy: has changed" in printed
    assert "again, with --verify: it makes this volume again" in printed
    assert kits19(source, out, "--verify") == 0
    assert "made again from the source: case_00004." in capsys.readouterr().out
    assert run("verify", out) == 0
    path.write_bytes(bytes(data))
    image = source / "case_00004/imaging.nii.gz"
    whole = bytearray(image.read_bytes())
    whole[4] ^= 1  # the time in its header: other bytes of the same number
    image.write_bytes(bytes(whole))
    assert kits19(source, out, "--verify") == 2
    assert "case_00004 was made from other files" in capsys.readouterr().err
    assert path.read_bytes() == bytes(data)


@pytest.mark.parametrize(
    "name", ["kits19", "nnunet", "ct_dicom", "slices", "masks", "chest_xray", "image_folder"]
)
def test_a_cache_and_its_source_lie_apart(name, source, tmp_path, capsys):
    before = contents(tmp_path)
    for out in (source, source / "cache"):
        assert run(name, "--source", source, "--out", out) == 2
        assert f"--out {out}: is inside --source {source}" in capsys.readouterr().err
    assert run(name, "--source", source, "--out", tmp_path) == 2
    assert f"--source {source}: is inside --out {tmp_path}" in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert not (source / "cache").exists()


def test_a_refused_split_says_what_stays(source, tmp_path, capsys):
    out = tmp_path / "out"
    words = ("--split-by", "slice", "--split-ratios", "0.998", "0.001", "0.001")
    assert kits19(source, out, *words) == 2
    assert f"What was prepared stays in {out}" in capsys.readouterr().err
    assert any((out / "records").iterdir())
    assert kits19(source, out) == 0
    assert "12 of them finished before" in capsys.readouterr().out


def test_phantom_is_drawn_and_prepared_by_one_command(tmp_path, capsys):
    words = ("--num-patients", 12, "--image-size", 16, "--num-slices", 2)
    assert run("phantom_ct", "--out", tmp_path / "out", *words) == 0
    assert "12 found, 12 volumes of 12 patients used with 24 slices" in capsys.readouterr().out
    cache = SliceCache.open(tmp_path / "out")
    assert (cache.dataset, cache.image_size) == ("phantom_ct", 16)
    assert run("phantom_ct", "--out", tmp_path / "out", *words) == 0
    assert "12 of them finished before" in capsys.readouterr().out


def test_label_maps_alone(source, tmp_path, capsys):
    assert run("masks", "--source", source, "--out", tmp_path / "out") == 0
    assert "Next: python generate.py" in capsys.readouterr().out
    cache = SliceCache.open(tmp_path / "out")
    assert not cache.has_images
    assert len(cache.items) == 48
    assert json.loads((tmp_path / "out/manifest.json").read_text())["window"] is None


def test_starting_is_quick():
    """Help and a misspelt flag need no reader; workers import only what they use."""
    heavy = "'torch', 'lightning', 'monai', 'pydicom', 'nibabel', 'scipy', 'skimage', 'matplotlib'"
    code = f"import sys, prepare; print([m for m in ({heavy}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
