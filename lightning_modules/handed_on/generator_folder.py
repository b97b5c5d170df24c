"""A generator that was handed on: its weights as safetensors, and a JSON that says what they are.

No discriminator: it can tell training images from others. Nothing in the folder is run.
"""

import json
from pathlib import Path
from typing import Any

import lightning as L
from torch import Tensor, nn

from foreign_text import read_small_file
from lightning_modules.checkpoint_record import check_record, check_tells
from lightning_modules.generator_average import GeneratorAverage
from lightning_modules.module_size import check_size
from provenance import UserError, sha256_of

CONFIG, WEIGHTS = "generator.json", "generator.safetensors"
FORMAT, VERSION = "understudy-generator", 1
NO_DISCRIMINATOR = {"class_path": "networks.generator.NoDiscriminator", "init_args": {}}

_MOST_BYTES = 200_000_000  # of generator.json: eleven characters for each of millions of images


def is_generator_folder(path: Path) -> bool:
    """Whether a folder holds a generator that was handed on."""
    return (Path(path) / CONFIG).is_file()


def generator_of(module: Any) -> nn.Module:
    """The network that makes all images of a GAN (its average) or of a Pix2Pix."""
    has_average = isinstance(getattr(module, "averaged", None), GeneratorAverage)
    network: nn.Module = module.averaged_generator() if has_average else module.generator
    return network


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    """What `generator.json` says, the record in it, and the weights, all looked at.

    Raises:
        UserError: A folder that is damaged, changed, or none of `export.py generator`.
    """
    config, weights = folder / CONFIG, folder / WEIGHTS
    try:
        told = json.loads(read_small_file(config, _MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(config, f"cannot be read ({str(error)[:200]})") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise _damaged(config, f"is no {FORMAT}")
    if told.get("format_version") != VERSION:
        raise UserError(
            f"{config}: has the format {str(told.get('format_version'))[:20]}, and this version "
            f"reads {VERSION}. Use the version that wrote it."
        )
    record = told.get("record")
    check_record(record, config)
    assert isinstance(record, dict)  # as check_record has seen to
    check_tells(record, config, "model", "data", "split")
    settings = record["model"].get("init_args")
    if not isinstance(settings, dict) or settings.get("discriminator") != NO_DISCRIMINATOR:
        raise _damaged(config, "names a discriminator, and none is handed on")
    if not weights.is_file():
        raise UserError(f"{weights}: is not there. Put the folder's files together again.")
    if sha256_of(weights) != told.get("weights_sha256"):
        raise _damaged(weights, f"has another SHA-256 than {CONFIG} says")
    return told, record, _weights_in(weights)


def _weights_in(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # safetensors raises kinds of errors with no common base
        raise _damaged(path, f"cannot be read ({str(error)[:200]})") from error


def filled(module: L.LightningModule, told: dict[str, Any], state: Any, folder: Path) -> Any:
    """A module with the weights of a folder, as it made images where it was trained.

    Args:
        module: Made from the folder's record.
        told: As `read_folder` gives it.
        state: The weights.
        folder: For sentences.

    Raises:
        UserError: Weights of another network, or counts that are none.
    """
    made: Any = module
    if not isinstance(getattr(made, "generator", None), nn.Module):
        raise UserError(f"{folder}: holds a {type(module).__name__}, expected a generator.")
    try:
        made.on_load_checkpoint({"progress": told["progress"], "state_dict": state})
        made.generator.load_state_dict(state)
        average = getattr(made, "averaged", None)
        if isinstance(average, GeneratorAverage):
            average.network.load_state_dict(state)
            average.images_averaged = average.statistics_at = made.images_seen
    except RuntimeError as error:
        raise _damaged(folder / WEIGHTS, str(error).splitlines()[0][:200]) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder / CONFIG, f"its progress is damaged ({error!r})") from error
    return module.eval()


def check_folder_size(build: Any, state: dict[str, Tensor], folder: Path) -> None:
    """Compare the shapes of a folder's generator with its weights, without memory.

    Raises:
        UserError: See `check_size`.
    """
    check_size(lambda: build().generator, state, folder / WEIGHTS)


def _damaged(file: Path, what: str) -> UserError:
    return UserError(
        f"{file}: {what}. It is not loaded; get the folder again, as export.py generator wrote it."
    )
