"""Small data sets in nnU-Net's layout and in the Decathlon's, of images that are nobody's."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.prepare_runs import AFFINE

LABELS = {"background": 0, "Liver": 1, "Left Kidney": 2, "tumour": 3}
SHAPE = (4, 16, 16)


def save(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def case_arrays(number, channels=1, values=(0, 1, 2, 3), shape=SHAPE):
    """Images (C, S, H, W), CT first, MRI-like float values after it, and a mask (S, H, W)."""
    rng = np.random.default_rng(number)
    images = [rng.integers(-1000, 1000, shape).astype(np.int16)]
    images += [rng.gamma(2, 200, shape).astype(np.float32) for _ in range(channels - 1)]
    return images, rng.choice(values, shape).astype(np.uint8)


def write_description(root, **changed):
    """dataset.json of nnU-Net; an entry that is None is left out."""
    content = {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": 4,
        "file_ending": ".nii.gz",
        **changed,
    }
    root.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in content.items() if value is not None}
    (root / "dataset.json").write_text(json.dumps(kept))
    return root


def write_nnunet(root, num=4, channels=("CT",), values=(0, 1, 2, 3), **changed) -> Path:
    """A data set with cases liver_000, liver_001, ..."""
    names = {str(place): name for place, name in enumerate(channels)}
    write_description(root, **{"channel_names": names, "numTraining": num, **changed})
    for number in range(num):
        images, mask = case_arrays(number, len(channels), values)
        for place, image in enumerate(images):
            save(root / f"imagesTr/liver_{number:03d}_{place:04d}.nii.gz", image)
        save(root / f"labelsTr/liver_{number:03d}.nii.gz", mask)
    return root


def write_decathlon(root, num=4, channels=("CT",)) -> Path:
    """The same cases as `write_nnunet`, with all channels in one file."""
    listed = []
    for number in range(num):
        images, mask = case_arrays(number, len(channels))
        together = np.stack(images, -1) if len(images) > 1 else images[0]
        save(root / f"imagesTr/liver_{number:03d}.nii.gz", together)
        save(root / f"labelsTr/liver_{number:03d}.nii.gz", mask)
        file = f"liver_{number:03d}.nii.gz"
        listed.append({"image": f"./imagesTr/{file}", "label": f"./labelsTr/{file}"})
    write_description(
        root,
        channel_names=None,
        file_ending=None,
        modality={str(place): name for place, name in enumerate(channels)},
        labels={str(value): name for name, value in LABELS.items()},
        numTraining=num,
        training=listed,
    )
    return root
