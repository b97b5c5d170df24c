"""Policies by name, each with its source and its deviations from it.

Where a source leaves out channels by chance, its probability is halved here, as for the one channel
of a grey image.
"""

from typing import Any

_NNUNET: list[Any] = [
    {"rotation": {"max_degrees": 180, "probability": 0.2}},
    {"zoom": {"min_factor": 0.7, "max_factor": 1.4, "of_grid": True, "probability": 0.2}},
    {"noise": {"max_share": 0.1, "probability": 0.1}},
    {"gaussian_blur": {"min_sigma": 0.5, "max_sigma": 1.0, "probability": 0.1}},
    {"brightness": {"min_factor": 0.75, "max_factor": 1.25, "probability": 0.15}},
    {"contrast": {"min_factor": 0.75, "max_factor": 1.25, "probability": 0.15}},
    {"low_resolution": {"min_scale": 0.5, "probability": 0.125}},
    {"gamma": {"inverted": True, "keep_statistics": True, "probability": 0.1}},
    {"gamma": {"keep_statistics": True, "probability": 0.3}},
    {"horizontal_flip": {"probability": 0.5}},
    {"vertical_flip": {"probability": 0.5}},
]

_NNUNET_DA5: list[Any] = [
    {"rotation": {"max_degrees": 180, "probability": 0.2}},
    {"zoom": {"min_factor": 0.7, "max_factor": 1.43, "of_grid": True, "probability": 0.2}},
    {"quarter_turns": {"probability": 0.5}},
    {"transpose": {"probability": 0.5}},
    {
        "one_of": {
            "operations": [
                {"median": {"min_size": 2, "max_size": 7, "probability": 0.1}},
                {"gaussian_blur": {"min_sigma": 0.3, "max_sigma": 1.5, "probability": 0.1}},
            ]
        }
    },
    {"noise": {"max_share": 0.1, "probability": 0.1}},
    # Standard deviation 0.5.
    {"brightness_shift": {"max_shift": 1.5, "normal": True, "probability": 0.05}},
    {
        "one_of": {
            "operations": [
                {"contrast": {"min_factor": 0.5, "max_factor": 2, "probability": 0.1}},
                {
                    "contrast": {
                        "min_factor": 0.5,
                        "max_factor": 2,
                        "keep_range": False,
                        "probability": 0.1,
                    }
                },
            ]
        }
    },
    {"low_resolution": {"min_scale": 0.25, "probability": 0.075}},
    {"gamma": {"inverted": True, "keep_statistics": True, "probability": 0.1}},
    {"gamma": {"inverted": True, "keep_statistics": True, "probability": 0.1}},
    {"horizontal_flip": {"probability": 0.5}},
    {"vertical_flip": {"probability": 0.5}},
    {"blank_rectangles": {"probability": 0.2}},
    {"brightness_gradient": {"min_change": 1, "max_change": 2, "probability": 0.15}},
    {
        "local_gamma": {
            "min_gamma": 0.01,
            "least_bright": 0.8,
            "least_dark": 1.5,
            "max_gamma": 4,
            "probability": 0.15,
        }
    },
    {"sharpening": {"max_factor": 5.3, "probability": 0.1}},
]

_TRIVIAL: list[Any] = [
    {
        "one_at_a_level": {
            "levels": 31,
            "operations": [
                "identity",
                {"shear": {"max_slope": 0.99, "direction": "horizontal"}},
                {"shear": {"max_slope": 0.99, "direction": "vertical"}},
                {"shift": {"max_share": 32 / 224, "direction": "horizontal"}},
                {"shift": {"max_share": 32 / 224, "direction": "vertical"}},
                {"rotation": {"max_degrees": 135}},
                {"brightness": {"min_factor": 0.01, "max_factor": 1.99}},
                {"saturation": {"max_change": 0.99}},
                {"contrast": {"min_factor": 0.01, "max_factor": 1.99, "keep_range": False}},
                {"sharpening": {"max_factor": 1.99, "softens": True}},
                {"posterisation": {"min_bits": 2}},
                {"solarisation": {"min_threshold": 0}},
                {"auto_contrast": {"probability": 1}},
                {"equalisation": {"probability": 1}},
            ],
        }
    }
]

