"""The configurations that there are: what each trains, how long, and what it needs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from command_line.sentences import CONFIGS
from foreign_text import read_yaml
from provenance import UserError
from spelling import from_here, meant_path

_TASKS = {
    "lightning_modules.Segmenter": "segmentation",
    "lightning_modules.Classifier": "classification",
    "lightning_modules.FindingsClassifier": "several findings",
    "lightning_modules.Pix2Pix": "images from label maps",
    "lightning_modules.LesionInfilling": "lesions in real slices",
    "lightning_modules.CycleGAN": "images of one domain from those of another",
    "lightning_modules.GAN": "images from noise",
    "lightning_modules.GrowingGAN": "images from noise",
}
_DATA = {
    "datamodules.KiTS19DataModule": "a cache of CT slices with label maps",
    "datamodules.ChestXrayDataModule": "a cache of films",
    "datamodules.UnpairedDataModule": "two caches, or a synthetic set and one, or two classes",
}


@dataclass(frozen=True)
class Configuration:
    """What the YAML of a training says of itself.

    Attributes:
        path: As it may be typed from here.
        task: What it trains, in words; its class path where that is none of ours.
        about: First sentence of the comment at its top; else the classes of its networks.
        size: Epochs, images and batch.
        needs: The data and weights that it does not come with.
    """

    path: Path
    task: str
    about: str
    size: str
    needs: tuple[str, ...]


def list_configurations(folder: Path = CONFIGS) -> None:
    """Name the configurations of a folder: what each trains, how long, and what it needs.

    Args:
        folder: Where to look, in its folders too. Default: those that come with the project.

    Raises:
        UserError: There is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder.{meant_path(folder)}")
    found, overlays = configurations_in(folder)
    for one in found:
        print(f"{one.path}: {one.task}\n  {one.about}")
        print(f"  Size: {one.size}\n  Needs: {', '.join(one.needs)}\n")
    if overlays:
        listed = ", ".join(map(str, overlays))
        print(f"To be given after one of these, with a second --config: {listed}")
    if not found:
        print(f"{folder}: holds no configuration of a training.")


def configurations_in(folder: Path) -> tuple[list[Configuration], list[Path]]:
    """Configurations of a folder, and the YAMLs that change only a part of one."""
    found, overlays = [], []
    for path in sorted(folder.rglob("*.yaml")):
        content = _mapping_in(path)
        if "model" in content and "data" in content:
            found.append(_configuration(path, content))
        elif set(content) & {"model", "data", "trainer"}:
            overlays.append(from_here(path))
    return found, overlays


def needs_of(path: Path) -> tuple[str, ...]:
    """The data and weights that the training of a YAML needs."""
    return _configuration(path, _mapping_in(path)).needs


def nothing_to_train() -> str:
    """The sentence for a training without a configuration, with those of the project."""
    listed = [f"  {one.path} ({one.task})" for one in configurations_in(CONFIGS)[0]]
    return "\n".join(
        [
            "missing: --config, the YAML of what to train. There are",
            *listed,
            "`python train.py list` says what each needs.",
        ]
    )


def _mapping_in(path: Path) -> dict[str, Any]:
    """The content of a YAML; empty where it cannot be read or is no mapping."""
    try:
        content = read_yaml(path)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _configuration(path: Path, content: dict[str, Any]) -> Configuration:
    """What a training's YAML, with this content, says of itself."""
    model, data = _part(content, "model"), _part(content, "data")
    task = _TASKS.get(model.name, model.name)
    films = _DATA.get(data.name, data.name)
    if task == "classification":
        films += " with labels"
    if task == "several findings":
        films += " with a label column of 0 and 1 for each finding"
    networks = [setting["class_path"] for setting in model.settings.values() if _is_class(setting)]
    about, command = _comment(path)
    return Configuration(
        path=from_here(path),
        task=task,
        about=about or ", ".join(networks) or model.name,
        size=_size(content, data.settings),
        needs=(films, *dict.fromkeys([*_weights(content.get("model")), *_weights_in(command)])),
    )


@dataclass(frozen=True)
class _Part:
    name: str
    settings: dict[str, Any]


def _part(content: dict[str, Any], key: str) -> _Part:
    value = content.get(key)
    if not isinstance(value, dict):
        return _Part(str(value), {})
    settings = value.get("init_args")
    return _Part(str(value.get("class_path")), settings if isinstance(settings, dict) else {})


def _is_class(setting: Any) -> bool:
    return isinstance(setting, dict) and "class_path" in setting


def _size(content: dict[str, Any], data: dict[str, Any]) -> str:
    trainer = content.get("trainer")
    epochs = trainer.get("max_epochs") if isinstance(trainer, dict) else None
    number = data.get("images_per_epoch")
    images = f"{number:,} images" if isinstance(number, int) else "all training images"
    said = [f"{epochs or 1000} epochs of {images}"]
    if "batch_size" in data:
        said.append(f"{data['batch_size']} at a time")
    if "resolution" in data:
        said.append(f"{data['resolution']} px")
    return ", ".join(said)


def _weights(node: Any) -> Iterator[str]:
    """Pretrained weights that a model's settings ask for."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if isinstance(value, dict):
            yield from _weights(value)
        elif key.endswith(("weights", "weights_path")) and isinstance(value, str):
            if value == "imagenet":
                yield "ImageNet weights (downloaded, or a file)"
            elif value != "none":
                yield f"the file {value}"


def _weights_in(command: str) -> list[str]:
    """Files of pretrained weights that a command gives."""
    return [f"the file {path}" for path in re.findall(r"weights_path[ =](\S+)", command)]


def _comment(path: Path) -> tuple[str, str]:
    """First sentence of the comment at the top, and the command that it shows."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    text, _, command = " ".join(lines).partition("python train.py")
    return re.split(r"(?<=[.!?]) (?=[A-Z])", text.strip())[0], command
