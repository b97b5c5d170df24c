"""Every operation by its name in a policy."""

from dataclasses import fields
from typing import Any

from augmentations.augmix import AugMix
from augmentations.choice import Identity, OneAtALevel, OneOf
from augmentations.cutout import Cutout
from augmentations.flips import HorizontalFlip, QuarterTurns, Transpose, VerticalFlip
from augmentations.focus import GaussianBlur, LowResolution, Median, MotionBlur, Sharpening
from augmentations.geometric import Geometric
from augmentations.grey_values import Brightness, BrightnessShift, Contrast, Gamma, Noise
from augmentations.levels import (
    AutoContrast,
    ChannelShuffle,
    Clahe,
    Equalisation,
    Inversion,
    Posterisation,
    Saturation,
    Solarisation,
)
from augmentations.local_changes import BlankRectangles, BrightnessGradient, LocalGamma
from augmentations.mixing import CutMix, Mixup, PerlinMix, Ricap
from augmentations.operation import BatchOperation, Operation
from augmentations.spatial import Crop, Rotation, Shear, Shift, Zoom
from augmentations.warping import Elastic, GridDistortion, OpticalDistortion

OPERATIONS: dict[str, type[Operation]] = {
    "horizontal_flip": HorizontalFlip,
    "vertical_flip": VerticalFlip,
    "elastic": Elastic,
    "grid_distortion": GridDistortion,
    "optical_distortion": OpticalDistortion,
    "sharpening": Sharpening,
    "motion_blur": MotionBlur,
    "gaussian_blur": GaussianBlur,
    "rotation": Rotation,
    "shift": Shift,
    "zoom": Zoom,
    "crop": Crop,
    "gamma": Gamma,
    "inversion": Inversion,
    "channel_shuffle": ChannelShuffle,
    "clahe": Clahe,
    "noise": Noise,
    "brightness": Brightness,
    "contrast": Contrast,
    "low_resolution": LowResolution,
    "quarter_turns": QuarterTurns,
    "transpose": Transpose,
    "median": Median,
    "blank_rectangles": BlankRectangles,
    "brightness_shift": BrightnessShift,
    "brightness_gradient": BrightnessGradient,
    "local_gamma": LocalGamma,
    "shear": Shear,
    "saturation": Saturation,
    "solarisation": Solarisation,
    "posterisation": Posterisation,
    "auto_contrast": AutoContrast,
    "equalisation": Equalisation,
    "geometric": Geometric,
    "identity": Identity,
    "one_of": OneOf,
    "one_at_a_level": OneAtALevel,
}
"""On one image and its mask."""

BATCH_OPERATIONS: dict[str, type[BatchOperation]] = {
    "mixup": Mixup,
    "cutmix": CutMix,
    "ricap": Ricap,
    "perlin_mix": PerlinMix,
    "cutout": Cutout,
    "augmix": AugMix,
}
"""On a batch, after those on its images."""


def name_of(operation: Operation | BatchOperation) -> str:
    """What a policy calls an operation."""
    for name, kind in (*OPERATIONS.items(), *BATCH_OPERATIONS.items()):
        if type(operation) is kind:
            return name
    raise KeyError(type(operation).__name__)


def settings_of(operation: Operation | BatchOperation) -> dict[str, Any]:
    """All settings of an operation as plain values; of operations within it too."""
    settings: dict[str, Any] = {}
    for field in fields(operation):
        value = getattr(operation, field.name)
        if isinstance(value, tuple):
            value = [{name_of(one): settings_of(one)} for one in value]
        settings[field.name] = value
    return settings
