"""evaluate.py images on films: known values, the card, and what is refused."""

import hashlib
import json
import math
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

import evaluate
from cards.finish import finish_synthetic_set
from datamodules.beside_synthetic import spread
from datamodules.film_cache import FilmCache
from datamodules.synthetic import SyntheticItem, SyntheticSet
from evaluation.images.compared_sets import compared_sets
from evaluation.images.fid_card import fid_card
from metrics import features
from metrics.diversity import ms_ssim
from metrics.image_sets import (
    class_scores,
    set_distances,
    set_fidelity,
    similarity_between_patients,
)
from metrics.inception import InceptionExtractor
from provenance import UserError, library_versions, sha256_of

Films = Sequence[np.ndarray]

PATIENTS = {f"patient_{i:012x}": "train" if i < 12 else "test" for i in range(24)}


@pytest.fixture(scope="module")
def films_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 patients with 2 films of 32 px each, half of them in the test split; read only."""
    from tests.conftest import write_film_cache

    root = tmp_path_factory.mktemp("films") / "cache"
    return write_film_cache(root, PATIENTS, films=2, films_per_shard=48)


def crops(root: Path, split: str = "test") -> list[np.ndarray]:
    """The centre crops of a split, cut by hand."""
    cache = FilmCache.open(root)
    first = (cache.stored_size - cache.image_size) // 2
    inside = slice(first, first + cache.image_size)
    return [np.array(cache.image(index)[..., inside, inside]) for index in cache.indices(split)]


def write_set(root: Path, films: Films, origin: dict[str, Any] | None = None, **more: Any) -> Path:
    """Films as if a generator had made them."""
    (root / "images").mkdir(parents=True)
    items = []
    for index, film in enumerate(films):
        picture = film if film.ndim == 2 else film.transpose(1, 2, 0)
        Image.fromarray(picture).save(root / f"images/{index:05d}.png")
        items.append(SyntheticItem(f"{index:05d}", index, label="normal"))
    manifest = {
        "dataset": "chest_xray",
        "image_size": films[0].shape[-1],
        "seed": 7,
        "versions": library_versions(),
        "generator": {
            "checkpoint_sha256": "c" * 64,
            "training_patients": [],
            "images_seen": 1000,
            **(origin or {}),
        },
    }
    finish_synthetic_set(root, items, manifest | more, "python generate.py")
    return root


def compare(root: Path, synthetic: Path, out: Path, **more: Any) -> dict[str, Any]:
    settings = {"split": "test", "show_progress": False, "device": "cpu", **more}
    return evaluate.evaluate_images(synthetic, root, out, **settings)


@pytest.fixture(scope="module")
def results(films_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The films themselves, blurred, and noise, each against the films."""
    real, folder = crops(films_root), tmp_path_factory.mktemp("sets")
    random = np.random.default_rng(1)
    sets = {
        "copy": real,
        "blurred": [gaussian_filter(film, 0.7) for film in real],
        "noise": [random.integers(0, 256, film.shape, dtype=np.uint8) for film in real],
    }
    return {
        name: compare(films_root, write_set(folder / name, films), folder / f"{name}_out")
        for name, films in sets.items()
    }


def value(result: dict[str, Any], name: str) -> float:
    return {**result["distances"], **result["scores"]}[f"{name}_random_vgg"]["value"]


def test_features_of_real_films_are_computed_once_and_give_the_same_scores(
    films_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(films_root, tmp_path / "cache"))
    blurred = write_set(tmp_path / "set", [gaussian_filter(film, 0.7) for film in crops(root)])
    shutil.rmtree(root / "features", ignore_errors=True)
    shown: list[int] = []
    forward = features.RandomVGG.forward

    def counting(network: features.RandomVGG, images: Tensor) -> Tensor:
        shown.append(len(images))
        return forward(network, images)

    monkeypatch.setattr(features.RandomVGG, "forward", counting)
    first = compare(root, blurred, tmp_path / "first")
    assert sum(shown) == 24 + 24
    second = compare(root, blurred, tmp_path / "second")
    assert sum(shown) == 24 + 24 + 24
    for key in ("distances", "scores", "real_set", "synthetic_set"):
        assert first[key] == second[key]
    compare(root, blurred, tmp_path / "val", split="train")  # other films
    assert sum(shown) == 24 + 24 + 24 + 48
    for kept in (root / "features").iterdir():
        kept.write_bytes(kept.read_bytes()[:-100])
    assert compare(root, blurred, tmp_path / "third")["distances"] == first["distances"]


