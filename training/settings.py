"""Settings that follow from others or from the data, and those that would be ignored."""

import importlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from callbacks.distance_per_epoch import DistancePerEpoch
from foreign_text import configuration_of
from provenance import UserError

_LARGEST_SEED = 2**32 - 1  # numpy's
# Not "the flag": a config.yaml of an earlier run holds what it took from its data.
_LEAVE_OUT = "Leave it out of the flags and of the --config files, and the data say it"


def take_from_data(model: Any, datamodule: Any) -> None:
    """Size a module by the images, and let it tell apart what the data are labelled with.

    Args:
        model: The module's arguments; `image_size`, `image_channels`, `num_classes` and
            `class_names` are filled in where they are among them.
        datamodule: It has `image_size`, `class_names` and its `cache`; that of slices has
            `image_channels`.

    Raises:
        UserError: Another size or other classes were asked for, or the data have no labels.
    """
    root, size, names = datamodule.cache.root, datamodule.image_size, datamodule.class_names
    if "image_size" in model:
        if model.image_size not in (None, size):
            raise UserError(
                f"model.image_size is {model.image_size}, but the images of {root} are {size} px. "
                f"{_LEAVE_OUT}, or prepare the data with --image-size {model.image_size}."
            )
        model.image_size = size
    channels = getattr(datamodule, "image_channels", None)  # films are asked for theirs
    if channels is not None and "image_channels" in model:
        if model.image_channels not in (None, channels):
            raise UserError(
                f"model.image_channels is {model.image_channels}, but the images of {root} have "
                f"{channels} ({', '.join(datamodule.cache.channels)}). {_LEAVE_OUT}; a module of "
                f"your own whose default it is needs --model.image_channels {channels}."
            )
        model.image_channels = channels
    findings = getattr(datamodule, "findings", None)
    if "finding_names" in model:
        model.finding_names = _finding_names(model, findings, root)
    elif findings is not None:
        raise UserError(
            "--data.findings: several findings of a film are learnt by lightning_modules."
            "FindingsClassifier, such as that of configs/chest_xray/resnet18_findings.yaml. Use "
            "it, or give one finding with --data.label_column."
        )
    if "num_classes" not in model and "class_names" not in model:
        return
    if model.get("conditioned") is False:  # its networks see no classes
        return
    if not names:
        raise UserError(
            f"--data.root {root}: this run uses its films without labels, and a classifier needs "
            f"them. Label columns there: {', '.join(datamodule.cache.label_columns) or 'none'}."
        )
    kind, listed = datamodule.cache.CONTENTS, ", ".join(names)
    if "class_names" in model:
        if tuple(model.class_names or names) != tuple(names):
            raise UserError(
                f"model.class_names are {', '.join(model.class_names)}, but the {kind} of {root} "
                f"are labelled {listed}. {_LEAVE_OUT}."
            )
        model.class_names = tuple(names)
    if "num_classes" in model:
        if model.num_classes not in (None, len(names)):
            raise UserError(
                f"model.num_classes is {model.num_classes}, but the {kind} of {root} have "
                f"{len(names)} classes ({listed}). {_LEAVE_OUT}."
            )
        model.num_classes = len(names)


def _finding_names(model: Any, findings: Any, root: Any) -> tuple[str, ...]:
    """Names of the data's findings, which a module tells of a film."""
    if findings is None:
        raise UserError(
            f"--data.root {root}: this run uses no findings of its films, and a FindingsClassifier "
            "needs them. Give --data.findings all, or label columns of two classes."
        )
    names: tuple[str, ...] = findings.names
    if tuple(model.finding_names or names) != names:
        raise UserError(
            f"model.finding_names are {', '.join(model.finding_names)}, but the findings of {root} "
            f"are {', '.join(names)}. {_LEAVE_OUT}."
        )
    return names


def write_out_data(data: Any, datamodule: Any) -> None:
    """Put what stands in a file or in the data in the place of its name; config.yaml is then whole.

    Args:
        data: The datamodule's arguments.
        datamodule: Its `augmentation` is a list, or the name of a preset; its `findings`, if it
            has any, are those that "all" stood for.
    """
    if "augmentation" in data:
        data.augmentation = datamodule.augmentation
    if data.get("findings") is not None:
        data.findings = list(datamodule.findings.columns)


