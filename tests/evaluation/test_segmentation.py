import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import command_line
import evaluate
from callbacks.record import patient_split_of
from datamodules.slice_cache import SliceCache
from evaluation.printed_lines import lines_of
from evaluation.segmentation import _best_ranges, _with_intervals
from lightning_modules.checkpoint_files import save_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY
from lightning_modules.loading import instantiate_module
from metrics.grey_range import GreyLevels
from provenance import UserError, library_versions

NETWORK = {"class_path": "networks.UNet", "init_args": {"width": 8, "depth": 2}}
GENERATOR = {
    "generator": {"class_path": "networks.Pix2PixGenerator", "init_args": {"width": 4}},
    "discriminator": {
        "class_path": "networks.MultiScalePatchDiscriminator",
        "init_args": {"width": 4},
    },
    "image_size": 32,
    "num_classes": 3,
}


def write_checkpoint(
    path: Path,
    cache_root: Path,
    num_classes: int = 3,
    class_path: str = "lightning_modules.Segmenter",
    seed: int = 0,
    **record: Any,
) -> Path:
    cache = SliceCache.open(cache_root)
    model = {"class_path": class_path, "init_args": {}}
    if class_path.endswith("Segmenter"):
        model["init_args"] = {
            "network": NETWORK,
            "num_classes": num_classes,
            "image_channels": cache.num_channels,
            "class_names": cache.class_names[:num_classes],
        }
    else:
        model["init_args"] = GENERATOR
    torch.manual_seed(seed)
    module = instantiate_module(model, path)
    split = {name: cache.patients(name) for name in ("train", "val", "test")}
    content = {
        "state_dict": module.state_dict(),
        "progress": {"steps_done": 3, "images_seen": 24},
        RECORD_KEY: {
            "model": model,
            "data": {
                "class_path": "datamodules.KiTS19DataModule",
                "init_args": {"root": Path(cache_root).name, "augmentation": "geometric"},
            },
            "image_size": cache.image_size,
            "class_names": cache.class_names,
            "split": {"by": "patient", "split_id": cache.split_id, **split},
            "versions": library_versions(),
            **record,
        },
    }
    save_checkpoint_file(content, path)
    if path.parent.name == "checkpoints":  # of a run, whose config.yaml tells the whole path
        config = {"data": {"init_args": {"root": str(cache_root)}}}
        (path.parents[1] / "config.yaml").write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, small_cache: Path) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("run") / "checkpoints/best.ckpt", small_cache)


def run(*words: Any) -> int:
    return command_line.run_verb("evaluate.py", lambda: evaluate.main([str(w) for w in words]))


