"""generate.py with GANs: exact images, their label, who they may join, and films in between."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import generate
import generation.generators
from datamodules import ChestXrayDataModule
from datamodules.synthetic import SyntheticSet
from display.tensor_images import image_arrays, render
from generation.interpolation import check_animation, frames_between, save_animation, spherical
from lightning_modules.loading import load_module
from lightning_modules.step.seeds import derived_seed
from provenance import UserError, sha256_of
from tests.conftest import write_film_cache
from tests.gan_runs import trained

STYLEGAN = ("--model.generator.style_size=8", "--model.generator.mapping_layers=2")
GROWING_IN_COLOUR = ("--data.channels=3", "--model.image_channels=3")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film_cache(tmp_path_factory.mktemp("cache") / "films")


@pytest.fixture(scope="module")
def stylegan(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on abnormal films alone."""
    one_class = ("--data.label_column=label", "--data.only_label=abnormal")
    return trained(films, "stylegan", tmp_path_factory.mktemp("run"), *STYLEGAN, *one_class)


@pytest.fixture(scope="module")
def growing(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In colour, and not fully grown: 4 of 32 pixels."""
    return trained(films, "pggan", tmp_path_factory.mktemp("run"), *GROWING_IN_COLOUR)


def make(checkpoint: Path, out: Path, **settings: object) -> Path:
    given = {"num_images": 11, "show_progress": False, "device": "cpu", **settings}
    return generate.generate(checkpoint, out=out, **given)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def test_set_takes_its_class_from_the_run_and_joins_the_training(
    films: Path, stylegan: Path, tmp_path: Path
) -> None:
    out = make(stylegan, tmp_path / "set", truncation=0.5)
    made = SyntheticSet.open(out)
    assert {item.label for item in made.items} == {"abnormal"}
    origin = made.manifest["generator"]
    assert origin["checkpoint_sha256"] == sha256_of(stylegan)
    assert origin["training_patients"] == [f"patient_{i:012x}" for i in range(4)]
    assert (origin["images_seen"], made.manifest["truncation"]) == (4, 0.5)
    card = (out / "README.md").read_text()
    for words in ("None is a picture of a patient", "11 abnormal", "only of abnormal", "| 0.5 |"):
        assert words in card
    assert "--num-images 11 --out SET --seed 0 --truncation 0.5\n" in card
    assert str(tmp_path) not in card + (out / "manifest.json").read_text()

    data = ChestXrayDataModule(str(films), synthetic=str(out))
    joined = data.training_set()
    assert len(joined) == 12 + 11
    assert joined[22]["label"] == 1
    np.testing.assert_array_equal(joined[22]["image"][0], made.image(made.items[10]))
    moved = {f"patient_{i:012x}": s for i, s in enumerate(["val", "test", *["train"] * 6])}
    other = ChestXrayDataModule(
        str(write_film_cache(tmp_path / "other", patients=moved)), synthetic=str(out)
    )
    with pytest.raises(UserError, match="leaks 2 patient"):
        other.training_set()


def test_a_run_split_by_image_names_its_images(tmp_path: Path) -> None:
    films = write_film_cache(tmp_path / "films", by="image")
    checkpoint = trained(films, "dcgan", tmp_path / "run")
    out = make(checkpoint, tmp_path / "set", num_images=2, label="normal")
    assert len(SyntheticSet.open(out).manifest["generator"]["training_items"]) == 12
    assert len(ChestXrayDataModule(str(films), synthetic=str(out)).training_set()) == 14


def test_an_image_depends_on_its_seed_alone_bit_for_bit(stylegan: Path, tmp_path: Path) -> None:
    whole = files(make(stylegan, tmp_path / "whole", num_images=19))
    for num_images, batch_size in ((19, 8), (19, 1), (11, 100), (1, 3)):
        settings = {"num_images": num_images, "batch_size": batch_size}
        other = files(make(stylegan, tmp_path / f"{num_images}_{batch_size}", **settings))
        assert other == dict(list(whole.items())[:num_images])
    module, _ = load_module(stylegan)
    for index in (0, 17):
        image = module.synthesise([derived_seed(0, "generate", index)])  # type: ignore[operator]
        written = np.asarray(Image.open(tmp_path / f"whole/images/synthetic_{index:06d}.png"))
        levels = ((image[0, 0] + 1) * 127.5).numpy()
        assert written.dtype == np.uint8
        assert abs(written - levels).max() < 0.51  # rounded to the nearest
    for name, settings in {"seed": {"seed": 1}, "truncation": {"truncation": 0.3}}.items():
        assert files(make(stylegan, tmp_path / name, **settings)) != dict(list(whole.items())[:11])


def test_an_interrupted_set_goes_on_and_another_is_refused(stylegan: Path, tmp_path: Path) -> None:
    out = make(stylegan, tmp_path / "set")
    expected = files(out)
    (out / "manifest.json").unlink()
    (out / "images/synthetic_000003.png").unlink()
    (out / "images/.synthetic_000004.png.0123.part").write_bytes(b"half")
    kept = out / "images/synthetic_000002.png"
    before = kept.stat().st_mtime_ns
    make(stylegan, out)
    assert files(out) == expected
    assert kept.stat().st_mtime_ns == before
    for name, value in (("truncation", 0.5), ("format", "npy"), ("seed", 3), ("label", "normal")):
        with pytest.raises(UserError, match=rf"another synthetic set \({name} was"):
            make(stylegan, out, **{name: value})
    (tmp_path / "thesis.doc").write_text("mine")
    for taken, said in ((tmp_path, "but no request"), (tmp_path / "thesis.doc", "is a file")):
        with pytest.raises(UserError, match=said):
            make(stylegan, taken)


def test_colour_and_both_formats_hold_the_same_pixels(growing: Path, tmp_path: Path) -> None:
    png = SyntheticSet.open(make(growing, tmp_path / "png", num_images=2))
    npy = SyntheticSet.open(make(growing, tmp_path / "npy", num_images=2, format="npy"))
    for one, other in zip(png.items, npy.items, strict=True):
        assert one.label is None
        assert png.image(one).shape == (3, 32, 32)
        assert np.array_equal(png.image(one), npy.image(other))
        blocks = png.image(one).reshape(3, 4, 8, 4, 8)  # one value per pixel of the stage
        assert (blocks == blocks[:, :, :1, :, :1]).all()
    assert "8-bit colour" in (png.root / "README.md").read_text()


def test_what_the_generator_cannot_do_is_refused_before_the_folder_is_claimed(
    growing: Path, stylegan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    for flag, value in (("labels", tmp_path), ("with_class", "tumour"), ("dropout", True)):
        name = flag.replace("_", "-")
        with pytest.raises(UserError, match=rf"--{name}: is for Pix2Pix, .* a GrowingGAN"):
            make(growing, out, **{flag: value})
    with pytest.raises(UserError, match="PGGANGenerator has none"):
        make(growing, out, truncation=0.7)
    for truncation in (-0.1, 1.5, float("nan")):
        with pytest.raises(UserError, match="expected a number from 0"):
            make(stylegan, out, truncation=truncation)
    with pytest.raises(UserError, match=r"\.gif, \.png, \.webp or \.mp4, not as \.avi"):
        make(stylegan, out, interpolation=tmp_path / "between.avi")
    assert not out.exists()


def test_a_given_label_is_said_to_rest_on_the_person(
    stylegan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(stylegan, tmp_path / "set", num_images=1, label="normal")
    assert "--label normal: taken as given; the generator was trained on films of abnormal" in (
        capsys.readouterr().err
    )
    manifest = json.loads((tmp_path / "set/manifest.json").read_text())
    assert [item["label"] for item in manifest["items"]] == ["normal"]


def test_a_generator_that_diverged_makes_no_set(
    stylegan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, record = load_module(stylegan)
    with torch.no_grad():
        next(module.averaged.parameters()).fill_(float("nan"))  # type: ignore[union-attr]
    monkeypatch.setattr(generation.generators, "load_module", lambda _: (module, record))
    with pytest.raises(UserError, match="not numbers, so its training has diverged"):
        make(stylegan, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_pictures_are_rounded_clipped_and_grey_or_colour() -> None:
    row = torch.tensor([-2.0, -1.0, 0.0, 0.5 / 127.5, 1.0, 3.0])
    assert image_arrays(row.expand(2, 1, 1, 6)).tolist() == [[[0, 0, 128, 128, 255, 255]]] * 2
    colour = torch.stack([-row, row, row * 0])[None, :, None]
    assert image_arrays(colour).shape == (1, 1, 6, 3)
    assert image_arrays(colour)[0, 0, 5].tolist() == [0, 255, 128]
    assert (render({"image": colour}) == (0, 255, 128)).all(axis=-1).any()


def test_the_way_between_latents_has_equal_angles_and_their_length() -> None:
    start, end = torch.randn(2, 3, 64).double()
    end *= start.norm(dim=1, keepdim=True) / end.norm(dim=1, keepdim=True)
    angle = torch.cosine_similarity(start, end).acos()
    for share in (0.0, 0.25, 0.5, 1.0):
        between = spherical(start, end, share)
        torch.testing.assert_close(between.norm(dim=1), start.norm(dim=1))
        turned = torch.cosine_similarity(start, between).clamp(-1, 1).acos()
        torch.testing.assert_close(turned, share * angle, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(spherical(start, 2 * start, 0.5), 1.5 * start)


@pytest.mark.parametrize("kind", ["stylegan", "growing"])
def test_the_way_is_closed_and_leads_through_the_images(
    kind: str, request: pytest.FixtureRequest
) -> None:
    module, _ = load_module(request.getfixturevalue(kind))
    frames = list(frames_between(module, seed=5, stops=3, frames_per_stop=8))  # type: ignore
    assert len(frames) == 24
    latents = module.latent_rows([derived_seed(5, "interpolation", k) for k in range(3)])
    if kind == "stylegan":  # one grain for all
        parts = module.generator.split_latent(latents)
        noise = parts.noise[:1].expand(3, -1)
        latents = torch.cat([parts.z, parts.other_z, parts.crossover, noise], dim=1)
    stops = image_arrays(module.images_of(latents)).astype(int)
    assert abs(np.stack(frames)[::8].astype(int) - stops).max() <= 1
    steps = [abs(frame.astype(int) - frames[k - 1]).mean() for k, frame in enumerate(frames)]
    direct = [abs(stops[k] - stops[(k + 1) % 3]).mean() for k in range(3)]
    assert max(steps) < max(direct) / 2  # no jump, the last step included


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_a_film_is_written_without_loss_and_says_what_it_is(ending: str, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)
    path = tmp_path / f"between.{ending}"
    save_animation(path, frames)
    with Image.open(path) as film:
        assert film.n_frames == 5  # type: ignore[attr-defined]
        assert film.info["loop"] == 0
        said = film.info.get("comment", b"").decode() + str(dict(film.getexif()))
        assert "made by a neural network" in said
        for index, frame in enumerate(frames):
            film.seek(index)
            assert np.array_equal(np.asarray(film.convert("L")), frame)
            assert film.info["duration"] == 40


def with_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str | None) -> None:
    """The only programs on PATH are the shell's, and this as ffmpeg."""
    folder.mkdir()
    if script is not None:
        (folder / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin" if script else str(folder))


def test_a_video_is_the_machines_ffmpegs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
    film = tmp_path / "between.mp4"
    with_ffmpeg(tmp_path / "none", monkeypatch, None)
    with pytest.raises(UserError, match="ffmpeg, which is not on this machine's PATH"):
        check_animation(film)
    with_ffmpeg(tmp_path / "broken", monkeypatch, "echo no encoder found >&2; exit 1")
    with pytest.raises(UserError, match=r"could not write it \(no encoder found\)"):
        save_animation(film, frames)
    assert not film.exists()
    # its last argument is the file; what comes in are the frames' bytes
    with_ffmpeg(tmp_path / "fake", monkeypatch, 'for last; do :; done; cat > "$last"')
    check_animation(film)
    save_animation(film, frames)
    assert film.read_bytes() == frames.tobytes()
    assert {path.name for path in tmp_path.glob("*between*")} == {"between.mp4"}
    assert not list(tmp_path.glob(".video*"))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on this machine")
@pytest.mark.parametrize("shape", [(16, 16), (15, 17, 3)])
def test_a_video_plays_and_says_what_it_is(shape: tuple[int, ...], tmp_path: Path) -> None:
    film = tmp_path / "between.mp4"
    save_animation(film, np.full((5, *shape), 128, np.uint8))
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", film]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "nb_read_frames=5" in told
    assert "made by a neural network" in told
    assert "height=16" in told


def test_a_film_comes_with_a_set_and_overwrites_nothing(growing: Path, tmp_path: Path) -> None:
    film = tmp_path / "set/between.webp"
    make(growing, tmp_path / "set", num_images=1)
    make(growing, tmp_path / "set", num_images=1, interpolation=film)  # a set that is finished
    with Image.open(film) as opened:
        assert opened.n_frames == 8 * 24  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"exists\. Nothing is overwritten"):
        make(growing, tmp_path / "set", num_images=1, interpolation=film)