def test_a_copy_of_the_real_films_is_at_distance_nothing(results: dict[str, Any]) -> None:
    copy = results["copy"]
    assert value(copy, "frechet") == pytest.approx(0, abs=1e-6)
    assert [value(copy, name) for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert value(copy, "density") >= 1
    assert copy["real_set"]["pixels_sha256"] == copy["synthetic_set"]["pixels_sha256"]
    both = copy["distances"]["diversity_random_vgg"]
    assert both["real"]["value"] == both["synthetic"]["value"]


def test_blur_is_worse_and_noise_is_nowhere_near(results: dict[str, Any]) -> None:
    copy, blurred, noise = results["copy"], results["blurred"], results["noise"]
    assert value(copy, "frechet") < value(blurred, "frechet") < value(noise, "frechet")
    assert value(blurred, "precision") < value(copy, "precision")
    assert value(noise, "precision") == value(noise, "coverage") == 0
    floor = noise["distances"]["frechet_random_vgg"]
    assert floor["value_at_floor_size"] > 10 * floor["floor"]


def test_every_score_has_an_interval_around_it(results: dict[str, Any]) -> None:
    for result in results.values():
        assert (result["num_real"], result["num_real_patients"], result["num_synthetic"]) == (
            (24, 12, 24)
        )
        for key, entry in {**result["distances"], **result["scores"]}.items():
            for score in [entry] if "value" in entry else [entry["real"], entry["synthetic"]]:
                assert score["low"] <= score["value"] <= score["high"], key
                if not key.startswith("kernel"):
                    assert score["low"] >= 0


def test_the_card_names_what_another_lab_needs(
    films_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = FilmCache.open(films_root)
    films = crops(films_root)[:20]
    trained_on = {"split_id": cache.split_id, "training_patients": cache.patients("test")[:3]}
    synthetic, out = write_set(tmp_path / "set", films, trained_on), tmp_path / "out"
    words = f"images --real {films_root} --split test --synthetic {synthetic} --out {out}"
    assert evaluate.main([*words.split(), "--device", "cpu"]) == 0
    printed, said = capsys.readouterr()
    assert f"{synthetic}: its generator was trained on 3 of 12 real patients of this" in said
    assert "20 synthetic images, 24 real of 12 patients (test)" in printed
    assert "real against real" in printed
    assert "precision_random_vgg" in printed
    assert "ms_ssim_2_scales: synthetic" in printed

    card = (out / "fid_card.md").read_text()
    result = json.loads((out / "evaluation.json").read_text())
    pixels = hashlib.sha256(b"".join(film.tobytes() for film in films)).hexdigest()
    for fact in (
        "20 synthetic images against 24 real images of 12 patients",
        "**not** FID",
        pixels,
        SyntheticSet.open(synthetic).content_sha256,
        cache.manifest["sha256_items"],
        cache.split_id,
        "test, by patient",
        "centre 32 of 34 px",
        "8 bits, of 8 stored",
        "12 abnormal, 12 normal",
        result["extractor"],
        "trained on: 3 of 12",
        f"torch {result['versions']['torch']}",
        "c" * 64,
    ):
        assert fact in card, fact
    command = next(line for line in card.splitlines() if line.startswith("python evaluate.py"))
    folders = {"CACHE": str(cache.root), "SET": str(synthetic), "FOLDER": str(out)}
    assert not [folder for folder in folders.values() if folder in card]  # another lab has its own
    assert "stand for files and folders: give them as they lie with you" in card
    written = (out / "evaluation.json").read_text()
    assert not [folder for folder in folders.values() if folder in written]
    words = [folders.get(word, word) for word in shlex.split(command)[2:]]
    assert evaluate.main([*words, "--device", "cpu"]) == 0  # again, same folder
    again = json.loads((out / "evaluation.json").read_text())
    assert {**again, "seconds": 0} == {**result, "seconds": 0}
    assert (out / "sheet.png").is_file()
    assert not (out / "pairs.csv").exists()
    capsys.readouterr()
    rules = ["--require", "coverage>=0.99, num_synthetic>=20, diversity:real>=0, precision>=0.96"]
    assert evaluate.main([*words, "--device", "cpu", *rules]) == 4
    printed = capsys.readouterr().out
    assert "precision>=0.96: cannot be said: 1, lower 95 % bound 0.95" in printed
    assert "too few images of either set: about" in printed
    assert "num_synthetic>=20: holds: 20." in printed
    card = (out / "fid_card.md").read_text()
    assert "### What was required" in card
    assert "| num_synthetic>=20 | 20 |" in card


def test_colour_depth_and_a_fraction_of_the_size(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    colour = film_cache(tmp_path / "colour", PATIENTS, 2, channels=3)
    coloured = write_set(tmp_path / "colour_set", crops(colour), channels=3)
    assert value(compare(colour, coloured, tmp_path / "a"), "frechet") < 1e-6

    # 16 bits are rounded to the 8 that a synthetic film has: level v of 8 is 257 v of 16.
    deep = film_cache(tmp_path / "deep", PATIENTS, 2, bit_depth=16)
    rounded = [np.rint(film / 257).astype(np.uint8) for film in crops(deep)]
    flat = write_set(tmp_path / "deep_set", rounded)
    result = compare(deep, flat, tmp_path / "b")
    assert result["real_set"]["pixels_sha256"] == result["synthetic_set"]["pixels_sha256"]

    means = [film.reshape(16, 2, 16, 2).mean((1, 3)) for film in crops(deep)]
    smaller = write_set(tmp_path / "small", [np.rint(m / 257).astype(np.uint8) for m in means])
    result = compare(deep, smaller, tmp_path / "c", num_images=20)
    assert (result["num_real"], result["num_synthetic"]) == (20, 20)
    assert result["real_set"]["pixels_sha256"] == result["synthetic_set"]["pixels_sha256"]
    assert result["real_set"]["cropping"] == "centre 32 of 34 px, then means of 2 x 2 pixels"


def test_only_the_canonical_inception_gives_a_fid(
    films_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Inception(InceptionExtractor):
        """Stands in for the network, whose weights are not here."""

        def __init__(self, name: str) -> None:
            torch.nn.Module.__init__(self)
            self.name, self.description = name, f"{name}, weights of a test"
            self.weight = torch.nn.Parameter(torch.randn(4, 16))

        def features_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
            features = torch.nn.functional.avg_pool2d(images.mean(1), 8).flatten(1)
            return features, features @ self.weight.T

    synthetic = write_set(tmp_path / "set", crops(films_root, "train"))
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    keys = {}
    for name in ("inception", "inception_0a1b2c3d"):
        monkeypatch.setattr(features, "build_extractor", lambda *given, name=name: Inception(name))
        words = f"images --data.root {films_root} --split test --synthetic {synthetic}"
        words += f" --extractor inception --inception-weights {weights} --out {tmp_path / name}"
        assert evaluate.main(words.split()) == 0
        result = json.loads((tmp_path / name / "evaluation.json").read_text())
        keys[name] = {*result["distances"], *result["scores"]}
        assert result["weights_sha256"] == sha256_of(weights)
        assert "torch-fidelity" in result["versions"]
    assert {"fid", "kid", "inception_score", "precision_inception"} <= keys["inception"]
    other = "inception_0a1b2c3d"
    assert {f"frechet_{other}", f"inception_score_{other}"} <= keys[other]
    assert not {"fid", "kid", "inception_score"} & keys[other]
    assert (tmp_path / "inception/fid_card.md").read_text().startswith("# FID card")
    assert (tmp_path / other / "fid_card.md").read_text().startswith("# Frechet distance card")


def test_sets_that_cannot_be_compared_are_sentences(
    films_root: Path, small_cache: Path, film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    films = crops(films_root)
    good = write_set(tmp_path / "good", films)
    odd = write_set(tmp_path / "odd", [film[:24, :24] for film in films])
    few = write_set(tmp_path / "few", films[:3])
    wrong = write_set(tmp_path / "wrong", [film[:24, :24] for film in films], image_size=32)
    untested = film_cache(tmp_path / "untested", {"patient_a": "train"})
    for root, synthetic, more, sentence in (
        (films_root, odd, {}, "prepare the real images again with --image-size 24"),
        (films_root, few, {}, "the set has 3 images; .* make more images"),
        (untested, good, {}, "the test split has 0 images; .* another --split"),
        (small_cache, good, {}, "holds films, but .* holds slices"),
        (films_root, wrong, {}, "is 24x24, but its manifest.json says 32x32"),
        (films_root, good, {"num_images": 3}, "--num-images is 3"),
        (films_root, good, {"weights": Path("w")}, "random_vgg uses no weights file"),
        (films_root, good, {"extractor": "inception"}, "--inception-weights PATH"),
        (films_root, good, {"extractor": "timm:resnet18"}, "Pass --weights PATH"),
    ):
        with pytest.raises(UserError, match=sentence):
            compare(root, synthetic, tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()

    compare(films_root, good, tmp_path / "out")
    with pytest.raises(UserError, match="seed was 0, is now 1"):
        compare(films_root, good, tmp_path / "out", seed=1)


def test_slices_are_no_films(films_root: Path, tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", crops(films_root))
    fakes = SyntheticSet.open(root)
    fakes.items = [SyntheticItem(item.id, 0, "case/0001", "case", (1, 1)) for item in fakes.items]
    with pytest.raises(UserError, match="holds slices with label maps, but"):
        compared_sets(fakes, FilmCache.open(films_root), "test", None)


def test_features_that_are_no_numbers_are_refused(
    films_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = features.build_extractor("random_vgg")
    broken.get_parameter("projection.weight").data.fill_(math.nan)
    monkeypatch.setattr(features, "build_extractor", lambda *given: broken)
    synthetic = write_set(tmp_path / "set", crops(films_root))
    with pytest.raises(UserError, match="features that are no numbers"):
        compare(films_root, synthetic, tmp_path / "out")


def test_small_sets_go_without_what_they_cannot_carry() -> None:
    real, fake = torch.randn(5, 3), torch.randn(9, 3)
    assert set_fidelity("n", real, fake, list("abcde")) == {}
    assert class_scores("inception", real, fake, list("abcde")) == {}
    found = set_distances("n", real, fake, list("aabbb"))["frechet_n"]
    assert found["low"] is None
    assert found["floor"] is not None


def test_similarity_pairs_strangers_once_each() -> None:
    images = torch.rand(9, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    patients = list("aabbccdde")
    asked: list[int] = []

    def read(index: int) -> Tensor:
        asked.append(index)
        return images[index]

    found = similarity_between_patients(read, patients)
    assert found is not None
    name, entry = found
    assert name == "ms_ssim_1_scales"
    assert entry["num_pairs"] == 2  # five patients make two pairs
    assert len({patients[index] for index in asked}) == len(asked) == 4
    expected = ms_ssim(images[asked[:2]], images[asked[2:]])
    assert entry["value"] == pytest.approx(float(expected.mean()))
    same = similarity_between_patients(lambda index: images[0], patients)
    assert same is not None
    assert same[1]["value"] == pytest.approx(1)
    assert similarity_between_patients(read, list("aaabbbccc")) is None


def test_places_are_spread_evenly() -> None:
    assert spread(5, None) == spread(5, 9) == [0, 1, 2, 3, 4]
    assert spread(9, 3) == [0, 4, 8]
    assert len(set(spread(1000, 999))) == 999


@pytest.mark.parametrize("folder", ["/home/Doe/cache", "../Doe/cache", "Doe/x/../cache/", "cache"])
def test_the_command_of_the_card_names_no_folder(results: dict[str, Any], folder: str) -> None:
    words = ["--real", folder, "--split", "test", "--synthetic", folder, "--weights", f"{folder}/w"]
    command = shlex.join(["python", "evaluate.py", "images", *words, "--out", folder])
    card = fid_card({**results["copy"], "command": command})
    expected = "--real CACHE --split test --synthetic SET --weights WEIGHTS --out FOLDER"
    assert f"\npython evaluate.py images {expected}\n" in card
    assert "Doe" not in card
