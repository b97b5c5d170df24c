"""Names in a source stay in the source: no file of any verb holds one, but `<cache>.private`.

Every source is full of names (`tests/planted_sources.py`); then every byte of what the verbs wrote
is searched, also inside archives, checkpoints and W&B's records.
"""

import contextlib
import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import evaluate
import generate
import study
import train
from tests import planted_sources
from tests.planted_names import (
    ACCENTED,
    CHINESE,
    COMMENT,
    EXIF,
    FOLDER,
    HEADER,
    PATIENT_ID,
    PERSON,
    PLANTED,
    TABLE_ID,
    found,
)
from tests.prepare_runs import run

ROOT = Path(__file__).parents[1]
ALL_TO_TRAIN = ("--split-all-to", "train")
FILMS = ("--image-size", "32", "--clahe", "none")
MADE = (0, 3)  # 3: a cache, and files that were left out of it, some of which are planted


def prepared(source: str, root: Path) -> Path:
    """Prepare one source from a folder whose own name is planted; returns the cache."""
    raw, out = root / FOLDER / source, root / "out" / source
    if source == "kits19":
        words = ("kits19", "--source", planted_sources.nifti(raw), "--split-seed", "0")
    elif source == "masks":
        words = ("masks", "--source", planted_sources.nifti(raw, images=False))
    elif source == "slices":
        words = ("slices", "--source", planted_sources.slices(raw), "--split-seed", "2")
    elif source == "ct_dicom":
        words = ("ct_dicom", "--source", planted_sources.ct_dicom(raw), *ALL_TO_TRAIN)
    elif source == "chest_xray":
        folder = planted_sources.dicom_films(raw)
        words = ("chest_xray", "--source", folder / "films", "--labels", folder / "labels.csv")
        words += FILMS
    elif source == "table":
        folder = planted_sources.image_files(raw)
        words = ("image_folder", "--source", folder / "films", "--labels", folder / "labels.csv")
        words += FILMS
    elif source == "class_folders":
        folder = planted_sources.image_files(raw)
        pattern = f"{PERSON}_\\d|{ACCENTED}_\\d|{CHINESE}_\\d"
        words = ("image_folder", "--source", folder / "classes", "--patient-pattern", pattern)
        words += FILMS
    elif source == "archive":
        folder = planted_sources.image_files(raw)
        archive = shutil.make_archive(str(raw / PERSON), "zip", folder / "films")
        words = ("image_folder", "--source", archive, "--patient-from", "file", *FILMS)
    else:
        path = planted_sources.medmnist(raw)
        words = ("image_folder", "--source", path)
    assert run(*words, "--out", out) in MADE
    return out


def check_parts(root: Path) -> None:
    folder = planted_sources.dicom_films(root / FOLDER / "parts")
    words = ("chest_xray", "--source", folder / "films", "--labels", folder / "labels.csv", *FILMS)
    parts = [root / f"out/part{number}" for number in (1, 2)]
    for number, part in enumerate(parts, start=1):
        assert run(*words, "--out", part, "--shard", f"{number}/2") in MADE
    assert run("merge", *parts, "--out", root / "out/merged") in MADE


SOURCES = (
    "kits19", "masks", "slices", "ct_dicom", "chest_xray", "table", "class_folders", "archive",
    "medmnist",
)  # fmt: skip


def handed_on(out: Path) -> list[tuple[str, str]]:
    """What is found in all outputs but the private folders."""
    return [hit for hit in found(out) if ".private" not in hit[0]]


