"""Names stay out of caches of slices, and whoever is named otherwise stays in his split."""

import csv
import json
import re

import nibabel as nib
import numpy as np
import pytest

from datamodules.slice_cache import SliceCache
from patient_names import KNOWN_SALT, pseudonym, salt_check
from preparation.private_table import private_folder
from preparation.split import Split
from tests.preparation.volumes.test_ct_dicom import make_study, write_slice
from tests.preparation.volumes.test_png_slices import make_pairs, write
from tests.prepare_runs import AFFINE, LEFT_OUT, contents, kits19, make_source, run

PLANTED = "MUELLER"


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))[1:]


def assert_nobody_is_named(out, *secrets):
    """No planted text in any file's name or bytes; the cache's own text is read too."""
    found = contents(out)
    assert len(found) > 3
    for name, data in found.items():
        for secret in (PLANTED, str(out.parent), *secrets):
            assert secret.lower() not in name.lower(), name
            assert secret.lower().encode() not in data.lower(), name


def nifti(root):
    """Three patients; one more without a mask, one damaged, one that cannot be read at all."""
    source = make_source(root, num=6, shape=(4, 12, 10))  # not square: notes name each volume
    for number in range(6):
        (source / f"case_{number:05d}").rename(source / f"{PLANTED} {number}")
    (source / f"{PLANTED} 3/segmentation.nii.gz").unlink()
    (source / f"{PLANTED} 4/imaging.nii.gz").write_text(PLANTED)
    nib.save(nib.Nifti1Image(np.zeros((4, 12, 10), np.int16), AFFINE),
             source / f"{PLANTED} 5/imaging.nii.gz")  # fmt: skip
    return source


def png(root):
    cases = [(f"{PLANTED} {number // 2}", number % 2) for number in range(6)]
    make_pairs(root, [*cases, (f"{PLANTED} 1", 1), ("1.2E+11", 1), ("nan", 3)])
    pairs = sorted((root / "label").iterdir())
    write(pairs[0], np.full((10, 10), 255, np.uint8))
    pairs[2].unlink()
    write(root / "image" / f"{PLANTED}_loose.png", np.eye(10, dtype=np.uint8))
    return root


def dicom(root):
    for number in range(5):
        study = root / f"{PLANTED}{number}"
        make_study(study, num=3, seed=number, patient=f"{PLANTED}-{number}")
        for path in study.rglob("image_*"):
            path.rename(path.with_name(f"{PLANTED}_{path.name}"))
        masks = study / "MASKS_DICOM/leftkidney"
        masks.rename(study / "MASKS_DICOM" / f"{PLANTED} left")
    for row in range(2):  # a second series, of which a note is made
        scout = root / f"{PLANTED}0/PATIENT_DICOM/{PLANTED}_scout{row}"
        write_slice(scout, np.eye(12, 14, dtype=np.uint16), 500 + row, series="1.2.47114711471")
    first = sorted((root / f"{PLANTED}3/PATIENT_DICOM").iterdir())[1]
    first.write_bytes(first.read_bytes()[:900])
    next(iter((root / f"{PLANTED}4/MASKS_DICOM/{PLANTED} left").iterdir())).unlink()
    return root


SOURCES = {
    "kits19": (nifti, (), 3),
    "masks": (nifti, (), 5),
    "slices": (png, (), 3),
    "ct_dicom": (dicom, ("--mask-labels", f"{PLANTED} left=kidney"), 3),
}


@pytest.mark.parametrize("command", SOURCES)
def test_planted_names_are_in_the_private_folder_and_on_the_screen_alone(tmp_path, capsys, command):
    make, flags, num_patients = SOURCES[command]
    source, out = make(tmp_path / "source"), tmp_path / "out"
    words = (command, "--source", source, "--out", out, "--split-all-to", "test", *flags)
    assert run(*words) == LEFT_OUT
    said = capsys.readouterr().out
    assert_nobody_is_named(out, "47114711471", "1.2E+11")
    assert re.search(rf"skipped \S*.*{PLANTED}", said)
    assert "patient_" not in said
    private = private_folder(out)
    assert f"{private}: the names of patients and files behind the pseudonyms." in said
    patients = dict(rows_of(private / "patients.csv"))
    assert set(SliceCache.open(out).patients(None)) <= set(patients)
    assert len(SliceCache.open(out).patients(None)) == num_patients
    assert all(name.startswith(PLANTED) for name in patients.values())
    assert all(pseudonym(name, KNOWN_SALT) == who for who, name in patients.items())
    assert all(PLANTED in " ".join(row) for row in rows_of(private / "files.csv"))
    skipped, of_cache = rows_of(private / "skipped.csv"), rows_of(out / "skipped.csv")
    assert len(skipped) == len(of_cache) > 0
    assert PLANTED in str(skipped)
    before = contents(private), contents(out)
    assert run(*words) == LEFT_OUT
    assert (contents(private), contents(out)) == before


