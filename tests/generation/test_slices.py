"""generate.py: who may lend a label map, what a set says of itself, and exact continuation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import generate
import train
from datamodules.leak_check import check_no_leak
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from provenance import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(small_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pix2pix(small_cache, tmp_path_factory)


def pix2pix(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny generator after an epoch."""
    result = train.fit(
        [
            "fit",
            f"--config={ROOT / 'configs/kits19/pix2pix.yaml'}",
            f"--data.root={cache}",
            "--model.generator.width=4",
            "--model.discriminator.width=4",
            "--model.discriminator.num_layers=2",
            "--trainer.accelerator=cpu",
            "--trainer.max_epochs=1",
            "--trainer.enable_progress_bar=false",
            "--wandb=disabled",
            "--samples_every_epochs=0",
            f"--run_folder={tmp_path_factory.mktemp('runs') / 'pix2pix'}",
        ]
    )
    return result.best_checkpoint


def make(checkpoint: Path, out: Path, **settings: object) -> Path:
    given = {"num_images": 5, "show_progress": False, "device": "cpu", **settings}
    return generate.generate(checkpoint, out=out, **given)  # type: ignore[arg-type]


def pictures(folder: Path) -> list[bytes]:
    return [np.asarray(Image.open(p)).tobytes() for p in sorted((folder / "images").iterdir())]


def test_set_is_complete_and_may_join_its_own_data(
    checkpoint: Path, small_cache: Path, tmp_path: Path
) -> None:
    out = make(checkpoint, tmp_path / "set", num_images=15)  # 12 label maps: some come twice
    made = SyntheticSet.open(out)
    cache = SliceCache.open(small_cache)
    check_no_leak(made, cache)
    assert len(made.items) == 15
    assert len({item.label_item_id for item in made.items}) == 12
    assert len({item.seed for item in made.items}) == 15
    sources = {item.id: item for item in cache.items}
    for item in made.items:
        assert np.array_equal(made.mask(item), cache.mask(sources[item.label_item_id]))
        assert made.image(item).shape == (32, 32)
        assert sum(item.class_pixels[1:]) > 0
    card = (out / "README.md").read_text()
    assert "None is a picture of a patient" in card
    assert "--num-images 15" in card
    assert made.manifest["synthetic"] is True


def test_images_do_not_depend_on_the_batch_size_and_continue_exactly(
    checkpoint: Path, tmp_path: Path
) -> None:
    whole = make(checkpoint, tmp_path / "whole", batch_size=5)
    other = make(checkpoint, tmp_path / "other", batch_size=2)
    assert pictures(whole) == pictures(other)
    (other / "manifest.json").unlink()  # as an interruption would leave it
    (other / "images/synthetic_000003.png").unlink()
    make(checkpoint, other, batch_size=2)
    assert pictures(other) == pictures(whole)
    assert pictures(make(checkpoint, tmp_path / "seed", seed=1)) != pictures(whole)


def test_label_maps_of_held_out_patients_are_left_out_and_counted(
    checkpoint: Path,
    make_cache: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # case_00004 validates and case_00006 tests in the generator's own data
    patients = {"case_00004": "train", "case_00006": "train", "case_00099": "val"}
    labels = make_cache(tmp_path / "labels", patients=patients)
    made = SyntheticSet.open(make(checkpoint, tmp_path / "set", labels=labels))
    assert {item.label_patient_id for item in made.items} == {"case_00099"}
    assert "left out 6 label maps of 2 patients" in capsys.readouterr().err
    only_held_out = make_cache(tmp_path / "held", patients={"case_00006": "train"})
    with pytest.raises(UserError, match="all of held-out patients"):
        make(checkpoint, tmp_path / "none", labels=only_held_out)


def test_another_set_is_never_overwritten(checkpoint: Path, tmp_path: Path) -> None:
    out = make(checkpoint, tmp_path / "set")
    with pytest.raises(UserError, match=r"another synthetic set .*num_images was 5, is now 6"):
        make(checkpoint, out, num_images=6)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.doc").write_text("mine")
    with pytest.raises(UserError, match=r"holds 1 file.* but no request\.json"):
        make(checkpoint, foreign)


def test_wrong_size_and_wrong_model_are_named(
    checkpoint: Path, make_cache: Callable[..., Path], tmp_path: Path
) -> None:
    labels = make_cache(tmp_path / "labels", size=64)
    with pytest.raises(UserError, match=r"label maps of 64 px, but the generator .* 32 px"):
        make(checkpoint, tmp_path / "set", labels=labels)
    with pytest.raises(UserError, match="num-images is 0"):
        make(checkpoint, tmp_path / "set", num_images=0)


@pytest.mark.parametrize(
    "flag",
    [
        {"truncation": 1.0},
        {"label": "tumour"},
        {"interpolation": Path("between.gif")},
    ],
)
def test_flags_of_films_are_refused_by_name(
    checkpoint: Path, tmp_path: Path, flag: dict[str, object]
) -> None:
    with pytest.raises(UserError, match=rf"--{next(iter(flag))}: is for GANs, .* holds a Pix2Pix"):
        make(checkpoint, tmp_path / "set", **flag)
    assert not (tmp_path / "set").exists()