def refuse_small_images(model: Any, datamodule: Any) -> None:
    """Refuse a network that the images are too small for, before it is built.

    Args:
        model: The module's arguments. The class of its `network` may have a `check_size`, which
            takes both sides of an image and settings of its constructor.
        datamodule: It has `image_size` and its `cache`.

    Raises:
        UserError: `check_size` raised ValueError.
    """
    network = model.get("network")
    settings = network.get("init_args") if isinstance(network, Namespace) else None
    if not isinstance(network, Namespace) or settings is None:  # such as a function
        return
    module, _, name = network.class_path.rpartition(".")
    check = getattr(getattr(importlib.import_module(module), name), "check_size", None)
    if check is None:
        return
    size = datamodule.image_size
    known = [name for name in inspect.signature(check).parameters if name in settings]
    try:
        check((size, size), **{name: settings[name] for name in known})
    except ValueError as error:
        raise UserError(
            f"--model.network with the images of {datamodule.cache.root}: {error}"
        ) from error


def refuse_seed(seed: int | bool) -> None:
    """Refuse a seed that random generators cannot take.

    Raises:
        UserError: Below 0, or of more than 32 bits.
    """
    if not 0 <= seed <= _LARGEST_SEED:
        raise UserError(
            f"--seed_everything {seed}: expected a whole number from 0 to {_LARGEST_SEED}."
        )


def refuse_other_seeds(words: Sequence[str], files: Sequence[Any], seed: int | bool) -> None:
    """Refuse a seed of the module or the data alone: --seed_everything is both.

    A run's own config.yaml names it in all three places and may be given with another
    --seed_everything.

    Args:
        words: Of the command.
        files: The configurations that were given.
        seed: --seed_everything.

    Raises:
        UserError: It was given, and would be ignored; or there is no seed at all.
    """
    if isinstance(seed, bool):
        raise UserError(
            "--seed_everything false: a training without a seed could not be resumed or repeated. "
            "Give a number; true draws one."
        )
    for where, given, expected in (*_seeds_in_words(words, seed), *_seeds_in_files(files, seed)):
        if str(given) != str(expected):
            raise UserError(
                f"{where} {given}: is not followed, since one seed is that of the module, of the "
                f"data and of the first weights: --seed_everything, which is {expected}. Leave it "
                f"out, or give --seed_everything {given}."
            )


def _seeds_in_words(words: Sequence[str], seed: int) -> Iterator[tuple[str, Any, int]]:
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name.replace(".init_args", "") in ("--model.seed", "--data.seed"):
            yield name, value if equals else after, seed


def _seeds_in_files(files: Sequence[Any], seed: int) -> Iterator[tuple[str, Any, Any]]:
    for file in files:
        path = Path(str(file))
        if not path.is_file():
            continue
        content = configuration_of(path)
        content = content if isinstance(content, dict) else {}
        for part in ("model", "data"):
            settings = content.get(part)
            inner = settings.get("init_args") if isinstance(settings, dict) else None
            if isinstance(inner, dict) and "seed" in inner:
                named = content.get("seed_everything", seed)
                yield f"{path}: {part}.init_args.seed", inner["seed"], named


def refuse_numbers(config: Any) -> None:
    """Refuse intervals and numbers of this software's own flags that make no sense.

    Raises:
        UserError: Names the flag.
    """
    for name, least, instead in (
        ("checkpoint_every_steps", 1, "Leave it out for one after every epoch alone."),
        ("keep_every_images", 1, "Leave it out for no snapshots."),
        ("keep_at_most", 1, "Leave it out to keep all snapshots."),
        ("samples_every_epochs", 0, "0 makes no sheets."),
    ):
        value = config[name]
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: expected {least} or more. {instead}")
    if config.keep_at_most is not None and config.keep_every_images is None:
        raise UserError(
            f"--keep_at_most {config.keep_at_most}: is the number of snapshots, and without "
            "--keep_every_images there are none. Give both, or neither."
        )


def refuse_unused_distance(distance: Any, module: str) -> None:
    """Refuse --distance flags for a module whose images nothing measures.

    Args:
        distance: The `distance` part of a configuration.
        module: Name of the module's class, which is no `GAN`.

    Raises:
        UserError: One was given. `num_images` 0 measures nothing, as is done.
    """
    if distance.num_images == 0:
        return
    for name, parameter in inspect.signature(DistancePerEpoch).parameters.items():
        if distance[name] != parameter.default:
            raise UserError(
                f"--distance.{name} {distance[name]}: distances to real films are measured of film "
                f"GANs alone, and this is a {module}. Leave it out."
            )
