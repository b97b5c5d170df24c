"""A trained module back from its checkpoint alone.

A checkpoint carries under "understudy" what built it: the module's class and arguments, the data's
settings and the patient split. So it can be moved away from its run folder and still be used.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import lightning as L

from foreign_text import read_yaml
from knowledge import Knowledge
from licences import Licence, licences_of, together
from lightning_modules.checkpoint_files import load_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY, check_tells
from lightning_modules.handed_on.generator_folder import (
    CONFIG,
    check_folder_size,
    filled,
    is_generator_folder,
    read_folder,
)
from lightning_modules.module_size import check_size
from lightning_modules.recorded_class import checked_class
from pixel_bits import unpacked
from provenance import UserError, innermost_cause

_ROOMS = ("lightning_modules", "networks")


def load_module(checkpoint: Path) -> tuple[L.LightningModule, dict[str, Any]]:
    """Rebuild the Lightning module of a checkpoint, in evaluation mode, on the CPU.

    Args:
        checkpoint: The file; or the folder of a generator that was handed on.

    Returns:
        The module, and the record: "model", "data" (class_path and init_args), "split",
        "patient_names" and "pixels" of its images, "also_seen" (see `seen_by`), "image_size",
        "class_names", "versions", "images_seen".

    Raises:
        UserError: Missing or damaged file, or a checkpoint that this software did not write.
    """
    if is_generator_folder(checkpoint):
        return _handed_on(Path(checkpoint))
    if Path(checkpoint).is_dir():
        best = [Path(checkpoint) / name for name in ("checkpoints/best.ckpt", "best.ckpt")]
        near = next((f" Did you mean {file}?" for file in best if file.is_file()), "")
        raise UserError(
            f"{checkpoint}: is a folder, and a checkpoint is a file of it.{near} A run keeps its "
            "own under checkpoints/."
        )
    content = load_checkpoint_file(checkpoint)
    record = content.get(RECORD_KEY)
    if not isinstance(record, dict) or "model" not in record:
        raise UserError(
            f"{checkpoint}: holds weights but no record of the network they belong to. Only "
            "checkpoints that train.py wrote can be used here."
        )
    model = checked_class(record["model"], L.LightningModule, _ROOMS, "model", checkpoint)
    state: Any = content.get("state_dict")
    check_size(lambda: _instantiated(model, checkpoint), state, checkpoint)
    module = _instantiated(model, checkpoint)
    version = record.get("versions", {}).get("understudy", "unknown")
    try:
        module.on_load_checkpoint(content)
        module.load_state_dict(state)
        images_seen = int(content["progress"]["images_seen"])
    except RuntimeError as error:
        raise UserError(
            f"{checkpoint}: its weights do not fit the network that it names "
            f"({str(error).splitlines()[0]}). It was made by another version ({version})."
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{checkpoint}: what it says of its training is damaged ({error!r}). Use another "
            "checkpoint of the run."
        ) from error
    check_tells(record, checkpoint, "data", "split")
    return module.eval(), {**record, "images_seen": images_seen}


def _handed_on(folder: Path) -> tuple[L.LightningModule, dict[str, Any]]:
    told, record, state = read_folder(folder)
    model = checked_class(record["model"], L.LightningModule, _ROOMS, "model", folder / CONFIG)
    check_folder_size(lambda: _instantiated(model, folder), state, folder)
    module = filled(_instantiated(model, folder), told, state, folder)
    return module, {**record, "images_seen": module.images_seen}


def refuse_settings(flags: Mapping[str, Any], checkpoint: Path, owners: str, found: str) -> None:
    """Refuse settings of other kinds of models than the one in a checkpoint.

    Args:
        flags: By their names; None where it was not given.
        checkpoint: As it was given.
        owners: What they are settings of, in the plural.
        found: What the checkpoint holds.

    Raises:
        UserError: One was given.
    """
    for name, value in flags.items():
        if value is not None:
            raise UserError(
                f"--{name.replace('_', '-')}: is a setting of {owners}, and {checkpoint} holds a "
                f"{found}. Leave it out."
            )


def file_known_by(checkpoint: Path) -> Path:
    """The file by whose SHA-256 a checkpoint, or a generator's folder, is known."""
    return Path(checkpoint) / CONFIG if is_generator_folder(checkpoint) else Path(checkpoint)


def seen_by(record: Mapping[str, Any]) -> Knowledge:
    """Whom a checkpoint's weights have learnt from: its training split, and whom it also knows.

    The latter stand in the record's "also_seen": through synthetic images, or through the weights
    that the training went on from. A record of an earlier version does not have it.

    Args:
        record: As `load_module` gives it.
    """
    return trained_on(record) | Knowledge.of_plain(record.get("also_seen", {}))


def licences_behind(record: Mapping[str, Any]) -> list[Licence]:
    """Licences of all data that a checkpoint's weights have learnt from.

    Those in the record's "earlier_licences" are of the weights that the training started with. A
    record of an earlier version has neither.

    Args:
        record: As `load_module` gives it.
    """
    own = licences_of(record.get("licences"), record.get("dataset"))
    earlier = record.get("earlier_licences")
    return together([*own, *(licences_of(earlier) if earlier else [])])


