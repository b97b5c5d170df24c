"""`--print_config` of a configuration from others imports nothing beyond this software.

A module is planted in every place of a configuration that can name one; it leaves a file when it is
imported.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import train
from provenance import UserError
from tests.planted_module import planted
from training.foreign_config import refuse_to_show_foreign_classes

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/kits19/unet_light.yaml"
CLASS = {"class_path": "planted.Network"}


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    with planted(tmp_path) as mark:
        yield mark


def show(path: Path, *words: str) -> None:
    train.main(["fit", "--config", str(path), *words, "--print_config"])


def set_network(content: dict[str, Any], value: Any) -> None:
    content["model"]["init_args"]["network"] = value


def set_trainer(content: dict[str, Any], key: str, value: Any) -> None:
    content.setdefault("trainer", {})[key] = value


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda c: set_network(c, "planted.make"), "model.init_args.network"),
        (lambda c: set_network(c, " planted.make"), "model.init_args.network"),
        (lambda c: set_network(c, CLASS), "model.init_args.network.class_path"),
        (lambda c: set_network(c, "{class_path: planted.Network}"), "network.class_path"),
        (lambda c: set_network(c, "'\"planted.make\"'"), "model.init_args.network"),
        (lambda c: c.update(model="planted.Module"), "model"),
        (lambda c: c.update({"model.class_path": "planted.Module"}), "model.class_path"),
        (lambda c: c.update({"model.network": "planted.make"}), "model.network"),
        (lambda c: c.update(data={"class_path": "planted.Data"}), "data.class_path"),
        (lambda c: set_trainer(c, "callbacks", ["planted.Watcher"]), "trainer.callbacks[0]"),
        (lambda c: set_trainer(c, "callbacks", [CLASS]), "trainer.callbacks[0].class_path"),
        (lambda c: set_trainer(c, "callbacks+", CLASS), "trainer.callbacks+.class_path"),
        (lambda c: c.update({"trainer.callbacks": [CLASS]}), "trainer.callbacks[0].class_path"),
        (lambda c: set_trainer(c, "strategy", CLASS), "trainer.strategy.class_path"),
        (lambda c: set_trainer(c, "logger", "planted.Watcher"), "trainer.logger"),
        (lambda c: set_trainer(c, "profiler", "planted.Watcher"), "trainer.profiler"),
        (lambda c: set_trainer(c, "plugins", ["planted.Watcher"]), "trainer.plugins[0]"),
    ],
)
def test_nothing_that_a_configuration_names_is_imported(
    change: Callable[[dict[str, Any]], None], place: str, mark: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load(CONFIG.read_text())
    change(content)
    path = tmp_path / "theirs.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError) as refusal:
        show(path)
    assert not mark.exists()
    assert f"{place} names planted." in str(refusal.value)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("section", ["model", "network"])
def test_a_file_in_the_place_of_a_section_is_looked_at(
    section: str, mark: Path, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.yaml"
    (tmp_path / "section.yaml").write_text("class_path: planted.Module\n")
    content = yaml.safe_load(CONFIG.read_text())
    for named in ("section.yaml", str(tmp_path / "section.yaml")):
        if section == "network":
            set_network(content, named)
        else:
            content["model"] = named
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(UserError, match=r"class_path names planted\.Module"):
            show(path)
    with pytest.raises(UserError, match=r"model\.class_path names planted\.Module"):
        show(CONFIG, "--model", str(tmp_path / "section.yaml"))
    assert not mark.exists()


def test_tags_and_other_flags_import_nothing(mark: Path, tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text("model: !!python/object/apply:planted.make []\n")
    with pytest.raises(UserError, match="cannot be looked at before it is shown"):
        show(path)
    flags = json.loads((ROOT / "training/flags.json").read_text())["flags"]["fit"]
    others = {flag.removeprefix("--") for flag in flags if flag.startswith("--")}
    sections = ("model", "data", "trainer", "config", "help", "print_config")
    planted_in = [one for one in sorted(others) if one.split(".")[0] not in sections]
    assert {"run_folder", "wandb", "distance.extractor"} <= set(planted_in)
    for flag in [*planted_in, "config"]:
        for value in ("planted.make", CLASS) if flag != "config" else ("planted.make",):
            path.write_text(yaml.safe_dump({flag: value}))
            with pytest.raises((UserError, SystemExit)):
                show(path)
            assert not mark.exists(), flag


def test_our_own_configurations_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in [*ROOT.glob("configs/kits19/*.yaml"), *ROOT.glob("configs/chest_xray/*.yaml")]:
        refuse_to_show_foreign_classes(["--config", str(path)], "--print_config")
    content = yaml.safe_load(CONFIG.read_text())
    content["model"]["init_args"]["start_from"] = "best.ckpt"  # text, not a class
    content["data"]["init_args"]["root"] = "data.v2"
    content["trainer"]["default_root_dir"] = "runs.v2"
    content["trainer"]["callbacks"] = ["lightning.pytorch.callbacks.ModelSummary"]
    path = tmp_path / "ours.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(SystemExit) as end:
        show(path)
    assert end.value.code == 0
    assert "start_from: best.ckpt" in capsys.readouterr().out


def test_a_configuration_of_endless_sections_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    value: Any = "planted.make"
    for _ in range(40):
        value = [value]
    path.write_text(yaml.safe_dump({"model": value}))
    with pytest.raises(UserError, match="is nested deeper than any configuration"):
        refuse_to_show_foreign_classes(["--config", str(path)], "--print_config")
    path.write_text(f"model: {path}\n")  # itself
    with pytest.raises(UserError, match="is nested deeper than any configuration"):
        refuse_to_show_foreign_classes([f"--config={path}"], "--print_config")


@pytest.mark.parametrize("flag", ["--print_config", "--help", "--model.help"])
def test_what_stands_beside_other_settings_is_not_overlooked(
    flag: str, mark: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load(CONFIG.read_text())
    set_network(content, CLASS)
    theirs = tmp_path / "theirs.yaml"
    theirs.write_text(yaml.safe_dump(content) + "\nnote: 2020-99-99\n")
    pipe, below, key = tmp_path / "pipe", tmp_path / "below.yaml", tmp_path / "key.yaml"
    os.mkfifo(pipe)
    below.write_text(yaml.safe_dump({"fit": content}))
    key.write_text(f"config: {theirs}\n")
    for words, because in (
        (["fit", "--config", theirs], "class_path names planted.Network"),
        (["--config", below, "fit"], "class_path names planted.Network"),
        (["fit", "--config", key], "config stands for another configuration"),
        (["fit", "--config", pipe], "is no file, and what comes through a pipe"),
        (["fit", "--model", pipe], "is no file, and what comes through a pipe"),
    ):
        with pytest.raises(UserError, match=f"^{flag}: .*{because}"):
            train.main([*map(str, words), flag])
    for text in ("model: !!timestamp 2020-99-99", "a: &a [*a]"):
        theirs.write_text(text)
        with pytest.raises(UserError, match="cannot be looked at before it is shown"):
            refuse_to_show_foreign_classes(["--config", str(theirs)], flag)
    assert not mark.exists()
