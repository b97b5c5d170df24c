"""A generator as a folder that can be handed on: weights, what they are, and their card."""

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any, Literal

import torch

from cards.page import Row
from exporting.command import refuse_filled_folder
from generation.generators import TrainedGenerator
from generation.model_card import model_card
from knowledge import Knowledge
from licences import Licence
from lightning_modules import Pix2Pix
from lightning_modules.handed_on.generator_folder import (
    CONFIG,
    FORMAT,
    NO_DISCRIMINATOR,
    VERSION,
    WEIGHTS,
    generator_of,
)
from patient_names import PatientNames, pseudonym, salt_check
from private_paths import without_paths
from provenance import UserError, sha256_of, write_json_atomic

PatientNaming = Literal["new", "keep"]

# Of the data's settings: what decided which images were seen. No folder, and nothing of a machine.
_OF_DATA = (
    "label_column",
    "only_label",
    "imbalance",
    "imbalance_seed",
    "fraction_of_patients",
    "patients_seed",
    "seed",
    "channels",
    "resolution",
)
_KEPT = ("image_size", "class_names", "dataset", "preparation", "image_form", "versions", "seed")
_TRIED = 2  # images


def write_generator_folder(
    checkpoint: Path, out: Path, patient_names: PatientNaming, licence: Licence | None
) -> list[Licence]:
    """Write a GAN or a Pix2Pix as `generate.py --checkpoint FOLDER` reads it.

    Args:
        checkpoint: As train.py wrote it.
        out: New or empty folder.
        patient_names: See `exporting.command.generator`.
        licence: Of data of which the checkpoint does not state it.

    Returns:
        The licences of the data behind it.

    Raises:
        UserError: No generator; a folder with something in it; knowledge that would be lost; or a
            folder that does not make the checkpoint's images.
    """
    refuse_filled_folder(out)
    generator = TrainedGenerator.open(Path(checkpoint), 0, None, torch.device("cpu"))
    module: Any = generator.module
    arguments = generator.record["model"].get("init_args", {})
    if type(module).__name__ not in ("GAN", "GrowingGAN", "Pix2Pix"):
        raise UserError(
            f"{checkpoint}: holds a {type(module).__name__}. A GAN's or a Pix2Pix's generator can "
            "be handed on as a folder. Hand this one on as ONNX, which holds no discriminator "
            "either: export.py onnx."
        )
    network = generator_of(module)
    licences = [
        licence if licence is not None and not one.is_stated else one
        for one in generator.licences()
    ]
    licences = list(dict.fromkeys(licences))
    content: dict[str, Any] = {"state_dict": {}}
    module.on_save_checkpoint(content)
    record = {
        **{key: generator.record[key] for key in _KEPT if key in generator.record},
        "model": {
            "class_path": generator.record["model"]["class_path"],
            "init_args": {**arguments, "discriminator": NO_DISCRIMINATOR, "start_from": None},
        },
        "data": {
            "class_path": generator.record["data"]["class_path"],
            "init_args": {k: v for k, v in generator.data.items() if k in _OF_DATA},
        },
        "licences": [one.plain() for one in licences],
        **_knowledge(generator, patient_names),
    }
    if "start_from" not in arguments:
        del record["model"]["init_args"]["start_from"]
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        _write(part, network, record, content["progress"])
        _check_images(generator, part)
        model_card(generator, licence, _about_patients(patient_names)).write(part)
        if out.is_dir():
            out.rmdir()
        os.replace(part, out)
    except OSError as error:
        raise UserError(f"--out {out}: could not be written ({error}). Make room.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return licences


def _write(part: Path, network: Any, record: dict[str, Any], progress: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    state = {name: one.detach().clone().contiguous() for name, one in network.state_dict().items()}
    save_file(state, part / WEIGHTS)
    (part / WEIGHTS).chmod(
        (part.stat().st_mode | 0o600) & 0o666
    )  # safetensors lets nobody else read
    told = {
        "format": FORMAT,
        "format_version": VERSION,
        "not_for": ["diagnosis", "evidence about any person or disease", "pictures of a patient"],
        "weights_sha256": sha256_of(part / WEIGHTS),
        "progress": progress,
        "record": json.loads(json.dumps(without_paths(record))),
    }
    write_json_atomic(part / CONFIG, told)


def _knowledge(generator: TrainedGenerator, naming: PatientNaming) -> dict[str, Any]:
    """Whom it knows, for the record: everybody by pixels, and by names of a kind.

    A set made with it passes this on, so that nothing is evaluated on whom it knows.
    """
    seen, split = generator.seen(), generator.record["split"]
    names = {part: [*split.get(part, ())] for part in ("train", "val", "test")}
    told = generator.record.get("patient_names")
    if naming == "new":
        if not seen.has_all_pixels and seen.patients:
            raise UserError(
                f"{generator.checkpoint}: has no hashes of all images that it learnt from, so "
                "without the names of its patients nobody could tell a leak. Nothing was written. "
                "Prepare the data with this version and train again; or give --patient-names keep, "
                "where the names may leave your hands."
            )
        salt = secrets.token_hex(32)  # kept nowhere, so that no name can be found by trying
        ids = "as_numbers" if told is None else PatientNames.of_plain(told).ids
        told = PatientNames("pseudonym", salt_check(salt), ids, salt_is_lost=True).plain()
        names = {
            part: sorted(pseudonym(one, salt) for one in those) for part, those in names.items()
        }
        seen = Knowledge(
            frozenset(pseudonym(one, salt) for one in seen.patients),
            None if seen.items else seen.items,
            frozenset([PatientNames.of_plain(told)]) if seen.patients else frozenset(),
            seen.pixels,
            seen.has_all_pixels,
            seen.of_unknown,
        )
    pixels: dict[str, Any] = {"has_all": True}  # of nobody; those of its training in "also_seen"
    if isinstance(generator.module, Pix2Pix):
        # By which label maps of whom it is judged by are left out.
        told_pixels = generator.record.get("pixels", {})
        pixels = {key: told_pixels[key] for key in ("val", "test", "has_all") if key in told_pixels}
    found: dict[str, Any] = {
        "split": {"by": split.get("by"), "split_id": split["split_id"], **names},
        "pixels": pixels,
        "also_seen": seen.plain(),
    }
    return found if told is None else {**found, "patient_names": told}


def _check_images(generator: TrainedGenerator, part: Path) -> None:
    """Refuse (UserError) a folder that makes other images than the checkpoint, bit for bit."""
    again: Any = TrainedGenerator.open(part, 0, None, torch.device("cpu")).module
    module: Any = generator.module
    seeds = list(range(_TRIED))
    given: tuple[Any, ...] = (seeds,)
    if not hasattr(module, "averaged"):
        size = module.image_size
        maps = torch.arange(size * size * _TRIED).reshape(_TRIED, size, size) % module.num_classes
        given = (maps, seeds)
    if not torch.equal(again.synthesise(*given), module.synthesise(*given)):
        raise UserError(
            f"{generator.checkpoint}: as a folder it makes other images. Nothing was written; this "
            "is an error of this software, please report it with the model's settings."
        )


def _about_patients(naming: PatientNaming) -> Row:
    names = (
        "names each patient by a new pseudonym, whose salt was thrown away"
        if naming == "new"
        else "names the patients as their cache does"
    )
    return (
        "about patients",
        f"the folder {names}, and holds hashes by which whoever has an image can test whether it "
        "was in the training; sets made with it pass them on, so that no test image is among them "
        "unseen. It holds no discriminator",
    )
