"""`dataset.json` of nnU-Net (version 2) and of the Medical Segmentation Decathlon."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preparation.text_file import text_of
from preparation.volumes.labels.names import checked_labels
from preparation.volumes.volume import existing_folder
from provenance import UserError

NAME = "dataset.json"
IGNORE = "ignore"
"""What nnU-Net calls the label of pixels that training leaves out."""
_ENDINGS = (".nii.gz", ".nii")
_LARGEST_LABEL = 65535


@dataclass(frozen=True)
class Pair:
    """A case as the file lists it; paths are below the data set's folder, as they are written."""

    images: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class DatasetFile:
    """What a data set says of itself.

    Attributes:
        labels: Name of each value of its masks, as it can stand in scores.
        channels: Names of the channels of its images.
        is_decathlon: Whether it is the Decathlon's, whose channels are in one file.
        ending: Of the files' names; of the Decathlon's they are listed.
        pairs: Cases by name, where the file lists them; None: all that the folders hold.
        num_training: How many training cases it says that there are; None where it does not.
        has_ignored: Whether it names a label `ignore`, which is no class.
    """

    labels: dict[int, str]
    channels: tuple[str, ...]
    is_decathlon: bool
    ending: str = ".nii.gz"
    pairs: Mapping[str, Pair] | None = None
    num_training: int | None = None
    has_ignored: bool = False