def test_evaluation_holds_what_the_study_reads(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    result = evaluate.evaluate(checkpoint, out, show_progress=False)
    assert json.loads((out / "evaluation.json").read_text()) == result
    assert (result["task"], result["split"], result["split_by"]) == (
        "segmentation",
        "test",
        "patient",
    )
    assert (result["num_images"], result["num_patients"]) == (6, 2)
    assert len(result["checkpoint_sha256"]) == 64
    for key in ("iou_mean", "iou_foreground", "iou_background", "iou_kidney", "iou_tumour"):
        rows = [image[key] for image in result["images"] if image[key] is not None]
        assert result["summary"][key]["value"] == pytest.approx(np.mean(rows))
        assert result["summary"][key]["low"] <= result["summary"][key]["value"]
    for key in ("dice_kidney", "dice_tumour", "hd95_kidney", "hd95_tumour"):
        assert key in result["summary"]
        assert all(key in patient for patient in result["patients"])
    # Slices 0, 1, 2 with known spacing are a volume.
    assert {patient["hd95_unit"] for patient in result["patients"]} == {"mm"}
    assert set(result["trivial_all_background"]) == {"iou_mean", "iou_foreground"}
    for best in result["trivial_grey_range"].values():
        assert 0 < best["dice"] <= 1
        assert best["low"] <= best["high"]
    assert "tumour" in result["trivial_grey_range"]
    with open(out / "images.csv") as stream:
        assert [row["id"] for row in csv.DictReader(stream)] == [i["id"] for i in result["images"]]
    with Image.open(out / "predictions.png") as picture:
        assert picture.size[1] > 6 * 160
    assert sorted(path.name for path in out.iterdir()) == [
        "evaluation.json",
        "images.csv",
        "patients.csv",
        "predictions.png",
    ]


def test_best_grey_range_is_in_hu_where_the_cache_knows_its_window(
    checkpoint: Path, small_cache: Path, tmp_path: Path
) -> None:
    root = tmp_path / "cache"
    shutil.copytree(small_cache, root)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["window"] = {"width_hu": 510.0, "center_hu": 55.0}
    (root / "manifest.json").write_text(json.dumps(manifest))
    result = evaluate.evaluate(checkpoint, tmp_path / "out", root=root, show_progress=False)
    best = result["trivial_grey_range"]["tumour"]

    assert best["low_hu"] == pytest.approx(-200 + 2 * best["low"])
    assert best["high_hu"] == pytest.approx(-200 + 2 * best["high"])
    (line,) = [line for line in lines_of(result)[0] if "dice_tumour" in line and "range" in line]
    assert f"{best['low_hu']:.0f} to {best['high_hu']:.0f} HU" in line
    assert f"dice_tumour {best['dice']:.3f}" in line


def test_best_grey_range_is_that_of_the_channel_that_shows_it_best(small_cache: Path) -> None:
    told = {"name": "CT", "width": 510.0, "center": 55.0}
    manifest = json.loads((small_cache / "manifest.json").read_text())
    manifest |= {"window": None, "channels": [told, {"name": "T2", "percentiles": [0.5, 99.5]}]}
    # Without its volumes, whose images have one channel.
    cache = SliceCache(small_cache, {**manifest, "shards": {}, "items": []})
    labels = np.array([[[0, 1, 2, 2]]])
    shows_kidney, shows_tumour = [[[10, 200, 10, 20]]], [[[50, 50, 90, 95]]]

    def of(channels: list[Any]) -> dict[str, Any]:
        levels = [GreyLevels(3) for _ in channels]
        for one, greys in zip(levels, channels, strict=True):
            one.update(["a"], np.array(greys, np.uint8), labels)
        return _best_ranges(levels, cache)

    best = of([shows_kidney, shows_tumour])
    assert (best["kidney"]["channel"], best["kidney"]["dice"]) == ("CT", 1.0)
    assert (best["kidney"]["low_hu"], best["kidney"]["high_hu"]) == (-200 + 2 * 21, 200)
    assert best["tumour"] == {"low": 51, "high": 95, "dice": 1.0, "channel": "T2"}
    # Alike in both: the first is named.
    assert of([shows_tumour, shows_tumour])["tumour"]["channel"] == "CT"


def test_scores_are_those_of_the_network(
    checkpoint: Path, small_cache: Path, tmp_path: Path
) -> None:
    from lightning_modules.loading import load_module
    from metrics.segmentation import confusion_iou, image_confusion

    result = evaluate.evaluate(checkpoint, tmp_path, slices="all", show_progress=False)
    assert result["num_images"] == 8
    cache = SliceCache.open(small_cache)
    module, _ = load_module(checkpoint)
    for item, image in zip(cache.select("test"), result["images"], strict=True):
        pixels = torch.from_numpy(np.array(cache.image(item)))[None, None].float() / 127.5 - 1
        with torch.no_grad():
            prediction = module(pixels).argmax(1)
        truth = torch.from_numpy(np.array(cache.mask(item)))[None].long()
        assert image["iou_mean"] == float(
            confusion_iou(image_confusion(prediction, truth, 3)).nanmean(1)
        )


def test_settings_and_another_root(
    checkpoint: Path, make_cache: Callable[..., Path], tmp_path: Path
) -> None:
    others = {"case_00100": "test", "case_00101": "test", "case_00102": "train"}
    root = make_cache(tmp_path / "other", others, seed=5)
    options = {"slices": "all", "show_progress": False}
    skip = evaluate.evaluate(checkpoint, tmp_path / "skip", root, **options)
    one = evaluate.evaluate(checkpoint, tmp_path / "one", root, absent_class="one", **options)
    assert {image["patient_id"] for image in skip["images"]} == {"case_00100", "case_00101"}
    assert one["absent_class"] == "one"
    assert (
        one["trivial_all_background"]["iou_mean"] > skip["trivial_all_background"]["iou_foreground"]
    )
    batched = evaluate.evaluate(checkpoint, tmp_path / "three", root, batch_size=3, **options)
    for key, entry in skip["summary"].items():
        assert batched["summary"][key]["value"] == pytest.approx(entry["value"], rel=1e-6)


def test_an_evaluation_is_repeated_but_never_overwritten_by_another(
    checkpoint: Path, small_cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "evaluation"
    first = evaluate.evaluate(checkpoint, out, show_progress=False)
    again = evaluate.evaluate(checkpoint, out, show_progress=False)
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    before = (out / "evaluation.json").read_bytes()
    other = write_checkpoint(tmp_path / "checkpoints/other.ckpt", small_cache, seed=1)
    with pytest.raises(UserError, match="holds another evaluation"):
        evaluate.evaluate(other, out, show_progress=False)
    with pytest.raises(UserError, match="split was test, is now val"):
        evaluate.evaluate(checkpoint, out, split="val", show_progress=False)
    assert (out / "evaluation.json").read_bytes() == before
    (tmp_path / "images.csv").write_text("mine")
    with pytest.raises(UserError, match=r"holds images\.csv but no evaluation\.json"):
        evaluate.evaluate(checkpoint, tmp_path, show_progress=False)
    assert (tmp_path / "images.csv").read_text() == "mine"


def test_wrong_checkpoints_are_sentences(
    checkpoint: Path,
    small_cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damaged = tmp_path / "damaged.ckpt"
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    hashes = checkpoint.with_name("best.ckpt.sha256").read_text()
    damaged.with_name("damaged.ckpt.sha256").write_text(hashes)
    generator = write_checkpoint(
        tmp_path / "checkpoints/gan.ckpt", small_cache, class_path="lightning_modules.Pix2Pix"
    )
    weights = torch.load(checkpoint, weights_only=True)
    key = next(iter(weights["state_dict"]))
    weights["state_dict"][key] = torch.full_like(weights["state_dict"][key], float("nan"))
    save_checkpoint_file(weights, tmp_path / "checkpoints/nan.ckpt")
    out = tmp_path / "out"
    for path, sentence in (
        (tmp_path / "none.ckpt", "no such checkpoint"),
        (damaged, "damaged"),
        (generator, "holds a Pix2Pix, expected a Segmenter"),
        (tmp_path / "checkpoints/nan.ckpt", "predicts NaN"),
    ):
        assert run("--checkpoint", path, "--out", out) == 2
        printed = capsys.readouterr().err
        assert sentence in printed
        assert "Traceback" not in printed
    assert not out.exists()


def test_whom_a_model_knows_besides_its_split_is_not_scored_as_new(
    small_cache: Path, make_cache: Callable[..., Path], tmp_path: Path
) -> None:
    """Through synthetic images, or the weights that it started from."""
    also = {"training_patients": ["case_00007"], "training_items": ["case_00007/0001"]}
    knowing = write_checkpoint(tmp_path / "checkpoints/knowing.ckpt", small_cache, also_seen=also)
    with pytest.raises(UserError, match=r"1 patient of its test split was a .*\(case_00007\)"):
        evaluate.evaluate(knowing, tmp_path / "a", show_progress=False)
    result = evaluate.evaluate(knowing, tmp_path / "val", split="val", show_progress=False)
    assert [note[:42] for note in result["notes"]] == ["The validation split chose the checkpoint,"]
    clean = write_checkpoint(tmp_path / "checkpoints/clean_patients.ckpt", small_cache)
    result = evaluate.evaluate(clean, tmp_path / "train", split="train", show_progress=False)
    assert [note[:39] for note in result["notes"]] == ["These are the images that the model was"]

    by_slice = make_cache(tmp_path / "by_slice", by="slice")
    cache = SliceCache.open(by_slice)
    split = patient_split_of(cache) | {"train": cache.patients(None)}  # all have a training slice
    clean = write_checkpoint(tmp_path / "checkpoints/clean.ckpt", by_slice, split=split)
    evaluate.evaluate(clean, tmp_path / "b", show_progress=False)
    knowing = write_checkpoint(
        tmp_path / "checkpoints/b.ckpt", by_slice, split=split, also_seen=also
    )
    with pytest.raises(UserError, match=r"1 image of its test split was a .*\(case_00007/0001\)"):
        evaluate.evaluate(knowing, tmp_path / "c", show_progress=False)


def test_wrong_data_is_a_sentence(
    checkpoint: Path, small_cache: Path, make_cache: Callable[..., Path], tmp_path: Path
) -> None:
    def sentence(root: Path | None, path: Path = checkpoint, split: Any = "test") -> str:
        with pytest.raises(UserError) as caught:
            evaluate.evaluate(path, tmp_path / "out", root, split, show_progress=False)
        return str(caught.value)

    assert "no such folder" in sentence(tmp_path / "nowhere")
    only_train = make_cache(tmp_path / "train", {"case_00100": "train"})
    assert "the test split has no slice" in sentence(only_train)
    reshuffled = make_cache(tmp_path / "leak", {"case_00000": "test"}, seed=3)
    assert "was a training patient" in sentence(reshuffled)
    larger = make_cache(tmp_path / "large", {"case_00100": "test"}, size=48)
    assert "trained at 32 px" in sentence(larger)
    two = write_checkpoint(tmp_path / "checkpoints/two.ckpt", small_cache, num_classes=2)
    assert "has 3 classes" in sentence(None, two)
    moved = write_checkpoint(
        tmp_path / "moved.ckpt",
        small_cache,
        data={
            "class_path": "datamodules.KiTS19DataModule",
            "init_args": {"root": str(tmp_path / "gone")},
        },
    )
    assert "Say with --root where it is" in sentence(None, moved)
    assert not (tmp_path / "out").exists()


def test_command_line(
    checkpoint: Path, small_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "evaluate.yaml"
    config.write_text(f"split: val\nout: {tmp_path / 'out'}\n")
    words = ["--config", config, "--checkpoint", checkpoint, "--absent-class", "one"]
    assert run(*words, "--data.root", small_cache) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("val: 6 images of 2 patients")
    assert printed[-1].startswith(f"Results: {tmp_path / 'out'}")
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["absent_class"] == "one"
    assert run("--checkpoint", checkpoint, "--out", tmp_path, "--splitt", "val") == 2
    assert "--splitt: no such flag. Did you mean --split?" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [[], ["images"]])
def test_help_describes_every_flag(mode: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(*mode, "--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    flags = [line for line in text.splitlines() if line.startswith("  --")]
    assert len(flags) >= 9
    assert "show_progress" not in text
    assert "for a GPU where there is one" in " ".join(text.split())


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    heavy = ("torch", "lightning", "monai", "timm", "skimage", "wandb")
    code = f"import sys, evaluate; print([m for m in {heavy} if m in sys.modules])"
    root = Path(evaluate.__file__).parent
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_score_of_a_name_of_its_own_gets_its_interval() -> None:
    found = {
        "summary": {"precision_kidney": 0.5, "dice_kidney": 0.6},
        "images": [
            {"id": f"{patient}/{row}", "patient_id": patient, "precision_kidney": value}
            for patient, value in (("a", 0.4), ("b", 0.6))
            for row in range(3)
        ],
        "patients": [
            {"patient_id": "a", "dice_kidney": 0.5, "hd95_unit": "mm"},
            {"patient_id": "b", "dice_kidney": 0.7, "hd95_unit": "mm"},
        ],
        "hd95_unit": "mm",
    }
    summary = _with_intervals(found)
    assert summary["precision_kidney"]["num_values"] == 6
    # Two patients: Student's t with one degree of freedom.
    assert summary["precision_kidney"]["low"] == pytest.approx(0.5 - 12.7062 * 0.1)
    assert summary["dice_kidney"]["num_values"] == 2


def test_scores_may_be_required(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--checkpoint", checkpoint, "--out", out, "--require"]
    assert run(*words, "iou_mean>=0.99, num_images>=6") == 3
    printed = capsys.readouterr().out
    assert "iou_mean>=0.99: does not hold: 0." in printed
    assert "lower 95 % bound" in printed
    required = json.loads((out / "evaluation.json").read_text())["require"]
    assert [row["verdict"] for row in required] == ["does not hold", "holds"]
    assert run(*words, "num_patients>=2") == 0
    assert run(*words, "iou_men>=0.99") == 4  # it might be the score of a class
    assert "did not measure it. Did you mean iou_mean?" in capsys.readouterr().out
    assert run(*words, "iou_mean") == 2
    assert run("gate", out, "--require", "iou_mean<=1, num_images>=7") == 3
    assert run("gate", out) == 0
    assert "numbers for --require:\n  iou_mean\n" in capsys.readouterr().out
