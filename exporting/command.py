"""Hand on a trained model: as ONNX, or a generator as a folder. The flags of export.py."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from licences import Licence
from provenance import UserError

MODEL, DESCRIPTION, EXAMPLE = "model.onnx", "model.json", "example.npz"

_BATCHES = (1, 3, 8)  # sizes, in turns
_EXAMPLES = 4
_OPSETS = (18, 23)  # from and to which the exporter was tried
_ROWS_PER_EXAMPLE = 2_000_000  # numbers; larger inputs are not kept as an example


def onnx(
    *,
    checkpoint: Path,
    out: Path,
    root: Path | None = None,
    num_images: int = 12,
    opset: int = 18,
    direction: Literal["forward", "backward"] | None = None,
) -> dict[str, Any]:
    """Write a segmenter, a classifier or a generator as ONNX: model.onnx and model.json.

    onnxruntime runs the file on real inputs, at several batch sizes; if an output differs from
    PyTorch's by more than 0.0001, the export is refused. The file and model.json say how to prepare
    images and what the outputs mean. They contain weights, and no patients. Not for diagnosis.

    Args:
        checkpoint: Checkpoint that train.py wrote; for a generator the averaged weights are used.
        out: New or empty folder.
        root: Cache whose validation split gives the inputs of the check; not for GANs. None: the
            cache of the training (CycleGAN: that of the images that it translates).
        num_images: Number of inputs of the check, 2 or more.
        opset: Version of the ONNX operators, 18 (ONNX 1.13, 2022) to 23. A newer one needs a newer
            runtime.
        direction: CycleGAN only. "forward" from the training's source to its target, or "backward".
            None: forward.

    Returns:
        The content of model.json.

    Raises:
        UserError: Wrong input; a network that cannot be written; outputs that differ.
    """
    if num_images < 2:
        raise UserError(f"--num-images {num_images}: expected 2 or more.")
    if not _OPSETS[0] <= opset <= _OPSETS[1]:
        raise UserError(f"--opset {opset}: expected {_OPSETS[0]} to {_OPSETS[1]}.")
    refuse_filled_folder(out)
    from exporting.description import description
    from exporting.graphs import graph_of
    from exporting.inputs import real_inputs
    from exporting.onnx_file import ALLOWED, differences, model_of, outputs_of, refuse_differences
    from lightning_modules import CycleGAN
    from lightning_modules.loading import load_module

    module, record = load_module(checkpoint)
    if direction is not None and not isinstance(module, CycleGAN):
        raise UserError(
            f"--direction {direction}: is for CycleGANs, which translate images, but {checkpoint} "
            f"holds a {type(module).__name__}. Leave it out."
        )
    to = "source" if direction == "backward" else "target"
    graph = graph_of(module, record, checkpoint, to)
    checked = real_inputs(module, checkpoint, root, num_images, to)
    model = model_of(graph, opset, checkpoint)
    made = outputs_of(model, checked.inputs, _BATCHES)
    found = differences(made, checked.expected)
    refuse_differences(found, checkpoint, checked.what)
    told = description(graph, module, record, checkpoint, checked.seed)
    told |= {
        "opset": opset,
        "ir_version": model.ir_version,
        "checked": {
            "by": f"onnxruntime {_version('onnxruntime')}, CPU",
            "on": checked.what,
            "batch_sizes": list(_BATCHES),
            "largest_difference": found,
            "allowed": ALLOWED,
        },
    }
    _write(out, model, told)
    if told.get("generation"):
        _write_example(out, checked.inputs, made)
    return told


def generator(
    *,
    checkpoint: Path,
    out: Path,
    patient_names: Literal["new", "keep"] = "new",
    licence: str | None = None,
) -> list[Licence]:
    """Write a GAN or a Pix2Pix as a folder for release, which generate.py --checkpoint reads.

    generator.safetensors has the weights that make images, generator.json the class, the
    preparation and the training patients, README.md and card.json the card. The folder makes
    bit-identical images to the checkpoint's. Discriminator, optimiser, paths and settings of the
    machine are left out.

    Args:
        checkpoint: Checkpoint that train.py wrote.
        out: New or empty folder.
        patient_names: How the training patients are named. new: by new pseudonyms whose salt is
            discarded, so a leak is detected only by the hashes of images. keep: as in the cache,
            for use in your own institution, so a leak is detected by names too.
        licence: Licence of the data on which it was trained, if its checkpoint does not state one;
            values as for prepare.py --licence.

    Returns:
        The licences of the data behind it.

    Raises:
        UserError: No generator, a folder with something in it, or knowledge that would be lost.
    """
    from exporting.generator_folder import write_generator_folder

    stated = None if licence is None else Licence.of_text(licence)
    return write_generator_folder(checkpoint, out, patient_names, stated)


def refuse_filled_folder(out: Path) -> None:
    """Refuse (UserError) to write where something is."""
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise UserError(
            f"--out {out}: {'holds something' if out.is_dir() else 'is no folder'}. Nothing was "
            "changed; give a new or an empty folder."
        )


def _write(out: Path, model: Any, told: Mapping[str, Any]) -> None:
    from provenance import sha256_of, write_json_atomic

    for name, value in (
        ("understudy", json.dumps(told)),
        ("task", told["task"]),
        ("class_names", json.dumps(told["class_names"])),
        ("not_for", "; ".join(told["not_for"])),
        ("licences", "; ".join(told["training"]["licences"])),
    ):
        model.metadata_props.add(key=name, value=value)
    model.producer_name, model.producer_version = "understudy", told["versions"]["understudy"]
    out.mkdir(parents=True, exist_ok=True)
    temporary = out / f".{MODEL}.part"
    try:
        temporary.write_bytes(model.SerializeToString())
        digest = sha256_of(temporary)
        os.replace(temporary, out / MODEL)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"--out {out}: could not be written ({error}). Make room.") from error
    write_json_atomic(out / DESCRIPTION, {**told, "sha256": digest})


def _write_example(out: Path, inputs: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Inputs of random numbers and what was made of them, to try another runtime with.

    Label maps and images are of patients, so they are not among it.
    """
    import numpy as np

    if {"labels", "image"} & set(inputs) or max(
        array[0].size for array in inputs.values()
    ) > _ROWS_PER_EXAMPLE:
        return
    rows = {
        name: array[:_EXAMPLES] if name != "truncation" else array
        for name, array in {**inputs, **made}.items()
    }
    np.savez(out / EXAMPLE, **rows)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