@pytest.mark.parametrize("source", SOURCES)
def test_no_cache_holds_a_name(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = prepared(source, tmp_path)
    assert (cache / "manifest.json").is_file()
    assert handed_on(tmp_path / "out") == []
    names = {name for _, name in found(tmp_path / "out")}
    private = {
        "kits19": {PERSON, ACCENTED, CHINESE},
        "masks": {PERSON, ACCENTED, CHINESE},
        "slices": {PERSON, ACCENTED, CHINESE, TABLE_ID},
        "ct_dicom": {PERSON, PATIENT_ID},
        "chest_xray": {PERSON, ACCENTED, CHINESE, TABLE_ID},
        "table": {PERSON, ACCENTED, CHINESE, TABLE_ID},
    }.get(source, {PERSON})
    assert names >= private  # who is who can be found out, by those who may
    assert FOLDER not in names


def test_no_part_and_no_merged_cache_holds_a_name(tmp_path: Path) -> None:
    check_parts(tmp_path)
    assert (tmp_path / "out/merged/manifest.json").is_file()
    assert handed_on(tmp_path / "out") == []
    assert PERSON in (tmp_path / "out/merged.private/films.csv").read_text()


class Verbs:
    """Runs verbs small, on the CPU, and keeps what they print with the outputs."""

    def __init__(self, root: Path) -> None:
        self.out = root / "out"
        (self.out / "logs").mkdir(parents=True, exist_ok=True)

    def run(self, name: str, verb: Callable[[list[str]], object], *words: object) -> None:
        with open(self.out / f"logs/{name}.txt", "a", encoding="utf-8") as log:  # noqa: SIM117
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                verb([str(word) for word in words])

    def fit(self, name: str, config: str, cache: Path, *more: object) -> Path:
        """Train for one epoch; returns the last checkpoint."""
        run_folder = self.out / f"runs/{name}"
        self.run(
            name, train.fit, "fit", f"--config={ROOT}/configs/{config}.yaml",
            f"--data.root={cache}", f"--run_folder={run_folder}", "--wandb=offline",
            "--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--data.batch_size=2",
            "--data.images_per_epoch=4", "--trainer.enable_progress_bar=false", *more,
        )  # fmt: skip
        return run_folder / "checkpoints/last.ckpt"


_PIX2PIX = ("--model.generator.width=4", "--model.discriminator.width=4",
            "--model.discriminator.num_layers=2")  # fmt: skip
_UNET = ("--model.network.width=4", "--model.network.depth=2")
_GAN = ("--model.generator.width=8", "--model.discriminator.width=8", "--distance.num_images=0")
_VGG = ("--model.network.width=4", "--model.network.hidden=8", "--model.network.pooled_size=1")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_that_is_made_of_slices_holds_a_name(tmp_path: Path) -> None:
    """Train, generate, train with the set, evaluate, and a study with its report."""
    cache, verbs = prepared("kits19", tmp_path), Verbs(tmp_path)
    generator = verbs.fit("pix2pix", "kits19/pix2pix", cache, *_PIX2PIX)
    words = ("--checkpoint", generator, "--num-images", "4", "--device", "cpu")
    verbs.run("generate", generate.main, *words, "--out", verbs.out / "set")
    segmenter = verbs.fit(
        "unet", "kits19/unet_light", cache, *_UNET, f"--data.synthetic={verbs.out / 'set'}"
    )
    words = ("--checkpoint", segmenter, "--device", "cpu", "--out", verbs.out / "scores")
    verbs.run("evaluate", evaluate.main, *words)
    small = [word for flag in _UNET for word in flag.split("=")]
    plan = {
        "name": "tiny",
        "title": "Tiny",
        "question": "Does synthetic data help?",
        "seeds": [0],
        "metric": {"name": "iou_mean", "title": "IoU"},
        "generator": {
            "config": str(ROOT / "configs/kits19/pix2pix.yaml"),
            "num_images": 4,
            "checkpoint": "last",
            "arguments": [
                *(word for flag in _PIX2PIX for word in flag.split("=")),
                "--trainer.max_epochs", "1", "--data.batch_size", "2",
            ],
        },
        "arguments": [*small, "--trainer.max_epochs", "1", "--data.batch_size", "2"],
        "scenarios": [
            {"id": 1, "name": "real"},
            {"id": 2, "name": "added", "synthetic": True},
        ],
        "models": [
            {
                "name": "unet",
                "title": "U-Net",
                "config": str(ROOT / "configs/kits19/unet_light.yaml"),
            }
        ],
        "baseline_scenario": 1,
    }  # fmt: skip
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    words = ("run", tmp_path / "plan.yaml", "--data.root", cache, "--out", verbs.out / "study")
    verbs.run("study", study.main, *words, "--workers", "0")
    for made in ("set/manifest.json", "scores/evaluation.json", "study/report.html"):
        assert (verbs.out / made).is_file(), made
    assert list(verbs.out.glob("runs/unet/wandb/offline-run-*/*.wandb"))
    assert handed_on(verbs.out) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_that_is_made_of_films_holds_a_name(tmp_path: Path) -> None:
    """Train a GAN and a classifier, generate, evaluate both."""
    cache, verbs = prepared("chest_xray", tmp_path), Verbs(tmp_path)
    gan = verbs.fit("dcgan", "chest_xray/dcgan", cache, *_GAN)
    words = ("--checkpoint", gan, "--num-images", "4", "--device", "cpu")
    verbs.run("generate", generate.main, *words, "--out", verbs.out / "set")
    classifier = verbs.fit("vgg16", "chest_xray/vgg16", cache, *_VGG)
    words = ("--checkpoint", classifier, "--device", "cpu", "--out", verbs.out / "scores")
    verbs.run("evaluate", evaluate.main, *words)
    words = ("images", "--root", cache, "--synthetic", verbs.out / "set", "--device", "cpu")
    words += ("--extractor", "random_vgg", "--split", "train")
    verbs.run("distance", evaluate.main, *words, "--out", verbs.out / "distance")
    for made in ("set/manifest.json", "scores/evaluation.json", "distance/evaluation.json"):
        assert (verbs.out / made).is_file(), made
    assert list(verbs.out.glob("runs/*/wandb/offline-run-*/*.wandb"))
    assert handed_on(verbs.out) == []


def _png_text(path: Path) -> None:
    texts = PngInfo()
    texts.add_text("Comment", f"by {COMMENT}, of course", zip=True)
    Image.new("L", (8, 8)).save(path, "PNG", pnginfo=texts)


def _exif(path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = EXIF
    Image.new("L", (8, 8)).save(path, "JPEG", exif=exif)


def _in_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inner.gz", gzip.compress(f"... {HEADER} ...".encode()))


def _wandb(path: Path) -> None:
    """A record that is cut in two where a block of 32 KiB ends, in the middle of the name."""
    text = PERSON.encode()
    first = 32768 - 7 - 7 - 4
    cut = b"x" * first + text[:4]
    header = b"\0\0\0\0" + len(cut).to_bytes(2, "little") + b"\2"
    rest = b"\0\0\0\0" + (len(text) - 4).to_bytes(2, "little") + b"\4"
    path.write_bytes(b":W&B\0\0\0" + header + cut + rest + text[4:])


PLANTS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text(f"x{PERSON}y"),
    "lower case": lambda path: path.write_text(PERSON.lower()),
    "UTF-8": lambda path: path.write_text(ACCENTED, encoding="utf-8"),
    "UTF-16": lambda path: path.write_bytes(CHINESE.encode("utf-16")),
    "JSON": lambda path: path.write_text(json.dumps({"who": ACCENTED})),
    "HTML": lambda path: path.write_bytes(CHINESE.encode("ascii", "xmlcharrefreplace")),
    "URL": lambda path: path.write_text("%C5%BB%C3%B3%C5%82kiewska"),
    "path": lambda path: path.write_text(f"/srv/{FOLDER}/kits19"),
    "file name": lambda path: path.with_name(f"{PATIENT_ID}.txt").write_text(""),
    "folder name": lambda path: path.with_name(TABLE_ID).mkdir(),
    "link": lambda path: path.symlink_to(f"/nowhere/{PERSON}"),
    "gzip": lambda path: path.write_bytes(gzip.compress(PERSON.encode())),
    "gzip in zip": _in_zip,
    "npz": lambda path: np.savez_compressed(path.open("wb"), names=np.array([PERSON])),
    "checkpoint": lambda path: torch.save({"seen": [f"{PATIENT_ID}-0"]}, path),
    "PNG text": _png_text,
    "EXIF": _exif,
    "W&B": _wandb,
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_name_that_is_planted_into_an_output_is_found(plant: str, tmp_path: Path) -> None:
    """The search itself: each place in which an output might hold one."""
    (tmp_path / "innocent.txt").write_text("patient_0123456789ab")
    assert found(tmp_path) == []
    PLANTS[plant](tmp_path / "planted")
    assert len(found(tmp_path)) == 1
    assert found(tmp_path)[0][1] in PLANTED
