"""`--model.network` with a class of another package, in words and in YAML; the page's lines."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

import train
from lightning_modules.loading import load_module
from provenance import UserError
from tests.gan_runs import ROOT
from training.flag_record import parsers_of_training
from training.library_networks import refuse_unfit_network

SMP = "segmentation_models_pytorch.Unet"
SEGMENTER = f"--config={ROOT}/configs/kits19/unet_light.yaml"
CLASSIFIER = f"--config={ROOT}/configs/chest_xray/resnet18.yaml"
PAGE = (ROOT / "docs/networks.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.filterwarnings("ignore:.*args parameter is intended to run")


@pytest.fixture(scope="module")
def parser() -> Any:
    return parsers_of_training()[1]["fit"]


def network(parser: Any, *words: str) -> dict[str, Any]:
    """The network's class and arguments after parsing."""
    return parser.parse_args(list(words)).model.init_args.network.as_dict()  # type: ignore[no-any-return]


def lines(part: str) -> list[list[str]]:
    """Words of a table's lines, from the page."""
    rows = PAGE.partition(f"## {part}\n")[2].partition("\n## ")[0]
    return [shlex.split(line) for line in re.findall(r"^\| `(--.*?)` \|", rows, re.MULTILINE)]


def test_words_and_yaml_mean_the_same(parser: Any, tmp_path: Path) -> None:
    expected = {
        "class_path": "networks.LibraryNetwork",
        "init_args": {
            "name": SMP,
            "settings": {"encoder_name": "resnet18", "decoder_channels": [8, 8, 8, 8, 8]},
            "weights": "weights.pth",
        },
    }
    words = [SEGMENTER, "--model.network", SMP, "--model.network.encoder_name=resnet18"]
    words += ["--model.network.decoder_channels", "[8,8,8,8,8]"]
    assert network(parser, *words, "--model.network.weights=weights.pth") == expected
    file = tmp_path / "own.yaml"
    settings = {**expected["init_args"]["settings"], "encoder_weights": "weights.pth"}  # type: ignore[index]
    model = {"init_args": {"network": {"class_path": SMP, "init_args": settings}}}
    file.write_text(yaml.safe_dump({"model": model}))
    assert network(parser, SEGMENTER, f"--config={file}") == expected
    file.write_text(yaml.safe_dump({"model": {"init_args": {"network": expected}}}))
    assert network(parser, SEGMENTER, f"--config={file}") == expected


def test_a_word_changes_a_setting_and_another_network_begins_anew(parser: Any) -> None:
    words = [SEGMENTER, f"--model.network={SMP}", "--model.network.encoder_name=resnet18"]
    more = network(parser, *words, "--model.network.encoder_depth=4")
    assert more["init_args"]["settings"] == {"encoder_name": "resnet18", "encoder_depth": 4}
    other = network(parser, *words, "--model.network=monai.networks.nets.SegResNet")
    assert other["init_args"]["settings"] == {}
    own = network(parser, *words, "--model.network=networks.UNet", "--model.network.width=8")
    assert own["class_path"] == "networks.UNet"
    assert own["init_args"]["width"] == 8


def refuse(parser: Any, *words: str, size: int = 64) -> None:
    """What a training asks before it builds anything, of images of two classes."""
    model = parser.parse_args(list(words)).model
    model.init_args.num_classes = 2
    cache = SimpleNamespace(root=Path("cache"))
    refuse_unfit_network(model, SimpleNamespace(image_size=size, cache=cache))


@pytest.mark.parametrize("words", lines("Segmentation")[::5], ids=lambda words: words[1])
def test_the_pages_segmenters_fit(words: list[str], parser: Any) -> None:
    refuse(parser, SEGMENTER, *words)


def test_the_pages_classifiers_fit(parser: Any) -> None:
    refuse(parser, CLASSIFIER, *lines("Classification")[-1])


@pytest.mark.parametrize(
    ("config", "path", "more", "told"),
    [
        (SEGMENTER, SMP, "--model.network.spatial_dims=3", "has no setting spatial_dims"),
        (SEGMENTER, SMP, "--model.network.aux_params={classes: 2}", "gives 2 outputs"),
        (SEGMENTER, "monai.networks.nets.SwinUNETR", "", "needs what is not there: from einops"),
        (SEGMENTER, "torchvision.models.squeezenet1_1", "", "tells the class of the image, and"),
        (CLASSIFIER, SMP, "--model.network.encoder_name=resnet18", "tells the class of every pix"),
        (CLASSIFIER, "torchvision.models.vit_b_32", "", "Expected 224 but got 64"),
        (CLASSIFIER, "torchvision.models.regnet_y_400mf", "", "could not be loaded safely"),
    ],
)
def test_what_does_not_fit_is_told_before_training(
    config: str, path: str, more: str, told: str, parser: Any
) -> None:
    words = [config, f"--model.network={path}", *([more] if more else [])]
    with pytest.raises(UserError, match=r"^--model\.network [\w.]+:") as refusal:
        refuse(parser, *words)
    assert told in str(refusal.value)


def trained(tmp_path: Path, root: Path, config: str, *words: str) -> Path:
    flags = [f"--data.root={root}", "--data.batch_size=2", "--data.images_per_epoch=2"]
    flags += ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--wandb=disabled"]
    flags += ["--trainer.enable_progress_bar=false", "--samples_every_epochs=0"]
    flags += ["--trainer.limit_val_batches=0.4", f"--run_folder={tmp_path / 'run'}"]
    return train.fit(["fit", config, *words, *flags]).last_checkpoint


def test_one_is_trained_and_loaded(small_cache: Path, tmp_path: Path) -> None:
    words = ["--model.network=monai.networks.nets.SegResNet", "--model.network.init_filters=8"]
    module, record = load_module(trained(tmp_path, small_cache, SEGMENTER, *words))
    assert record["model"]["init_args"]["network"]["class_path"].endswith("LibraryNetwork")
    assert module(torch.zeros(1, 1, 32, 32)).shape == (1, 3, 32, 32)


@pytest.mark.slow
@pytest.mark.parametrize("words", lines("Segmentation"), ids=lambda words: words[1])
def test_every_line_of_the_page_trains(
    words: list[str], tmp_path: Path, make_cache: Callable[..., Path]
) -> None:
    root = make_cache(tmp_path / "slices", size=64)
    assert load_module(trained(tmp_path, root, SEGMENTER, *words))[1]["images_seen"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("words", lines("Classification"), ids=lambda words: words[1])
def test_every_line_of_the_page_trains_on_films(
    words: list[str], tmp_path: Path, film_cache: Callable[..., Path]
) -> None:
    root = film_cache(tmp_path / "films", image_size=64, stored_size=70)
    assert load_module(trained(tmp_path, root, CLASSIFIER, *words))[1]["images_seen"] == 2


def test_the_wrapper_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = PAGE.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "of_the_page.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    from of_the_page import SupervisedUNet  # type: ignore[import-not-found]

    wrapped = SupervisedUNet(1, 3, width=4)
    for training in (True, False):
        assert wrapped.train(training)(torch.randn(1, 1, 32, 32)).shape == (1, 3, 32, 32)
    sys.modules.pop("of_the_page")