_MEDICAL: list[Any] = [
    {
        "geometric": {
            "max_rotation_degrees": 10,
            "max_shift": 0.05,
            "min_scale": 0.9,
            "max_scale": 1.1,
            "probability": 0.8,
        }
    },
    {"elastic": {"max_share": 0.02, "probability": 0.2}},
    {"brightness": {"min_factor": 0.9, "max_factor": 1.1, "probability": 0.3}},
    {"contrast": {"min_factor": 0.85, "max_factor": 1.15, "probability": 0.3}},
    {"gamma": {"min_gamma": 0.8, "max_gamma": 1.25, "probability": 0.3}},
    {"noise": {"max_share": 0.05, "probability": 0.2}},
    {"gaussian_blur": {"max_sigma": 0.8, "probability": 0.1}},
    {"low_resolution": {"min_scale": 0.7, "probability": 0.1}},
]

PRESETS: dict[str, list[Any]] = {
    "none": [],
    "geometric": ["geometric"],
    "nnunet": _NNUNET,
    "nnunet_da5": _NNUNET_DA5,
    "trivial": _TRIVIAL,
    "medical": _MEDICAL,
    "geometric_ricap": ["geometric", "ricap"],
    "augmix_medical": [{"augmix": {"repertoire": "medical"}}],
}

PRESET_SOURCES: dict[str, str] = {
    "none": "",
    "geometric": (
        "Choe et al. 2022, section 3.3: rotation, shift and scale; the ranges are ours, since the "
        "paper gives none."
    ),
    "nnunet": (
        "Isensee et al. 2021, nnU-Net 2.8.1 with batchgeneratorsv2 0.3.5, "
        "nnUNetTrainer.get_training_transforms for 2D: its order, ranges and probabilities. "
        "Deviations: rotation and zoom resample one after the other where both happen; masks take "
        "the nearest label (there a bilinear vote of labels); pixels from outside get the image's "
        "lowest value (there 0, the mean); brightness counts from black, since images are not "
        "normalised to mean 0; noise is a share of each image's standard deviation; values stay in "
        "[-1, 1]."
    ),
    "nnunet_da5": (
        "nnU-Net 2.8.1, nnUNetTrainerDA5: its order, ranges and probabilities; both gammas act on "
        "the negative, as there. Deviations: those of nnunet; the same zoom for both sides; "
        "sharpening is torchvision's with an edge of the same height, and may be weaker; "
        "the brightness gradient is 1 to 2 standard deviations (there 1 to 5), and a brightness "
        "shift is limited to 3 of its standard deviations, since values stay in [-1, 1]."
    ),
    "trivial": (
        "Müller and Hutter 2021, arXiv:2103.10158, TrivialAugment (Wide), as in torchvision. "
        "Deviations: shifts are 32 of 224 pixels at any size; shear about the centre; bilinear. "
        "It includes solarisation, posterisation and equalisation, which change what grey values "
        "mean."
    ),
    "medical": (
        "Only what keeps anatomy plausible: no mirror images, no large rotations, no changes of "
        "what grey values mean. Liu et al. 2023, arXiv:2306.17466 (MedAugment), leave out "
        "inversion, equalisation, solarisation and posterisation; the small ranges are ours."
    ),
    "geometric_ricap": (
        "Noguchi et al. 2020, doi:10.1016/j.compbiomed.2020.103767: image processing and RICAP "
        "together segmented bones best, better than either alone and than Mixup. Deviation: the "
        "image processing is geometric."
    ),
    "augmix_medical": (
        "Hendrycks et al. 2019, arXiv:1912.02781, without solarize, equalize and posterize, which "
        "change what grey values mean. For classifiers."
    ),
}
"""The source of each preset, and its deviations from it."""
