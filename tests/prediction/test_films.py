"""predict.py on films: what prepare.py and evaluate.py say of them, and every way to differ."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

import predict
from command_line import run_verb
from datamodules.film_cache import FilmCache
from evaluation.checkpoint import open_checkpoint
from evaluation.classification.evaluate import predictions
from lightning_modules.loading import load_module
from prediction.films import FilmInput, ReadFilm
from prediction.items import find_items
from prediction.model import open_model
from prediction.threshold import Threshold, thresholds_of
from preparation.films.dicom.command import phantom_cxr
from preparation.films.dicom.header import DicomOptions
from preparation.films.film_layout import LayoutOptions
from preparation.films.prepare import FilmOptions
from provenance import UserError
from tests.evaluation.test_classification import write_checkpoint
from tests.prepare_runs import run as prepare

FORM = {
    "kind": "films", "clahe": "none", "clahe_clip_limit": 0.01, "on_nonsquare": "pad",
    "resample": None, "margin": 0.05, "channels": 1, "image_size": 32, "bit_depth": 8, "views": [],
}  # fmt: skip
RULES = {"youden": 0.4, "sensitivity_90": 0.2}
THRESHOLDS = {"split": "val", "num_images": 9, "rules": RULES}


def run(*words: Any) -> int:
    given = [str(word) for word in words]
    return run_verb("predict.py", lambda: predict.main([*given, "--workers", "0"]))


def rows_of(out: Path, name: str = "predictions.csv") -> dict[str, dict[str, str]]:
    with open(out / name, newline="", encoding="utf-8") as stream:
        return {row["file"]: row for row in csv.DictReader(stream)}


def classifier(path: Path, root: Path, **record: Any) -> Path:
    """A checkpoint that tells what those of train.py do."""
    cache = FilmCache.open(root)
    told = {"image_form": cache.image_form, "thresholds": THRESHOLDS, "dataset": cache.dataset}
    return write_checkpoint(path, root, **{**told, **record})


@pytest.fixture(scope="module")
def dicom_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared cache of drawn films in all views, with its DICOM files in source/films."""
    root = tmp_path_factory.mktemp("dicom") / "cache"
    phantom_cxr(
        out=root,
        num_patients=3,
        layout=LayoutOptions(image_size=32),
        dicom=DicomOptions(view=("any",)),
        options=FilmOptions(split_all_to="test"),
    )
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, dicom_films: Path) -> Path:
    return classifier(tmp_path_factory.mktemp("run") / "best.ckpt", dicom_films)


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, dicom_films: Path, model: Path
) -> tuple[Path, dict[str, dict[str, str]]]:
    out = tmp_path_factory.mktemp("predicted") / "out"
    source = dicom_films / "source/films"
    assert run("--checkpoint", model, "--source", source, "--out", out, "--grad-cam") == 0
    return out, rows_of(out)


def evaluated(model: Path, root: Path) -> list[float]:
    opened = open_checkpoint(model, root, "test", None, 0, "cpu")
    return sorted(row["probability"] for row in predictions(opened, "test", False))


# ---- as prepare.py and evaluate.py ---------------------------------------------------------------


