"""`train.py list` says of every configuration what it trains, how long, and what it needs."""

from pathlib import Path

import pytest

import train
from command_line.sentences import CONFIGS
from provenance import UserError
from training.configurations import configurations_in, needs_of


def test_every_configuration_of_ours_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["list"]) == 0
    printed = capsys.readouterr().out
    found, overlays = configurations_in(CONFIGS)
    kinds = {
        "classification", "several findings", "segmentation", "images from noise",
        "images from label maps", "images of one domain from those of another",
        "lesions in real slices",
    }  # fmt: skip
    assert {one.task for one in found} == kinds
    assert [path.name for path in overlays] == ["ddp.yaml", "gpu.yaml"]
    assert len(found) == len([*(CONFIGS / "kits19").glob("*"), *(CONFIGS / "chest_xray").glob("*")])
    for one in found:
        assert one.about.endswith("."), one.path
        assert one.path.is_file(), "as it may be given to --config from here"
        entry = printed[printed.index(f"{one.path}: {one.task}") :].split("\n\n")[0]
        assert f"Size: {one.size}" in entry
        assert f"Needs: {', '.join(one.needs)}" in entry


def test_what_a_configuration_needs_is_read_from_it() -> None:
    alexnet, fpn = CONFIGS / "chest_xray" / "alexnet.yaml", CONFIGS / "kits19" / "fpn.yaml"
    films = "a cache of films with labels"
    assert needs_of(alexnet) == (films, "ImageNet weights (downloaded, or a file)")
    slices = "a cache of CT slices with label maps"
    assert needs_of(fpn) == (slices, "the file weights/tf_efficientnet_lite0.pth")


def test_a_configuration_of_another_module_is_named_by_its_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "model:\n  class_path: lightning_modules.Mine\n  init_args:\n"
        "    network: {class_path: networks.MyNet, init_args: {weights_path: w.pth}}\n"
        "data: {class_path: datamodules.KiTS19DataModule, init_args: {resolution: 64}}\n"
        "trainer: {max_epochs: 3}\n"
    )
    (tmp_path / "broken.yaml").write_text("model: [")
    assert train.main(["list", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed == (
        f"{tmp_path / 'mine.yaml'}: lightning_modules.Mine\n  networks.MyNet\n"
        "  Size: 3 epochs of all training images, 64 px\n"
        "  Needs: a cache of CT slices with label maps, the file w.pth\n\n"
    )


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"configs/kits: there is no such folder\. Did you mean"):
        train.main(["list", "configs/kits"])
