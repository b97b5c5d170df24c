"""evaluate.py images and audit on folders that nobody has prepared."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import evaluate
from audit.verdict import COPIES
from datamodules.film_cache import FilmCache
from datamodules.synthetic import SyntheticSet
from provenance import UserError
from tests.film_runs import draw


def real_folder(root: Path, patients: range, each: int = 1) -> Path:
    """Pictures of patients, named as hospitals do."""
    root.mkdir(parents=True)
    for patient in patients:
        for number in range(each):
            image = Image.fromarray(draw(100 * patient + number, 32))
            image.save(root / f"Schmidt{patient:03d}_{number}.png")
    return root


def stack(path: Path, numbers: range) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.stack([draw(50_000 + number, 32) for number in numbers]))
    return path


def images(real: Path, made: Path, out: Path, *more: str) -> dict[str, Any]:
    words = ["images", "--real", real, "--synthetic", made, "--out", out]
    assert evaluate.main([*map(str, words), "--device", "cpu", *more]) == 0
    result: dict[str, Any] = json.loads((out / "evaluation.json").read_text())
    return result


def test_two_plain_folders_are_compared_and_what_is_not_known_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = real_folder(tmp_path / "real", range(8), each=2)
    (real / "Schmidt_torn.png").write_bytes(b"\x89PNG")
    made = stack(tmp_path / "made/a.npy", range(12))
    result = images(real, made.parent, tmp_path / "out")
    assert result["num_real"] == result["num_real_patients"] == 16
    assert result["num_synthetic"] == 12
    said = " ".join(result["notes"])
    assert "every file counts as one patient" in said
    assert "resized to 32 pixels" in said
    assert "1 real files could not be used" in said
    assert said.split(".")[0] in (tmp_path / "out/fid_card.md").read_text()
    assert "every file counts as one patient" in capsys.readouterr().out
    prepared = tmp_path / "out.prepared"
    assert prepared.stat().st_mode & 0o077 == 0  # it shows patients
    for path in [*(tmp_path / "out").glob("*.*"), *(prepared / "real").glob("*.json")]:
        assert b"Schmidt" not in path.read_bytes(), path
    stored = FilmCache.open(prepared / "real")
    first = np.asarray(Image.open(real / "Schmidt000_0.png"))
    assert any(np.array_equal(stored.image(i), first) for i in range(16))
    # Given again, nothing is prepared anew.
    [array] = (prepared / "real/arrays").iterdir()
    before = array.stat().st_mtime_ns
    assert images(real, made.parent, tmp_path / "out") | {"seconds": 0} == result | {"seconds": 0}
    assert array.stat().st_mtime_ns == before


def test_patients_by_a_pattern_a_folder_and_a_table(tmp_path: Path) -> None:
    real = real_folder(tmp_path / "real", range(6), each=2)
    made = stack(tmp_path / "made/a.npy", range(6)).parent
    found = images(real, made, tmp_path / "a", "--patient-pattern", r"Schmidt\d+")
    assert (found["num_real"], found["num_real_patients"]) == (12, 6)
    table = tmp_path / "who.csv"
    rows = [f"Schmidt{patient:03d}_{k}.png,p{patient // 2}" for patient in range(6) for k in (0, 1)]
    table.write_text("\n".join(["file,patient", *rows]))
    found = images(real, made, tmp_path / "b", "--patients", str(table))
    assert (found["num_real"], found["num_real_patients"]) == (12, 3)
    for patient in range(6):
        for path in list(real.glob(f"Schmidt{patient:03d}_*.png")):
            (real / str(patient)).mkdir(exist_ok=True)
            path.rename(real / str(patient) / path.name)
    found = images(real, made, tmp_path / "c", "--patient-from", "folder")
    assert (found["num_real"], found["num_real_patients"]) == (12, 6)


def test_volumes_are_compared_slice_by_slice_in_one_window(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("real", "made"):
        (tmp_path / name).mkdir()
        volume = rng.integers(-400, 400, (3, 20, 20)).astype(np.int16)
        for number in range(3):
            affine = np.diag([-1.0, -1.0, 2.0, 1.0])
            image = nib.Nifti1Image(volume.transpose(2, 1, 0), affine)
            nib.save(image, tmp_path / name / f"{number}.nii.gz")
    flags = ("--black", "-200", "--white", "200")
    found = images(tmp_path / "real", tmp_path / "made", tmp_path / "out", *flags)
    assert (found["num_real"], found["num_synthetic"]) == (9, 9)
    made = SyntheticSet.open(tmp_path / "out.prepared/synthetic")
    expected = np.rint((volume[::-1][0].clip(-200, 200) + 200.0) * 255 / 400)
    assert np.abs(made.image(made.items[0]) - expected).max() <= 1


def test_plain_folders_are_audited_with_held_out_images_of_a_third(
    tmp_path: Path, quick_audit: None, unrendered: None
) -> None:
    real = real_folder(tmp_path / "real", range(12))
    held = real_folder(tmp_path / "held", range(20, 50))
    made = tmp_path / "made"
    made.mkdir()
    for number in range(4):
        Image.fromarray(draw(100 * number, 32)[:, ::-1]).save(made / f"copy{number}.png")
    stack(made / "fresh.npy", range(6))
    words = ["audit", "--data.root", real, "--held-out", held, "--synthetic", made, "--out",
             tmp_path / "out", "--num-planted", 20, "--device", "cpu"]  # fmt: skip
    assert evaluate.main(list(map(str, words))) == 0
    result = json.loads((tmp_path / "out/audit.json").read_text())
    assert (result["num_training"], result["num_held_out_patients"]) == (12, 30)
    assert result["verdict"] == COPIES
    assert sum(image["flagged"] for image in result["images"][:4]) == 4
    assert "every file counts as one patient" in result["notes"][0]
    for path in (tmp_path / "out").glob("*.*"):
        assert "Schmidt" not in path.read_text()
        assert str(tmp_path) not in path.read_text()


def test_without_a_third_folder_some_of_the_real_patients_are_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(evaluate, "audit", lambda **settings: seen.update(settings) or {})
    real = real_folder(tmp_path / "real", range(40))
    made = stack(tmp_path / "made/a.npy", range(4)).parent
    words = ["audit", "--data.root", real, "--synthetic", made, "--out", tmp_path / "out"]
    with pytest.raises(KeyError):  # of the audit's answer, which is not computed here
        evaluate.main(list(map(str, words)))
    assert seen["split"] == "val+test"
    assert any("copies of their images cannot be seen" in note for note in seen["notes"])
    cache = FilmCache.open(seen["root"])
    held_out = len(cache.indices("val")) + len(cache.indices("test"))
    assert 4 <= held_out <= 20


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("images", "--real", "CACHE", "--synthetic", "MADE"), "prepare.py synthetic --source"),
        (("images", "--real", "REAL", "--synthetic", "SET"), "give two plain folders"),
        (("images", "--real", "CACHE", "--synthetic", "SET", "--workers", "2"),
         "--workers 2: is for two plain folders"),
        (("images", "--real", "REAL", "--synthetic", "MADE", "--split", "train"),
         "--split train: two plain folders have no splits"),
        (("images", "--real", "REAL", "--synthetic", "MADE", "--held-out", "MADE"),
         "is for evaluate.py audit"),
        (("audit", "--data.root", "REAL", "--synthetic", "MADE", "--patients", "TABLE",
          "--patient-pattern", "x"), "each says whom"),
        (("images", "--real", "REAL", "--synthetic", "EMPTY"), "is not a finished synthetic set"),
        (("images", "--real", "REAL", "--synthetic", "MADE", "--black", "0"),
         "expected two numbers"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(
    tmp_path: Path, film_cache: Callable[..., Path], words: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("file,patient\na.png,b\n")
    finished = tmp_path / "set"
    (finished / "images").mkdir(parents=True)
    manifest = {"format": "understudy-synthetic", "image_size": 32, "items": []}
    (finished / "manifest.json").write_text(json.dumps(manifest))
    places = {
        "CACHE": film_cache(tmp_path / "cache"),
        "SET": finished,
        "REAL": real_folder(tmp_path / "real", range(4)),
        "MADE": stack(tmp_path / "made/a.npy", range(4)).parent,
        "EMPTY": tmp_path / "empty",
        "TABLE": tmp_path / "table.csv",
    }
    given = [str(places.get(word, word)) for word in words]
    with pytest.raises(UserError, match=re.escape(sentence)):
        evaluate.main([*given, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--num-planted", "15"], r"--num-planted 15: expected 20 or more"),
        (["--num-held-out", "29"], r"--num-held-out is 29; .* images of 30 held-out patients"),
        (["--require", "copys<=0.01"], r"Did you mean copies\?"),
    ],
)
def test_numbers_of_an_audit_are_checked_before_anything_is_prepared(
    tmp_path: Path, more: list[str], sentence: str
) -> None:
    real = real_folder(tmp_path / "real", range(4))
    made = stack(tmp_path / "made/a.npy", range(4)).parent
    words = ["audit", "--data.root", real, "--synthetic", made, "--out", tmp_path / "out", *more]
    with pytest.raises(UserError, match=sentence):
        evaluate.main(list(map(str, words)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "real"]