def read_dataset_file(source: Path, labels: Mapping[int, str] | None = None) -> DatasetFile:
    """Read the `dataset.json` of a folder.

    Args:
        source: The folder.
        labels: What a person says in the place of the file's labels; None: nothing.

    Raises:
        UserError: It is missing or no JSON, its labels are regions or no whole numbers, its files
            are of another format, or it lacks what both layouts have.
    """
    path = existing_folder(source) / NAME
    if not path.is_file():
        inside = sorted(source.glob(f"*/{NAME}"))
        nearer = f" Did you mean {inside[0].parent}?" if inside else ""
        raise UserError(
            f"--source {source}: holds no {NAME}.{nearer} Expected nnU-Net's layout ({NAME}, "
            "imagesTr/, labelsTr/) or the Decathlon's; for folders without one, such as KiTS19's "
            "case_00000/imaging.nii.gz, use prepare.py kits19 with --labels."
        )
    try:
        content = json.loads(text_of(path, "the data set's description"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: is no JSON ({' '.join(str(error).split())[:200]}). Mend the file, or copy it "
            "again."
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, expected a table of settings.")
    names = [key for key in ("channel_names", "modality") if key in content]
    if not names:
        raise UserError(
            f"{path}: has neither channel_names (nnU-Net) nor modality (the Decathlon), so what "
            'its images show is not known. Add for example "channel_names": {"0": "CT"}.'
        )
    has_ignored = False
    if labels is None:
        labels, has_ignored = _labels(path, content.get("labels"))
    decathlon = names[0] == "modality"
    return DatasetFile(
        labels=dict(labels),
        channels=_channels(path, names[0], content[names[0]]),
        is_decathlon=decathlon,
        ending=".nii.gz" if decathlon else _ending(path, content.get("file_ending", ".nii.gz")),
        pairs=_listed(path, content) if decathlon else _by_name(path, content.get("dataset")),
        num_training=_number(path, content.get("numTraining")),
        has_ignored=has_ignored,
    )


def _labels(path: Path, told: Any) -> tuple[dict[int, str], bool]:
    """Name by value, whichever way round the file has them; and whether one is to be ignored."""
    if not isinstance(told, dict) or not told:
        raise UserError(
            f'{path}: has no table of labels. Expected such as "labels": {{"background": 0, '
            '"liver": 1, "tumour": 2}.'
        )
    labels: dict[int, str] = {}
    for key, entry in told.items():
        if isinstance(entry, list | tuple):
            raise UserError(
                f"{path}: its label {key!r} is a region made of the values {entry}. Regions "
                "overlap, and here every pixel has one class. Give each value a name of its own in "
                f"a copy of the file, or say them with --labels; to merge values give them one "
                "name with --label-map."
            )
        name, value = (key, entry) if not str(key).strip().isdecimal() else (entry, key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole and not (isinstance(value, str) and value.strip().isdecimal()):
            raise UserError(
                f"{path}: its label {key!r} has the value {value!r}, expected a whole number from "
                "0 up."
            )
        if not isinstance(name, str) or not 0 <= int(value) <= _LARGEST_LABEL:
            raise UserError(
                f"{path}: the label {key!r}: {entry!r} is no name and value from 0 to "
                f"{_LARGEST_LABEL}."
            )
        if int(value) in labels:
            raise UserError(
                f"{path}: gives the value {int(value)} two names, {labels[int(value)]} and {name}. "
                "Keep one."
            )
        labels[int(value)] = name
    return checked_labels(labels, f"{path}, labels"), IGNORE in labels.values()


def _channels(path: Path, key: str, told: Any) -> tuple[str, ...]:
    """Names in the order of their numbers."""
    expected = f'expected such as "{key}": {{"0": "T1", "1": "T2"}}.'
    if isinstance(told, str):
        told = {"0": told}
    if isinstance(told, list):
        told = {str(place): name for place, name in enumerate(told)}
    if not isinstance(told, dict) or not told:
        raise UserError(f"{path}: has no channels in {key}; {expected}")
    if not all(isinstance(name, str) and name.strip() for name in told.values()):
        raise UserError(f"{path}: a channel in {key} has no name; {expected}")
    if sorted(told) != sorted(str(place) for place in range(len(told))):
        raise UserError(
            f"{path}: the channels in {key} are numbered {', '.join(map(str, told))}, and not 0 to "
            f"{len(told) - 1}; {expected}"
        )
    names = tuple(told[str(place)].strip() for place in range(len(told)))
    # The same name twice, as for two phases of one scanner: they are told apart by their number.
    return tuple(
        name if names.count(name) == 1 else f"{name}_{place}" for place, name in enumerate(names)
    )


def _ending(path: Path, told: Any) -> str:
    if told not in _ENDINGS:
        raise UserError(
            f"{path}: its file_ending is {told!r}, and NIfTI is read here ({' and '.join(_ENDINGS)}"
            "). Convert the files, for example with SimpleITK; 8-bit PNG slices are read by "
            "prepare.py slices."
        )
    return str(told)


def _number(path: Path, told: Any) -> int | None:
    if told is None or (isinstance(told, int) and told >= 0):
        return told
    if isinstance(told, str) and told.strip().isdecimal():
        return int(told)
    raise UserError(f"{path}: numTraining is {told!r}, expected a number of cases.")


def _listed(path: Path, content: Mapping[str, Any]) -> dict[str, Pair]:
    """The Decathlon's list of training pairs, by the names of their label maps."""
    training = content.get("training")
    expected = (
        'Expected "training": [{"image": "./imagesTr/liver_1.nii.gz", "label": '
        '"./labelsTr/liver_1.nii.gz"}, ...].'
    )
    if not isinstance(training, list) or not training:
        raise UserError(f"{path}: lists no training cases. {expected}")
    pairs: dict[str, Pair] = {}
    for entry in training:
        if not isinstance(entry, dict) or not all(
            isinstance(entry.get(key), str) and entry[key] for key in ("image", "label")
        ):
            raise UserError(f"{path}: {str(entry)[:200]} is no training case. {expected}")
        _add(path, pairs, _stem(entry["label"]), Pair((entry["image"],), entry["label"]))
    return pairs


def _by_name(path: Path, told: Any) -> dict[str, Pair] | None:
    """nnU-Net's optional table of cases, whose files lie elsewhere than in imagesTr."""
    if not told:
        return None
    pairs: dict[str, Pair] = {}
    for name, entry in told.items() if isinstance(told, dict) else ():
        images = entry.get("images") if isinstance(entry, dict) else None
        label = entry.get("label") if isinstance(entry, dict) else None
        if not isinstance(images, list) or not all(isinstance(one, str) for one in images):
            images = []
        if not images or not isinstance(label, str):
            raise UserError(
                f'{path}: its case {name!r} under "dataset" has no images and label. Expected such '
                'as {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}.'
            )
        _add(path, pairs, name, Pair(tuple(images), label))
    if not pairs:
        raise UserError(f'{path}: "dataset" is no table of cases. Leave it out, or mend it.')
    return pairs


def _add(path: Path, pairs: dict[str, Pair], name: str, pair: Pair) -> None:
    if name in pairs:
        raise UserError(f"{path}: lists the case {name!r} twice. Keep one.")
    pairs[name] = pair


def _stem(file: str) -> str:
    name = Path(file).name
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name