def trained_on(record: Mapping[str, Any]) -> Knowledge:
    """Whom a checkpoint's own training split holds."""
    return _of_splits(record, ("train",), "training_items")


def chosen_by(record: Mapping[str, Any]) -> Knowledge:
    """Whom a checkpoint was judged by in training: the patients of its validation split."""
    return _of_splits(record, ("val",), None)


def held_out_of(record: Mapping[str, Any]) -> Knowledge:
    """Whom the validation and the test split hold of the data that a checkpoint learnt from."""
    return _of_splits(record, ("val", "test"), "held_out_items")


def _of_splits(record: Mapping[str, Any], splits: Sequence[str], items: str | None) -> Knowledge:
    split, pixels = record.get("split", {}), record.get("pixels", {})
    plain: dict[str, Any] = {
        "training_patients": [name for part in splits for name in split.get(part, ())],
        "without_pixels": not pixels.get("has_all", False),
    }
    if items in split:
        plain["training_items"] = split[items]
    if "patient_names" in record:
        plain["patient_names"] = [record["patient_names"]]
    known = [Knowledge(pixels=unpacked(pixels.get(part, ""))) for part in splits]
    return reduce(or_, known, Knowledge.of_plain(plain))


def data_root(checkpoint: Path, record: dict[str, Any], flag: str) -> Path:
    """Where the data lie that a checkpoint was trained on; see `path_of_data`.

    Args:
        checkpoint: Its file.
        record: As `load_module` gives it.
        flag: The flag with which a person can say it, for the message.

    Raises:
        UserError: The data are not there.
    """
    root = path_of_data(checkpoint, record, "root", flag)
    if not root.is_dir():
        raise UserError(
            f"{checkpoint}: was trained on the cache {root}, which is not there as seen from this "
            f"folder. Say with {flag} where it is."
        )
    return root


def path_of_data(checkpoint: Path, record: dict[str, Any], setting: str, flag: str) -> Path:
    """A path among the settings of the data that a checkpoint was trained on.

    The run folder's config.yaml tells; the checkpoint itself holds no absolute path, so one that
    was moved away from its run folder knows only a path below the working folder.

    Args:
        checkpoint: Its file.
        record: As `load_module` gives it.
        setting: Name of the setting, for example "root".
        flag: The flag with which a person can say it, for the message; "" where there is none.

    Raises:
        UserError: Neither tells a path, or the record tells one that leads out of the working
            folder, as none of train.py does.
    """
    told = record["data"]["init_args"].get(setting)
    remedy = f" Say with {flag} where it is." if flag else ""
    config = Path(checkpoint).resolve().parent.parent / "config.yaml"
    if config.is_file() and not is_generator_folder(checkpoint):
        at_run = _setting_of_data(config, setting)
        if at_run is not None:
            return Path(at_run)
    if not isinstance(told, str) or not told:
        raise UserError(f"{checkpoint}: does not tell its data's {setting}.{remedy}")
    if told.startswith(("/", "~")) or ".." in Path(told).parts:
        raise UserError(
            f"{checkpoint}: its record says that its data's {setting} is {told[:200]}, which "
            "leads out of this folder, as no record of train.py does. It is not opened."
            f"{remedy}"
        )
    return Path(told)


def _setting_of_data(config: Path, setting: str) -> str | None:
    """A text among the data's settings in a run's config.yaml; None where there is none."""
    import yaml

    try:
        node: Any = read_yaml(config)
        for key in ("data", "init_args", setting):
            node = node[key]
    except (OSError, ValueError, LookupError, TypeError, RecursionError, yaml.YAMLError):
        return None
    return node if isinstance(node, str) and node else None


def instantiate_module(model: Any, source: Path) -> L.LightningModule:
    """Build a module from {"class_path", "init_args"} of our own packages.

    Raises:
        UserError: It names something else, which is not imported; or it cannot be built.
    """
    checked = checked_class(model, L.LightningModule, _ROOMS, "model", source)
    return _instantiated(checked, source)


def _instantiated(checked: dict[str, Any], source: Path) -> L.LightningModule:
    import jsonargparse

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(L.LightningModule, "model", required=True)
    try:
        config = parser.parse_object({"model": _without_initial_weights(checked)})
        return parser.instantiate(config).model
    except UserError:
        raise
    except Exception as error:  # of settings that no training accepted, constructors raise any kind
        raise UserError(
            f"{source}: its network cannot be built ({innermost_cause(error)})."
        ) from error


def _without_initial_weights(node: Any) -> Any:
    """Do not fetch pretrained weights, which may be gone: the checkpoint's own replace them."""
    if not isinstance(node, dict):
        return node
    node = {key: _without_initial_weights(value) for key, value in node.items()}
    if node.get("encoder_weights") or node.get("encoder_weights_path"):
        node = {**node, "encoder_weights": "restored", "encoder_weights_path": None}
    if node.get("weights"):
        node = {**node, "weights": "restored"}
    return node
