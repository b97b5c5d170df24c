"""What a misspelt path may have meant."""

from pathlib import Path

import pytest

from spelling import from_here, meant, meant_path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "configs" / "kits19").mkdir(parents=True)
    for name in ("unet_light.yaml", "unet_heavy.yaml", "fpn.yaml"):
        (tmp_path / "configs" / "kits19" / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("configs/kits19/unet_ligth.yaml", "configs/kits19/unet_light.yaml"),
        ("confgs/kits91/unet_hevy.yml", "configs/kits19/unet_heavy.yaml"),
        ("configs/kits", "configs/kits19"),
        ("configs/kits19/fpn", "configs/kits19/fpn.yaml"),
    ],
)
def test_every_wrong_part_of_a_path_is_mended(here: Path, given: str, near: str) -> None:
    assert meant_path(Path(given)) == f" Did you mean {near}?"
    assert meant_path(here / given) == f" Did you mean {here / near}?"


def test_a_name_alone_is_looked_for_among_the_others(here: Path) -> None:
    others = sorted((here / "configs").rglob("*.yaml"))
    assert meant_path(Path("unet_ligth.yaml")) == ""
    told = meant_path(Path("unet_ligth.yaml"), map(from_here, others))
    assert told == " Did you mean configs/kits19/unet_light.yaml?"


def test_what_is_there_is_not_proposed_in_its_own_place(here: Path) -> None:
    assert meant_path(Path("configs/kits19")) == meant_path(here / "configs") == ""


def test_nothing_is_proposed_where_nothing_is_near(here: Path) -> None:
    assert meant_path(Path("no/such/file")) == ""
    assert meant_path(Path("configs/kits19/unet_light.yaml/x")) == ""  # below a file
    assert meant("xyz", ["--out", "--root"]) == ""
    assert meant("--outt", ["--out", "--root"]) == " Did you mean --out?"