def test_dicom_films_are_called_as_evaluate_calls_them(
    done: tuple[Path, dict[str, dict[str, str]]], dicom_films: Path, model: Path
) -> None:
    out, rows = done
    expected = evaluated(model, dicom_films)
    found = sorted(float(row["probability_abnormal"]) for row in rows.values())
    assert len(set(found)) == len(expected) > 3
    assert found == pytest.approx(expected, abs=1e-5)
    for name, row in rows.items():
        share = float(row["probability_abnormal"])
        assert float(row["probability_normal"]) == pytest.approx(1 - share)
        assert row["called"] == ("abnormal" if share >= 0.4 else "normal")
        assert int(row["bytes"]) == (dicom_films / "source/films" / name).stat().st_size
        with Image.open(out / row["grad_cam"]) as picture:
            assert picture.width == 2 * picture.height
    told = json.loads((out / "predictions.json").read_text())
    assert told["notice"].startswith("Not for diagnosis")
    assert told["thresholds_from"] == [{
        "value": 0.4, "rule": "youden", "chosen_on": "val", "num_images": 9, "rates": None,
        "meaning": "largest sensitivity + specificity - 1 (Youden 1950)",
    }]  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "flags", "shape"),
    [(1, ["--bit-depth", 16, "--on-nonsquare", "crop"], (40, 50)), (3, [], (50, 40))],
)
def test_pictures_are_called_as_evaluate_calls_them(
    channels: int, flags: list[Any], shape: tuple[int, int], tmp_path: Path
) -> None:
    """Grey of 16 bits and cut, colour of 8 bits and padded; the network sees half the size."""
    random = np.random.default_rng(0)
    for number in range(4):
        folder = tmp_path / "films" / ("normal" if number % 2 else "abnormal")
        folder.mkdir(parents=True, exist_ok=True)
        grey = random.normal(120, 30, shape) + 60 * (number > 1)
        pixels = grey.clip(0, 255).astype(np.uint8)
        picture = Image.fromarray(np.stack([pixels, pixels // 2, pixels], -1))
        (picture if channels == 3 else Image.fromarray(pixels)).save(folder / f"{number}.png")
    given = ["--patient-from", "file", "--split-all-to", "test", "--image-size", 64, *flags]
    source, root = tmp_path / "films", tmp_path / "cache"
    given += ["--channels", channels]
    assert prepare("image_folder", "--source", source, "--out", root, *given) == 0
    data = {"class_path": "datamodules.ChestXrayDataModule", "init_args": {"channels": channels}}
    path = classifier(
        tmp_path / "best.ckpt", root, image_size=32, data=data, image_channels=channels
    )
    assert run("--checkpoint", path, "--source", source, "--out", tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    found = sorted(float(row["probability_abnormal"]) for row in rows.values())
    assert found == pytest.approx(evaluated(path, root), abs=1e-5)
    assert len(set(found)) == 4


# ---- how a file differs --------------------------------------------------------------------------


def test_notes_say_how_a_film_differs(dicom_films: Path, tmp_path: Path) -> None:
    form = {**FilmCache.open(dicom_films).image_form, "views": ["PA"]}
    path = classifier(tmp_path / "best.ckpt", dicom_films, image_form=form)
    source, first = tmp_path / "films", next((dicom_films / "source/films").rglob("*.dcm"))
    source.mkdir()
    for name, view in (("pa", "PA"), ("ap", "AP"), ("untold", "")):
        film = pydicom.dcmread(first)
        film.ViewPosition = view
        film.save_as(source / f"{name}.dcm")
    random = np.random.default_rng(0).integers(0, 255, (20, 20), np.uint8)
    Image.fromarray(random).save(source / "small.jpg")
    assert run("--checkpoint", path, "--source", source, "--out", tmp_path / "out") == 0
    notes = {name: row["note"] for name, row in rows_of(tmp_path / "out").items()}
    assert "view" not in notes["pa.dcm"]
    assert "Its view is AP; the checkpoint was trained on PA." in notes["ap.dcm"]
    assert "The header names no view; the checkpoint was trained on PA." in notes["untold.dcm"]
    for words in ("whose window and polarity are not known", "lossy", "Is 20x20, enlarged to the"):
        assert words in notes["small.jpg"]


def test_a_negative_is_turned_by_its_header_and_noted_without_one(
    dicom_films: Path, model: Path, tmp_path: Path
) -> None:
    first = next((dicom_films / "source/films").rglob("*.dcm"))
    (tmp_path / "films").mkdir()
    film = pydicom.dcmread(first)
    stored = film.pixel_array
    white = film.PhotometricInterpretation == "MONOCHROME1"
    assert film.get("PresentationLUTShape", "") in ("", "INVERSE" if white else "IDENTITY")
    shutil.copy(first, tmp_path / "films/own.dcm")
    film.PixelData = (stored.max() + stored.min() - stored).astype(stored.dtype).tobytes()
    film.save_as(tmp_path / "films/negative.dcm")
    assert run("--checkpoint", model, "--source", tmp_path / "films", "--out", tmp_path / "o") == 0
    notes = {name: row["note"] for name, row in rows_of(tmp_path / "o").items()}
    assert "Looks like a negative" in notes["negative.dcm"]
    assert "Looks like a negative" not in notes["own.dcm"]


# ---- what cannot be predicted --------------------------------------------------------------------


def test_bad_files_are_listed_and_never_end_it(
    dicom_films: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "films", tmp_path / "out"
    source.mkdir()
    first = next((dicom_films / "source/films").rglob("*.dcm"))
    shutil.copy(first, source / "good.dcm")
    (source / "cut.dcm").write_bytes(first.read_bytes()[:3000])
    (source / "page.dcm").write_text("<html>")
    (source / "scan.nii.gz").write_bytes(b"")
    (source / "lost.png").symlink_to(tmp_path / "gone.png")
    (source / "readme.txt").write_text("not an image")
    (source / ".hidden.png").write_text("")
    (source / "=formula.dcm").write_text("")
    ct = pydicom.dcmread(first)
    ct.Modality = "CT"
    ct.save_as(source / "ct.dcm")
    flags = ("--checkpoint", model, "--source", source, "--out", out)
    assert run(*flags) == 3
    left_out = {name: row["reason"] for name, row in rows_of(out, "left_out.csv").items()}
    assert list(rows_of(out)) == ["good.dcm"]
    assert {name: reason.partition(":")[0] for name, reason in left_out.items()} == {
        "./=formula.dcm": "not_dicom",
        "scan.nii.gz": "is a volume, and this checkpoint is a classifier of films.",
        "ct.dcm": "modality",
        "cut.dcm": "truncated",
        "lost.png": "unreadable",
        "page.dcm": "not_dicom",
    }
    said = capsys.readouterr().out
    assert "6 were left out, so the exit status is 3" in said
    assert "Not looked at: 1 .txt files." in said
    assert said.count("Not for diagnosis") == 1
    assert run(*flags[:4], "--out", tmp_path / "strict", "--strict") == 2
    assert "Stopped here, as --strict says" in capsys.readouterr().err
    shutil.copy(first, source / "cut.dcm")  # mended: the same command takes it in
    assert run(*flags) == 3
    assert set(rows_of(out)) == {"good.dcm", "cut.dcm"}


def test_the_same_command_goes_on(
    dicom_films: Path,
    model: Path,
    done: tuple[Path, dict[str, dict[str, str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Interrupted after two films and a torn row, it ends with the bytes of an undisturbed run."""
    from prediction import run as whole_run

    source, out = dicom_films / "source/films", tmp_path / "out"
    flags = ("--checkpoint", model, "--source", source, "--out", out, "--grad-cam")
    leave = whole_run._rows

    def interrupted(*given: Any) -> Any:
        for number, rows in enumerate(leave(*given)):
            if number == 2:
                raise KeyboardInterrupt
            yield rows

    monkeypatch.setattr(whole_run, "_rows", interrupted)
    assert run(*flags, "--batch-size", 1) == 130
    assert "continues where it stopped" in capsys.readouterr().err
    monkeypatch.setattr(whole_run, "_rows", leave)
    assert len(rows_of(out)) == 2
    assert json.loads((out / "predictions.json").read_text())["finished"] is False
    with open(out / "predictions.csv", "a") as stream:
        stream.write("half/of_a_fi")
    assert run(*flags) == 0
    assert "2 of them before" in capsys.readouterr().out
    whole, _ = done
    rows, expected = rows_of(out), rows_of(whole)
    assert list(rows) == list(expected)
    for name, row in rows.items():  # batches of other sizes may round differently
        shares = [float(one[name]["probability_abnormal"]) for one in (rows, expected)]
        assert shares[0] == pytest.approx(shares[1], abs=1e-6)
        assert row["note"] == expected[name]["note"]


def test_another_checkpoint_or_changed_images_are_refused(
    dicom_films: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "films", tmp_path / "out"
    source.mkdir()
    films = sorted((dicom_films / "source/films").rglob("*.dcm"))
    shutil.copy(films[0], source / "one.dcm")
    assert run("--checkpoint", model, "--source", source, "--out", out) == 0
    before = (out / "predictions.csv").read_bytes()
    other = classifier(tmp_path / "other.ckpt", dicom_films, seed=1)
    for flags, sentence in (
        (("--checkpoint", other, "--source", source), "checkpoint_sha256 was"),
        (("--checkpoint", model, "--source", source, "--threshold", 0.9), "thresholds was [0.4]"),
        (("--checkpoint", model, "--source", films[1]), "one.dcm was predicted, and is no longer"),
    ):
        assert run(*flags, "--out", out) == 2
        assert sentence in capsys.readouterr().err
    (source / "one.dcm").write_bytes(b"another")
    assert run("--checkpoint", model, "--source", source, "--out", out) == 2
    assert "has changed since" in capsys.readouterr().err
    assert (out / "predictions.csv").read_bytes() == before


# ---- thresholds ----------------------------------------------------------------------------------


def test_thresholds_come_from_validation_or_by_hand_and_never_silently(tmp_path: Path) -> None:
    rows = [{"rule": "default", "threshold": 0.5}, {"rule": "youden", "threshold": 0.31}]
    told = {"task": "classification", "checkpoint_sha256": "a" * 64, "thresholds": rows}
    for folder, chosen_on in (("chosen", "val"), ("silent", None)):
        (tmp_path / folder).mkdir()
        content = json.dumps({**told, "thresholds_chosen_on": chosen_on})
        (tmp_path / folder / "evaluation.json").write_text(content)

    def found(asked: str | None, folder: str = "", sha256: str = "a" * 64, **record: Any) -> Any:
        evaluation = tmp_path / folder if folder else None
        (one,) = thresholds_of(Path("x.ckpt"), sha256, record, asked, evaluation)
        return one

    assert found(None, thresholds=THRESHOLDS) == Threshold(0.4, "youden", "val", 9)
    assert found("sensitivity_90", thresholds=THRESHOLDS).value == 0.2
    assert found("0.37", thresholds=THRESHOLDS) == Threshold(0.37, "by hand")
    assert found(None, "chosen") == Threshold(0.31, "youden", "val")
    assert found(None, thresholds=THRESHOLDS).in_words.startswith("0.4 (largest sensitivity")
    there = {"sensitivity": 0.75, "specificity": 0.4, "positives": 4, "negatives": 5}
    poor = {**THRESHOLDS, "rates": {"youden": there}}
    assert found(None, thresholds=poor).in_words.endswith(
        "of 9 images: sensitivity 0.75 of 4, specificity 0.40 of 5 there, hardly better than "
        "drawing lots"
    )
    broken = {**THRESHOLDS, "rates": {"youden": {**there, "positives": "4"}}}
    assert found(None, thresholds=broken).rates is None
    for given, sentence in (
        ((None,), "tells no threshold: it was saved between two validations"),
        (("yuden",), "expected a number from 0 to 1, or a rule"),
        (("default",), "expected a number from 0 to 1, or a rule"),
        (("1.5",), "expected a probability from 0 to 1"),
        (("0.5", "chosen"), "--threshold gives a number"),
        (("sensitivity_90", "chosen"), "chose no threshold by sensitivity_90"),
        ((None, "silent"), "chose no threshold by youden"),
        ((None, "chosen", "b" * 64), "is of another checkpoint"),
    ):
        with pytest.raises(UserError, match=sentence):
            found(*given)


def test_each_finding_has_its_own_threshold_or_is_not_called(tmp_path: Path) -> None:
    from tests.finding_caches import with_findings

    root = with_findings(tmp_path / "cache")
    rules = {"Edema": {"youden": 0.2}, "Mass": {"youden": 0.9}}
    thresholds = {"split": "val", "num_images": 6, "findings": rules}
    path = classifier(
        tmp_path / "best.ckpt", root, findings=("Edema", "Mass", "Hernia"),
        image_form=FORM, thresholds=thresholds,
    )  # fmt: skip
    (tmp_path / "films").mkdir()
    for number in range(3):
        grey = np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)
        Image.fromarray(grey).save(tmp_path / f"films/{number}.png")
    flags = ("--checkpoint", path, "--source", tmp_path / "films")
    assert run(*flags, "--out", tmp_path / "out", "--grad-cam") == 0
    module, _ = load_module(path)
    model = open_model(path, None, "cpu")
    read = ReadFilm(model.film_layout, 32, (), "", DicomOptions(view=("any",)))
    for item in find_items(tmp_path / "films", of_films=True).items:
        row, made = rows_of(tmp_path / "out")[item.name], read(item)
        assert isinstance(made, FilmInput)
        with torch.inference_mode():
            logits = module(torch.from_numpy(made.pixels)[None].float() / 127.5 - 1)
        for name, share in zip(("Edema", "Mass", "Hernia"), logits.sigmoid()[0].tolist(),
                               strict=True):  # fmt: skip
            assert float(row[f"probability_{name}"]) == pytest.approx(share, abs=1e-6)
        for name in ("Edema", "Mass"):
            cut = rules[name]["youden"]
            called = int(float(row[f"probability_{name}"]) >= cut)
            assert (float(row[f"threshold_{name}"]), int(row[f"called_{name}"])) == (cut, called)
        assert (row["threshold_Hernia"], row["called_Hernia"]) == ("", "")
        assert row["grad_cam_of"] == ("Edema", "Mass", "Hernia")[int(logits.argmax())]
    told = json.loads((tmp_path / "out/predictions.json").read_text())
    assert told["thresholds"] == [0.2, 0.9, None]
    evaluation = tmp_path / "evaluation"
    evaluation.mkdir()
    content = {
        "task": "findings",
        "checkpoint_sha256": told["checkpoint_sha256"],
        "thresholds_chosen_on": "val",
        "thresholds": {"Mass": [{"rule": "youden", "threshold": 0.6}], "Hernia": []},
    }
    (evaluation / "evaluation.json").write_text(json.dumps(content))
    given = (path, told["checkpoint_sha256"], {}, None, evaluation, ["Edema", "Mass", "Hernia"])
    found = thresholds_of(*given)
    assert [one and one.value for one in found] == [None, 0.6, None]


def test_three_classes_take_the_most_probable_one(film_cache: Any, tmp_path: Path) -> None:
    root = film_cache(tmp_path / "cache", labels=("normal", "fluid", "mass"))
    path = classifier(tmp_path / "best.ckpt", root, classes=3, image_form=FORM, thresholds={})
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    (tmp_path / "films").mkdir()
    Image.fromarray(pixels).save(tmp_path / "films/one.png")
    assert run("--checkpoint", path, "--source", tmp_path / "films", "--out", tmp_path / "o") == 0
    (row,) = rows_of(tmp_path / "o").values()
    shares = {name: float(row[f"probability_{name}"]) for name in ("normal", "fluid", "mass")}
    assert sum(shares.values()) == pytest.approx(1)
    assert row["called"] == max(shares, key=lambda name: shares[name])
    assert row["threshold"] == ""
    given = ("--checkpoint", path, "--source", tmp_path / "films", "--out", tmp_path / "no")
    assert run(*given, "--threshold", 0.3) == 2


# ---- checkpoints and folders ---------------------------------------------------------------------


def test_a_checkpoint_of_an_earlier_version_asks_its_cache(
    dicom_films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_checkpoint(tmp_path / "old.ckpt", dicom_films)
    source = next((dicom_films / "source/films").rglob("*.dcm"))
    flags = ("--checkpoint", path, "--source", source, "--threshold", 0.5)
    assert run(*flags, "--out", tmp_path / "no") == 2
    assert "is of an earlier version" in capsys.readouterr().err
    assert run(*flags, "--data.root", dicom_films, "--out", tmp_path / "out") == 0


def test_folders_and_models_that_cannot_be_are_sentences(
    dicom_films: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "a.pdf").write_bytes(b"")
    source = dicom_films / "source"
    for flags, sentence in (
        (("--source", source, "--out", tmp_path / "o", "--format", "nifti"), "of segmenters"),
        (("--source", source, "--out", tmp_path / "o", "--overlays", "false"), "of segmenters"),
        (("--source", empty, "--out", tmp_path / "o"), "holds no DICOM, NIfTI, PNG or JPEG image."),
        (("--source", empty, "--out", tmp_path / "o"), "It holds 1 .pdf files."),
        (("--source", tmp_path / "gone", "--out", tmp_path / "o"), "no such folder or file"),
        (("--source", source, "--out", source / "out"), "is inside --source"),
        (("--source", source, "--out", dicom_films), "is inside --out"),
        (("--source", source, "--out", empty / "a.pdf"), "is a file, expected a folder"),
        (("--source", source, "--out", tmp_path / "o", "--batch-size", 0), "expected 1 or more"),
    ):
        assert run("--checkpoint", model, *flags) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
