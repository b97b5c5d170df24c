"""Settings that are checked or filled in before a training starts.

Lightning accepts some silently and does something else: a maximum of optimiser steps, of which a
GAN does two a batch, or fp16 on a CPU, which becomes bf16.
"""

from typing import Any

import torch

from lightning_modules.distributed import STRATEGY_NAME
from provenance import UserError


def refuse_unsupported(trainer: Any) -> None:
    """Refuse settings that manual optimisation of two networks cannot follow.

    Args:
        trainer: The `trainer` part of a configuration.

    Raises:
        UserError: Names the flag and the one to use in its place.
    """
    for name, unused, instead in (
        ("gradient_clip_val", (None,), "Use --model.gradient_clip_norm: each network by itself."),
        ("accumulate_grad_batches", (1,), "Use --model.micro_batches: the same, within a batch."),
        (
            "max_steps",
            (-1, None),
            "It counts optimiser steps, of which a GAN does two a batch. Use --trainer.max_epochs, "
            "and --data.images_per_epoch for the length of an epoch.",
        ),
    ):
        value = trainer[name]
        if value not in unused:
            raise UserError(f"--trainer.{name} {value}: is not supported. {instead}")


def strategy_for(trainer: Any) -> Any:
    """The strategy that keeps two networks' gradients apart where there are several processes.

    Raises:
        UserError: Another strategy was asked for by name, for several processes.
    """
    asked, devices = trainer.strategy, trainer.devices
    if devices in ("auto", -1, "-1"):
        on_gpu = trainer.accelerator in ("auto", "gpu", "cuda")
        count = torch.cuda.device_count() if on_gpu else 1
    else:
        count = len(devices) if isinstance(devices, list) else int(str(devices).count(",") + 1)
        count = int(devices) if str(devices).isdigit() else count
    if count * trainer.num_nodes <= 1:
        return "auto" if asked == "ddp" else asked
    if not isinstance(asked, str):  # an object; `TrainingModule.on_fit_start` looks at it
        return asked
    if asked not in ("auto", "ddp", STRATEGY_NAME):
        raise UserError(
            f"--trainer.strategy {asked}: would mix the gradients of two networks, or is not "
            f"exact. Leave it out, or give {STRATEGY_NAME}."
        )
    return STRATEGY_NAME


def refuse_other_precision(asked: Any, got: str) -> None:
    """Refuse a fallback that Lightning chose, since config.yaml would state what was not done.

    Raises:
        UserError: fp16 was asked for on a CPU.
    """
    if str(asked) in ("16", "16-mixed") and got != "16-mixed":
        raise UserError(
            f"--trainer.precision {asked}: needs a GPU; on this device Lightning would use {got} "
            f"without more than a warning. Give --trainer.precision {got} or 32-true."
        )


def take_from_data(model: Any, datamodule: Any) -> None:
    """Size a module by the images, and let it tell apart what the data are labelled with.

    Args:
        model: The module's arguments; `image_size`, `num_classes` and `class_names` are filled in
            where they are among them.
        datamodule: It has `image_size`, `class_names` and its `cache`.

    Raises:
        UserError: Another size or other classes were asked for, or the data have no labels.
    """
    root, size, names = datamodule.cache.root, datamodule.image_size, datamodule.class_names
    if "image_size" in model:
        if model.image_size not in (None, size):
            raise UserError(
                f"--model.image_size is {model.image_size}, but the images of {root} are "
                f"{size} px. Leave the flag out, or prepare the data with --image-size "
                f"{model.image_size}."
            )
        model.image_size = size
    if "num_classes" not in model and "class_names" not in model:
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
                f"--model.class_names are {', '.join(model.class_names)}, but the {kind} of "
                f"{root} are labelled {listed}. Leave the flag out."
            )
        model.class_names = tuple(names)
    if "num_classes" in model:
        if model.num_classes not in (None, len(names)):
            raise UserError(
                f"--model.num_classes is {model.num_classes}, but the {kind} of {root} have "
                f"{len(names)} classes ({listed}). Leave the flag out."
            )
        model.num_classes = len(names)