def test_a_pseudonym_moves_nobody(tmp_path):
    source = make_source(tmp_path / "source")
    assert kits19(source, tmp_path / "kept") == 0
    assert kits19(source, tmp_path / "hidden", keep=False) == 0
    kept, hidden = (SliceCache.open(tmp_path / name) for name in ("kept", "hidden"))
    assert not private_folder(tmp_path / "kept").exists()
    who = {pseudonym(str(number), KNOWN_SALT): f"case_{number:05d}" for number in range(12)}
    assert {(who[item.patient_id], item.slice_index, item.split) for item in hidden.items} == {
        (item.patient_id, item.slice_index, item.split) for item in kept.items
    }
    by_slice = ("--split-by", "slice")
    assert kits19(source, tmp_path / "kept_slices", *by_slice) == 0
    assert kits19(source, tmp_path / "hidden_slices", *by_slice, keep=False) == 0
    kept, hidden = (SliceCache.open(tmp_path / f"{n}_slices") for n in ("kept", "hidden"))
    assert {item.split for item in kept.items} == {"train", "val", "test"}
    assert {(f"{who[item.patient_id]}/{item.slice_index:04d}", item.split)
            for item in hidden.items} == {(item.id, item.split) for item in kept.items}  # fmt: skip


def test_the_manifest_says_how_patients_are_named_and_another_salt_is_another_cache(
    tmp_path, capsys
):
    source, out = make_source(tmp_path / "source", num=3), tmp_path / "out"
    flags = ("--split-all-to", "train", "--patient-salt", "ours", "--patient-ids", "as_written")
    assert kits19(source, out, *flags, keep=False) == 0
    assert json.loads((out / "manifest.json").read_text())["patients"] == {
        "named_by": "pseudonym", "salt_check": salt_check("ours"), "ids": "as_written",
    }  # fmt: skip
    assert "hashes with the built-in salt" not in capsys.readouterr().out
    assert b"ours" not in b"".join(contents(out).values())
    assert set(SliceCache.open(out).patients(None)) == {
        pseudonym(f"case_{number:05d}", "ours") for number in range(3)
    }
    before = contents(out)
    assert kits19(source, out, *flags[:-3], "theirs", *flags[-2:], keep=False) == 2
    assert "patients.salt_check was" in capsys.readouterr().err
    assert kits19(source, out, *flags) == 2
    assert "--keep-patient-names: nothing is hashed" in capsys.readouterr().err
    assert contents(out) == before


def test_spellings_of_a_patient_share_a_split_and_prepare_says_whom_it_moved(tmp_path, capsys):
    numbers = [str(number) for number in range(20)]
    spellings = [text for number in numbers for text in (number, f"{number}.0")]
    make_pairs(tmp_path / "source", [(text, row) for row, text in enumerate(spellings)])
    words = ("slices", "--source", tmp_path / "source", "--out")
    assert run(*words, tmp_path / "apart", "--patient-ids", "as_written") == 0
    assert "spellings of" not in capsys.readouterr().out
    assert len(SliceCache.open(tmp_path / "apart").patients(None)) == 40
    assert run(*words, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "40 found, 40 volumes of 20 patients used" in said
    assert "note: 40 spellings of 20 patients: whole numbers are one patient" in said
    cache = SliceCache.open(tmp_path / "out")
    assert cache.patients(None) == sorted(pseudonym(number, KNOWN_SALT) for number in numbers)
    divided = {split: set(cache.patients(split)) for split in ("train", "val", "test")}
    assert sum(map(len, divided.values())) == 20
    alone = {text: Split().of(text, "") for text in spellings}
    alone |= {number: Split().of(f"case_{int(number):05d}", "") for number in numbers}
    differing = [number for number in numbers if alone[number] != alone[f"{number}.0"]]
    assert len(differing) > 3
    # Of two keys the smaller decides: `7.0` before `case_00007`.
    for number in differing:
        now = alone[f"{number}.0"]
        assert pseudonym(number, KNOWN_SALT) in divided[now]
        assert f"{number}, {number}.0: {number} from {alone[number]} to {now}" in said
    moved = json.loads((tmp_path / "out/manifest.json").read_text())["patients"]["moved"]
    assert moved == {
        pseudonym(number, KNOWN_SALT): [alone[number], alone[f"{number}.0"]] for number in differing
    }
    patients = rows_of(private_folder(tmp_path / "out") / "patients.csv")
    assert sorted(spelling for _, spelling in patients) == sorted(spellings)


def test_phantoms_of_another_seed_are_other_people_in_the_same_splits(tmp_path):
    words = ("--num-patients", 12, "--image-size", 16, "--num-slices", 2)
    for seed in (0, 1):
        out = tmp_path / f"seed{seed}"
        assert run("phantom_ct", "--out", out, "--seed", seed, *words) == 0
        assert not private_folder(out).exists()
    first, second = (SliceCache.open(tmp_path / f"seed{seed}") for seed in (0, 1))
    assert not set(first.patients(None)) & set(second.patients(None))
    assert first.patients(None)[3] == "seed0_case_00003"
    assert {item.patient_id: item.split for item in first.items} == {
        f"seed0_case_{number:05d}": Split().of(f"case_{number:05d}", "") for number in range(12)
    }


def test_a_cache_of_an_earlier_version_is_left_as_it_is(tmp_path, capsys):
    source, out = make_source(tmp_path / "source", num=3), tmp_path / "out"
    assert kits19(source, out, "--split-all-to", "train") == 0
    settings = json.loads((out / "settings.json").read_text())
    del settings["patients"]
    (out / "settings.json").write_text(json.dumps(settings))
    before = contents(out)
    assert kits19(source, out, "--split-all-to", "train") == 2
    said = capsys.readouterr().err
    assert "was made by an earlier version" in said
    assert "the same command with another --out" in said
    assert contents(out) == before
